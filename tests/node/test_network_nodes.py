"""Whole nodes of one chain on loopback: they agree, live with the loss of one, follow without a key, and ban who lies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from node.home import ValidatorKey, init_home
from node.node import Node
from node.peers import Peers
from p2p.channels import Channel
from p2p.handshake import Network as Chain
from p2p.identity import identity_from_seed
from p2p.messages import BodyPart, Votes, encode_message
from p2p.network import Network
from p2p.settings import Handlers, NetworkSettings
from qenex.block import PRECOMMIT, SignedVote, Validator
from tests.node.chain_helpers import Wallet, balance, make_genesis, until

SETTINGS: dict[str, dict[str, Any]] = {
    "rpc": {"enabled": False},
    "database": {"backend": "memory"},
    "verifier": {"workers": 0},
    "engine": {"min_interval_ms": 0, "settle_interval_ms": 50, "idle_interval_ms": 100},
    "consensus": {"timeout_propose_ms": 300, "timeout_prevote_ms": 200, "timeout_precommit_ms": 200},
    "node": {"min_free_disk_mib": 0},
}
RECIPIENT = Wallet(77).address


def wallets() -> list[Wallet]:
    return [Wallet(number) for number in range(1, 5)]


class Nodes:
    """Validators, in the order of their numbers, and nodes without a key behind them."""

    def __init__(self, folder: Path, validators: int) -> None:
        self.folder = folder
        self.keys = [
            ValidatorKey.from_seed(bytes([number + 1]) * 64, Wallet(1_000 + number).address)
            for number in range(validators)
        ]
        self.genesis = make_genesis(
            wallets(), validators=tuple([Validator(key.address, key.key, 10) for key in self.keys])
        )
        self.nodes: list[Node] = []

    async def start(self, key: ValidatorKey | None) -> Node:
        """One more node, connected to all before it."""
        number = len(self.nodes)
        addresses = [node.peers.address for node in self.nodes if node.peers is not None]
        settings = {**SETTINGS, "p2p": {"port": 0, "persistent_peers": addresses, "pex": False}}
        config = init_home(self.folder / f"{number}", self.genesis, validator=key, settings=settings)
        node = Node(config)
        await node.start()
        self.nodes.append(node)
        return node

    async def stop(self) -> None:
        for node in self.nodes:
            await node.stop()

    def peers(self, number: int) -> Peers:
        found = self.nodes[number].peers
        assert found is not None
        return found

    def cut(self, one: list[int], other: list[int]) -> None:
        """Nothing passes between the two sides."""
        for here, there in ((one, other), (other, one)):
            for number in here:
                self.peers(number).isolate([self.peers(at).node_id for at in there])

    def mend(self) -> None:
        for number in range(len(self.nodes)):
            self.peers(number).isolate(())

    @property
    def heights(self) -> list[int]:
        return [node.ledger.durable_height for node in self.nodes]

    @property
    def steps(self) -> list[str]:
        return [node.engine.status.step for node in self.nodes if node.engine is not None]

    def paid(self, amount: int) -> bool:
        """Whether the recipient has so much on every node."""
        return all(balance(node.application, RECIPIENT) == amount for node in self.nodes)

    async def grown(self, count: int, *numbers: int) -> None:
        """Wait until these nodes have so many more blocks."""
        chosen = numbers or range(len(self.nodes))
        target = max(self.heights) + count
        await until(
            lambda: all(self.nodes[number].ledger.durable_height >= target for number in chosen), 60.0
        )

    def agree(self) -> None:
        """All nodes have the same blocks, as far as they have them."""
        for height in range(1, min(self.heights) + 1):
            assert len({node.ledger.blocks.hash(height) for node in self.nodes}) == 1


@asynccontextmanager
async def nodes(folder: Path, validators: int = 4, followers: int = 0) -> AsyncIterator[Nodes]:
    net = Nodes(folder, validators)
    try:
        for key in (*net.keys, *[None] * followers):
            await net.start(key)
        yield net
    finally:
        await net.stop()


def play(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(110):
            await work()

    asyncio.run(run())


def test_four_validators_and_a_follower_include_what_is_submitted_at_any_of_them(tmp_path: Path) -> None:
    async def work() -> None:
        senders = wallets()
        async with nodes(tmp_path, followers=1) as net:
            for _ in range(10):
                for node, sender in zip(net.nodes[1:], senders, strict=True):
                    await node.network.submit(sender.transfer(RECIPIENT, 5))
            await until(lambda: net.paid(200), 60.0)
            await until(lambda: all(not len(node.application.mempool) for node in net.nodes))
            net.agree()
            assert not any(node.network.intake.refused for node in net.nodes)
            assert not any(sum(net.peers(number).transport.offences.values()) for number in range(5))

    play(work)


def test_three_of_four_go_on_two_do_not_and_what_was_cut_off_is_repaired(tmp_path: Path) -> None:
    async def work() -> None:
        async with nodes(tmp_path) as net:
            await net.grown(2)
            net.cut([0, 1], [2, 3])
            await until(lambda: all(len(net.peers(number).connected()) == 1 for number in range(4)))
            await net.nodes[0].network.submit(wallets()[0].transfer(RECIPIENT, 5))
            # Who has prevoted waits for more than two thirds of the power, which neither side has.
            await until(lambda: net.steps == ["prevote"] * 4, 60.0)
            stalled = net.heights
            assert balance(net.nodes[0].application, RECIPIENT) == 0
            net.mend()
            await until(lambda: net.paid(5), 60.0)
            await net.grown(1)
            assert min(net.heights) > max(stalled)
            net.cut([3], [0, 1, 2])
            await net.grown(1, 0, 1, 2)
            net.agree()

    play(work)


def test_who_sends_garbage_is_banned_and_the_chain_goes_on(tmp_path: Path) -> None:
    async def work() -> None:
        async with nodes(tmp_path, validators=1) as net:
            victim, victims = net.nodes[0], net.peers(0)
            liars = [
                Network(
                    NetworkSettings(persistent_peers=(victims.address,), listen=False, pex=False),
                    identity_from_seed(bytes([200 + number]) * 64),
                    Chain(net.genesis.chain_id, net.genesis.hash, net.genesis.protocol_version),
                    Handlers(lambda peer, channel, payload: None),
                )
                for number in range(4)
            ]
            for liar in liars:
                await liar.start()
            try:
                await until(lambda: len(victims.connected()) == len(liars))
                address = net.keys[0].address

                def forged() -> bytes:
                    height = victim.ledger.height + 1
                    votes = [
                        SignedVote(address, PRECOMMIT, height, 0, bytes([n]) * 32, b"forged")
                        for n in range(20)
                    ]
                    return encode_message(Votes(tuple(votes)))

                async def repeat(liar: Network, channel: Channel, payload: Callable[[], bytes]) -> None:
                    while liar.node_id not in victims.transport.bans():
                        liar.send(victims.node_id, channel, payload())
                        await asyncio.sleep(0.01)

                unasked = encode_message(BodyPart(bytes(32), None, (b"x",), True))
                await asyncio.gather(
                    repeat(liars[0], Channel.CONSENSUS, forged),
                    repeat(liars[1], Channel.CONSENSUS, lambda: unasked),
                    repeat(liars[2], Channel.MEMPOOL, lambda: b"\x70garbage"),
                    repeat(liars[3], Channel.CONSENSUS, lambda: b"\x02" + bytes(100_000)),
                )
                assert not victims.connected()
                await net.grown(1)
            finally:
                for liar in liars:
                    await liar.stop()

    play(work)
