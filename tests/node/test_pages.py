"""Memory moves into large pages where the system can do that, and what it holds stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from node import pages

AREA = """7f0000000000-7f0001000000 {flags} 00000000 00:00 0 {name}
Size:              16384 kB
Rss:               {resident} kB
AnonHugePages:     {large} kB
VmFlags: rd wr mr mw me ac sd
"""


def test_memory_keeps_what_it_holds() -> None:
    held = [bytes((n % 251,)) * 100_000 for n in range(200)]
    pages.collapse(0.5)
    assert all(piece == bytes((n % 251,)) * 100_000 for n, piece in enumerate(held))


def test_nothing_is_moved_after_the_given_time() -> None:
    assert pages.collapse(0.0) == 0


def test_a_system_without_the_list_of_areas_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pages, "SMAPS", str(tmp_path / "none"))
    assert pages.collapse(1.0) == 0


@pytest.mark.parametrize(
    ("flags", "name", "resident", "large", "wanted"),
    [
        ("rw-p", "", 16_000, 0, True),
        ("rw-p", "[heap]", 16_000, 2_048, True),
        ("rw-p", "", 8_000, 0, False),
        ("rw-p", "", 16_384, 16_384, False),
        ("rw-p", "[stack]", 16_000, 0, False),
        ("rw-p", "/lib/some.so", 16_000, 0, False),
        ("r--p", "", 16_000, 0, False),
        ("rw-s", "", 16_000, 0, False),
    ],
)
def test_only_dense_private_memory_without_a_file_and_large_pages_is_moved(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    flags: str,
    name: str,
    resident: int,
    large: int,
    wanted: bool,
) -> None:
    listing = tmp_path / "smaps"
    listing.write_text(AREA.format(flags=flags, name=name, resident=resident, large=large))
    monkeypatch.setattr(pages, "SMAPS", str(listing))
    assert list(pages._areas()) == ([(0x7F0000000000, 0x7F0001000000)] if wanted else [])
