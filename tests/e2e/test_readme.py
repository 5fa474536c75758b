"""The README's first five minutes, exactly as printed, by a shell in a folder that looks like a clone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
BLOCK = re.compile(
    r"^<!-- test: first-five-minutes(, foreground)? -->\n```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
DEFAULT_URL = "http://127.0.0.1:7300"


@pytest.fixture
def clone(short_path: Path, repository: Path) -> Path:
    """All of the repository but what a run of it makes, so that a developer's own devnet is left alone."""
    environment = Path(sys.prefix)
    assert (environment / ".ready").exists(), "run the tests with `make test`: it makes the environment first"
    folder = short_path / "qenex"
    folder.mkdir()
    for item in repository.iterdir():
        if item.name not in {".venv", ".devnet", ".git"}:
            (folder / item.name).symlink_to(item)
    # A folder of its own around the real one's parts: should make decide to renew it, links go and nothing else.
    (folder / ".venv").mkdir()
    for item in environment.iterdir():
        if item.name != ".ready":
            (folder / ".venv" / item.name).symlink_to(item)
    (folder / ".venv" / ".ready").touch()
    return folder


@pytest.fixture
def shell_blocks(repository: Path) -> tuple[str, list[str]]:
    """The command that stays in the foreground, and those for the other terminal."""
    found = BLOCK.findall((repository / "README.md").read_text("utf-8"))
    foreground = [text for mark, _, text in found if mark]
    others = [
        text if language == "sh" else f".venv/bin/python - <<'PROGRAM'\n{text}PROGRAM\n"
        for mark, language, text in found
        if not mark
    ]
    assert len(foreground) == 1
    assert others
    return foreground[0], others


@pytest.fixture
def devnet(clone: Path, shell_blocks: tuple[str, list[str]]) -> Iterator[subprocess.Popen[str]]:
    """`make devnet` in its own session, ready."""
    process = subprocess.Popen(
        ["bash", "-c", shell_blocks[0]],
        cwd=clone,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    shown = []
    for line in process.stdout:
        shown.append(line)
        if "judy" in line:  # the last of the ten accounts
            break
    else:
        pytest.fail("make devnet ended:\n" + "".join(shown))
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)


def run(clone: Path, script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=clone,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_first_five_minutes_work_as_printed(
    clone: Path, devnet: subprocess.Popen[str], shell_blocks: tuple[str, list[str]]
) -> None:
    status = json.loads(run(clone, ".venv/bin/qenex devnet status --home .devnet --json"))
    url = status["data"]["nodes"][0]["rpc"]  # another port, if somebody has a chain on the default one
    output = [run(clone, block.replace(DEFAULT_URL, url)) for block in shell_blocks[1]]
    assert "alice" in output[0]
    assert "1,000,001.5" in output[1].replace("'", ",") or "1000001.5" in output[1], "Bob has what Alice sent"
    block = json.loads(output[2][output[2].rindex('{"schema_version"') :])
    assert block["ok"]
    # Before the last transfer or, if a second passed and an empty block carries the newer root, after it.
    assert re.search(r"^Bob held 100000(15|30)00000000 base units, proved$", output[3], re.MULTILINE)
    os.killpg(devnet.pid, signal.SIGINT)
    devnet.wait(timeout=30)
    status = json.loads(run(clone, ".venv/bin/qenex devnet status --home .devnet --json"))
    assert not any(node["running"] for node in status["data"]["nodes"])
