"""Transactions from peers: admitted in batches, once; garbage costs its sender, being early does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from node import intake
from node.application import Application
from node.intake import Intake, Outcome
from p2p.offences import Offence
from qenex.transaction import witness_hash
from tests.node.chain_helpers import Wallet, make_genesis, open_application, produce, until


class Told:
    """What became of what was put in."""

    def __init__(self, folder: Path, wallets: list[Wallet]) -> None:
        self.application: Application = open_application(folder, make_genesis(wallets))
        self.admitted: list[bytes] = []
        self.forgotten: list[bytes] = []
        self.offences: list[tuple[str, Offence]] = []
        self.intake = Intake(
            self.application.admission,
            Outcome(
                self.admitted.extend,
                self.forgotten.extend,
                lambda peer, what, why: self.offences.append((peer, what)),
            ),
        )

    def put(self, peer: str, raws: Sequence[bytes]) -> list[bytes]:
        ids = [witness_hash(raw) for raw in raws]
        self.intake.put(peer, ids, raws)
        return ids

    async def run_until_empty(self) -> None:
        task = asyncio.create_task(self.intake.run())
        try:
            await until(lambda: not len(self.intake))
        finally:
            task.cancel()


def run(told: Told) -> None:
    asyncio.run(told.run_until_empty())


def test_what_comes_together_is_admitted_in_its_order_and_can_be_read_meanwhile(tmp_path: Path) -> None:
    alice, bob = Wallet(1), Wallet(2)
    told = Told(tmp_path / "chain", [alice, bob])
    raws = [wallet.transfer(alice.address) for _ in range(20) for wallet in (alice, bob)]
    ids = told.put("peer", raws)
    assert ids[3] in told.intake
    assert told.intake.raw_of(ids[3]) == raws[3]
    run(told)
    assert told.admitted == ids
    assert told.intake.raw_of(ids[3]) is None
    assert len(told.application.mempool) == 40
    assert not told.offences


def test_a_signature_is_verified_once_though_a_block_follows(tmp_path: Path) -> None:
    alice = Wallet(1)
    told = Told(tmp_path / "chain", [alice])
    told.put("peer", [alice.transfer(alice.address) for _ in range(10)])
    run(told)
    verified = told.application.verifier.verified
    assert len(produce(told.application).transactions) == 10
    assert told.application.verifier.verified == verified == 10


def test_what_overtook_the_one_before_it_is_tried_again(tmp_path: Path) -> None:
    alice = Wallet(1)
    told = Told(tmp_path / "chain", [alice])
    first, second, third = [alice.transfer(alice.address) for _ in range(3)]
    told.put("quick", [third, second])

    async def scenario() -> None:
        task = asyncio.create_task(told.intake.run())
        await until(lambda: told.intake.retried == 2)
        told.put("slow", [first])
        await until(lambda: len(told.application.mempool) == 3)
        task.cancel()

    asyncio.run(scenario())
    assert not told.offences


def test_what_never_joins_on_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "FIRST_SECONDS", 0.001)
    alice = Wallet(1)
    told = Told(tmp_path / "chain", [alice])
    alice.transfer(alice.address)
    told.put("peer", [alice.transfer(alice.address)])
    run(told)
    assert told.intake.retried == intake.TRIES - 1
    assert not told.admitted
    assert not told.offences


def test_garbage_costs_its_sender_and_an_overtaken_block_does_not(tmp_path: Path) -> None:
    alice, bob = Wallet(1), Wallet(2)
    told = Told(tmp_path / "chain", [alice, bob])
    included = alice.transfer(alice.address)
    told.application.check_tx(included)
    produce(told.application)
    told.put("honest", [included])
    told.put("forger", [bob.transfer(alice.address, garbage=True)])
    told.put("noisy", [b"\xc1 no transaction"])
    told.put("stranger", [bob.transfer(alice.address, chain_id="another-1")])
    run(told)
    assert told.offences == [
        ("noisy", Offence.MALFORMED),
        ("forger", Offence.INVALID_TRANSACTION),
        ("stranger", Offence.INVALID_TRANSACTION),
    ]
    assert told.intake.refused == 3


def test_sixty_transactions_whose_key_changed_meanwhile_do_not_make_honest_nodes_ban_each_other(
    tmp_path: Path,
) -> None:
    alice = Wallet(1)
    told = Told(tmp_path / "chain", [alice])
    told.put("honest", [alice.transfer(alice.address, garbage=True) for _ in range(60)])
    run(told)
    assert told.intake.refused == 60
    assert told.offences == [("honest", Offence.INVALID_TRANSACTION)]


def test_beyond_its_bounds_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_COUNT", 100)
    told = Told(tmp_path / "chain", [Wallet(1)])
    for number in range(10):
        told.put("flooder", [f"{number}-{item}".encode() for item in range(30)])
    assert len(told.intake) == 90
    assert not told.intake.has_room
    assert len(told.forgotten) == 210
