"""No answer holds the event loop for long: what is large is made in slices, and others have their turn in between."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from ledger.genesis import PART_ITEMS, Genesis
from node.floor import Work, floor
from node.rpc.dispatcher import LONG_BYTES
from node.rpc.event_methods import ChainFeed
from node.rpc.render import Renderer
from node.rpc.strict_json import Encoded, dumps
from node.service import WOKEN_TOGETHER
from node.steps import run
from qenex.block import Validator
from qenex.hashing import list_root
from qenex.proof import list_proof, list_proof_steps, verify_list_proof
from qenex.transaction import decode_transaction
from tests.node.chain_helpers import until
from tests.node.rpc.chain_helpers import ALICE, BOB, GENESIS_TIME, VALIDATOR_KEY, TestChain, text

TRANSACTIONS = 40


@pytest.fixture
async def chain(monkeypatch: pytest.MonkeyPatch) -> TestChain:
    """A block of 40 transfers, and one after it; from now on a slice is over as soon as it is asked."""
    made = TestChain()
    for _ in range(TRANSACTIONS):
        await made.send(ALICE, BOB)
    made.mine(2)
    made.bus._recent.clear()
    monkeypatch.setattr("node.floor.LONGEST_SLICES", 0.0)
    monkeypatch.setattr("node.steps.SLICE_SECONDS", -1.0)
    return made


async def turns_during(work: Coroutine[Any, Any, Any]) -> tuple[Any, int]:
    """The result, and how often the loop ran meanwhile."""
    loop, turns, running = asyncio.get_running_loop(), 0, True

    def count() -> None:
        nonlocal turns
        turns += 1
        if running:
            loop.call_soon(count)

    loop.call_soon(count)
    result = await work
    running = False
    return result, turns


@pytest.mark.parametrize(
    ("method", "params", "slices"),
    [
        ("chain_getBlock", {"height": 1}, TRANSACTIONS),
        ("events_query", {"event": "none.such", "from_height": 1}, TRANSACTIONS // 8),
        ("bank_getBalance", {"address": text(BOB), "denom": "tokens/gold", "prove": True}, 1),
        ("chain_getGenesis", {}, 5),
    ],
)
async def test_large_answers_are_made_in_slices(
    chain: TestChain, method: str, params: dict[str, Any], slices: int
) -> None:
    answer, turns = await turns_during(chain.call(method, **params))
    assert answer
    assert turns >= 3 * slices


async def test_an_answer_in_parts_says_what_the_whole_would(chain: TestChain) -> None:
    block = await chain.call("chain_getBlock", height=1)
    assert len(block["transactions"]) == TRANSACTIONS
    for at in (0, TRANSACTIONS - 1):
        found = await chain.call("tx_get", hash=block["transactions"][at]["hash"])
        assert found["transaction"] == block["transactions"][at]["transaction"]
    genesis = (await chain.call("chain_getGenesis"))["genesis"]
    assert genesis == json.loads(chain.ledger.genesis.to_json())
    assert await chain.call("chain_getGenesis") == await chain.call("chain_getGenesis")
    assert dumps(Encoded('{"a":1}')) == '{"a":1}'


async def test_every_event_of_a_stored_block_is_read_in_its_place(chain: TestChain) -> None:
    feed, cursor = ChainFeed(chain.service, Renderer(chain.service)), "1.0.0"
    found: list[tuple[str, Any]] = []
    while True:
        page = run(feed.page_steps("events", None, cursor))
        found += page.items
        cursor = page.cursor
        if not page.behind:
            break
    receipts = chain.ledger.blocks.receipts(1)
    begin, end = chain.ledger.blocks.hook_events(1)
    assert len(found) >= sum([len(one.events) for one in receipts]) + len(begin) + len(end) > TRANSACTIONS
    hashes = [item["transaction_hash"] for _, item in found if item["source"] == "transaction"]
    assert list(dict.fromkeys(hashes)) == ["0x" + one.tx_id.hex() for one in receipts]


@pytest.mark.parametrize("topic", ["transactions", "events", "blocks"])
async def test_a_page_of_a_subscription_comes_in_slices(chain: TestChain, topic: str) -> None:
    feed = ChainFeed(chain.service, Renderer(chain.service))
    yields = sum(1 for _ in feed.page_steps(topic, None, "1.0.0"))
    assert yields >= (chain.service.height if topic == "blocks" else TRANSACTIONS // 8)


async def test_those_who_wait_for_a_block_are_answered_some_at_a_time(chain: TestChain) -> None:
    count = 3 * WOKEN_TOGETHER
    service = chain.service
    chain.app.on_commit = lambda committed: chain.bus.publish(committed.events)  # nobody is woken yet
    hashes = [await chain.send(ALICE, BOB) for _ in range(count)]
    pending = [service.mempool.get(bytes.fromhex(one[2:])) for one in hashes]
    waiting = [asyncio.create_task(service.wait_for(tx, 20)) for tx in pending if tx is not None]
    await until(lambda: service._waiting == count)
    futures = [future for waiters in service._waiters.values() for future in waiters]
    height = chain.mine()
    done = 0
    for _ in service.wake_steps(height):
        now = sum([future.done() for future in futures])
        assert now - done <= WOKEN_TOGETHER
        done = now
    assert all(future.done() for future in futures)
    assert [found.height for found in await asyncio.gather(*waiting) if found is not None] == [height] * count


async def test_a_block_that_comes_while_others_are_woken_wakes_its_own(chain: TestChain) -> None:
    """The height was asked again after the waking: whoever was in the block between waited for the one after it."""
    service = chain.service
    chain.app.on_commit = lambda committed: chain.bus.publish(committed.events)
    raw = chain.signed(BOB, ALICE)
    late = asyncio.create_task(service.wait_for(decode_transaction(raw), 20))
    await until(lambda: service._waiting == 1)  # the first that is looked up
    hashes = [await chain.send(ALICE, BOB) for _ in range(3 * WOKEN_TOGETHER)]
    pending = [service.mempool.get(bytes.fromhex(one[2:])) for one in hashes]
    waiting = [asyncio.create_task(service.wait_for(tx, 20)) for tx in pending if tx is not None]
    watching = asyncio.create_task(service.watch())
    await until(lambda: service._waiting == 1 + len(waiting))
    chain.mine()
    while not any(task.done() for task in waiting):  # noqa: ASYNC110  (turn by turn)
        await asyncio.sleep(0)
    assert not all(task.done() for task in waiting), "they are still being woken"
    chain.app.check_tx(raw)
    height = chain.mine()
    found = await asyncio.wait_for(late, 5)
    watching.cancel()
    assert found is not None
    assert found.height == height
    await asyncio.gather(*waiting)


@pytest.mark.parametrize("count", [1, 2, 3, 1_000, 1_001, 2_047, 3_000])
def test_a_list_is_proved_in_slices(count: int) -> None:
    items = [number.to_bytes(4, "big") for number in range(count)]
    root = list_root(items)
    for index in sorted({0, count // 2, count - 1}):
        proof = list_proof(items, index)
        verify_list_proof(root, items[index], index, count, proof)
        assert sum(1 for _ in list_proof_steps(items, index)) >= count // 1_000
    with pytest.raises(IndexError):
        list_proof(items, count)


def test_a_large_genesis_comes_in_parts() -> None:
    entries = [
        {"address": text(number.to_bytes(32, "big")), "denom": "QXC", "amount": str(number + 1)}
        for number in range(3 * PART_ITEMS + 1)
    ]
    genesis = Genesis(
        chain_id="parts-1",
        time=GENESIS_TIME,
        validators=(Validator(VALIDATOR_KEY.address, VALIDATOR_KEY.public_key, 10),),
        modules={"bank": {"balances": entries}, "tokens": {"b": {"y": 1, "x": [True, None]}, "a": "\u00e9"}},
        parameters={"machine": {"max_block_gas": 5_000_000}},
    )
    parts = list(genesis.json_parts())
    assert json.loads("".join(parts)) == json.loads(genesis.to_json())
    assert max(map(len, parts)) < len("".join(parts)) / 2
    assert "".join(parts).index('"a":') < "".join(parts).index('"b":')


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("method", ["bank_getBalance", "tx_simulate", "tx_submit", "tx_get", "no_such"])
async def test_a_refused_call_leaves_no_cycle(chain: TestChain, method: str, batch: int) -> None:
    """Else what it brought would stay until the collector comes, and the collector would hold the loop."""
    request = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": {"transaction": "0x00", "hash": "0x" + "00" * 32},
    }
    if method == "bank_getBalance":
        request["params"] = {"address": "qx1", "denom": "QXC"}
    elif method == "tx_get":
        request["params"] = {"hash": "0x" + "00" * 32}
    elif method != "no_such":
        request["params"] = {"transaction": "0x00"}
    data = json.dumps(request if batch == 1 else [request] * batch).encode()
    assert b'"error"' in (await chain.dispatcher.handle(data, chain.caller) or b"")
    gc.collect()
    gc.disable()
    try:
        await chain.dispatcher.handle(data, chain.caller)
        assert gc.collect() == 0
    finally:
        gc.enable()


async def test_a_long_request_and_a_dear_method_wait_for_the_floor(chain: TestChain) -> None:
    """While somebody else has a slice nothing of them is done."""
    ground, order = floor(), list[str]()
    balance = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "bank_getBalance",
        "params": {"address": text(BOB), "denom": "QXC"},
    }

    async def asked(name: str, data: bytes) -> None:
        await chain.dispatcher.handle(data, chain.caller)
        order.append(name)

    async def busy() -> None:
        for _ in range(20):
            await ground.take(Work.BLOCKS)
        order.append("blocks")

    short = json.dumps(balance).encode()
    calls = {
        "long": json.dumps([balance] * 100).encode().ljust(LONG_BYTES),
        "dear": short.replace(b"bank_getBalance", b"rpc.discover").replace(
            short[short.index(b'{"address') : -1], b"{}"
        ),
        "short": short,
    }
    await ground.take(Work.BLOCKS)
    tasks = [asyncio.create_task(asked(name, data)) for name, data in calls.items()]
    await asyncio.gather(busy(), *tasks)
    assert order[0] == "short"
    assert sorted(order) == ["blocks", "dear", "long", "short"]
