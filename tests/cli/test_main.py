"""The contract of the command line: streams, envelope, exit codes, no traceback."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import cli.version
from cli.exit_codes import ExitCode, Stopped, exit_code_of, unanswered
from cli.main import COMMANDS, SECTIONS, main
from cli.submit import _with_balances
from qenex import errors
from qenex.jsonrpc import ConnectionLost
from tests.cli.conftest import Run

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def test_help_goes_to_stdout_and_names_every_command(run: Run) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    assert outcome.err == ""
    for name in (*COMMANDS, "bank", "accounts", "machine"):
        assert f"  {name} " in outcome.out


def test_every_command_has_a_section_in_the_help() -> None:
    assert {name for names in SECTIONS.values() for name in names} == set(COMMANDS)


@pytest.mark.parametrize(
    "group", ["keys", "tx", "query", "devnet", "node", "config", "bank", "accounts", "machine"]
)
def test_every_group_explains_each_of_its_commands(run: Run, group: str) -> None:
    outcome = run(group, "--help")
    assert outcome.code == 0
    names = [
        line.split()[0]
        for line in outcome.out.split("Commands:")[1].split("Options of")[0].splitlines()
        if line[2:3].isalpha()
    ]
    assert names
    for name in names:
        assert run(group, name, "--help").code == 0


def test_a_result_is_one_envelope_on_stdout_and_nothing_else(run: Run) -> None:
    outcome = run("version", "--json")
    assert set(outcome.envelope) == {"schema_version", "ok", "data", "errors", "warnings", "meta"}
    assert outcome.envelope["ok"] is True
    assert outcome.envelope["errors"] == []
    assert outcome.out.count("\n") == 1
    assert outcome.err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "nonsense"],
        ["nonsense", "--json"],
        ["keys", "nonsense", "--json"],
        ["keys", "list", "--nonsense", "--json"],
        ["send", "--json"],
        ["send", "bob", "1QXC", "--json"],
        ["devnet", "up", "--validators", "0", "--json"],
        ["devnet", "up", "--rpc-port", "x", "--json"],
    ],
)
def test_a_usage_error_is_an_envelope_with_exit_code_2(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert outcome.envelope["ok"] is False
    assert outcome.envelope["data"] is None
    assert outcome.error["name"] == "usage_error"
    assert outcome.error["code"] == 307
    assert "--help" in outcome.error["hint"]


def test_the_hint_of_a_usage_error_names_the_help_of_the_command_that_was_run(run: Run) -> None:
    for arguments, command in (
        (["send", "bob", "1QXC", "--from", "bob", "--lease"], "send"),
        (["tx", "show", "xyz"], "tx show"),
        (["keys", "show"], "keys show"),
    ):
        assert run("--json", *arguments).error["hint"] == f"see `qenex {command} --help`"


def test_without_json_an_error_is_on_stderr_alone_with_its_hint(run: Run) -> None:
    outcome = run("keys", "lst")
    assert outcome.code == 2
    assert outcome.out == ""
    assert "error: no such command 'lst'; did you mean list?" in outcome.err
    assert "hint:  see `qenex keys --help`" in outcome.err


def test_global_options_stand_before_and_after_the_command(run: Run, tmp_path: Path) -> None:
    for arguments in (
        ["--json", "--home", str(tmp_path / "x"), "config", "path"],
        ["config", "--home", str(tmp_path / "x"), "path", "--json"],
        ["--json", "config", "path", "--home", str(tmp_path / "x")],
        ["--home", str(tmp_path / "other"), "config", "path", "--json", "--home", str(tmp_path / "x")],
    ):
        assert run(*arguments).data["home"] == str(tmp_path / "x")


def test_the_home_is_the_option_then_the_variable_then_the_platform_folder(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("config", "path", "--home", str(tmp_path / "x"), "--json").data["home"] == str(tmp_path / "x")
    assert run("config", "path", "--json").data["home"] == str(home)
    monkeypatch.delenv("QENEX_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    if sys.platform == "linux":
        assert run("config", "path", "--json").data["home"] == str(tmp_path / ".config" / "qenex")


def test_a_defect_has_exit_code_1_a_log_file_and_no_traceback(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(distribution: str) -> str:
        raise RuntimeError("broken on purpose")

    home.mkdir()
    monkeypatch.setattr(cli.version, "_version_of", broken)
    outcome = run("version", "--json")
    assert outcome.code == 1
    assert outcome.error["name"] == "program_fault"
    assert "Traceback" not in outcome.out + outcome.err
    (report,) = (home / "logs").iterdir()
    assert str(report) in outcome.error["message"]
    assert "broken on purpose" in report.read_text()
    assert report.stat().st_mode & 0o077 == 0


def test_ctrl_c_has_exit_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(distribution: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.version, "_version_of", interrupted)
    assert run("version").code == 130
    outcome = run("version", "--json")
    assert outcome.code == 130
    assert outcome.error["name"] == "interrupted"


def test_an_unreachable_node_has_exit_code_6(run: Run) -> None:
    outcome = run("query", "status", "--node", "http://127.0.0.1:1", "--json")
    assert outcome.code == 6
    assert outcome.error["name"] == "node_unreachable"


def test_a_wrong_node_address_is_a_usage_error_and_a_wrong_setting_one_of_configuration(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("query", "status", "--node", "ftp://x", "--json").code == 2
    monkeypatch.setenv("QENEX_NODE", "nonsense")
    assert run("query", "status", "--json").code == 10


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -m cli --help | true; exit "${PIPESTATUS:-0}"', sys.executable],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stderr == ""


def _shell(command: str) -> subprocess.CompletedProcess[str]:
    script = command.replace("qenex", f"{sys.executable} -m cli")
    return subprocess.run(
        ["sh", "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
@pytest.mark.parametrize("command", ["version", "version --json", "--help", "nonsense --json"])
def test_a_stdout_that_takes_nothing_is_one_line_and_exit_code_1(command: str) -> None:
    done = _shell(f"qenex {command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "error: the result cannot be written to stdout: No space left on device\n"


def test_a_closed_stdout_is_told_before_anything_is_done(home: Path) -> None:
    done = _shell("qenex version >&-")
    assert (done.returncode, done.stderr) == (1, "error: stdout is closed: nothing was done\n")


def test_a_closed_or_full_stderr_changes_neither_result_nor_exit_code(home: Path) -> None:
    assert "qenex" in _shell("qenex version 2>&-").stdout
    for redirected in ("2>&-", "2>/dev/full", ">/dev/null 2>&-"):
        done = _shell(f"qenex keys lst {redirected}")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_a_hung_or_dropping_node_has_exit_code_6(run: Run) -> None:
    import socket
    import threading

    with socket.socket() as rude:
        rude.bind(("127.0.0.1", 0))
        rude.listen()

        def drop() -> None:
            for _ in range(9):
                try:
                    rude.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=drop, daemon=True)
        thread.start()
        outcome = run("query", "status", "--node", f"http://127.0.0.1:{rude.getsockname()[1]}", "--json")
        assert outcome.code == 6


@pytest.mark.parametrize("url", ["http://a b/", "http://a!b", "http://", "http://x:0", "http://-x"])
def test_a_node_address_with_an_impossible_host_is_refused(run: Run, url: str) -> None:
    assert run("query", "status", "--node", url, "--json").code == 2


def test_checking_a_home_that_is_not_there_has_exit_code_10(run: Run) -> None:
    outcome = run("config", "validate", "--json")
    assert (outcome.code, outcome.error["name"]) == (10, "data_folder_missing")


def test_config_set_says_what_is_wrong_in_the_words_that_were_typed(run: Run) -> None:
    outcome = run("config", "set", "timeout_s", "0", "--json")
    assert outcome.code == 10
    assert outcome.error["message"] == "timeout_s = 0 is not between 1 and 86400"
    assert outcome.error["hint"].startswith("nothing was changed")


@pytest.mark.parametrize("content", ['{"kind":', "[]", "0xzz", "0x00", '{"kind": "qenex-transaction"}'])
def test_what_is_no_transaction_file_was_refused_by_no_node(run: Run, tmp_path: Path, content: str) -> None:
    file = tmp_path / "transaction.json"
    file.write_text(content)
    outcome = run("tx", "decode", str(file), "--json")
    assert outcome.code == 2
    assert outcome.error["code"] >= 1000


# -- exit codes -----------------------------------------------------------------------------------

BY_ERROR = {
    errors.KeyNotFound: 8, errors.WrongPassword: 8, errors.PasswordRequired: 8, errors.InvalidMnemonic: 8,
    errors.InvalidConfig: 10, errors.DataFolderForeign: 10, errors.DataFolderLocked: 10, errors.DataFolderCorrupt: 10,
    errors.AddressInUse: 10, errors.ProcessFailed: 10, errors.NodeUnreachable: 6, errors.InvalidResponse: 6,
    errors.OutcomeUnknown: 5, errors.Declined: 11, errors.PolicyRefused: 9, errors.UsageError: 2,
    errors.NotFound: 7, errors.Pruned: 7, errors.AccountNotFound: 7, errors.InvalidAmount: 2, errors.InvalidAddress: 2,
    errors.WrongSequence: 3, errors.WrongChainId: 3, errors.MempoolFull: 3, errors.OutOfGas: 4,
    errors.TrustExpired: 6, errors.HeaderConflict: 6, errors.NoWitness: 6, errors.NotEnoughTrust: 6,
    ConnectionLost: 6, errors.InsufficientBalance: 4, errors.ModuleFault: 4, errors.ProgramFault: 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code"), list(BY_ERROR.items()), ids=lambda item: getattr(item, "__name__", str(item))
)
def test_each_kind_of_error_has_its_exit_code(error: type[errors.QenexError], code: int) -> None:
    assert exit_code_of(error("x")) == code


def test_every_error_there_is_has_an_exit_code_of_the_table() -> None:
    for error in errors.REGISTRY.values():
        assert exit_code_of(error("x")) in set(ExitCode) - {ExitCode.DONE, ExitCode.INTERRUPTED}


def test_an_unknown_code_of_a_newer_node_falls_into_its_range() -> None:
    assert exit_code_of(errors.error_from_code(1_999, "new")) == 3
    assert exit_code_of(errors.error_from_code(3_999, "new")) == 4


def test_a_query_without_an_answer_is_no_failed_transaction() -> None:
    for error, code in (
        (errors.PoolNotFound("x"), 7),
        (errors.UnknownProgram("x"), 7),
        (errors.NoRouteFound("x"), 7),
        (errors.HeightNotKept("x"), 7),
        (errors.PriceStale("x"), 9),
        (errors.InsufficientLiquidity("x"), 9),
    ):
        stopped = unanswered(error)
        assert isinstance(stopped, Stopped)
        assert stopped.exit_code == code
    refused = errors.NodeUnreachable("x")
    assert unanswered(refused) is refused


def test_a_balance_too_small_for_a_bare_amount_is_told_in_the_modules_words() -> None:
    nobody: Any = None  # neither asked nor needed: no argument is a coin
    error = errors.InsufficientBalance("message 0 fails: 5 base units, 7 needed")
    assert _with_balances(nobody, nobody, [("staking.delegate", {"amount": 7})], nobody, error) is error


def test_the_version_is_told_as_other_programs_do(run: Run) -> None:
    assert run("--version").out == run("version").out
    assert run("--version", "--json").data == run("version", "--json").data


def test_the_moment_decides_before_the_class(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(distribution: str) -> str:
        raise Stopped(
            errors.InsufficientFunds("too little"), ExitCode.REFUSED_BEFORE_SIGNING, data={"hash": "0x1"}
        )

    monkeypatch.setattr(cli.version, "_version_of", stopped)
    outcome = run("version", "--json")
    assert outcome.code == 9
    assert outcome.data == {"hash": "0x1"}
    assert outcome.error["name"] == "insufficient_funds"


# -- start-up -------------------------------------------------------------------------------------


def _seconds(arguments: list[str], times: int) -> float:
    """Least CPU seconds of a run: what the program needs, whatever else the machine is doing."""
    taken = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


def test_help_is_as_fast_as_the_interpreter_and_150_ms() -> None:
    bare, own = _seconds(["-c", "pass"], 7), _seconds(["-m", "cli", "--help"], 7)
    assert own - bare < 0.150, f"help took {own * 1000:.0f} ms, a bare interpreter {bare * 1000:.0f} ms"


def test_help_imports_no_other_room_and_no_cryptography() -> None:
    script = "import sys; from cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=True
    )
    loaded = set(done.stderr.split())
    for name in (
        "nacl",
        "cryptography",
        "aiohttp",
        "msgpack",
        "asyncio",
        "vm",
        "ledger",
        "node",
        "qenex.client",
        "cli.keys",
    ):
        assert name not in loaded, f"{name} is imported for --help"


# -- on a terminal --------------------------------------------------------------------------------


def _on_terminal(arguments: list[str], environment: dict[str, str]) -> str:
    """Run with stdout and stderr on a terminal; return what it shows."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments], cwd=REPOSITORY, stdin=follower, stdout=follower, stderr=follower,
        env={**os.environ, "TERM": "xterm", **environment},
    )  # fmt: skip
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if select.select([leader], [], [], 0.1)[0]:
            try:
                part = os.read(leader, 65_536)
            except OSError:
                break
            if not part:
                break
            shown += part
    child.wait(timeout=10)
    os.close(leader)
    return shown.decode()


def test_colours_are_for_terminals_and_no_color_is_heard(run: Run, home: Path) -> None:
    environment = {"QENEX_HOME": str(home)}
    assert "\x1b[" in _on_terminal(["version"], environment)
    assert "\x1b[" not in _on_terminal(["version"], {**environment, "NO_COLOR": "1"})
    assert "\x1b[" not in _on_terminal(["version"], {**environment, "TERM": "dumb"})
    assert "\x1b[" not in run("version").out


def test_json_on_a_terminal_is_indented_and_still_one_value(home: Path) -> None:
    shown = _on_terminal(["version", "--json"], {"QENEX_HOME": str(home)})
    assert json.loads(shown)["ok"] is True
    assert "\n" in shown.strip()


def test_main_without_arguments_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: qenex" in capsys.readouterr().out
