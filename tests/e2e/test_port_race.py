"""Several devnets started at once want the same port: each ends up with its own chain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import Devnet

pytestmark = pytest.mark.e2e


def test_devnets_started_at_once_never_take_another_chain_for_their_own(short_path: Path) -> None:
    nets = [Devnet(short_path / name) for name in ("a", "b", "c")]
    command = [sys.executable, "-m", "cli", "devnet", "up", "--detach", "--json", "--home"]
    started = [subprocess.Popen([*command, str(net.home)], stdout=subprocess.PIPE, text=True) for net in nets]
    answers = [json.loads(process.communicate(timeout=90)[0]) for process in started]
    try:
        assert [answer["errors"] for answer in answers] == [[], [], []]
        assert len({answer["data"]["rpc"][0] for answer in answers}) == 3
        for net, answer in zip(nets, answers, strict=True):
            assert net.client().node.info().chain_id == answer["data"]["chain_id"]
    finally:
        for net in nets:
            net.down()
