"""The reference page of the command line is what the commands say."""

from __future__ import annotations

from pathlib import Path

from cli.exit_codes import MEANINGS, ExitCode
from cli.main import COMMANDS
from cli.reference import PAGE, main, reference_page


def test_the_page_is_up_to_date(repository: Path) -> None:
    assert (repository / PAGE).read_text("utf-8") == reference_page(), "run `python -m cli.reference`"
    assert main(["--check"]) == 0


def test_every_command_and_exit_code_is_on_the_page() -> None:
    page = reference_page()
    for name in (*COMMANDS, "bank", "bank send", "keys create", "devnet up", "node check"):
        assert f"# `qenex {name}`" in page, name
    assert set(MEANINGS) == set(ExitCode)
    for code in ExitCode:
        assert f"\n| {int(code)} |" in page
