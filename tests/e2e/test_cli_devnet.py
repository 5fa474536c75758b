"""A devnet and everything the command line does on it, with real processes: outcomes and exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import ACCOUNTS, Devnet, alive, run_cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
QXC = 10**9


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """One devnet for the tests that only use it."""
    devnet = Devnet(tmp_path_factory.mktemp("net") / "home")
    devnet.up()
    yield devnet
    devnet.down()


@pytest.fixture
def own(short_path: Path) -> Iterator[Devnet]:
    """A devnet of the test's own, for those that stop and kill."""
    devnet = Devnet(short_path / "net")
    yield devnet
    if (devnet.home / "devnet.json").exists():
        devnet.down()


def balance(net: Devnet, name: str) -> int:
    return int(net.cli("balance", name)["data"]["balance"])


# -- the chain's processes --------------------------------------------------------------------------


def test_up_returns_when_ready_with_urls_and_ten_funded_accounts(own: Devnet) -> None:
    data = run_cli("devnet", "up", "--home", str(own.home))["data"]
    assert [account["name"] for account in data["accounts"]] == list(ACCOUNTS)
    assert {int(account["balance"]) for account in data["accounts"]} == {1_000_000 * QXC}
    assert all(url.startswith("http://127.0.0.1:") for url in data["rpc"])
    node = own.node()
    assert {"name", "pid", "height", "round", "peers", "last_block_hash", "state_root", "rpc"} <= set(node)
    assert node["height"] >= 1
    again = own.up()
    assert again["chain_id"] == data["chain_id"]
    assert own.node()["pid"] == node["pid"], "a chain that runs is left alone"
    own.down()
    assert not alive(int(node["pid"]))
    own.down()
    assert own.node()["running"] is False


def test_a_killed_chain_resumes_with_its_balances(own: Devnet) -> None:
    own.up()
    chain = own.up()["chain_id"]
    own.cli("send", "bob", "1.5QXC", "--from", "alice", "--yes")
    before = own.node()
    own.kill()
    assert own.node()["running"] is False
    resumed = own.up()
    assert (resumed["chain_id"], resumed["resumed"]) == (chain, True)
    assert own.node()["height"] >= before["height"]
    assert balance(own, "bob") == 1_000_001_500_000_000


def test_a_busy_default_port_means_another_one_and_an_explicit_one_an_error(own: Devnet) -> None:
    own.up()
    port = int(own.node()["rpc"].rsplit(":", 1)[1])
    own.down()
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        busy.bind(("127.0.0.1", port))
        busy.listen()
        refused = run_cli("devnet", "up", "--home", str(own.home), "--rpc-port", str(port), expect=10)
        assert refused["errors"][0]["name"] == "address_in_use"
        own.up()
        assert own.node()["rpc"] != f"http://127.0.0.1:{port}"
        assert balance(own, "alice") == 1_000_000 * QXC, "the wallet follows the port"


def test_two_ups_at_once_make_one_chain(own: Devnet) -> None:
    command = [sys.executable, "-m", "cli", "devnet", "up", "--home", str(own.home), "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=90)[0]) for process in both]
    assert all(answer["ok"] for answer in answers)
    assert len({answer["data"]["chain_id"] for answer in answers}) == 1
    assert len({answer["data"]["nodes"][0]["pid"] for answer in answers}) == 1


def test_the_foreground_form_stays_and_stops_the_chain_on_ctrl_c(own: Devnet) -> None:
    command = [sys.executable, "-m", "cli", "devnet", "up", "--home", str(own.home), "--foreground", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["ok"] is True
    pid = int(own.node()["pid"])
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    process.communicate()
    assert not alive(pid)


def test_a_node_that_cannot_start_says_why_and_where_its_log_is(own: Devnet) -> None:
    own.up()
    own.down()
    (own.node_home() / "qenex.toml").write_text("[node]\nlog_level = 'loud'\n")
    failed = run_cli("devnet", "up", "--home", str(own.home), expect=10)["errors"][0]
    assert failed["name"] == "process_failed"
    assert "node.log_level" in failed["message"]
    assert own.node()["running"] is False
    (own.node_home() / "qenex.toml").write_text("")


def test_a_node_whose_signer_is_away_is_told_and_the_others_go_on_without_it(own: Devnet) -> None:
    own.up("--validators", "4")
    own.down()
    home = ("--home", str(own.home / "nodes" / "validator-2"))
    run_cli("config", "set", "signer.address", f"unix:{own.home}/none.sock", *home)
    told = run_cli("devnet", "up", "--home", str(own.home), "--detach")
    assert any("validator-2 ended at its start" in warning for warning in told["warnings"])
    assert any("devnet chaos restart validator-2" in warning for warning in told["warnings"])
    assert [node["running"] for node in told["data"]["nodes"]] == [True, True, False, True]
    gone = own.nodes()[2]
    assert "no signer answers" in gone["trouble"]
    own.cli("send", "bob", "1QXC", "--from", "alice", "--yes")
    run_cli("config", "set", "signer.address", "", *home)
    own.chaos("restart", "2")
    own.wait_for("it catches up", lambda: len(own.heights()) == 4 and len(set(own.heights().values())) == 1)
    assert "trouble" not in own.nodes()[2]


# -- money ------------------------------------------------------------------------------------------


def test_send_by_name_and_by_address_is_final_when_it_returns(net: Devnet) -> None:
    before = balance(net, "carol")
    sent = net.cli("send", "carol", "1.5QXC", "--from", "alice", "--memo", "lunch", "--yes")["data"]
    assert sent["status"] == 0
    assert re.fullmatch("0x[0-9a-f]{64}", sent["hash"])
    address = net.cli("keys", "address", "carol")["data"]["address"]
    net.cli("send", address, "0.5QXC", "--from", "bob", "--yes")
    assert balance(net, "carol") == before + 2 * QXC
    shown = net.cli("tx", "show", sent["hash"])["data"]
    assert shown["height"] == sent["height"]
    assert shown["receipt"]["status"] == 0
    assert shown["transaction"]["memo"] == "lunch"
    assert shown["fee"] == sent["fee"]


def test_the_hash_is_told_on_stderr_before_the_result(net: Devnet) -> None:
    command = [sys.executable, "-m", "cli", "--home", str(net.home), "send", "bob", "1QXC", "--from", "alice"]
    done = subprocess.run(
        [*command, "--yes", "--json"], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout)["data"]["hash"] in done.stderr
    plain = subprocess.run([*command, "--yes"], capture_output=True, text=True, timeout=60, check=True)
    for told in ("you pay", "at most", "fee", "valid until", "hash"):
        assert told in plain.stderr
    assert "Sent 1QXC to bob" in plain.stdout


def test_nothing_is_sent_without_consent_by_dry_run_or_as_unsigned(net: Devnet, tmp_path: Path) -> None:
    before = balance(net, "dave")
    declined = net.cli("send", "dave", "1QXC", "--from", "alice", expect=11)
    assert declined["errors"][0]["name"] == "declined"
    preview = net.cli("send", "dave", "1QXC", "--from", "alice", "--dry-run")["data"]
    assert int(preview["pays_at_most"][0]["amount"]) == QXC + int(preview["fee_max"])
    net.cli("send", "dave", "1QXC", "--from", "alice", "--unsigned", str(tmp_path / "tx.json"))
    assert balance(net, "dave") == before


def test_offline_signing_goes_by_files_and_a_changed_file_is_refused(net: Devnet, tmp_path: Path) -> None:
    unsigned, signed = tmp_path / "unsigned.json", tmp_path / "signed.json"
    before = balance(net, "erin")
    made = net.cli("send", "erin", "3QXC", "--from", "frank", "--unsigned", str(unsigned))["data"]
    assert net.cli("tx", "decode", str(unsigned))["data"]["hash"] == made["hash"]
    assert net.cli("tx", "simulate", str(unsigned))["data"]["status"] == 0
    early = net.cli("tx", "broadcast", str(unsigned), expect=3)
    assert early["errors"][0]["name"] == "wrong_signature_count"
    wrong = net.cli("tx", "sign", str(unsigned), "--from", "alice", "--out", str(signed), "--yes", expect=2)
    assert wrong["errors"][0]["name"] == "unused_signer"

    content = json.loads(unsigned.read_text())
    content["transaction"]["messages"][0]["args"]["amount"]["amount"] = "1"
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(content))
    net.cli("tx", "sign", str(changed), "--from", "frank", "--out", str(signed), "--yes", expect=2)
    assert not signed.exists()

    # The machine that signs has no network: no node answers at its address.
    net.cli(
        "--node",
        "http://127.0.0.1:1",
        "tx",
        "sign",
        str(unsigned),
        "--from",
        "frank",
        "--out",
        str(signed),
        "--yes",
    )
    landed = net.cli("tx", "broadcast", str(signed))["data"]
    assert (landed["hash"], landed["status"]) == (made["hash"], 0)
    assert balance(net, "erin") == before + 3 * QXC


def test_an_address_without_a_key_here_is_prepared_here_signed_elsewhere_and_broadcast(
    net: Devnet, tmp_path: Path
) -> None:
    cold, secret = ["--home", str(tmp_path / "cold")], tmp_path / "password"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    opened = ["--password-file", str(secret)]
    address = run_cli(*cold, "keys", "create", "cold", *opened)["data"]["address"]
    key = run_cli(*cold, "keys", "public-key", "cold")["data"]["public_key"]
    net.cli("send", address, "10QXC", "--from", "alice", "--yes")
    unsigned, signed = tmp_path / "unsigned.json", tmp_path / "signed.json"
    transfer = ["send", "bob", "1QXC", "--from", address]
    assert net.cli(*transfer, "--yes", expect=8)["errors"][0]["name"] == "key_not_found"
    refused = net.cli(*transfer, "--unsigned", str(unsigned), expect=9)["errors"][0]
    assert refused["name"] == "public_key_missing"
    assert "--public-key" in refused["hint"]
    other = net.cli("keys", "public-key", "bob")["data"]["public_key"]
    net.cli(*transfer, "--unsigned", str(unsigned), "--public-key", other, expect=2)
    net.cli(*transfer, "--unsigned", str(unsigned), "--public-key", key)
    nowhere = ["--node", "http://127.0.0.1:1"]
    run_cli(
        *cold, *nowhere, "tx", "sign", str(unsigned), "--from", "cold", "--out", str(signed), "--yes", *opened
    )
    assert net.cli("tx", "broadcast", str(signed))["data"]["status"] == 0
    # The second one needs no key: the chain knows it. Nearly all of the rest can be sent.
    left = int(net.cli("balance", address)["data"]["balance"])
    most = f"{(left - 30_000) / QXC:.9f}QXC"
    preview = net.cli("send", "bob", most, "--from", address, "--dry-run")["data"]
    assert left - 30_000 < int(preview["pays_at_most"][0]["amount"]) <= left
    short = net.cli("send", "bob", "9QXC", "--from", address, "--dry-run", expect=9)["errors"][0]
    assert "holds 8.9999" in short["message"]


def test_an_account_changes_to_a_post_quantum_key_and_spends_with_it(net: Devnet) -> None:
    net.cli("send", "bob", "1QXC", "--from", "dave", "--yes")
    address = net.cli("keys", "address", "dave")["data"]["address"]
    net.cli("keys", "create", "dave-pq", "--scheme", "ml-dsa-44", "--yes")
    rotation = ["keys", "rotate", "--from", "dave", "--to", "dave-pq"]
    net.cli(*rotation, "--dry-run")
    assert net.cli("keys", "show", "dave-pq")["data"]["address"] != address
    net.cli(*rotation, "--yes")
    assert net.cli("keys", "show", "dave-pq")["data"]["address"] == address
    before = balance(net, "erin")
    net.cli("send", "erin", "2QXC", "--from", "dave-pq", "--yes")
    assert balance(net, "erin") == before + 2 * QXC
    old = net.cli("send", "erin", "2QXC", "--from", "dave", "--yes", expect=9)["errors"][0]
    assert (old["name"], old["hint"]) == ("public_key_mismatch", "sign with --from dave-pq")
    assert net.cli("accounts", "get-account", address)["data"]["scheme"] == 2
    net.cli(*rotation, "--yes", expect=9)


def test_what_does_not_exist_on_the_chain_is_told_first(net: Devnet) -> None:
    unknown = net.cli("send", "bob", "5NONE", "--from", "alice", "--yes", expect=2)["errors"][0]
    assert unknown["name"] == "unknown_denomination"


def test_ctrl_c_while_waiting_tells_that_it_was_sent_and_where_to_look(own: Devnet, tmp_path: Path) -> None:
    own.up()
    unsigned, signed = tmp_path / "u.json", tmp_path / "s.json"
    made = own.cli("send", "bob", "1QXC", "--from", "alice", "--unsigned", str(unsigned))["data"]
    own.cli("tx", "sign", str(unsigned), "--from", "alice", "--out", str(signed), "--yes")
    with socket.socket() as silent:  # takes the transaction and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "cli", "--home", str(tmp_path / "plain"), "--node", url]
        child = subprocess.Popen(
            [*command, "tx", "broadcast", str(signed), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            connection.recv(1)
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(timeout=30)
    assert child.returncode == 130
    answer = json.loads(out)
    assert answer["data"]["hash"] == made["hash"]
    assert f"qenex tx show {made['hash']}" in answer["errors"][0]["hint"]
    assert answer["errors"][0]["retryable"] is False


def test_a_busy_port_of_a_node_is_one_error_with_the_right_hint(net: Devnet) -> None:
    home = net.node_home()
    spare = home.parent / "spare"
    made = run_cli("node", "init", "--home", str(spare), "--genesis", str(home / "genesis.json"))
    assert any("--seed" in warning for warning in made["warnings"])
    port = net.node()["rpc"].rsplit(":", 1)[1]
    done = subprocess.run(
        [sys.executable, "-m", "cli", "node", "start", "--home", str(spare), "--set", f"rpc.port={port}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 10
    assert "address_in_use" in done.stderr
    assert "--set rpc.port=" in done.stderr
    assert done.stderr.count("error:") == 1


def test_no_wait_returns_a_pending_hash(net: Devnet) -> None:
    data = net.cli("send", "bob", "1QXC", "--from", "grace", "--yes", "--no-wait")["data"]
    assert data["state"] == "pending"
    deadline = time.monotonic() + 30
    while net.cli("tx", "show", data["hash"])["data"]["state"] == "pending":
        assert time.monotonic() < deadline
        time.sleep(0.05)


# -- exit codes by name -----------------------------------------------------------------------------


def test_exit_9_the_simulation_refuses_more_than_there_is(net: Devnet) -> None:
    refused = net.cli("send", "bob", "2000000QXC", "--from", "alice", "--yes", expect=9)["errors"][0]
    assert refused["name"] in ("insufficient_balance", "insufficient_funds")


def test_exit_9_a_fee_that_is_too_low(net: Devnet) -> None:
    refused = net.cli(
        "send", "bob", "1QXC", "--from", "alice", "--max-fee", "0.000000001QXC", "--yes", expect=9
    )
    assert refused["errors"][0]["name"] == "insufficient_fee"


def test_exit_3_a_transaction_that_comes_a_second_time_or_too_late(net: Devnet, tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    net.cli("send", "bob", "1QXC", "--from", "heidi", "--yes")  # the first one carries the key
    for path in (first, second):
        net.cli("send", "bob", "1QXC", "--from", "heidi", "--memo", path.name, "--unsigned", str(path))
    for path in (first, second):
        net.cli("tx", "sign", str(path), "--from", "heidi", "--out", str(path) + ".signed", "--yes")
    net.cli("tx", "broadcast", str(first) + ".signed")
    refused = net.cli("tx", "broadcast", str(second) + ".signed", expect=3)
    assert refused["errors"][0]["name"] == "wrong_sequence"
    assert refused["data"]["state"] == "refused"


def test_exit_4_included_but_failed_charges_the_fee(net: Devnet, tmp_path: Path) -> None:
    rich, spend = tmp_path / "rich.json", tmp_path / "spend.json"
    # Prepared while ivan has the money; by the time it lands most of it has gone.
    net.cli("send", "bob", "900000QXC", "--from", "ivan", "--unsigned", str(rich))
    content = json.loads(rich.read_text())
    assert content["kind"] == "qenex-transaction"
    from qenex.transaction import decode_body, encode_body

    body = decode_body(bytes.fromhex(content["body"][2:]))
    later = [body.signers[0]._replace(sequence=body.signers[0].sequence + 1, public_key=None)]
    changed = encode_body(body.chain_id, later, body.messages, body.fee, body.valid_until)
    spend.write_text("0x" + changed.hex())
    net.cli("tx", "sign", str(spend), "--from", "ivan", "--out", str(tmp_path / "signed.json"), "--yes")
    net.cli("send", "bob", "900000QXC", "--from", "ivan", "--yes")
    failed = net.cli("tx", "broadcast", str(tmp_path / "signed.json"), expect=4)
    assert failed["errors"][0]["name"] == "insufficient_balance"
    assert int(failed["data"]["fee"]) > 0
    assert failed["data"]["status"] == failed["errors"][0]["code"]
    shown = net.cli("tx", "show", failed["data"]["hash"])["data"]
    assert shown["receipt"]["error"]["name"] == "insufficient_balance"


def test_exit_5_unknown_when_the_node_dies_while_waiting(own: Devnet, tmp_path: Path) -> None:
    own.up()
    unsigned, signed = tmp_path / "u.json", tmp_path / "s.json"
    own.cli("send", "bob", "1QXC", "--from", "alice", "--unsigned", str(unsigned))
    own.cli("tx", "sign", str(unsigned), "--from", "alice", "--out", str(signed), "--yes")
    with socket.socket() as silent:  # takes the transaction and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        home = tmp_path / "plain"
        unknown = run_cli(
            "--home", str(home), "--node", url, "tx", "broadcast", str(signed), expect=5, timeout=90
        )
    assert unknown["errors"][0]["name"] == "outcome_unknown"
    assert unknown["data"]["state"] == "unknown"
    assert unknown["data"]["hash"].startswith("0x")


def test_exit_6_the_node_is_gone(own: Devnet) -> None:
    own.up()
    own.down()
    assert own.cli("balance", "alice", expect=6)["errors"][0]["name"] == "node_unreachable"
    assert (
        own.cli("send", "bob", "1QXC", "--from", "alice", "--yes", expect=6)["errors"][0]["retryable"] is True
    )


def test_exit_7_what_is_not_there(net: Devnet) -> None:
    assert net.cli("tx", "show", "0x" + "ab" * 32, expect=7)["errors"][0]["name"] == "not_found"
    assert net.cli("query", "block", "999999999", expect=7)["errors"][0]["name"] == "not_found"
    nobody = net.cli("keys", "create", "nobody")["data"]["address"]
    assert net.cli("query", "account", nobody, expect=7)["errors"][0]["name"] == "not_found"
    net.cli("keys", "delete", "nobody", "--yes")


def test_exit_8_no_such_key(net: Devnet) -> None:
    assert (
        net.cli("send", "bob", "1QXC", "--from", "mallory", "--yes", expect=8)["errors"][0]["name"]
        == "key_not_found"
    )
    assert net.cli("balance", "mallory", expect=8)["errors"][0]["name"] == "key_not_found"


def test_a_home_is_for_its_own_chain_only(net: Devnet, own: Devnet) -> None:
    own.up()
    other = own.node()["rpc"]
    refused = net.cli("send", "bob", "1QXC", "--from", "alice", "--yes", "--node", other, expect=3)["errors"][
        0
    ]
    assert refused["name"] == "wrong_chain_id"


# -- reading ----------------------------------------------------------------------------------------


def test_blocks_by_latest_height_and_hash_are_the_same(net: Devnet) -> None:
    latest = net.cli("query", "block", "latest")["data"]
    assert net.cli("query", "block", str(latest["height"]))["data"]["hash"] == latest["hash"]
    assert net.cli("query", "block", latest["hash"])["data"]["height"] == latest["height"]


def test_every_query_answers(net: Devnet) -> None:
    net.cli("send", "bob", "1QXC", "--from", "judy", "--yes")
    queries: list[list[str]] = [
        ["blocks"], ["account", "alice"], ["supply"], ["validators"], ["status"], ["header"], ["commit"], ["genesis"],
        ["mempool"], ["peers"], ["events", "bank.", "--account", "judy"],
    ]  # fmt: skip
    for arguments in queries:
        assert net.cli("query", *arguments)["ok"]
        done = subprocess.run(
            [sys.executable, "-m", "cli", "--home", str(net.home), "query", *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    events = net.cli("query", "events", "bank.", "--account", "judy")["data"]["items"]
    assert events[0]["name"] == "bank.transferred"


def test_a_balance_is_proved_against_a_header(net: Devnet) -> None:
    net.cli("send", "bob", "1QXC", "--from", "alice", "--yes")
    deadline = time.monotonic() + 30
    while True:
        proved = net.cli("balance", "bob", "--prove")["data"]
        if int(proved["balance"]) == balance(net, "bob"):
            break
        assert time.monotonic() < deadline, "the header after the last transfer comes within seconds"
        time.sleep(0.1)
    assert proved["proof"]["verified"] is True


def test_a_module_has_its_commands_from_its_declarations(net: Devnet) -> None:
    before = balance(net, "bob")
    assert net.cli("bank", "send", "bob", "1QXC", "--from", "alice", "--yes")["data"]["status"] == 0
    assert int(net.cli("bank", "get-balance", "bob")["data"]) == before + QXC
    assert net.cli("bank", "get-balances", "bob", "--limit", "5")["data"]["items"][0]["denom"] == "QXC"
    assert (
        net.cli("bank", "get-balances", "bob", "--limit", "x", expect=2)["errors"][0]["name"] == "usage_error"
    )
    assert (
        net.cli("bank", "get-balance", "bob", "--at", "soon", expect=2)["errors"][0]["name"] == "usage_error"
    )


# -- the integrity check ------------------------------------------------------------------------------


def test_check_refuses_a_running_node_passes_a_sound_one_and_finds_damage(own: Devnet) -> None:
    own.up()
    own.cli("send", "bob", "1QXC", "--from", "alice", "--yes")
    node_home = str(own.node_home())
    assert (
        run_cli("node", "check", "--home", node_home, expect=10)["errors"][0]["name"] == "data_folder_locked"
    )
    own.down()
    sound = run_cli("node", "check", "--home", node_home)["data"]
    assert sound["ok"] is True
    assert sound["records"]["transactions"] == 1
    assert run_cli("node", "check", "--home", str(own.home))["data"]["ok"] is True, "a devnet's home will do"
    files = [
        path
        for path in (own.node_home() / "data").rglob("*")
        if path.suffix in (".log", ".ldb", ".sqlite", ".db")
    ]
    victim = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0xFF
    victim.write_bytes(content)
    damaged = run_cli("node", "check", "--home", node_home, expect=10)
    assert damaged["ok"] is False
    assert damaged["errors"][0]["name"] in ("data_folder_corrupt", "storage_fault")


def test_a_devnet_runs_on_sqlite_where_leveldb_is_missing(
    own: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cli.devnet_home as homes

    monkeypatch.setattr(homes, "has_leveldb", lambda: False)
    homes.create_devnet(own.home)
    assert 'backend = "sqlite"' in (own.node_home() / "qenex.toml").read_text()
    own.up()
    own.cli("send", "bob", "1QXC", "--from", "alice", "--yes")
    assert os.listdir(own.node_home() / "data")
