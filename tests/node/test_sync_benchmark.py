"""The benchmark of block sync: a second node, which follows from the genesis, comes to the same root."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.sync import measure

pytest.importorskip("plyvel")


def test_every_block_is_replayed_and_counted(tmp_path: Path) -> None:
    report = asyncio.run(measure(300, 200, tmp_path))
    assert report["transactions"] == 200
    assert report["blocks"] >= 1
    assert report["replayed_per_second"] > 0
