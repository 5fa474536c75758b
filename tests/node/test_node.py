"""One node as a whole: in this process, and as the process that operators run."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ledger.store import Ledger
from node import node as node_module
from node.__main__ import EXIT_CONFIG, EXIT_DISK, main
from node.config import Config
from node.home import init_home, read_genesis, read_key
from node.modules import make_machine
from node.node import Node
from qenex.errors import (
    AddressInUse,
    DataFolderForeign,
    DataFolderLocked,
    DataFolderMissing,
    DiskFull,
    DoubleSignRefused,
    KeystoreCorrupt,
    QenexError,
    SignerStateBehind,
    SignerStateMissing,
    WrongGenesis,
)
from tests.node.chain_helpers import VALIDATOR, Wallet, make_genesis, until

SETTINGS: dict[str, Any] = {
    "rpc": {"port": 0},
    "p2p": {"port": 0},
    "verifier": {"workers": 1},
    "engine": {"settle_interval_ms": 100, "idle_interval_ms": 300},
}


@pytest.fixture
def wallets() -> list[Wallet]:
    return [Wallet(number) for number in range(1, 6)]


@pytest.fixture
def home(short_path: Path) -> Path:
    return short_path / "home"


@pytest.fixture
def config(home: Path, wallets: list[Wallet]) -> Config:
    return init_home(home, make_genesis(wallets), validator=VALIDATOR, settings=SETTINGS)


@pytest.fixture(autouse=True)
def _no_handlers() -> Iterator[None]:
    before = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = before


# -- the home ---------------------------------------------------------------------------------


def test_a_new_home_holds_what_it_says_and_keeps_its_secrets(config: Config, wallets: list[Wallet]):
    assert read_genesis(config.genesis_path) == make_genesis(wallets)
    key = read_key(config.validator_key_path)
    assert key == VALIDATOR
    assert key.secret_key.hex() not in repr(key)
    for path in (config.validator_key_path, config.signer_state_path, config.home / "qenex.toml"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.validator_key_path.parent.stat().st_mode) == 0o700


def test_a_home_is_never_made_over_another(config: Config, wallets: list[Wallet]):
    before = {path: path.read_bytes() for path in config.home.rglob("*") if path.is_file()}
    with pytest.raises(DataFolderForeign):
        init_home(config.home, make_genesis(wallets), validator=VALIDATOR)
    assert {path: path.read_bytes() for path in config.home.rglob("*") if path.is_file()} == before


def test_a_home_that_was_never_finished_is_made_anew(config: Config, wallets: list[Wallet]):
    config.genesis_path.unlink()
    init_home(config.home, make_genesis(wallets), validator=VALIDATOR, settings=SETTINGS)
    assert read_genesis(config.genesis_path) == make_genesis(wallets)


def test_a_key_file_that_others_may_read_is_told(config: Config, caplog):
    read_key(config.validator_key_path)
    assert not caplog.records
    config.validator_key_path.chmod(0o644)
    assert read_key(config.validator_key_path) == VALIDATOR
    assert "others may read the validator's key" in caplog.text


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"schema_version": 2}', "\x00"])
def test_a_damaged_key_file_is_refused_without_telling_it(config: Config, text: str):
    config.validator_key_path.write_text(text)
    with pytest.raises(KeystoreCorrupt):
        read_key(config.validator_key_path)


def test_a_key_whose_halves_do_not_belong_together_is_refused(config: Config):
    fields = json.loads(config.validator_key_path.read_text())
    fields["secret_key"] = "0x" + "11" * 64
    config.validator_key_path.write_text(json.dumps(fields))
    with pytest.raises(KeystoreCorrupt) as caught:
        read_key(config.validator_key_path)
    assert "1111" not in str(caught.value)


# -- in this process ----------------------------------------------------------------------------


async def rpc(node: Node, method: str, *params: Any) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{node.port}/rpc",
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode(),
        {"Content-Type": "application/json"},
    )

    def call() -> Any:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    return await asyncio.to_thread(call)


async def test_every_metric_is_in_the_operators_guide_and_no_other(config: Config, repository: Path):
    node = Node(config)
    await node.start()
    await until(lambda: not node.not_ready())
    told = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(node.metrics.text())
    }
    await node.stop()
    guide = (repository / "docs/validators/node.md").read_text("utf-8")
    written = set(re.findall(r"`((?:qenex|process)_[a-z_]+)`", guide))
    assert {name for name in written if name.startswith("qenex_")} == {
        n for n in told if n.startswith("qenex_")
    }
    assert {name for name in told if name.startswith("process_")} <= written


async def test_a_node_starts_serves_and_stops(config: Config, wallets: list[Wallet]):
    node = Node(config)
    await node.start()
    running = asyncio.create_task(node.run())
    await until(lambda: not node.not_ready())
    answer = await rpc(node, "tx_submit", "0x" + wallets[0].transfer(wallets[1].address, 5).hex())
    assert "error" not in answer, answer
    await until(lambda: len(node.application.mempool) == 0)
    assert "result" in await rpc(node, "node_status")
    text = node.metrics.text()
    assert "qenex_height" in text
    assert "qenex_loop_lateness_seconds" in text
    assert 'qenex_rpc_requests_total{method="tx_submit",outcome="ok"} 1.0' in text
    assert "qenex_rpc_connections_refused_total 0.0" in text
    node.request_stop()
    await running
    assert not (config.home / "admin.sock").exists()
    assert node.verifier.alive == 0
    again = Node(config)
    await again.start()
    assert again.ledger.height >= 1
    await again.stop()


async def test_a_second_node_on_the_same_home_is_refused(config: Config):
    node = Node(config)
    await node.start()
    with pytest.raises(DataFolderLocked):
        await Node(config).start()
    assert not node.ready or node.engine is not None
    await node.stop()


async def start_fails(config: Config, error: type[QenexError]) -> QenexError:
    node = Node(config)
    with pytest.raises(error) as caught:
        await node.start()
    return caught.value


async def run_a_little(config: Config, height: int = 2) -> None:
    node = Node(config)
    await node.start()
    await until(lambda: node.ledger.durable_height >= height)
    await node.stop()


async def test_a_start_that_is_refused_leaves_nothing_running(config: Config, wallets: list[Wallet]):
    await run_a_little(config)
    other = make_genesis(wallets, chain_id="other-1")
    good = config.genesis_path.read_text()
    config.genesis_path.write_text(other.to_json())
    await start_fails(config, WrongGenesis)
    config.genesis_path.unlink()
    await start_fails(config, DataFolderMissing)
    config.genesis_path.write_text(good)
    await run_a_little(config)


async def test_a_lost_or_old_signer_state_is_refused_and_can_be_recovered(config: Config):
    old = config.signer_state_path.read_bytes()
    await run_a_little(config, 3)
    config.signer_state_path.write_bytes(old)
    error = await start_fails(config, SignerStateBehind)
    assert "--recover-signer" in error.hint
    config.signer_state_path.unlink()
    await start_fails(config, SignerStateMissing)
    assert await asyncio.to_thread(main, ["--home", str(config.home), "--recover-signer"]) == 0
    await run_a_little(config, 5)


async def test_old_data_under_a_newer_signer_state_are_refused(config: Config, tmp_path: Path):
    await run_a_little(config, 2)
    newest = config.signer_state_path.read_bytes()
    # The same chain begun anew: what was signed before must not be contradicted.
    for path in sorted(config.data_path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    config.data_path.rmdir()
    await start_fails(config, DoubleSignRefused)
    assert config.signer_state_path.read_bytes() == newest


async def test_another_validators_key_makes_no_blocks(config: Config, wallets: list[Wallet]):
    other = VALIDATOR.from_seed(bytes([5]) * 64, VALIDATOR.address)
    home = config.home.parent / "other"
    stranger = init_home(home, make_genesis(wallets), validator=other, settings=SETTINGS)
    node = Node(stranger)
    await node.start()
    await asyncio.sleep(0.3)
    assert node.ledger.height == 0
    await node.stop()


async def test_a_taken_port_is_named_and_everything_is_closed(config: Config, wallets: list[Wallet]):
    node = Node(config)
    await node.start()
    home = config.home.parent / "second"
    second = init_home(
        home, make_genesis(wallets), validator=VALIDATOR, settings={**SETTINGS, "rpc": {"port": node.port}}
    )
    await start_fails(second, AddressInUse)
    await node.stop()
    await run_a_little(second)


async def test_too_little_disk_stops_the_node_before_it_is_full(
    config: Config, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(node_module, "DISK_CHECK_SECONDS", 0.02)
    node = Node(config)
    await node.start()
    running = asyncio.create_task(node.run())
    await until(lambda: node.ledger.durable_height >= 1)
    monkeypatch.setattr(node_module, "disk_free", lambda path: 1 << 20)
    with pytest.raises(DiskFull, match="min_free_disk_mib"):
        await asyncio.wait_for(running, 10)
    await start_fails(config, DiskFull)
    monkeypatch.undo()
    await run_a_little(config)


# -- the process ----------------------------------------------------------------------------------


class Process:
    """`python -m node`, started and ended by its id."""

    def __init__(self, repository: Path, home: Path, *, file_limit: int = 0) -> None:
        def limit() -> None:
            if file_limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

        self.log = home.parent / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "node", "--home", str(home), "--set", "node.log_format=json"],
                cwd=repository, stderr=log, preexec_fn=limit,
            )  # fmt: skip

    def port(self) -> int:
        """Waits until the node says where it listens."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                fields = json.loads(line)
                if fields["message"] == "node started":
                    return int(fields["rpc_port"])
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


def submit(port: int, raw: bytes) -> Any:
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tx_submit", "params": ["0x" + raw.hex()]}
    ).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/rpc", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def submit_until_it_fails(port: int, wallets: list[Wallet]) -> None:
    for _ in range(400):
        for wallet in wallets:
            submit(port, wallet.transfer(wallets[0].address, memo="x" * 250))


def check(config: Config) -> Ledger:
    machine = make_machine()
    ledger = Ledger.open(config.data_path, codecs=machine.state_codecs)
    assert not machine.check_invariants(ledger.committed)
    return ledger


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_with_code_0(
    repository: Path, config: Config, wallets: list[Wallet], number: signal.Signals
):
    node = Process(repository, config.home)
    try:
        port = node.port()
        for amount in range(20):
            assert "error" not in submit(port, wallets[0].transfer(wallets[1].address, amount + 1))
        node.process.send_signal(number)
        assert node.process.wait(10) == 0
    finally:
        node.end()
    assert "Traceback" not in node.log.read_text()
    check(config).close()


@pytest.mark.e2e
def test_killed_in_the_middle_of_load_it_continues(repository: Path, config: Config, wallets: list[Wallet]):
    for kill in range(3):
        node = Process(repository, config.home)
        try:
            port = node.port()
            for wallet in wallets:
                for _ in range(10):
                    answer = submit(port, wallet.transfer(wallets[kill].address))
                    if "error" in answer:  # what had been admitted and not included died with the process
                        wallet.sequence = next_sequence(port, wallet)
            os.kill(node.process.pid, signal.SIGKILL)
            node.process.wait(10)
        finally:
            node.end()
        check(config).close()


def next_sequence(port: int, wallet: Wallet) -> int:
    from qenex.crypto import encode_address

    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "state_getAccount",
        "params": [encode_address(wallet.address)],
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/rpc", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        result = json.load(response)["result"]
    return int(result["next_sequence"] if "next_sequence" in result else result["sequence"])


@pytest.mark.e2e
def test_a_disk_that_takes_no_more_stops_the_process_with_its_code(
    repository: Path, config: Config, wallets: list[Wallet]
):
    """RLIMIT_FSIZE makes every write beyond 300 kB fail, as a full disk would."""
    node = Process(repository, config.home, file_limit=300_000)
    try:
        port = node.port()
        with pytest.raises(OSError, match=r".*"):
            submit_until_it_fails(port, wallets)
        assert node.process.wait(20) == EXIT_DISK
    finally:
        node.end()
    assert "the disk failed" in node.log.read_text()
    assert "Traceback" not in node.log.read_text()
    ledger = check(config)
    height = ledger.height
    ledger.close()
    again = Process(repository, config.home)
    try:
        again.port()
        again.process.terminate()
        assert again.process.wait(10) == 0
    finally:
        again.end()
    ledger = check(config)
    assert ledger.height >= height
    ledger.close()


def test_refused_settings_end_with_their_own_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--home", str(tmp_path), "--set", "rpc.port=x"]) == EXIT_CONFIG
    assert "rpc.port" in capsys.readouterr().err
    assert main(["--home", str(tmp_path / "nothing")]) == EXIT_CONFIG
