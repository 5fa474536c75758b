"""A task that dies unseen leaves a node deaf: each one's end is the node's, with the fault itself as the reason."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ledger.backend import StorageFault
from node.tasks import innermost, watched
from p2p.channels import Channel
from p2p.messages import EvidenceMessage, PushTransactions, encode_message
from qenex.block import Evidence
from qenex.transaction import witness_hash
from tests.node.chain_helpers import Wallet, make_genesis, open_application, until
from tests.node.network_helpers import Member
from tests.p2p.blocks import make_evidence


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(1, open_application(tmp_path / "chain", make_genesis([Wallet(1)])))


async def test_a_failing_disk_in_a_group_of_tasks_is_told_as_itself() -> None:
    async def fail() -> None:
        raise StorageFault("the disk is gone")

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    told: list[BaseException] = []
    await watched(work, told.append)
    assert [type(error) for error in told] == [StorageFault]


async def test_a_cancelled_task_is_no_failure() -> None:
    told: list[BaseException] = []
    task = asyncio.create_task(watched(asyncio.Event().wait, told.append))  # type: ignore[arg-type]  # its answer is of no interest
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not told


def test_a_fault_that_is_no_group_stays_what_it_is() -> None:
    fault = OSError("full")
    assert innermost(fault) is fault
    assert innermost(BaseExceptionGroup("two", [fault, ValueError()])) is fault


async def test_when_admission_of_peers_transactions_dies_the_node_is_told(member: Member) -> None:
    async def broken(raws: list[bytes]) -> list[object]:
        raise StorageFault("the disk is gone")

    member.application.admission.submit_many = broken  # type: ignore[method-assign,assignment]  # a disk that fails
    await member.start()
    try:
        raw = Wallet(1).transfer(Wallet(2).address)
        member.node.intake.put("peer", [witness_hash(raw)], [raw])
        await until(lambda: member.faults)
        assert isinstance(member.faults[0], StorageFault)
    finally:
        await member.stop()


async def test_a_disk_that_fails_under_a_peers_message_ends_the_node_not_the_connection(
    member: Member,
) -> None:
    def broken(peer: str, evidence: tuple[Evidence, ...]) -> None:
        raise StorageFault("the disk is gone")

    member.notes.receive_evidence = broken  # type: ignore[method-assign,assignment]  # a disk that fails
    await member.start()
    try:
        member.node.on_message("peer", Channel.EVIDENCE, encode_message(EvidenceMessage((make_evidence(1),))))
        assert isinstance(member.faults[0], StorageFault)
        member.node.on_message("peer", Channel.MEMPOOL, encode_message(PushTransactions((b"x",))))
    finally:
        await member.stop()
