"""What is handed out to peers that catch up: in turn, within rates, and never again and again for nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from node.sync_server import MAX_WAITING, SyncServer
from p2p.channels import Channel
from p2p.offences import Offence
from p2p.sync_messages import GetBlock, SyncMessage
from tests.node.sync_net import Port, Wire, chain


class Deaf(Port):
    """A transport in whose queues there is no room."""

    def send(self, peer_id: str, channel: Channel, payload: bytes) -> bool:
        return False

    def peer_ids(self) -> list[str]:
        return ["deaf"]


class Counting(SyncServer):
    """Counts the answers it made."""

    made = 0

    def answer(self, question: SyncMessage) -> SyncMessage:
        self.made += 1
        return super().answer(question)


async def test_who_asks_and_does_not_read_costs_a_few_answers_and_not_one_each_time_it_is_looked() -> None:
    _, source = chain(3)
    now = 0.0
    server = Counting(source.ledger, None, Deaf(Wire(), "me"), lambda: now)
    for number in range(MAX_WAITING):
        server.on_request("deaf", Channel.BLOCKS, number, GetBlock(1))
    for _ in range(1_000):
        now += 0.02
        server._round()
    assert 5 < server.made < 20


async def test_more_requests_than_may_wait_are_an_offence() -> None:
    _, source = chain(3)
    wire = Wire()
    server = SyncServer(source.ledger, None, Port(wire, "me"))
    for number in range(MAX_WAITING + 1):
        server.on_request("greedy", Channel.BLOCKS, number, GetBlock(1))
    assert [(peer, offence) for _, peer, offence, _ in wire.offences] == [("greedy", Offence.FLOOD)]
    task = asyncio.create_task(server.run())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
