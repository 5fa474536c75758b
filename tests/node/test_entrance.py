"""The entrance: batches are verified together in their order; the gate's places are given back whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.application import Application
from node.entrance import Entrance
from node.gate import Gate
from node.verifier import Verifier
from qenex.errors import InvalidSignature, MalformedBytes, NodeBusy, ProcessFailed, QenexError
from qenex.transaction import Transaction
from tests.node.chain_helpers import Wallet, make_genesis, open_application, produce


@pytest.fixture
def wallets() -> list[Wallet]:
    return [Wallet(number) for number in range(1, 6)]


@pytest.fixture
def application(tmp_path: Path, wallets: list[Wallet]) -> Application:
    return open_application(tmp_path, make_genesis(wallets))


def kinds_of(answers: Sequence[Transaction | QenexError]) -> list[type]:
    """Of errors their own types; transactions come in two forms."""
    return [Transaction if isinstance(answer, Transaction) else type(answer) for answer in answers]


def narrow(application: Application, places: int, spread: list[Transaction] | None = None) -> Entrance:
    """An entrance with a gate of so many places and a clock that stands."""
    told: list[Transaction] = [] if spread is None else spread

    def note(transactions: Sequence[Transaction]) -> None:
        told.extend(transactions)

    gate = Gate(lambda: 100.0, wait=0.0001, least=places)
    return Entrance(application, note, gate)


async def test_a_batch_is_admitted_in_its_order_and_each_refusal_is_its_own(
    application: Application, wallets: list[Wallet]
):
    spread: list[Transaction] = []
    entrance = narrow(application, 100, spread)
    one, two = wallets[0], wallets[1]
    raws = [
        one.transfer(two.address, 1),
        b"\xc1",
        one.transfer(two.address, 2),
        two.transfer(one.address, garbage=True, step=False),
        two.transfer(one.address, 3),
    ]
    answers = await entrance.submit_many(raws)
    kinds = kinds_of(answers)
    assert kinds == [Transaction, MalformedBytes, Transaction, InvalidSignature, Transaction]
    assert [tx.raw for tx in spread] == [raws[0], raws[2], raws[4]]
    assert len(entrance.gate) == 3
    block = produce(application)
    assert len(block.transactions) == 3
    entrance.committed([tx.tx_id for tx in spread])
    assert len(entrance.gate) == 0


async def test_what_is_beyond_the_gate_is_refused_and_comes_in_when_a_block_was_made(
    application: Application, wallets: list[Wallet]
):
    entrance = narrow(application, 20)
    raws = [wallets[0].transfer(wallets[1].address, number + 1) for number in range(30)]
    answers = await entrance.submit_many(raws, "one")
    assert kinds_of(answers) == [Transaction] * 20 + [NodeBusy] * 10
    busy = answers[-1]
    assert isinstance(busy, NodeBusy)
    assert busy.retryable
    with pytest.raises(NodeBusy):
        await entrance.submit(raws[20], "one")
    other = await entrance.submit(
        wallets[2].transfer(wallets[1].address), "other"
    )  # a light one is not kept out
    produce(application)
    entrance.committed(
        [answer.tx_id for answer in answers if isinstance(answer, Transaction)] + [other.tx_id]
    )
    again = await entrance.submit_many(raws[20:], "one")
    assert kinds_of(again) == [Transaction] * 10


async def test_places_come_back_when_admission_refuses_or_fails(
    application: Application, wallets: list[Wallet]
):
    entrance = narrow(application, 20)
    with pytest.raises(InvalidSignature):
        await entrance.submit(wallets[0].transfer(wallets[1].address, garbage=True, step=False))
    assert len(entrance.gate) == 0
    raws = [wallets[0].transfer(wallets[1].address, number + 1) for number in range(10)]
    verifier = Verifier(1)
    await verifier.start()
    application.admission.verifier = verifier
    batch = asyncio.create_task(entrance.submit_many(raws))
    await asyncio.sleep(0)
    assert verifier.queued
    assert len(entrance.gate) == 10
    await verifier.stop()
    with pytest.raises(ProcessFailed):
        await batch
    assert len(entrance.gate) == 0


async def test_a_senders_transfers_may_lie_in_several_batches_at_the_same_time(
    tmp_path: Path, wallets: list[Wallet]
):
    application = open_application(tmp_path, make_genesis(wallets))
    application.admission.verifier = verifier = Verifier(2)
    await verifier.start()
    entrance = Entrance(application)
    raws = [wallets[0].transfer(wallets[1].address, number + 1) for number in range(60)]
    batches = [raws[:40], raws[40:45], raws[45:]]  # the shorter ones are verified first
    answers = await asyncio.gather(*[entrance.submit_many(batch) for batch in batches])
    assert all(isinstance(answer, Transaction) for batch in answers for answer in batch)
    assert len(application.mempool) == 60
    await verifier.stop()


async def test_a_second_transfer_waits_for_the_key_that_a_batch_brings(tmp_path: Path, wallets: list[Wallet]):
    application = open_application(tmp_path, make_genesis(wallets))
    application.admission.verifier = verifier = Verifier(1)
    await verifier.start()
    entrance = Entrance(application)
    first, second, third = [wallets[0].transfer(wallets[1].address, number + 1) for number in range(3)]
    batch = asyncio.create_task(entrance.submit_many([first, wallets[2].transfer(wallets[1].address)]))
    await asyncio.sleep(0)
    alone, more = await asyncio.gather(entrance.submit(second), entrance.submit_many([third]))
    assert isinstance(alone, Transaction)
    assert isinstance(more[0], Transaction)
    await batch
    await verifier.stop()
