"""A full disk stops the node cleanly before anything is half-written; with space again it goes on from the same root.

Preferred form: a small file system of its own in a mount namespace, which is really full. Where the machine
allows no namespace: a limit on the size of files, whose writes the kernel refuses in the middle just so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.node_process import EXIT_DISK, ROOT, NodeProcess, fingerprint, make_home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
MOUNT = 'mount -t tmpfs -o size=28m tmpfs "$1" && shift && exec "$@"'


def namespace(folder: Path) -> list[str] | None:
    """The command in front that gives a process `folder` as a small file system; None where none works."""
    for options in (["-m"], ["-Urm"]):
        command = ["unshare", *options, "sh", "-c", MOUNT, "sh", str(folder)]
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0
        ):
            return command
    return None


def run(form: str, front: list[str], folder: Path, copy: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*front, sys.executable, "-m", "tests.e2e.full_disk", form, str(folder), str(copy)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


def check_life(life: dict[str, Any]) -> None:
    log = life["log"]
    assert life["code"] == EXIT_DISK, log
    assert "Traceback" not in log
    assert "nothing was half-written" in log
    assert "start it again" in log, "the message says what to do"
    assert life["stored"]["ok"], life["stored"]
    assert life["stored"]["height"] >= life["last"].get("height", 0), "nothing that was told is missing"
    assert life["next_state_root"] == life["stored"]["root"], "it goes on from the same root"
    assert life["lost"] == []
    assert life["again"] == 0
    assert life["stopped"] == 0
    assert "Traceback" not in life["second_log"]


def test_a_full_disk_stops_the_node_cleanly_and_it_goes_on_with_the_same_root(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    front = namespace(folder)
    answer = run("tmpfs" if front else "limit", front or [], folder, tmp_path / "copy")
    for life in answer["lives"]:
        check_life(life)
    assert any(life["final"] for life in answer["lives"]), "the load was real"
    if front is None:
        return
    watched = answer["threshold"]
    for code, log in ((watched["code"], watched["log"]), (watched["refused"], watched["refused_log"])):
        assert code == EXIT_DISK, log
        assert "min_free_disk_mib is 6" in log
        assert "start it again" in log
        assert "Traceback" not in log
    assert watched["untouched"]
    assert watched["resumed"] == 0


def test_a_refused_write_in_the_middle_of_a_file_stops_the_node_cleanly(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    for life in run("limit", [], folder, tmp_path / "copy")["lives"]:
        check_life(life)


def test_a_disk_with_less_than_the_threshold_free_is_refused_untouched(tmp_path: Path) -> None:
    home = make_home(tmp_path / "node", node={"min_free_disk_mib": 1 << 20})
    before = fingerprint(home)
    with NodeProcess(home) as node:
        assert node.wait_exit() == EXIT_DISK
        assert "min_free_disk_mib" in node.log
        assert "start it again" in node.log
        assert "Traceback" not in node.log
    assert fingerprint(home) == before
