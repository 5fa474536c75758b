"""Devnets without starting one: what is refused, whose a process is, what a folder may hold."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cli.devnet_home import ACCOUNTS, LOCK_FILE, Running, create_devnet, open_devnet, read_parameters
from cli.devnet_nodes import end_all, is_paused, overrides_of, pause, resume, with_ports
from cli.processes import ProcessId, choose_port, identify, is_alive, is_free, last_words, locked, stop
from ledger.genesis import Genesis
from node.config import load_config
from node.home import read_key
from node.modules import make_machine
from qenex.errors import AddressInUse, DataFolderLocked
from tests.cli.conftest import Run

SLEEPER = "import time; print('ready', flush=True); time.sleep(60)"
SLOW = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit(0))); "
    + SLEEPER
)
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


def _start(script: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def _close(child: subprocess.Popen[bytes]) -> None:
    assert child.stdout is not None
    child.stdout.close()


# -- processes ------------------------------------------------------------------------------------


def test_a_process_is_the_noted_one_only_with_its_start_time() -> None:
    child = _start(SLEEPER)
    process = identify(child.pid)
    assert process is not None
    assert is_alive(process)
    assert not is_alive(ProcessId(child.pid, "another start"))
    assert stop(process, seconds=10)
    assert not is_alive(process), "also before its parent has collected it"
    child.wait()
    _close(child)


def test_a_foreign_process_with_a_noted_pid_is_never_signalled() -> None:
    child = _start(SLEEPER)
    assert stop(ProcessId(child.pid, "an earlier process"), seconds=1)
    assert child.poll() is None
    child.kill()
    child.wait()
    _close(child)


def test_a_process_that_does_not_end_is_killed_after_the_deadline() -> None:
    child = _start(STUBBORN)
    process = identify(child.pid)
    assert process is not None
    assert stop(process, seconds=0.2) is False
    assert child.wait() == -signal.SIGKILL
    _close(child)


def test_the_lock_lets_one_in_and_is_free_after_any_end(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        locked(path, seconds=0, what="x"),
        pytest.raises(DataFolderLocked),
        locked(path, seconds=0.05, what="x"),
    ):
        pass
    script = f"import os\nfrom pathlib import Path\nfrom cli.processes import locked\nwith locked(Path({str(path)!r}), seconds=0, what='x'):\n    os._exit(9)"
    subprocess.run([sys.executable, "-c", script], check=False)
    with locked(path, seconds=0, what="x"):
        pass


def test_a_busy_port_is_told_or_another_is_chosen() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        with pytest.raises(AddressInUse):
            choose_port("127.0.0.1", port, [])
        assert choose_port("127.0.0.1", None, [port]) != port


def test_the_telling_line_of_a_log_is_found_after_the_given_place(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("CRITICAL old\ninfo\nCRITICAL the disk failed\nbye\n")
    assert last_words(log, 0) == "CRITICAL the disk failed"
    assert last_words(log, len("CRITICAL old\n" + "info\nCRITICAL the disk failed\n")) == "bye"
    assert last_words(tmp_path / "none", 0) == ""


# -- the folder -----------------------------------------------------------------------------------


def test_a_new_devnet_has_ten_accounts_without_password_and_a_chain_id_of_its_own(tmp_path: Path) -> None:
    first, second = create_devnet(tmp_path / "a"), create_devnet(tmp_path / "b")
    assert first.chain_id != second.chain_id
    assert first.chain_id.startswith("devnet-")
    assert [key.name for key in first.keyring.list()] == [*sorted(ACCOUNTS), "validator-0"]
    assert first.keyring.open("alice").address != second.keyring.open("alice").address
    genesis = Genesis.from_json((first.nodes[0].home / "genesis.json").read_bytes())
    assert "0x" + genesis.hash.hex() == first.genesis_hash
    assert len(genesis.modules["bank"]["balances"]) == 12, "and what is staked"
    assert open_devnet(tmp_path / "a") == first


def test_a_chain_of_ones_own_has_the_rules_that_were_asked_for(tmp_path: Path) -> None:
    asked = ["governance.voting_period_s=7", "staking.power_unit=1000000000000", "farming.hook_items=9",
             "governance.guardian=null"]  # fmt: skip
    net = create_devnet(tmp_path, 2, parameters=read_parameters(asked))
    genesis = Genesis.from_json((net.nodes[0].home / "genesis.json").read_bytes())
    rules = genesis.parameters
    assert (rules["governance"]["voting_period_s"], rules["governance"]["timelock_s"]) == (7, 20)
    assert rules["governance"]["guardian"] is None
    assert rules["farming"] == {"hook_items": 9}
    assert [validator.power for validator in genesis.validators] == [100, 100], "power by that unit"
    make_machine().init_chain(genesis)


@pytest.mark.parametrize(
    ("asked", "error", "word"),
    [
        ("governance.voting_period_s=4", "invalid_parameters", "from 5 to 2592000"),
        ("governance.voting_period_s=soon", "invalid_parameters", "voting_period_s"),
        ("governance.nothing=4", "invalid_parameters", "it has min_deposit"),
        ("nothing.at_all=4", "unknown_module", "there are machine"),
        ("governance=4", "usage_error", "no parameter"),
        ("governance.voting_period_s", "usage_error", "no parameter"),
    ],
)
def test_rules_that_there_are_not_or_out_of_range_make_no_chain(
    run: Run, tmp_path: Path, asked: str, error: str, word: str
) -> None:
    folder = tmp_path / "net"
    refused = run("devnet", "up", "--home", str(folder), "--parameter", asked, "--json")
    assert refused.error["name"] == error
    assert word in refused.error["message"]
    assert open_devnet(folder) is None
    assert not (folder / "nodes").exists()


def test_an_interrupted_creation_is_begun_anew(tmp_path: Path) -> None:
    made = create_devnet(tmp_path)
    described = json.loads((tmp_path / "devnet.json").read_text())
    (tmp_path / "devnet.json").write_text(json.dumps({**described, "state": "creating"}))
    assert open_devnet(tmp_path) is None
    again = create_devnet(tmp_path)
    assert again.chain_id != made.chain_id
    assert len(again.keyring.list()) == 11


def test_a_stale_note_of_a_process_counts_for_nothing(tmp_path: Path) -> None:
    (node,) = create_devnet(tmp_path).nodes
    assert node.running() is None
    node.note(Running(ProcessId(os.getpid(), "before the last boot"), 7300, 7400))
    assert node.running() is None
    own = identify(os.getpid())
    assert own is not None
    node.note(Running(own, 7300, 7400))
    assert node.running() == Running(own, 7300, 7400)
    (tmp_path / "run" / "validator-0.json").write_text("nonsense")
    assert node.running() is None


# -- the commands ---------------------------------------------------------------------------------


def test_a_node_that_ends_before_its_turn_was_stopped_all_the_same(tmp_path: Path) -> None:
    net = create_devnet(tmp_path, 3)
    children = [_start(script) for script in (SLOW, SLEEPER)]
    for node, child in zip(net.nodes, children, strict=False):
        process = identify(child.pid)
        assert process is not None
        node.note(Running(process, 1, 2))
    assert list(end_all(net.nodes).values()) == ["stopped", "stopped", "not running"]
    for child in children:
        child.wait()
        _close(child)


def test_a_folder_that_holds_something_else_is_not_touched(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    for command in ("up", "down", "status"):
        outcome = run("devnet", command, "--home", str(folder), "--json")
        assert (outcome.code, outcome.error["name"]) == (10, "data_folder_foreign")
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    file = folder / "thesis.txt"
    assert run("devnet", "up", "--home", str(file), "--json").code in (2, 10)


def test_down_and_status_of_nothing_say_so_and_make_nothing(run: Run, tmp_path: Path) -> None:
    for command in ("down", "status"):
        outcome = run("devnet", command, "--home", str(tmp_path / "none"), "--json")
        assert (outcome.code, outcome.error["name"]) == (10, "data_folder_missing")
    assert not (tmp_path / "none").exists()


def test_each_validator_has_a_home_keys_and_an_identity_of_its_own_and_all_the_same_genesis(
    tmp_path: Path,
) -> None:
    net = create_devnet(tmp_path / "x", 4)
    assert [node.name for node in net.nodes] == [f"validator-{number}" for number in range(4)]
    keys = [read_key(load_config(node.home, environment={}).validator_key_path) for node in net.nodes]
    assert len({key.public_key for key in keys}) == len({key.address for key in keys}) == 4
    assert len({node.node_id for node in net.nodes}) == 4
    assert len({(node.home / "genesis.json").read_bytes() for node in net.nodes}) == 1
    genesis = Genesis.from_json((net.nodes[0].home / "genesis.json").read_bytes())
    assert {validator.key for validator in genesis.validators} == {key.key for key in keys}
    assert len({node.admin_token for node in net.nodes}) == 4
    assert open_devnet(tmp_path / "x") == net


def test_nodes_started_together_get_ports_of_their_own_and_are_told_of_each_other(tmp_path: Path) -> None:
    net = create_devnet(tmp_path / "x", 4)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        net = net.with_node(replace(net.nodes[1], rpc_port=port, p2p_port=port))
        net = with_ports(net, net.nodes, None)
    ports = [port for node in net.nodes for port in (node.rpc_port, node.p2p_port)]
    assert len(set(ports)) == 8
    assert port not in ports
    told = overrides_of(net, net.nodes[0])
    assert f"rpc.port={net.nodes[0].rpc_port}" in told
    (peers,) = [item.partition("=")[2] for item in told if item.startswith("p2p.persistent_peers=")]
    assert peers.split(",") == [node.p2p for node in net.nodes[1:]]
    load_config(net.nodes[0].home, environment={}, overrides=told)


def test_an_unknown_node_is_told_with_those_that_there_are(run: Run, tmp_path: Path) -> None:
    create_devnet(tmp_path / "x", 2)
    for command in ("kill", "restart", "pause", "partition", "heal"):
        outcome = run("devnet", "chaos", command, "validator-7", "--home", str(tmp_path / "x"), "--json")
        assert (outcome.code, outcome.error["name"]) == (2, "usage_error")
        assert "validator-0, validator-1" in outcome.error["hint"]
    for command in ("kill", "restart", "pause", "partition"):
        assert run("devnet", "chaos", command, "--home", str(tmp_path / "x"), "--json").code == 2
    whole = run("devnet", "chaos", "partition", "0", "1", "--home", str(tmp_path / "x"), "--json")
    assert (whole.code, whole.error["name"]) == (2, "usage_error")


def test_chaos_on_stopped_nodes_says_that_they_do_not_run(run: Run, tmp_path: Path) -> None:
    create_devnet(tmp_path / "x", 2)
    for command in ("kill", "pause", "partition", "heal"):
        data = run("devnet", "chaos", command, "1", "--home", str(tmp_path / "x"), "--json").data
        assert {"name": "validator-1", "outcome": "not running"} in data["nodes"]


def test_a_paused_process_is_seen_and_goes_on(tmp_path: Path) -> None:
    child = _start(SLEEPER)
    process = identify(child.pid)
    assert process is not None
    pause(process)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    assert is_paused(process)
    assert is_alive(process)
    resume(process)
    os.waitid(os.P_PID, child.pid, os.WCONTINUED)
    assert not is_paused(process)
    child.kill()
    child.wait()
    _close(child)


def test_an_explicit_busy_port_is_an_error_and_no_chain_is_made(run: Run, tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        outcome = run("devnet", "up", "--rpc-port", port, "--home", str(tmp_path / "x"), "--json")
    assert (outcome.code, outcome.error["name"]) == (10, "address_in_use")
    assert {path.name for path in (tmp_path / "x").iterdir()} == {LOCK_FILE}


def test_status_of_a_stopped_devnet_lists_its_node(run: Run, tmp_path: Path) -> None:
    create_devnet(tmp_path / "x", rpc_port=7300)
    outcome = run("devnet", "status", "--home", str(tmp_path / "x"), "--json")
    (node,) = outcome.data["nodes"]
    assert {"name", "pid", "height", "round", "peers", "last_block_hash", "state_root", "rpc"} <= set(node)
    assert node["pid"] is None
    assert node["running"] is False


def test_a_damaged_description_is_told(run: Run, tmp_path: Path) -> None:
    create_devnet(tmp_path / "x", rpc_port=7300)
    (tmp_path / "x" / "devnet.json").write_text("{")
    assert run("devnet", "up", "--home", str(tmp_path / "x"), "--json").code == 10
    assert run("balance", "alice", "--home", str(tmp_path / "x"), "--json").code == 10


def test_check_of_a_folder_without_a_node_says_so(run: Run, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        outcome = run("node", "check", "--home", str(folder), "--json")
        assert (outcome.code, outcome.error["name"]) == (10, "data_folder_missing")


# -- settings -------------------------------------------------------------------------------------


def test_settings_are_checked_when_written_and_when_read(run: Run, home: Path) -> None:
    assert run("config", "show", "--json").data["settings"]["timeout_s"] == 60
    assert run("config", "set", "timeout_s", "5", "--json").code == 0
    assert run("config", "show", "--json").data["settings"]["timeout_s"] == 5
    for name, value in (
        ("timeout_s", "0"),
        ("timeout_s", "x"),
        ("node", "nonsense"),
        ("address_prefix", "bc"),
    ):
        assert run("config", "set", name, value, "--json").code == 10
    assert run("config", "set", "nothing", "1", "--json").code == 2
    assert run("config", "validate", "--json").data["valid"] is True
    (home / "client.toml").write_text("timeout_s = 0\n")
    wrong = run("config", "validate", "--json")
    assert (wrong.code, wrong.error["name"]) == (10, "invalid_config")
    assert "timeout_s" in wrong.error["message"]


def test_a_node_home_shows_and_checks_the_node_settings(run: Run, tmp_path: Path) -> None:
    started = time.monotonic()
    net = create_devnet(tmp_path / "x", rpc_port=7300)
    assert time.monotonic() - started < 30
    home = ["--home", str(net.nodes[0].home)]
    assert run("config", "show", *home, "--json").data["settings"]["rpc"]["port"] == 7300
    assert run("config", "set", "rpc.port", "7400", *home, "--json").code == 0
    assert run("config", "show", *home, "--json").data["settings"]["rpc"]["port"] == 7400
    assert run("config", "set", "rpc.port", "70000", *home, "--json").code == 10
    assert run("config", "validate", *home, "--json").code == 0
