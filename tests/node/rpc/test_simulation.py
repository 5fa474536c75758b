"""Simulation: pending transactions count as done, and large ones run in turns with the chain."""

from __future__ import annotations

import asyncio

import pytest

from node import simulation, turns
from qenex.crypto import SCHEMES_BY_TAG
from qenex.transaction import Fee, Message
from qenex.types import Coin
from qenex.wallet import Wallet
from tests.node.rpc.chain_helpers import ALICE, BOB, CAROL, TestChain, text

MAX_BLOCK_GAS = 5_000_000


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def many(count: int) -> list[Message]:
    """Transfers to as many new accounts: each creates an entry, which costs 2,000 gas and more."""
    return [
        Message("bank.send", (bytes([1, *number.to_bytes(31, "big")]), Coin("QXC", 1)), 0)
        for number in range(count)
    ]


@pytest.fixture
def chain() -> TestChain:
    return TestChain()


async def test_a_simulation_and_an_estimate_say_why_a_message_fails(chain: TestChain):
    much = 5_000 * 10**9
    body = hexed(chain.body(amount=much))
    found = (await chain.call("tx_simulate", transaction=body))["error"]
    assert found["name"] == "insufficient_balance"
    assert found["message"].startswith("message 0 fails: ")
    assert str(much) in found["message"]
    error = await chain.error("tx_estimateFee", transaction=body)
    assert error["message"].startswith("message 0 fails: ")
    assert str(much) in error["message"]


# -- pending transactions count as done ------------------------------------------------------------


async def test_the_second_transaction_is_simulated_while_the_first_with_the_key_waits(chain: TestChain):
    await chain.send()
    body = hexed(chain.body())
    assert chain.ledger.height == 0
    assert (await chain.call("tx_simulate", transaction=body))["status"] == 0
    estimate = await chain.call("tx_estimateFee", transaction=body)
    await chain.send(fee=Fee(int(estimate["max"]), estimate["gas_limit"], 0))
    chain.mine()
    assert chain.balance(BOB.address) == 1_000 * 10**9 + 10


async def test_a_key_too_long_for_the_record_is_found_in_the_pool_too(chain: TestChain):
    long = Wallet.from_secret("ml-dsa-44", SCHEMES_BY_TAG[2].generate(b"\x05" * 32)[1])
    await chain.send(to=long, amount=10**10)
    chain.mine()
    await chain.send(long, fee=Fee(10**7, 30_000, 0))
    body = hexed(chain.body(long, fee=Fee(10**7, 30_000, 0)))
    assert (await chain.call("tx_simulate", transaction=body))["status"] == 0
    assert (await chain.call("tx_estimateFee", transaction=body))["gas_used"] > 840
    chain.mine()
    assert (await chain.call("tx_simulate", transaction=body))["status"] == 0
    # ... and by one that runs in turns, on a view of the state
    large = chain.body(long, messages=many(60), fee=Fee(2 * 10**9, 200_000, 0))
    receipt = await chain.call("tx_simulate", transaction=hexed(large))
    assert (receipt["status"], receipt["gas_used"] > simulation.INLINE_GAS) == (0, True)


async def test_without_a_waiting_first_transaction_the_key_is_missing(chain: TestChain):
    body = chain.body(public_key=None)
    assert (await chain.error("tx_simulate", transaction=hexed(body)))["data"]["name"] == "public_key_missing"


async def test_a_key_sent_again_behind_the_one_that_waits_is_refused_as_at_admission(chain: TestChain):
    await chain.send()
    body = chain.body(public_key=ALICE.public_key)
    simulated = await chain.error("tx_simulate", transaction=hexed(body))
    refused = await chain.error("tx_submit", transaction=hexed(ALICE.sign_transaction(body).raw))
    assert simulated["data"]["name"] == refused["data"]["name"] == "public_key_not_allowed"


async def test_a_replacement_of_the_first_transaction_brings_its_key_again(chain: TestChain):
    await chain.send()
    await chain.send()
    body = chain.body(sequence=0, amount=7)
    assert (await chain.call("tx_simulate", transaction=hexed(body)))["status"] == 0
    second = chain.body(sequence=1, amount=7)
    assert (await chain.call("tx_simulate", transaction=hexed(second)))["status"] == 0


# -- large transactions ----------------------------------------------------------------------------


async def test_the_most_messages_a_transaction_may_have_are_estimated_and_land(chain: TestChain):
    messages = many(128)
    estimate = await chain.call("tx_estimateFee", transaction=hexed(chain.body(messages=messages)))
    assert estimate["gas_used"] > simulation.INLINE_GAS
    fee = Fee(int(estimate["max"]), estimate["gas_limit"], 0)
    simulated = await chain.call("tx_simulate", transaction=hexed(chain.body(messages=messages, fee=fee)))
    tx_hash = await chain.send(messages=messages, fee=fee)
    chain.mine()
    receipt = (await chain.call("tx_get", hash=tx_hash))["receipt"]
    assert receipt["status"] == 0
    assert receipt["gas_used"] == simulated["gas_used"]
    assert receipt["events"] == simulated["events"]


async def test_a_gas_limit_is_simulated_as_it_stands(chain: TestChain):
    used = (await chain.call(
        "tx_simulate", transaction=hexed(chain.body(messages=many(60), fee=Fee(5 * 10**9, 300_000, 0)))
    ))["gas_used"]  # fmt: skip
    low = chain.body(messages=many(60), fee=Fee(5 * 10**9, used - 1_000, 0))
    receipt = await chain.call("tx_simulate", transaction=hexed(low))
    assert receipt["error"]["name"] == "out_of_gas"
    assert receipt["gas_used"] == used - 1_000
    beyond = chain.body(fee=Fee(10**11, MAX_BLOCK_GAS + 1, 0))
    assert (await chain.error("tx_simulate", transaction=hexed(beyond)))["data"][
        "name"
    ] == "gas_limit_too_high"


async def test_who_cannot_pay_the_gas_it_takes_is_told_so(chain: TestChain):
    await chain.send(to=CAROL, amount=500_000)  # 50,000 gas at the least price
    chain.mine()
    small = await chain.call("tx_estimateFee", transaction=hexed(chain.body(CAROL, amount=1)))
    assert small["gas_used"] < 50_000
    most = chain.body(
        CAROL, amount=500_000 - 10 * (small["gas_limit"] + 20)
    )  # a larger amount has more bytes
    assert (await chain.call("tx_estimateFee", transaction=hexed(most)))["gas_limit"] < small[
        "gas_limit"
    ] + 20
    much = chain.body(CAROL, amount=500_000 - 10 * small["gas_used"])
    error = await chain.error("tx_estimateFee", transaction=hexed(much))
    assert error["data"]["name"] == "insufficient_balance"
    error = await chain.error("tx_estimateFee", transaction=hexed(chain.body(CAROL, messages=many(60))))
    assert error["data"]["name"] == "insufficient_funds"


async def test_blocks_and_reads_go_on_while_a_large_simulation_runs(
    chain: TestChain, monkeypatch: pytest.MonkeyPatch
):
    chain.mine()
    body = hexed(chain.body(messages=many(60), fee=Fee(5 * 10**9, 300_000, 0), sequence=0))
    alone = await chain.call("tx_simulate", transaction=body)
    monkeypatch.setattr(turns, "SLICE_SECONDS", -1.0)  # it gives way at every read
    running = asyncio.create_task(chain.call("tx_simulate", transaction=body))
    blocks = 0
    while not running.done():
        await chain.send(BOB, ALICE, 1)
        chain.mine()
        blocks += 1
        await chain.call("bank_getBalance", address=text(ALICE), denom="QXC")
        small = chain.body(BOB, ALICE)
        assert (await chain.call("tx_simulate", transaction=hexed(small)))["status"] == 0
    assert blocks > 20
    assert await running == alone


async def test_a_few_large_simulations_wait_in_line_and_no_more(
    chain: TestChain, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(simulation, "MAX_WAITING", 3)
    monkeypatch.setattr(turns, "SLICE_SECONDS", -1.0)
    body = hexed(chain.body(messages=many(60), fee=Fee(5 * 10**9, 300_000, 0)))
    answers = await asyncio.gather(*[chain.answer("tx_simulate", {"transaction": body}) for _ in range(5)])
    outcomes = [answer.get("error", {}).get("data", {}).get("name", "done") for answer in answers]
    assert sorted(outcomes) == ["done", "done", "done", "limit_exceeded", "limit_exceeded"]
