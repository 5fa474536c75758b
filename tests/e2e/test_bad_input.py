"""What callers do wrong, over real HTTP to a real node: the right code by name, a hint, and nothing changed.

Each case is one request. After each the account's record is as it was, and after all of them the state root
has not moved (blocks made meanwhile are empty).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest

from qenex.codec import Reference, encode
from qenex.crypto import SCHEMES, address_of, encode_address, key_bytes
from qenex.errors import REGISTRY
from qenex.transaction import Fee, Message, Signer, assemble, decode_transaction, encode_body
from tests.e2e.node_process import CHAIN, NodeProcess, Person, make_home, make_people, transaction

pytestmark = pytest.mark.e2e
MONEY = 10**15
SEND = "bank.send"
OTHER = Person(55).address
COIN = ("QXC", 5)


class Bench:
    """The node and the accounts that the cases use."""

    def __init__(self, node: NodeProcess, people: list[Person]) -> None:
        self.node = node
        self.ann, self.new = people
        """One who has signed before, and one whose key the chain does not know yet."""

    def raw(self, person: Person | None = None, *calls: Any, **options: Any) -> str:
        """Signed hex, without taking the sequence."""
        person = person or self.ann
        sequence = person.sequence
        person.sequence = options.pop("sequence", sequence)
        made = transaction([person], *(calls or ((SEND, (OTHER, COIN)),)), **options)
        person.sequence = sequence
        return "0x" + made.hex()

    def body(self, **changes: Any) -> bytes:
        parts: dict[str, Any] = {
            "chain_id": CHAIN,
            "signers": [Signer(self.ann.address, self.ann.sequence, None, None)],
            "messages": [Message(SEND, (OTHER, COIN), 0)],
            "fee": Fee(10**9, 80_000, 0),
            "valid_until": 1_000,
            **changes,
        }
        return encode_body(**parts)

    def signed(self, **changes: Any) -> str:
        body = self.body(**changes)
        return "0x" + assemble(body, [self.ann.sign(body)]).hex()

    def state(self) -> tuple[Any, Any, str]:
        """Both records, and the root."""
        accounts = [
            self.node.call("state_getAccount", address=encode_address(person.address))
            for person in (self.ann, self.new)
        ]
        return accounts[0], accounts[1], self.node.status()["state_root"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    people = [make_people()[0], Person(42)]
    home = tmp_path_factory.mktemp("bad") / "node"
    # Nothing of the fee market's excess is left to fall in empty blocks: the root stands still.
    make_home(home, people=people, engine={"settle_interval_ms": 100, "idle_interval_ms": 200})
    with NodeProcess(home) as node:
        node.wait_ready()
        made = Bench(node, people)
        node.send(transaction([made.ann], (SEND, (OTHER, COIN))))
        yield made
        assert "Traceback" not in node.log
        assert node.stop() == 0
        assert "Traceback" not in node.log


SCHEMES_BY = {scheme.tag: scheme for scheme in SCHEMES.values()}
ML_DSA_44_ZERO_T1 = bytes(range(32)) + bytes(1312 - 32)
ED25519_SMALL_ORDER = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
"""A point of order 8 (RFC 8032's curve; the list in libsodium's `has_small_order`)."""


def nested(depth: int) -> bytes:
    """An array in an array in an array."""
    return b"\x91" * depth + b"\x01"


BAD_TRANSACTIONS: dict[str, tuple[int, Callable[[Bench], str]]] = {
    "wrong chain id": (1002, lambda b: b.raw(chain_id="other-chain")),
    "sequence already used": (1011, lambda b: b.signed(signers=[Signer(b.ann.address, 0, None, None)])),
    "sequence too far ahead": (1011, lambda b: b.raw(sequence=1_000)),
    "valid_until has passed": (1004, lambda b: b.raw(valid_until=0)),
    "valid_until too far": (1003, lambda b: b.raw(valid_until=10**6)),
    "fee beyond the balance": (1014, lambda b: b.raw(max_fee=10 * MONEY)),
    "fee too low": (1013, lambda b: b.raw(max_fee=5)),
    "gas limit below the bytes": (1023, lambda b: b.raw(gas=10)),
    "gas limit above the block": (1022, lambda b: b.raw(gas=10**9, max_fee=10**13)),
    "nobody's account": (1031, lambda b: b.raw(Person(4_711))),
    "no public key with the first": (1007, lambda b: b.raw(b.new, sequence=1)),
    "public key sent again": (
        1008,
        lambda b: b.signed(signers=[Signer(b.ann.address, b.ann.sequence, b.ann.key, None)]),
    ),
    "another's public key": (
        1009,
        lambda b: b.signed(signers=[Signer(b.new.address, 0, b.ann.key, None)]),
    ),
    "unknown scheme": (1006, lambda b: b.signed(signers=[Signer(b.new.address, 0, b"\x7f" * 33, None)])),
    "scoped key that is none": (
        1032,
        lambda b: b.signed(signers=[Signer(b.ann.address, b.ann.sequence, None, 3)]),
    ),
    "signed by another": (1015, lambda b: "0x" + assemble(b.body(), [b.new.sign(b.body())]).hex()),
    "signature cut": (1015, lambda b: "0x" + assemble(b.body(), [b.ann.sign(b.body())[:63]]).hex()),
    "no signature": (1016, lambda b: "0x" + assemble(b.body(), []).hex()),
    "unknown message": (1019, lambda b: b.signed(messages=[Message("bank.rob", (OTHER,), 0)])),
    "too few arguments": (1020, lambda b: b.signed(messages=[Message(SEND, (OTHER,), 0)])),
    "too many arguments": (1020, lambda b: b.signed(messages=[Message(SEND, (OTHER, COIN, 1), 0)])),
    "negative amount": (1020, lambda b: b.signed(messages=[Message(SEND, (OTHER, ("QXC", -1)), 0)])),
    "amount beyond 2^128": (
        1020,
        lambda b: b.signed(messages=[Message(SEND, (OTHER, ("QXC", 1 << 128)), 0)]),
    ),
    "amount as text": (1020, lambda b: b.signed(messages=[Message(SEND, (OTHER, ("QXC", "5")), 0)])),
    "malformed denomination": (1020, lambda b: b.signed(messages=[Message(SEND, (OTHER, ("Q C", 5)), 0)])),
    "short address": (1020, lambda b: b.signed(messages=[Message(SEND, (OTHER[:31], COIN), 0)])),
    "reference to what comes later": (
        1021,
        lambda b: b.signed(messages=[Message(SEND, (Reference(0, "denom"), COIN), 0)]),
    ),
    "reference to another type": (
        1021,
        lambda b: b.signed(
            messages=[Message(SEND, (OTHER, COIN), 0), Message(SEND, (OTHER, Reference(0, "amount")), 0)]
        ),
    ),
    "signer who is not there": (1025, lambda b: b.signed(messages=[Message(SEND, (OTHER, COIN), 1)])),
    "an account signs twice": (
        1024,
        lambda b: (
            "0x"
            + assemble(
                (body := b.body(signers=[Signer(b.ann.address, b.ann.sequence, None, None)] * 2)),
                [b.ann.sign(body)] * 2,
            ).hex()
        ),
    ),
    "nine signers": (
        1001,
        lambda b: (
            "0x"
            + assemble(
                b.body(signers=[Signer(Person(n).address, 0, None, None) for n in range(9)]), [bytes(64)] * 9
            ).hex()
        ),
    ),
    "129 messages": (1001, lambda b: b.signed(messages=[Message(SEND, (OTHER, COIN), 0)] * 129)),
    "memo of 257 bytes": (1001, lambda b: b.signed(memo="m" * 257)),
    "beyond 64 KiB": (1001, lambda b: b.signed(messages=[Message(SEND, (OTHER, bytes(65_000)), 0)] * 2)),
    "over-nested bytes": (1000, lambda b: "0x" + nested(2_000).hex()),
    "over-nested argument": (
        1000,
        lambda b: "0x" + encode((encode(("tx", CHAIN, (), ())) + nested(500), (bytes(64),))).hex(),
    ),
    "length that lies": (1000, lambda b: "0xc6ffffffff00"),
    "array that lies": (1000, lambda b: "0xddffffffff"),
    "trailing bytes": (1000, lambda b: b.raw() + "00"),
    "cut": (1000, lambda b: b.raw()[:-2]),
    "nothing": (1000, lambda b: "0x"),
    "another encoding of the same": (
        1000,
        lambda b: "0x" + (b"\xdc\x00\x02" + bytes.fromhex(b.raw()[2:])[1:]).hex(),
    ),
    "a field more": (1000, lambda b: "0x" + encode((*msgpack.unpackb(bytes.fromhex(b.raw()[2:])), 1)).hex()),
}


def check_error(error: dict[str, Any], code: int) -> None:
    assert error["code"] == code, error
    data = error.get("data", error)  # REST tells them flat
    assert data["name"] == REGISTRY[code].name
    assert data["hint"], "every refusal says what to do"
    assert isinstance(data["retryable"], bool)
    assert 0 < len(error["message"]) < 1_000
    assert "Traceback" not in json.dumps(error)


@pytest.mark.parametrize("case", BAD_TRANSACTIONS)
def test_a_bad_transaction_is_refused_by_name(bench: Bench, case: str) -> None:
    code, make = BAD_TRANSACTIONS[case]
    before = bench.state()
    for method in ("tx_submit", "tx_submitAndWait"):
        check_error(bench.node.rpc(method, transaction=make(bench))["error"], code)
    status, body = bench.node.http(
        "POST", "/api/v1/transaction", bytes.fromhex(make(bench)[2:]), "application/octet-stream"
    )
    assert 400 <= status < 500, (status, body)
    check_error(json.loads(body)["error"], code)
    assert bench.state()[:2] == before[:2]
    assert bench.node.status()["mempool"]["count"] == 0


@pytest.mark.parametrize(
    ("tag", "public_key"),
    [(0x02, ML_DSA_44_ZERO_T1), (0x01, ED25519_SMALL_ORDER), (0x01, bytes(32)), (0x01, b"\x01" + bytes(31))],
    ids=["ml-dsa-44 with t1 = 0", "ed25519 of small order", "ed25519 of order 4", "ed25519 identity"],
)
def test_a_weak_key_never_enters_the_state(bench: Bench, tag: int, public_key: bytes) -> None:
    address = address_of(tag, public_key)
    # Somebody funded the address: only the key's weakness stands between it and a thief.
    bench.node.send(transaction([bench.ann], (SEND, (address, ("QXC", 10**10)))))
    body = bench.body(signers=[Signer(address, 0, key_bytes(tag, public_key), None)])
    raw = assemble(body, [bytes(SCHEMES_BY[tag].signature_size)])
    check_error(bench.node.rpc("tx_submit", transaction="0x" + raw.hex())["error"], 1010)
    statement = ("accounts.rotate_key", (key_bytes(tag, public_key), bytes(SCHEMES_BY[tag].signature_size)))
    included = bench.node.send(transaction([bench.ann], statement))
    assert included["receipt"]["error"]["name"] == "weak_public_key"
    bench.node.send(transaction([bench.ann], (SEND, (OTHER, COIN))))


def test_a_replay_is_refused_before_and_after_inclusion(bench: Bench) -> None:
    raw = transaction([bench.ann], (SEND, (OTHER, COIN)), memo="once")
    bench.node.send(raw)
    supply = bench.node.call("bank_getSupply", denom="QXC")
    before = bench.state()
    check_error(bench.node.rpc("tx_submit", transaction="0x" + raw.hex())["error"], 1029)
    # The same body under other signature bytes is not the same bytes, and no second transfer either.
    tx = decode_transaction(raw)
    garbage = assemble(tx.body_bytes, [bytes(64)])
    check_error(bench.node.rpc("tx_submit", transaction="0x" + garbage.hex())["error"], 1029)
    assert bench.state()[:2] == before[:2]
    assert bench.node.call("bank_getSupply", denom="QXC") == supply


def test_a_failing_transfer_pays_its_fee_and_moves_nothing(bench: Bench) -> None:
    """Zero, and more than there is: these are decided in execution, with the fee charged."""
    other = encode_address(OTHER)
    held = bench.node.call("bank_getBalance", address=other, denom="QXC")
    for amount, name in ((0, "amount_not_positive"), (100 * MONEY, "insufficient_balance")):
        included = bench.node.send(transaction([bench.ann], (SEND, (OTHER, ("QXC", amount)))))
        assert included["receipt"]["error"]["name"] == name
        assert included["receipt"]["error"]["hint"]
        assert int(included["receipt"]["fee"]) > 0
        assert included["receipt"]["events"] == []
    assert bench.node.call("bank_getBalance", address=other, denom="QXC") == held


def json_form(bench: Bench) -> dict[str, Any]:
    return dict(bench.node.call("tx_decode", transaction=bench.raw())["transaction"])


def damaged(path: list[Any], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(form: dict[str, Any]) -> None:
        place: Any = form
        for step in path[:-1]:
            place = place[step]
        if value is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


AMOUNT: list[Any] = ["messages", 0, "args", "amount", "amount"]
BAD_FORMS: dict[str, tuple[int, Callable[[dict[str, Any]], None]]] = {
    "unknown field": (1000, damaged(["surprise"], 1)),
    "missing field": (1000, damaged(["fee"], ...)),
    "unknown field of the fee": (1000, damaged(["fee", "gift"], "1")),
    "unknown argument": (1020, damaged(["messages", 0, "args", "note"], "x")),
    "missing argument": (1020, damaged(["messages", 0, "args", "to"], ...)),
    "unknown field of a message": (1000, damaged(["messages", 0, "extra"], 1)),
    "unknown field of a coin": (1020, damaged(["messages", 0, "args", "amount", "memo"], "x")),
    "over-precise amount": (1020, damaged(AMOUNT, "1.5")),
    "amount as a float": (1020, damaged(AMOUNT, 1.5)),
    "amount as a number": (1020, damaged(AMOUNT, 5)),
    "amount with an exponent": (1020, damaged(AMOUNT, "1e3")),
    "amount with leading zeros": (1020, damaged(AMOUNT, "007")),
    "negative amount": (1020, damaged(AMOUNT, "-5")),
    "amount beyond 2^128": (1020, damaged(AMOUNT, str(1 << 128))),
    "address of another checksum": (
        1017,
        damaged(["messages", 0, "args", "to"], encode_address(OTHER)[:-1] + "q"),
    ),
    "address of another network": (
        1017,
        damaged(["messages", 0, "args", "to"], "bc1" + encode_address(OTHER)[3:]),
    ),
    "address as a number": (1017, damaged(["messages", 0, "args", "to"], 5)),
    "hex in upper case": (1000, damaged(["signatures", 0], "0xAB")),
    "reference that is none": (1021, damaged(["messages", 0, "args", "to"], {"$": ["a", 1]})),
    "sequence as text": (1000, damaged(["signers", 0, "sequence"], "1")),
    "sequence beyond 64 bits": (1000, damaged(["signers", 0, "sequence"], 1 << 64)),
    "signers of another kind": (1000, damaged(["signers"], {})),
    "unknown message": (1019, damaged(["messages", 0, "name"], "bank.rob")),
    "lone surrogate": (1000, damaged(["memo"], "\ud800")),
}


@pytest.mark.parametrize("case", BAD_FORMS)
def test_a_bad_json_form_is_refused_by_name(bench: Bench, case: str) -> None:
    code, change = BAD_FORMS[case]
    form = json_form(bench)
    change(form)
    before = bench.state()
    check_error(bench.node.rpc("tx_submit", transaction=form)["error"], code)
    status, body = bench.node.http("POST", "/api/v1/transaction", json.dumps(form).encode())
    assert 400 <= status < 500
    check_error(json.loads(body)["error"], code)
    for method in ("tx_simulate", "tx_decode", "tx_estimateFee"):
        if case != "hex in upper case":  # a simulation does not look at signatures
            check_error(bench.node.rpc(method, transaction=form)["error"], code)
    assert bench.state()[:2] == before[:2]


BAD_CALLS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "unknown method": (-32601, "bank_rob", {}),
    "method of an object": (-32601, "__class__", {}),
    "unknown parameter": (-32602, "bank_getSupply", {"denom": "QXC", "extra": 1}),
    "missing parameter": (-32602, "bank_getBalance", {"denom": "QXC"}),
    "wrong type": (-32602, "chain_getHeader", {"height": "tall"}),
    "height as a float": (-32602, "chain_getHeader", {"height": 1.0}),
    "height to come": (-32001, "chain_getHeader", {"height": 10**9}),
    "height beyond 64 bits": (-32602, "chain_getHeader", {"height": 1 << 80}),
    "checksum": (1017, "bank_getBalance", {"address": encode_address(OTHER)[:-1] + "q", "denom": "QXC"}),
    "empty address": (1017, "bank_getBalance", {"address": "", "denom": "QXC"}),
    "denomination": (-32602, "bank_getSupply", {"denom": "no spaces allowed"}),
    "hash of another length": (-32602, "tx_get", {"hash": "0x00"}),
    "unknown hash": (-32001, "tx_get", {"hash": "0x" + "00" * 32}),
    "key not hex": (-32602, "state_getProof", {"key": "0xzz"}),
    "cursor": (-32602, "events_query", {"cursor": "1.2"}),
    "limit": (-32602, "events_query", {"limit": 10**6}),
    "admin": (-32011, "admin_stop", {}),
    "subscription without a socket": (-32011, "events_subscribe", {"topic": "blocks"}),
    "timeout": (-32602, "tx_submitAndWait", {"transaction": "0x00", "timeout_ms": 10**9}),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_bad_call_is_refused_by_name(bench: Bench, case: str) -> None:
    code, method, params = BAD_CALLS[case]
    check_error(bench.node.rpc(method, **params)["error"], code)


BAD_BODIES: dict[str, tuple[int, bytes]] = {
    "not json": (-32700, b"hello"),
    "empty": (-32700, b""),
    "not utf-8": (-32700, b"\xff\xfe{}"),
    "duplicate key": (-32700, b'{"jsonrpc":"2.0","id":1,"id":2,"method":"node_info"}'),
    "NaN": (-32700, b'{"jsonrpc":"2.0","id":1,"method":"chain_getHeader","params":{"height":NaN}}'),
    "a number of 5,000 digits": (
        -32700,
        b'{"jsonrpc":"2.0","id":1,"method":"chain_getHeader","params":[' + b"9" * 5_000 + b"]}",
    ),
    "two values": (-32700, b"{} {}"),
    "too deep": (-32005, b"[" * 5_000 + b"]" * 5_000),
    "old version": (-32600, b'{"jsonrpc":"1.0","id":1,"method":"node_info"}'),
    "no method": (-32600, b'{"jsonrpc":"2.0","id":1}'),
    "a text": (-32600, b'"node_info"'),
    "empty batch": (-32600, b"[]"),
    "id as an object": (-32600, b'{"jsonrpc":"2.0","id":{},"method":"node_info"}'),
    "unknown member": (-32600, b'{"jsonrpc":"2.0","id":1,"method":"node_info","parms":[]}'),
    "batch of 101": (-32005, json.dumps([{"jsonrpc": "2.0", "id": 1, "method": "node_info"}] * 101).encode()),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_answered_by_name(bench: Bench, case: str) -> None:
    code, body = BAD_BODIES[case]
    status, answer = bench.node.http("POST", "/rpc", body)
    assert status == 200
    check_error(json.loads(answer)["error"], code)


def test_an_oversized_body_is_refused_unread(bench: Bench) -> None:
    status, answer = bench.node.http("POST", "/rpc", b"[" + b"1," * (1 << 20) + b"1]")
    assert status in (413, 0), answer
    if answer:
        check_error(json.loads(answer)["error"], -32005)
    assert bench.node.call("node_info")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/nothing", 404),
        ("/api/v1/bank/supply/no%20spaces", 400),
        ("/api/v1/bank/balance/qx1wrong/QXC", 400),
        ("/api/v1/bank/supply/QXC?extra=1", 400),
        ("/api/v1/bank/supply/QXC?at=1&at=2", 400),
        ("/api/v1/bank/supply/%ff", 400),
        ("/../../etc/passwd", 404),
        ("/api/v1/" + "a/" * 2_000, 400),
    ],
)
def test_a_bad_path_is_answered_by_name(bench: Bench, path: str, status: int) -> None:
    found, body = bench.node.http("GET", path)
    assert found == status, body
    error = json.loads(body)["error"]
    assert error["code"] in REGISTRY
    assert error["hint"]


def test_all_of_this_together_leaves_the_root_where_it_was(bench: Bench) -> None:
    """Empty blocks, and among them every refused case once more: the root does not move."""
    bench.node.send(transaction([bench.ann], (SEND, (OTHER, COIN)), memo="the last that counts"))
    settled = bench.state()
    height = bench.node.status()["height"]
    for _, make in BAD_TRANSACTIONS.values():
        assert "error" in bench.node.rpc("tx_submit", transaction=make(bench))
    bench.node.call("tx_simulate", transaction=bench.raw())
    assert bench.state() == settled
    for later in range(height + 1, bench.node.status()["height"] + 1):
        assert bench.node.call("chain_getBlock", height=later)["transactions"] == []
