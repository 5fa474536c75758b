"""The client against a server that is honest, broken, slow or lying; both halves behave alike."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from qenex import AsyncQenexClient, QenexClient, Wallet, ref
from qenex.connection import parse_endpoint
from qenex.crypto.address import encode_address
from qenex.errors import (
    Forbidden,
    InsufficientBalance,
    InvalidAddress,
    InvalidAmount,
    InvalidArguments,
    InvalidConfig,
    InvalidReference,
    InvalidResponse,
    LimitExceeded,
    NodeBusy,
    NodeUnreachable,
    NotFound,
    OutcomeUnknown,
    PolicyRefused,
    PublicKeyNotAllowed,
    QenexError,
    SubscriptionLagged,
    TooManyPending,
    TransactionExpired,
    UnknownError,
    UnknownMessage,
    UsageError,
    WrongChainId,
    WrongSequence,
    WrongSignatureCount,
)
from qenex.jsonrpc import MAX_ANSWER_SIZE, error_from_json
from qenex.modules.bank import Sent, Transferred
from qenex.sender import Signatory
from qenex.transaction import Fee
from qenex.types import Coin
from tests.qenex.fake_node import CHAIN, Close, FakeNode, Raw, notification

PHRASE = "abandon " * 11 + "about"
ALICE = Wallet.from_mnemonic(PHRASE)
BOB = Wallet.from_mnemonic(PHRASE, index=1)
BOB_TEXT = encode_address(BOB.address)


@pytest.fixture
def node() -> Iterator[FakeNode]:
    fake = FakeNode()
    fake.balances[ALICE.address] = 5_000_000_000
    yield fake
    fake.close()


@pytest.fixture
def client(node: FakeNode) -> Iterator[QenexClient]:
    with QenexClient(node.url, timeout=5) as made:
        yield made


@pytest.fixture
async def aclient(node: FakeNode) -> AsyncIterator[AsyncQenexClient]:
    async with AsyncQenexClient(node.url, timeout=5) as made:
        yield made


# -- the everyday --------------------------------------------------------------------------


def test_a_transfer_is_built_signed_sent_and_its_receipt_typed(node: FakeNode, client: QenexClient) -> None:
    pending = client.bank.send(ALICE, to=BOB_TEXT, amount="1.5QXC", memo="hello")
    receipt = pending.wait()
    assert receipt.ok
    assert receipt.result == Sent("QXC", 1_500_000_000)
    assert receipt.events[0].fields == Transferred(ALICE.address, BOB.address, "QXC", 1_500_000_000)
    assert (receipt.fee, receipt.gas_used, receipt.height) == (2_100, 700, 11)
    assert receipt.hash == pending.hash
    assert receipt.to_dict()["receipt"]["fee"] == "2100"
    tx = pending.transaction
    assert (tx.chain_id, tx.memo, tx.valid_until) == (CHAIN, "hello", 210)
    assert tx.signers[0].public_key == ALICE.public_key
    assert tx.fee == Fee(6_000, 1_000, 0)
    found = client.tx.get(pending.hash)
    assert found.receipt is not None
    assert (found.receipt.status, found.height, found.pending) == (0, 11, False)


async def test_the_asynchronous_half_does_the_same(node: FakeNode, aclient: AsyncQenexClient) -> None:
    pending = await aclient.bank.send(ALICE, to=BOB, amount=Coin("QXC", 7))
    receipt = await pending.wait()
    assert receipt.result == Sent("QXC", 7)
    assert await aclient.bank.get_balance(ALICE) == 5_000_000_000
    assert (await aclient.node.info()).chain_id == CHAIN
    with pytest.raises(NotFound):
        await aclient.tx.get(bytes(32))


def test_reads_are_typed(node: FakeNode, client: QenexClient) -> None:
    assert client.bank.get_balance(ALICE.address_text()) == 5_000_000_000
    assert client.node.status().height == 10
    account = client.state.get_account(ALICE)
    assert (account.sequence, account.balance, account.public_key) == (0, 5_000_000_000, None)
    assert account.to_dict()["balance"] == "5000000000"
    assert client.node.info().to_dict()["chain_id"] == CHAIN
    assert client.call("node_status") == {"height": 10}


def test_a_hundred_transfers_in_a_row_ask_for_the_account_once(node: FakeNode, client: QenexClient) -> None:
    node.automatic = False
    pending = [client.bank.send(ALICE, to=BOB, amount="1QXC", fee=Fee(9, 9, 0)) for _ in range(100)]
    assert [p.transaction.signers[0].sequence for p in pending] == list(range(100))
    assert node.count("state_getAccount") == 1
    assert node.count("node_info") == 1
    assert [p.transaction.signers[0].public_key is None for p in pending] == [False] + [True] * 99
    node.commit()
    assert all(p.wait().ok for p in pending)


def test_threads_that_share_a_wallet_leave_no_gap(node: FakeNode, client: QenexClient) -> None:
    done: list[int] = []

    def send() -> None:
        for _ in range(8):
            pending = client.bank.send(ALICE, to=BOB, amount="1QXC", fee=Fee(9, 9, 0))
            done.append(pending.transaction.signers[0].sequence)

    threads = [threading.Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(done) == list(range(40))


async def test_tasks_that_share_a_wallet_leave_no_gap(node: FakeNode, aclient: AsyncQenexClient) -> None:
    sends = [aclient.bank.send(ALICE, to=BOB, amount="1QXC", fee=Fee(9, 9, 0)) for _ in range(30)]
    done = await asyncio.gather(*sends)
    assert sorted(p.transaction.signers[0].sequence for p in done) == list(range(30))
    assert node.count("state_getAccount") == 1


def test_another_program_s_transaction_is_noticed_and_the_sequence_read_again(
    node: FakeNode, client: QenexClient
) -> None:
    client.bank.send(ALICE, to=BOB, amount="1QXC").wait()
    node.sequences[ALICE.address] = 9
    assert client.bank.send(ALICE, to=BOB, amount="1QXC").wait().ok
    assert node.sequences[ALICE.address] == 10
    node.tell["tx_submit"] = WrongSequence("always")
    with pytest.raises(WrongSequence):
        client.bank.send(ALICE, to=BOB, amount="1QXC")
    assert node.count("tx_submit") == 5


def test_a_key_that_another_program_registered_meanwhile_is_noticed(
    node: FakeNode, client: QenexClient
) -> None:
    built = client.transaction(ALICE).add("bank.send", to=BOB, amount="1QXC")
    assert built.prepare().transaction.signers[0].public_key == ALICE.public_key
    with QenexClient(node.url) as other:
        other.bank.send(ALICE, to=BOB, amount="1QXC").wait()
    node.tell["tx_submit"] = [PublicKeyNotAllowed("the account has a key")]
    assert client.bank.send(ALICE, to=BOB, amount="1QXC").wait().ok
    with QenexClient(node.url) as other:
        other.bank.send(ALICE, to=BOB, amount="1QXC").wait()
    assert built.prepare().transaction.signers[0] == (ALICE.address, 3, None, None)


def test_a_refusal_uses_up_no_sequence(node: FakeNode, client: QenexClient) -> None:
    node.tell["tx_submit"] = [InsufficientBalance("no")]
    with pytest.raises(InsufficientBalance):
        client.bank.send(ALICE, to=BOB, amount="1QXC")
    assert client.bank.send(ALICE, to=BOB, amount="1QXC").transaction.signers[0].sequence == 0


def test_a_full_queue_is_waited_for(node: FakeNode, client: QenexClient) -> None:
    node.tell["tx_submit"] = [TooManyPending("64"), LimitExceeded("slow down"), NodeBusy("1,000 wait")]
    assert client.bank.send(ALICE, to=BOB, amount="1QXC").wait().ok
    assert node.count("tx_submit") == 4


@pytest.mark.parametrize(
    ("told", "taken"), [(250, 250), (-1, 0), (10**9, 0), ("250", 0), (True, 0), (None, 0)]
)
def test_a_busy_node_says_when_to_come_again_and_nonsense_is_not_waited_for(told: object, taken: int) -> None:
    data = {"name": "node_busy", "hint": "", "retryable": True, "retry_after_ms": told}
    error = error_from_json({"code": NodeBusy.code, "message": "busy", "data": data})
    assert isinstance(error, NodeBusy)
    assert error.retry_after_ms == taken


def test_several_messages_and_signers_make_one_transaction(node: FakeNode, client: QenexClient) -> None:
    built = (
        client.transaction(ALICE, lease=bytes(32), valid_for=50)
        .add("bank.send", to=BOB, amount="1QXC")
        .add("bank.send", by=BOB, to=ALICE, amount="0.5QXC")
    )
    prepared = built.prepare()
    assert [m.signer for m in prepared.transaction.messages] == [0, 1]
    assert prepared.transaction.valid_until == 60
    assert prepared.estimate is not None
    receipt = built.send().wait()
    assert [r.amount for r in receipt.results] == [1_000_000_000, 500_000_000]
    assert node.sequences == {ALICE.address: 1, BOB.address: 1}


def test_a_transaction_is_prepared_without_its_secret_and_signed_elsewhere(
    node: FakeNode, client: QenexClient
) -> None:
    public = Signatory(ALICE.address, ALICE.public_key)
    prepared = client.transaction(public).add("bank.send", to=BOB, amount="1QXC").prepare()
    signed = ALICE.sign_transaction(prepared.body)
    assert client.tx.submit(signed.raw).wait().ok
    with pytest.raises(InvalidArguments, match="address"):
        client.transaction(public).add("bank.send", to=BOB, amount="1QXC").send()
    node.keys[BOB.address] = BOB.public_key
    with pytest.raises(WrongSignatureCount):
        client.transaction(ALICE).add("bank.send", by=BOB.address, to=BOB, amount="1QXC").send()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"to": BOB, "amount": "1"}, InvalidAmount),
        ({"to": BOB, "amount": 1}, InvalidAmount),
        ({"to": BOB, "amount": "0QXC"}, InvalidAmount),
        ({"to": BOB, "amount": "-1QXC"}, InvalidAmount),
        ({"to": BOB, "amount": "0.0000000001QXC"}, InvalidAmount),
        ({"to": BOB, "amount": Coin("QXC", -1)}, InvalidAmount),
        ({"to": BOB, "amount": None}, InvalidArguments),
        ({"to": BOB_TEXT[:-1] + "q", "amount": "1QXC"}, InvalidAddress),
        ({"to": "bob", "amount": "1QXC"}, InvalidAddress),
        ({"to": b"short", "amount": "1QXC"}, InvalidAddress),
        ({"to": None, "amount": "1QXC"}, InvalidAddress),
        ({"to": BOB}, InvalidArguments),
        ({"to": BOB, "amount": "1QXC", "color": 1}, InvalidArguments),
        ({"to": BOB, "amount": {"$": ["a", 1]}}, InvalidReference),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    node: FakeNode, client: QenexClient, arguments: dict[str, Any], error: type[QenexError]
) -> None:
    with pytest.raises(error):
        client.transaction(ALICE).add("bank.send", **arguments)
    assert node.requests == 0


def test_unknown_names_and_options_are_refused(node: FakeNode, client: QenexClient) -> None:
    with pytest.raises(UnknownMessage) as caught:
        client.transaction(ALICE).add("bank.steal")
    assert "bank.send" in caught.value.hint
    with pytest.raises(InvalidArguments, match="colour"):
        client.bank.send(ALICE, to=BOB, amount="1QXC", colour="red")  # type: ignore[call-arg]  # that is the test
    with pytest.raises(InvalidArguments):
        client.transaction(ALICE).prepare()
    with pytest.raises(InvalidReference):
        ref(-1, "amount")
    assert node.count("tx_submit") == 0


def test_nothing_is_signed_for_another_chain_than_the_expected_one(node: FakeNode) -> None:
    with QenexClient(node.url, chain_id=CHAIN) as right:
        assert right.bank.send(ALICE, to=BOB, amount="1QXC").wait().ok
    with QenexClient(node.url, chain_id="main-1") as wrong, pytest.raises(WrongChainId):
        wrong.bank.send(ALICE, to=BOB, amount="1QXC")
    assert node.count("tx_submit") == 1


# -- outcomes ------------------------------------------------------------------------------


def test_a_failed_transaction_raises_its_error_with_the_receipt(node: FakeNode, client: QenexClient) -> None:
    node.fails_with = InsufficientBalance.code
    pending = client.bank.send(ALICE, to=BOB, amount="1QXC")
    with pytest.raises(InsufficientBalance) as caught:
        pending.wait()
    assert caught.value.receipt.fee == 2_100
    receipt = pending.wait(check=False)
    assert (receipt.ok, receipt.results, receipt.events) == (False, (), ())
    with pytest.raises(InsufficientBalance):
        _ = receipt.result


def test_a_transaction_that_can_no_longer_land_has_expired(node: FakeNode, client: QenexClient) -> None:
    node.automatic = False
    pending = client.bank.send(ALICE, to=BOB, amount="1QXC", valid_for=3)
    node.pool.clear()
    node.height = pending.valid_until
    with pytest.raises(TransactionExpired) as caught:
        pending.wait(5)
    assert caught.value.pending is pending


def test_while_it_may_still_land_the_outcome_is_unknown(node: FakeNode, client: QenexClient) -> None:
    node.automatic = False
    pending = client.bank.send(ALICE, to=BOB, amount="1QXC")
    assert pending.receipt() is None
    with pytest.raises(OutcomeUnknown, match="210") as caught:
        pending.wait(0.2)
    node.commit()
    assert caught.value.pending.wait().ok


@pytest.mark.parametrize("landed", [True, False])
def test_a_connection_lost_while_submitting_makes_the_outcome_unknown(
    node: FakeNode, client: QenexClient, landed: bool
) -> None:
    client.node.status()
    node.tell["tx_submit"] = [Close((lambda params: node.do_tx_submit(**params)) if landed else None)]
    with pytest.raises(OutcomeUnknown) as caught:
        client.bank.send(ALICE, to=BOB, amount="1QXC", valid_for=2)
    assert node.count("tx_submit") == 1
    if landed:
        assert caught.value.pending.wait().ok
    else:
        node.commit(5)
        with pytest.raises(TransactionExpired):
            caught.value.pending.wait()
    assert client.bank.send(ALICE, to=BOB, amount="1QXC").wait().ok


@pytest.mark.parametrize(
    "answer",
    [
        Raw(b"garbage"),
        {"hash": "0x00", "valid_until": 5},
        {"valid_until": 5},
        [],
        Raw(b'{"jsonrpc":"2.0","id":$ID,"result":null}'),
        7.0,
    ],
)
def test_nonsense_after_submitting_makes_the_outcome_unknown(node: FakeNode, answer: Any) -> None:
    with QenexClient(node.url, timeout=0.5) as client:
        node.tell["tx_submit"] = [answer] if answer != [] else [lambda params: []]
        with pytest.raises(OutcomeUnknown) as caught:
            client.bank.send(ALICE, to=BOB, amount="1QXC")
        assert caught.value.pending.hash.startswith("0x")


def test_a_transaction_already_known_is_pending(node: FakeNode, client: QenexClient) -> None:
    pending = client.bank.send(ALICE, to=BOB, amount="1QXC")
    assert client.tx.submit(pending.transaction).wait().ok


def test_waiting_survives_a_node_that_is_away_for_a_while(node: FakeNode, client: QenexClient) -> None:
    node.automatic = False
    pending = client.bank.send(ALICE, to=BOB, amount="1QXC")
    node.tell["node_status"] = [Close() for _ in range(5)]
    node.commit()
    assert pending.wait(10).ok


# -- hostile answers -----------------------------------------------------------------------

NONSENSE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"{",
    b'{"jsonrpc":"2.0","id":$ID}',
    b'{"jsonrpc":"2.0","id":$ID,"result":1,"error":{"code":1,"message":""}}',
    b'{"jsonrpc":"1.0","id":$ID,"result":{}}',
    b'{"jsonrpc":"2.0","id":99999,"result":{"height":1}}',
    b'{"jsonrpc":"2.0","id":"$ID","result":{"height":1}}',
    b'{"jsonrpc":"2.0","id":null,"result":{"height":1}}',
    b'{"jsonrpc":"2.0","id":$ID,"error":5}',
    b'{"jsonrpc":"2.0","id":$ID,"error":{"code":"x"}}',
    b'{"jsonrpc":"2.0","id":$ID,"error":{"code":true}}',
    b'{"jsonrpc":"2.0","id":$ID,"result":{"height":-1}}',
    b'{"jsonrpc":"2.0","id":$ID,"result":{"height":1.5}}',
    b'{"jsonrpc":"2.0","id":$ID,"result":{"height":"1"}}',
    b'{"jsonrpc":"2.0","id":$ID,"result":{"height":1,"height":2}}',
    b'{"jsonrpc":"2.0","id":$ID,"result":{"height":NaN}}',
    b'{"jsonrpc":"2.0","id":$ID,"result":{"height":' + b"9" * 5_000 + b"}}",
    b'{"jsonrpc":"2.0","id":$ID,"result":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"jsonrpc":"2.0","id":$ID,"result":' + b"[" * 200 + b"]" * 200 + b"}",
]


@pytest.mark.parametrize("body", NONSENSE)
def test_what_is_no_answer_is_an_invalid_response(node: FakeNode, client: QenexClient, body: bytes) -> None:
    node.tell["node_status"] = Raw(body)
    with pytest.raises(InvalidResponse):
        client.node.status()


@pytest.mark.parametrize("body", NONSENSE[:8])
async def test_what_is_no_answer_is_an_invalid_response_without_blocking_too(
    node: FakeNode, aclient: AsyncQenexClient, body: bytes
) -> None:
    node.tell["node_status"] = Raw(body)
    with pytest.raises(InvalidResponse):
        await aclient.node.status()


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (Raw(b"<html>", 404), InvalidResponse),
        (Raw(b"", 302, {"Location": "http://127.0.0.1:1/"}), InvalidResponse),
        (Raw(b"away", 503), NodeUnreachable),
        (Raw(b"", 429), LimitExceeded),
        (Raw(b"", 401), Forbidden),
        (Raw(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"m"}}', 400), NotFound),
        (Raw(b'{"jsonrpc":"2.0","id":$ID,"error":{"code":3999,"message":"new\\u001b[31m"}}'), UnknownError),
    ],
)
async def test_http_failures_are_typed_in_both_halves(
    node: FakeNode,
    client: QenexClient,
    aclient: AsyncQenexClient,
    told: Raw,
    error: type[QenexError],
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr("qenex.client.REPEAT_PAUSES", (0.01,))
    monkeypatch.setattr("qenex.async_client.REPEAT_PAUSES", (0.01,))
    monkeypatch.setattr("qenex.client.RATE_PAUSES", (0.01,))
    monkeypatch.setattr("qenex.async_client.RATE_PAUSES", (0.01,))
    node.tell["node_status"] = told
    with pytest.raises(error) as caught:
        await asyncio.to_thread(client.node.status)
    assert "\x1b" not in caught.value.message
    with pytest.raises(error):
        await aclient.node.status()


def test_reads_are_repeated_after_a_lost_connection_and_then_given_up(
    node: FakeNode, client: QenexClient
) -> None:
    node.tell["node_status"] = [Close(), Close()]
    assert client.node.status().height == 10
    node.tell["node_status"] = Close()
    with pytest.raises(NodeUnreachable):
        client.node.status()
    assert node.count("node_status") == 6


async def test_reads_are_repeated_without_blocking_too(node: FakeNode, aclient: AsyncQenexClient) -> None:
    node.tell["node_status"] = [Close(), Close()]
    assert (await aclient.node.status()).height == 10


def test_an_answer_beyond_the_bound_is_not_read(node: FakeNode, client: QenexClient) -> None:
    node.tell["node_status"] = Raw(b" " * (MAX_ANSWER_SIZE + 1))
    with pytest.raises(InvalidResponse, match="bytes"):
        client.node.status()


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_peer_that_drips_is_cut_off_at_the_deadline(part: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            while not stop.is_set():
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    try:
                        peer.recv(65_536)
                        peer.sendall(
                            b"HTTP/1.1 200 OK\r\n"
                            + (b"Content-Length: 9999\r\n\r\n" if part == "body" else b"")
                        )
                        while not stop.wait(0.05):
                            peer.sendall(b"x")
                    except OSError:
                        continue

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        begun = time.monotonic()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with QenexClient(url, timeout=0.4) as client, pytest.raises(NodeUnreachable):
            client.call("tx_submit", transaction="0x")
        assert time.monotonic() - begun < 2
        stop.set()
    thread.join(5)


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"\x00" * 70_000]
)
def test_a_peer_that_speaks_no_http_is_a_typed_error(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                peer, _ = server.accept()
                with peer:
                    peer.recv(65_536)
                    peer.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with QenexClient(url, timeout=2) as client, pytest.raises((InvalidResponse, NodeUnreachable)):
            client.call("tx_submit", transaction="0x")

        async def again() -> None:
            async with AsyncQenexClient(url, timeout=2) as aclient:
                await aclient.call("tx_submit", transaction="0x")

        with pytest.raises((InvalidResponse, NodeUnreachable)):
            asyncio.run(again())
        thread.join(5)


def test_nobody_at_the_address_is_node_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with QenexClient(f"http://127.0.0.1:{port}", timeout=1) as client:
        with pytest.raises(NodeUnreachable, match=rf"^cannot reach 127.0.0.1:{port}: Connection refused$"):
            client.node.status()
        with pytest.raises(NodeUnreachable):
            client.bank.send(ALICE, to=BOB, amount="1QXC")


# -- batches, closing, configuration -------------------------------------------------------


def test_a_batch_gives_results_and_errors_in_their_places(node: FakeNode, client: QenexClient) -> None:
    calls = [("node_status", {}), ("tx_get", {"hash": "0x" + "00" * 32})] * 120
    results = client.batch(calls)
    assert len(results) == 240
    assert results[0] == {"height": 10}
    assert isinstance(results[239], NotFound)
    assert node.requests == 3
    with pytest.raises(InvalidArguments):
        client.batch([("tx_submit", {})])


def test_after_closing_nothing_is_sent_and_nothing_stays_open(node: FakeNode) -> None:
    client = QenexClient(node.url)
    client.node.status()
    client.close()
    client.close()
    with pytest.raises(UsageError, match="closed"):
        client.node.status()


def test_connections_are_kept_and_a_stale_one_is_replaced(node: FakeNode, client: QenexClient) -> None:
    client.node.status()
    connection = client._connection._idle[0]
    client.node.status()
    assert client._connection._idle == [connection]
    held: Any = connection.sock
    held.inner.shutdown(socket.SHUT_RDWR)
    assert client.node.status().height == 10
    assert client._connection._idle != [connection]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:7300",
        "ftp://x",
        "http://",
        "http://a:99999",
        "http://u:p@x",
        "http://x?y=1",
        "http://x/\n",
        "http://x y",
    ],
)
def test_a_wrong_url_is_a_typed_error(url: str) -> None:
    with pytest.raises(InvalidConfig):
        QenexClient(url)


def test_urls_are_read_as_people_write_them() -> None:
    assert parse_endpoint("http://127.0.0.1:7300").rpc_url == "http://127.0.0.1:7300/rpc"
    assert parse_endpoint("http://127.0.0.1:7300/rpc").rpc_url == "http://127.0.0.1:7300/rpc"
    assert parse_endpoint("https://node.example/qx/").websocket_url == "wss://node.example:443/qx/ws"
    assert parse_endpoint("http://[::1]:7300").rpc_url == "http://[::1]:7300/rpc"


# -- subscriptions -------------------------------------------------------------------------

EVENT = {
    "name": "bank.transferred",
    "fields": {"sender": BOB_TEXT, "recipient": BOB_TEXT, "denom": "QXC", "amount": "5"},
}


def test_events_are_iterated_typed_and_continued_over_a_lost_connection(
    node: FakeNode, client: QenexClient
) -> None:
    node.stream = [
        notification(1, EVENT),
        (1, "close"),
        notification(2, {"name": "new.thing", "fields": {"a": 1}}),
    ]
    with client.events.subscribe(event="bank.") as events:
        first, second = next(events), next(events)
        assert first.event is not None
        assert first.event.fields == Transferred(BOB.address, BOB.address, "QXC", 5)
        assert second.event is not None
        assert second.event.fields == {"a": 1}
        assert events.cursor == "2"
    assert node.subscribed[0] == {"topic": "events", "filter": {"event": "bank."}}
    assert node.subscribed[-1]["from_cursor"] == "1"
    with pytest.raises(StopIteration):
        next(events)
    assert not [t for t in threading.enumerate() if t.name == "qenex-events"]


async def test_events_are_iterated_without_blocking(node: FakeNode, aclient: AsyncQenexClient) -> None:
    node.stream = [notification(index, EVENT) for index in range(1, 5)]
    seen = []
    async with aclient.events.subscribe(from_cursor="2") as events:
        async for item in events:
            seen.append(item.cursor)
            if len(seen) == 2:
                break
    assert seen == ["3", "4"]


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (notification(1, None, "events_lagged"), SubscriptionLagged),
        ((1, {"jsonrpc": "2.0", "method": "events_failed", "params": {"subscription": 7, "cursor": "1", "error": {"code": -32001, "message": "m"}}}), NotFound),
        (notification(1, {"name": 5}), InvalidResponse),
        ((1, "not json"), InvalidResponse),
        ((1, "[1]"), InvalidResponse),
        (notification(1, EVENT, "something_else"), InvalidResponse),
    ],
)  # fmt: skip
def test_a_broken_stream_is_a_typed_error_and_ends(
    node: FakeNode, client: QenexClient, frame: Any, error: type[QenexError]
) -> None:
    node.stream = [frame]
    with client.events.subscribe() as events:
        with pytest.raises(error):
            next(events)
        with pytest.raises(StopIteration):
            next(events)


def test_closing_an_unused_subscription_starts_nothing(client: QenexClient) -> None:
    events = client.events.subscribe()
    events.close()
    events.close()


# -- start-up ------------------------------------------------------------------------------


def test_importing_qenex_loads_no_library() -> None:
    code = (
        "import sys, qenex; heavy = {'aiohttp', 'asyncio', 'cryptography', 'nacl', 'msgpack', 'pqcrypto', 'http.client'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "from qenex import QenexClient;"
        "assert not {'aiohttp', 'cryptography', 'nacl', 'pqcrypto'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_every_public_name_is_there() -> None:
    import qenex

    for name in qenex.__all__:
        assert getattr(qenex, name) is not None
    assert set(qenex.__all__) <= set(dir(qenex))
    with pytest.raises(AttributeError):
        _ = qenex.nothing


def test_a_node_that_lies_about_the_fee_gets_no_signature(node: FakeNode, client: QenexClient) -> None:
    """Within the balance, so nothing else would stop it: 2 * 1,000 gas at 2 million base units."""
    lie = {"gas_limit": 1_000, "gas_used": 800, "price": "2000000", "max": "4000000000", "tip": "0"}
    node.do_tx_estimateFee = lambda transaction: lie  # type: ignore[method-assign]  # this node lies
    with pytest.raises(PolicyRefused):
        client.bank.send(ALICE, to=BOB, amount="1QXC")
    assert not node.pool
    agreed = client.bank.send(ALICE, to=BOB, amount="1QXC", fee="3QXC")
    assert agreed.transaction.fee == Fee(3 * 10**9, 1_000, 0)
