"""The programs and commands of the developers' pages, exactly as printed, beside one devnet.

A marked block is run: `program` blocks of a page make one Python program, in order; a `shell` block is a script of
its own whose last line of output is a JSON answer, a refusal where the mark says `refused`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Devnet

pytestmark = pytest.mark.e2e
BLOCK = re.compile(
    r"^<!-- test: (program|shell|shell, refused) -->\n```(?:sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
DEFAULT_URL = "http://127.0.0.1:7300"
PAGES = ("sdk.md", "rpc.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a running devnet in `.devnet`, as the pages say."""
    folder = tmp_path_factory.mktemp("docs")
    net = Devnet(folder / ".devnet")
    net.up()
    (folder / "url").write_text(net.node()["rpc"])
    yield folder
    net.down()


def blocks(repository: Path, page: str) -> list[tuple[str, str]]:
    """Marks and texts of a page's marked blocks."""
    text = (repository / "docs" / "developers" / page).read_text("utf-8")
    found = BLOCK.findall(text)
    assert len(found) == text.count("<!-- test:"), f"{page}: each mark stands above a block"
    return found


def run(command: list[str], folder: Path, repository: Path, script: str) -> str:
    here = (folder / "url").read_text()
    for scheme in ("http", "ws"):  # the test's devnet has another port
        script = script.replace(DEFAULT_URL.replace("http", scheme), here.replace("http", scheme))
    done = subprocess.run(
        command,
        input=script,
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": str(repository),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_the_programs_of_a_page_run_as_printed(repository: Path, folder: Path, page: str) -> None:
    programs = [text for mark, text in blocks(repository, page) if mark == "program"]
    assert programs
    assert run([sys.executable, "-W", "error", "-"], folder, repository, "\n".join(programs))


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands use curl")
def test_the_commands_of_the_rpc_page_answer_as_it_says(repository: Path, folder: Path) -> None:
    scripts = [(mark, text) for mark, text in blocks(repository, "rpc.md") if mark != "program"]
    assert {mark for mark, _ in scripts} == {"shell", "shell, refused"}
    for mark, script in scripts:
        answer = json.loads(run(["bash", "-euo", "pipefail"], folder, repository, script).splitlines()[-1])
        if mark == "shell":
            assert answer.get("error") is None, (script, answer)
        elif "jsonrpc" in answer:
            assert set(answer["error"]) == {"code", "message", "data"}
            assert set(answer["error"]["data"]) == {"name", "hint", "retryable"}
        else:
            assert set(answer) == {"error"}
            assert set(answer["error"]) == {"code", "name", "message", "hint", "retryable"}
