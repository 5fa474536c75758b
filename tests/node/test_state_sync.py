"""State sync: the state of a recent height from peers, by nothing but a checkpoint; and block sync from there."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

import node.block_sync as blocks_module
import node.state_sync as module
from ledger.backend import open_backend
from node.snapshots import Snapshots
from node.state_sync import StateSync
from node.sync_follower import SyncFollower
from p2p.channels import Channel
from p2p.offences import Offence
from p2p.sync_messages import (
    MAX_OFFERS,
    ChunkAnswer,
    GetChunk,
    GetLightBlock,
    GetSnapshots,
    LightBlockAnswer,
    ManifestAnswer,
    SnapshotOffer,
    decode_sync,
    encode_sync,
    read_head,
)
from p2p.sync_messages import Snapshots as SnapshotsAnswer
from qenex.errors import HeaderConflict, NotFound, SnapshotInvalid, TrustExpired
from qenex.light_rules import Checkpoint, LightOptions
from tests.node.sync_net import (
    AGES,
    Claimer,
    Port,
    RealNode,
    SyncNode,
    Wire,
    chain,
    fresh,
    grow,
    nodes_on,
    until,
    wallets,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.02)
    monkeypatch.setattr(module, "OFFERS_SECONDS", 0.1)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.1)


def checkpoint(application, height: int) -> Checkpoint:
    return Checkpoint(height, application.ledger.blocks.hash(height))


def joiner(wire: Wire, application, trusted: Checkpoint, name: str = "new", options=AGES) -> StateSync:
    port = Port(wire, name)
    sync = StateSync(application, port, trusted, chain_id=application.genesis.chain_id, options=options)
    wire.connect(name, SyncFollower(port, state=sync))
    return sync


@contextlib.asynccontextmanager
async def served(tmp_path: Path, *names: str, blocks: int = 30, at: int = 25, cut: int = 1):
    """A wire with nodes of one chain, each with a snapshot in some chunks."""
    import ledger.snapshots as making

    genesis, source = chain(blocks)
    choose, making._choose_cut = making._choose_cut, lambda sizes: cut
    wire = Wire()
    try:
        async with nodes_on(wire, **dict.fromkeys(names, source)) as nodes:
            snapshots = Snapshots(tmp_path / "snapshots")
            for node in nodes:
                node.server._snapshots = snapshots
            await snapshots.make(source.ledger, at)
            yield genesis, source, wire
    finally:
        making._choose_cut = choose


@pytest.mark.parametrize("trusted", [3, 25, 26, 29])
async def test_a_new_node_takes_the_state_by_a_checkpoint_below_at_or_above_the_snapshot(
    tmp_path, trusted
) -> None:
    async with served(tmp_path, "a", "b", "c") as (genesis, source, wire):
        application = fresh(genesis)
        sync = joiner(wire, application, checkpoint(source, trusted))
        assert await asyncio.wait_for(sync.run(), 20) == 25
        assert application.ledger.height == 25
        assert application.ledger.tree_root == source.ledger.root_of(25)
        report = application.ledger.check()
        assert report.ok, report.errors
        chunks = [to for sender, to, _, data in wire.sent if sender == "new" and data[0] == 0x54]
        assert len({*chunks}) == 3, "chunks come from all who have the snapshot"
        wire.disconnect("new")
        async with nodes_on(wire, later=application) as (node,):
            await until(lambda: node.height == 30)
        assert application.ledger.tree_root == source.ledger.tree_root
    assert wire.offences == []


async def test_where_peers_answer_nothing_is_waited_for_by_the_clock(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 1e9)
    async with served(tmp_path, "a") as (genesis, source, wire):
        sync = joiner(wire, fresh(genesis), checkpoint(source, 25))
        assert await asyncio.wait_for(sync.run(), 20) == 25


@pytest.mark.parametrize("tag", [0x53, 0x55, 0x57])
@pytest.mark.parametrize("how", ["changed", "garbage", "denied"])
async def test_a_wrong_part_is_found_on_arrival_its_sender_pays_and_others_are_asked(
    tmp_path, tag, how
) -> None:
    async with served(tmp_path, "liar", "honest") as (genesis, source, wire):

        def change(sender: str, to: str, channel: Channel, data: bytes) -> bytes:
            if sender != "liar" or data[0] != tag:
                return data
            if how == "garbage":
                return data[:5] + b"\xc1" + data[5:]
            _, number = read_head(channel, data)
            message = decode_sync(channel, data)
            if isinstance(message, LightBlockAnswer):
                assert message.block is not None
                header = message.block.header._replace(state_root=b"\x66" * 32)
                wrong = message.block._replace(header=header)
                return encode_sync(LightBlockAnswer(None if how == "denied" else wrong), number)
            if isinstance(message, ManifestAnswer):
                return encode_sync(
                    ManifestAnswer(None if how == "denied" else b"x" + (message.manifest or b"")), number
                )
            assert isinstance(message, ChunkAnswer)
            chunk = bytearray(message.chunk or b"")
            chunk[-1] ^= 1
            return encode_sync(ChunkAnswer(None if how == "denied" else bytes(chunk)), number)

        wire.change = change
        application = fresh(genesis)
        sync = joiner(wire, application, checkpoint(source, 3))
        assert await asyncio.wait_for(sync.run(), 30) == 25
        assert application.ledger.tree_root == source.ledger.root_of(25)
        assert wire.blamed() <= {"liar"}
        if how == "changed":
            assert ("new", "liar", Offence.FALSE_CONTENT) in [entry[:3] for entry in wire.offences]


async def test_a_snapshot_that_no_header_vouches_for_is_never_taken(tmp_path) -> None:
    """The liar offers a newer snapshot, of another chain with the same name: the honest, older one is taken."""
    async with served(tmp_path / "honest", "honest") as (genesis, source, wire):
        people = wallets()
        _, false = chain(1)
        grow(false, people_after(people, 1), 40)
        liar = SyncNode(false, Port(wire, "liar"), tmp_path / "liar")
        assert liar.snapshots is not None
        await liar.snapshots.make(false.ledger, 29)
        # By block sync the honest node would learn of the fork, and stop: both chains have all signatures.
        wire.change = lambda sender, to, channel, data: None if channel is Channel.BLOCKS else data
        wire.connect("liar", liar.follower)
        async with liar.running():
            application = fresh(genesis)
            sync = joiner(wire, application, checkpoint(source, 3))
            with contextlib.suppress(HeaderConflict):  # the same keys signed both chains: that, too, is found
                await asyncio.wait_for(sync.run(), 20)
        assert application.ledger.height in (0, 25)
        if application.ledger.height:
            assert application.ledger.tree_root == source.ledger.root_of(25)


class Inventor(Claimer):
    """Offers newer and newer snapshots, none of which there is, and denies everything else after a while."""

    made = 0

    def invent(self, peer: str, channel: Channel, payload: bytes) -> bytes | None:
        _, number = read_head(channel, payload)
        question = decode_sync(channel, payload)
        if isinstance(question, GetSnapshots):
            self.made += MAX_OFFERS
            numbers = range(self.made, self.made + MAX_OFFERS)
            offers = [SnapshotOffer(1_000 + n, n.to_bytes(32, "big"), 5, 5) for n in numbers]
            return encode_sync(SnapshotsAnswer(tuple(offers)), number)
        if isinstance(question, GetLightBlock):
            answer = encode_sync(LightBlockAnswer(None), number)
            asyncio.get_running_loop().call_later(0.2, self.port.send, peer, channel, answer)
        return None


async def test_a_peer_that_invents_newer_snapshots_keeps_nobody_from_joining(tmp_path) -> None:
    async with served(tmp_path, "a", "b") as (genesis, source, wire):
        inventor = Inventor(wire, "inventor", 1)
        inventor.reply = inventor.invent
        wire.connect("inventor", inventor)
        application = fresh(genesis)
        sync = joiner(wire, application, checkpoint(source, 3))
        assert await asyncio.wait_for(sync.run(), 10) == 25
        assert application.ledger.tree_root == source.ledger.root_of(25)


async def test_a_snapshot_whose_last_holder_hands_nothing_out_is_given_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "CHUNKS_SECONDS", 0.5)
    async with served(tmp_path, "holder") as (genesis, source, wire):
        wire.change = lambda sender, to, channel, data: None if data[0] == 0x55 else data
        sync = joiner(wire, fresh(genesis), checkpoint(source, 3))
        working = asyncio.create_task(sync.run())
        await until(lambda: sync.fetcher._failures.get("holder"))
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


def chunk_index(data: bytes) -> int:
    question = decode_sync(Channel.STATE, data)
    assert isinstance(question, GetChunk)
    return question.number


def people_after(people, sent):
    for n, wallet in enumerate(people):
        wallet.sequence = len(range(n, sent, 3))
    return people


async def test_a_checkpoint_that_is_too_old_or_of_another_block_takes_nothing(tmp_path) -> None:
    async with served(tmp_path, "a") as (genesis, source, wire):
        application = fresh(genesis)
        sync = joiner(wire, application, checkpoint(source, 3), options=LightOptions())
        with pytest.raises(TrustExpired):
            await asyncio.wait_for(sync.run(), 20)
        wire.disconnect("new")
        wrong = joiner(wire, fresh(genesis), Checkpoint(3, bytes(32)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wrong.run(), 0.5)
        assert ("new", "a", Offence.FALSE_CONTENT) in [entry[:3] for entry in wire.offences]


async def test_a_join_that_was_killed_in_the_middle_goes_on_with_what_it_has(tmp_path, caplog) -> None:
    caplog.set_level("INFO")
    async with served(tmp_path, "a") as (genesis, source, wire):
        store = open_backend("sqlite", tmp_path / "data", create=True)
        taken: list[int] = []
        application = fresh(genesis, store)
        apply = application.apply_snapshot_chunk

        def some(index: int, chunk: bytes) -> bool:
            if len(taken) == 4:
                raise KeyboardInterrupt
            taken.append(index)
            return apply(index, chunk)

        application.apply_snapshot_chunk = some  # type: ignore[method-assign]  # a kill between two chunks
        sync = joiner(wire, application, checkpoint(source, 3))
        with pytest.raises(KeyboardInterrupt):
            await sync.run()
        store.close()
        wire.disconnect("new")
        wire.sent.clear()
        store = open_backend("sqlite", tmp_path / "data")
        application = fresh(genesis, store)
        sync = joiner(wire, application, checkpoint(source, 3))
        assert await asyncio.wait_for(sync.run(), 20) == 25
        asked = [chunk_index(data) for to, _, _, data in wire.sent if to == "new" and data[0] == 0x54]
        assert set(asked).isdisjoint(taken)
        assert "going on with a snapshot" in caplog.text
        assert application.ledger.check().ok
        store.close()


async def test_two_that_join_at_once_are_no_obstacle_to_each_other(tmp_path) -> None:
    """The only other peer of each joiner besides the source has no block yet: it confirms nothing."""
    async with served(tmp_path, "a") as (genesis, source, wire):
        applications = [fresh(genesis), fresh(genesis)]
        syncs = [
            joiner(wire, application, checkpoint(source, 3), name)
            for application, name in zip(applications, ("0", "1"), strict=True)
        ]
        heights = await asyncio.wait_for(asyncio.gather(*[sync.run() for sync in syncs]), 30)
        assert heights == [25, 25]
        assert wire.offences == []


async def test_peers_without_snapshots_are_waited_for(tmp_path) -> None:
    genesis, source = chain(5)
    wire = Wire()
    async with nodes_on(wire, a=source):
        sync = joiner(wire, fresh(genesis), checkpoint(source, 3))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sync.run(), 0.5)
        asked = [data for sender, _, _, data in wire.sent if sender == "new"]
        assert 1 <= len(asked) < 20, "asked again now and then, not all the time"


def test_the_application_takes_a_snapshot_only_where_there_is_no_state(tmp_path) -> None:
    _, source = chain(3)
    with pytest.raises(NotFound):
        source.apply_snapshot_chunk(0, b"")
    with pytest.raises(NotFound):
        source.load_snapshot_chunk(3, 0)
    assert source.list_snapshots() == []


async def test_the_applications_methods_hand_a_snapshot_over(tmp_path) -> None:
    genesis, source = chain(12)
    node = SyncNode(source, Port(Wire(), "a"), tmp_path)
    assert node.snapshots is not None
    made = await node.snapshots.make(source.ledger, 10)
    (info,) = source.list_snapshots()
    assert info == made
    loaded = node.snapshots.load(10)
    application = fresh(genesis)
    missing = application.offer_snapshot(loaded.manifest_bytes, loaded.anchor)
    with pytest.raises(SnapshotInvalid):
        application.apply_snapshot_chunk(0, b"wrong")
    outcomes = [
        application.apply_snapshot_chunk(index, source.load_snapshot_chunk(10, index)) for index in missing
    ]
    assert outcomes == [*[False] * (len(missing) - 1), True]
    assert application.info().height == 10
    assert application.validators == source.ledger.validators_at(11)
    assert application.seen_commit == source.ledger.blocks.commit(10)


async def test_a_joiner_of_real_networks_state_syncs_and_then_block_syncs(tmp_path) -> None:
    genesis, source = chain(30)
    application = fresh(genesis)
    a = RealNode(1, lambda network: SyncNode(source, network, tmp_path))
    await a.node.snapshots.make(source.ledger, 25)
    await a.network.start()

    syncs: list[StateSync] = []

    def make(network):
        sync = StateSync(application, network, checkpoint(source, 7), chain_id=genesis.chain_id, options=AGES)
        syncs.append(sync)
        return SyncFollower(network, state=sync)

    b = RealNode(2, make, a.address)
    await b.network.start()
    async with a.node.running():
        assert await asyncio.wait_for(syncs[0].run(), 30) == 25
        await b.network.stop()
        late = RealNode(3, lambda network: SyncNode(application, network), a.address)
        await late.network.start()
        try:
            async with late.node.running():
                await until(lambda: late.node.height == 30)
            assert application.ledger.tree_root == source.ledger.tree_root
            assert not a.network.offences
        finally:
            await late.network.stop()
            await a.network.stop()
