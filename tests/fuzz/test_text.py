"""Text from outside: genesis files, transactions in JSON, settings, signer state, keystores, key files, and what
people type: addresses, coins, cursors."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.signer import STEP_PRECOMMIT, SignerState, decode_state, encode_state
from ledger.genesis import Genesis
from node.application import Application
from node.config import Config, config_from_tables, config_text, load_config
from node.events import Cursor
from node.home import key_file_text, read_key
from qenex.codec import time_from_text, time_to_text
from qenex.crypto import SCHEMES, address_of, decode_address, eip2335, encode_address
from qenex.crypto.keystore_file import CHEAP_KDF, KeyInfo, parse, seal, unseal
from qenex.crypto.mnemonic import to_seed
from qenex.errors import QenexError
from qenex.money import format_coin, parse_coin
from qenex.proof import proof_from_json, proof_to_json
from tests.fuzz.mutation import TEXT_PIECES, damaged_text
from tests.fuzz.rule import effort, keeps_the_rule
from tests.scenario import VALIDATOR, make_application, make_genesis, make_machine, make_people, story, tell


class Texts:
    """Valid examples."""

    def __init__(self) -> None:
        people = make_people()
        genesis = make_genesis(people[:2])
        self.genesis = [genesis.to_json()]
        application: Application = make_application(None, make_genesis(people))
        told = tell(application, story(people)[:8])
        registry = application.machine.registry
        decoded = application._decode_steps([raw for item in told for raw in item.block.transactions])
        try:
            while True:
                next(decoded)
        except StopIteration as stop:
            transactions = stop.value
        self.forms = [
            json.dumps(registry.transaction_to_json(tx)) for tx in transactions if len(tx.raw) < 4_000
        ]
        self.state = [
            encode_state(
                SignerState("chain-1", bytes(32), 7, 0, STEP_PRECOMMIT, b"sign bytes", bytes(64))
            ).decode()
        ]
        self.config = [
            config_text(Config(Path("x"))).replace("# ", ""),
            '[rpc]\nport = 7301\nallowed_hosts = ["a"]\n',
        ]
        public, secret = SCHEMES["ed25519"].generate(bytes(32))
        address = address_of(1, public)
        info = KeyInfo("alice", "ed25519", public, address, "2026-01-01T00:00:00Z", "m/44'", encrypted=False)
        self.keystores = [
            seal(info, secret, None, CHEAP_KDF).decode(),
            seal(info, secret, "password", CHEAP_KDF).decode(),
        ]
        self.exchange = [eip2335.encrypt(bytes(32), public, "password", scheme="ed25519", scrypt_n=2)]
        self.keys = [key_file_text(VALIDATOR)]
        self.addresses = [
            encode_address(address),
            encode_address(address, "tqx"),
            encode_address(address).upper(),
        ]
        _, proof = application.ledger.prove(b"\x01\x01" + people[0].address)
        self.proofs = [json.dumps(proof_to_json(proof))]


@cache
def texts() -> Texts:
    return Texts()


def loads(text: str) -> Any:
    """As a caller of a JSON form has it; what is no JSON is none of that form's business."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@given(st.data())
@effort(80)
def test_genesis_files(data: st.DataObject) -> None:
    text = data.draw(damaged_text(texts().genesis))

    def read() -> Genesis:
        genesis = Genesis.from_json(text.encode("utf-8", "surrogatepass"))
        assert Genesis.from_record(genesis.record).hash == genesis.hash
        assert Genesis.from_json(genesis.to_json()).hash == genesis.hash
        make_machine().init_chain(genesis)
        return genesis

    keeps_the_rule(read)


@given(st.data())
@effort(150)
def test_transactions_in_json(data: st.DataObject) -> None:
    form = loads(data.draw(damaged_text(texts().forms)))
    keeps_the_rule(lambda: make_registry().body_from_json(form))


@cache
def make_registry() -> Any:
    return make_machine().registry


@given(st.data())
@effort(80)
def test_tree_proofs_in_json(data: st.DataObject) -> None:
    form = loads(data.draw(damaged_text(texts().proofs)))
    keeps_the_rule(lambda: proof_from_json(form))


@given(st.data())
@effort(100)
def test_signer_states(data: st.DataObject) -> None:
    text = data.draw(damaged_text(texts().state))
    found = keeps_the_rule(lambda: decode_state(text.encode("utf-8", "surrogatepass")))
    if isinstance(found, SignerState):
        assert decode_state(encode_state(found)) == found


@given(data=st.data())
@effort(80)
def test_settings(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = data.draw(damaged_text(texts().config))
    home = cached_folder(tmp_path_factory)
    (home / "qenex.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    found = keeps_the_rule(lambda: load_config(home))
    if isinstance(found, Config):
        again = home / "again"
        again.mkdir(exist_ok=True)
        (again / "qenex.toml").write_text(config_text(found))
        assert load_config(again).rpc == found.rpc, "what is written says what was read"


@given(st.text(max_size=40), st.text(max_size=60))
@effort(80)
def test_settings_of_the_environment_and_the_command_line(name: str, value: str) -> None:
    places = ["rpc.port", "rpc.allowed_hosts", "node.log_level", "rpc.enabled", "database.history", name]
    for place in places:
        keeps_the_rule(lambda place=place: load_config(Path("nowhere"), overrides=[f"{place}={value}"]))  # type: ignore[misc]  # bound at once
    variables = {"QENEX_RPC_PORT": value, "QENEX_" + name: value}
    keeps_the_rule(lambda: load_config(Path("nowhere"), environment=variables))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    )
)
@effort(60)
def test_settings_of_any_shape(value: Any) -> None:
    for tables in (
        {"rpc": value},
        {"rpc": {"port": value}},
        {"rpc": {"allowed_hosts": value}},
        {"node": {"name": value}},
    ):
        keeps_the_rule(lambda tables=tables: config_from_tables(Path("x"), tables))  # type: ignore[misc]  # bound at once


@given(st.data())
@effort(100)
def test_keystores(data: st.DataObject) -> None:
    text = data.draw(damaged_text(texts().keystores))

    def read() -> object:
        stored = parse(text.encode("utf-8", "surrogatepass"), "a key")
        kdf = stored.header["kdf"]
        # A file may ask for a GiB; what that allocates is its own, stated bound, tested with the keystore.
        if (
            isinstance(kdf, dict)
            and kdf.get("memory_kib", 0) in range(2_048)
            and kdf.get("time_cost", 0) in range(4)
        ):
            return unseal(stored, "password", "a key")
        return stored

    keeps_the_rule(read)


@given(st.data())
@effort(60)
def test_exchange_keystores(data: st.DataObject) -> None:
    text = data.draw(damaged_text(texts().exchange))
    if any(f'"{name}": {piece}' in text for name in "nrp" for piece in TEXT_PIECES):
        return  # a cost within the stated gigabyte takes seconds: tested with the keystore
    keeps_the_rule(lambda: eip2335.decrypt(text.encode("utf-8", "surrogatepass"), "password"))


@given(data=st.data())
@effort(60)
def test_validator_key_files(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = data.draw(damaged_text(texts().keys))
    path = cached_folder(tmp_path_factory) / "key.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    found = keeps_the_rule(lambda: read_key(path))
    if isinstance(found, QenexError):
        secret = VALIDATOR.secret_key.hex()
        assert secret[:32] not in found.message, "no part of the secret is told"


@given(st.data())
@effort(200)
def test_addresses(data: st.DataObject) -> None:
    text = data.draw(damaged_text(texts().addresses))
    found = keeps_the_rule(lambda: decode_address(text))
    if not isinstance(found, QenexError):
        assert text.lower() in (encode_address(found), encode_address(found, "tqx"))


@given(st.data())
@effort(200)
def test_coins(data: st.DataObject) -> None:
    text = data.draw(
        damaged_text(
            ["1.5QXC", "0.000000001QXC", "7tokens/gold", "340282366920938463463.374607431768211455QXC"]
        )
    )
    found = keeps_the_rule(lambda: parse_coin(text))
    if not isinstance(found, QenexError):
        assert parse_coin(format_coin(found)) == found


@given(st.data())
@effort(150)
def test_cursors_and_times(data: st.DataObject) -> None:
    text = data.draw(
        damaged_text(["12.0.3", "0.0.0", "18446744073709551615.1.1", "2026-01-02T03:04:05.000000006Z"])
    )
    keeps_the_rule(lambda: Cursor.parse(text))
    found = keeps_the_rule(lambda: time_from_text(text))
    if isinstance(found, int):
        assert time_from_text(time_to_text(found)) == found


@given(st.data())
@effort(40)
def test_recovery_phrases(data: st.DataObject) -> None:
    words = [
        "abandon " * 23 + "art",
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
    ]
    text = data.draw(damaged_text(words))
    keeps_the_rule(lambda: to_seed(text, "") if len(text) < 300 else None)


def test_valid_examples_are_read() -> None:
    """The rule would be empty if they were refused."""
    everything = texts()
    assert isinstance(Genesis.from_json(everything.genesis[0]), Genesis)
    for form in everything.forms:
        make_registry().body_from_json(json.loads(form))
    decode_state(everything.state[0].encode())
    for keystore in everything.keystores:
        unseal(parse(keystore.encode(), "a key"), "password", "a key")
    eip2335.decrypt(everything.exchange[0].encode(), "password")
    for address in everything.addresses:
        decode_address(address)


_folders: list[Path] = []


def cached_folder(factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples."""
    if not _folders:
        _folders.append(factory.mktemp("fuzz"))
    return _folders[0]
