"""Block sync: a late node gets the same chain from honest peers, whatever the others send it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import node.block_sync as module
from ledger.backend import StorageFault
from ledger.backends.memory import MemoryBackend
from ledger.keys import VALUE
from ledger.store import Ledger
from node.admission import Admission
from node.application import Application
from node.block_sync import BlockSync
from node.foreign_blocks import decode_transactions
from node.modules import make_machine
from node.verifier import Verifier
from p2p.channels import Channel
from p2p.offences import Offence
from p2p.sync_messages import BlockAnswer, GetBlock, Status, decode_sync, encode_sync, read_head
from qenex.block import FLAG_COMMIT, Block, block_hash, decode_block, encode_block
from qenex.errors import InternalError
from qenex.state_keys import account_state_key
from tests.node.chain_helpers import open_application
from tests.node.sync_net import (
    Claimer,
    Port,
    RealNode,
    SyncNode,
    Wire,
    chain,
    grow,
    nodes_on,
    until,
    wallets,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)


@pytest.fixture
def genesis_and_source():
    return chain(30)


async def test_a_late_node_fetches_verifies_and_executes_all_blocks(genesis_and_source) -> None:
    genesis, source = genesis_and_source
    late = open_application(Path(), genesis)
    wire = Wire()
    async with nodes_on(wire, a=source, late=late) as (_, node):
        await until(lambda: node.height == 30 and not node.sync.status.syncing)
        await until(lambda: node.consensus.log == ["pause", 31])
    assert late.ledger.tree_root == source.ledger.tree_root
    assert late.ledger.block_hash == source.ledger.block_hash
    assert late.seen_commit == source.seen_commit
    assert wire.offences == []
    assert late.ledger.check().ok


async def test_blocks_come_from_several_peers(genesis_and_source) -> None:
    genesis, source = genesis_and_source
    copies = [open_application(Path(), genesis) for _ in range(2)]
    for copy in copies:
        for height in range(1, 31):
            copy.finalize_block(source.ledger.blocks.block(height))
            copy.commit(source.ledger.blocks.block(height), source.ledger.blocks.commit(height))
    late = open_application(Path(), genesis)
    wire = Wire()
    async with nodes_on(wire, a=source, b=copies[0], c=copies[1], late=late) as nodes:
        await until(lambda: nodes[3].height == 30)
    asked = [to for sender, to, _, data in wire.sent if sender == "late" and data[0] == 0x31]
    assert {*asked} == {"a", "b", "c"}
    assert wire.offences == []


async def test_consensus_is_resumed_only_when_the_node_has_what_its_peers_have(genesis_and_source) -> None:
    genesis, source = genesis_and_source
    people = wallets()
    for n, wallet in enumerate(people):
        wallet.sequence = len(range(n, 30, 3))
    late = open_application(Path(), genesis)
    wire = Wire()
    async with nodes_on(wire, a=source, late=late) as (_, node):
        await until(lambda: node.consensus.log)
        grow(source, people, 10)  # the chain goes on meanwhile
        await until(lambda: node.height == 40)
    assert node.consensus.log[-1] >= 31
    assert node.consensus.log.count("pause") == sum(isinstance(entry, int) for entry in node.consensus.log)


async def test_a_node_that_has_everything_never_pauses_consensus(genesis_and_source) -> None:
    genesis, source = genesis_and_source
    wire = Wire()
    other = open_application(Path(), genesis)
    async with nodes_on(wire, a=source, b=other) as nodes:
        await until(lambda: nodes[1].height == 30 and len(nodes[1].consensus.log) == 2)
        looks = len(wire.sent)
        await asyncio.sleep(0.1)
        assert nodes[0].consensus.log == []
        assert len(nodes[1].consensus.log) == 2
        assert len(wire.sent) - looks < 5


# -- liars -----------------------------------------------------------------------------------------


async def test_a_lying_height_stops_nobody_and_costs_the_liar(genesis_and_source) -> None:
    genesis, source = genesis_and_source
    late = open_application(Path(), genesis)
    wire = Wire()
    liar = Claimer(wire, "liar", 10**18)

    def deny(peer: str, channel: Channel, payload: bytes) -> bytes | None:
        tag, number = read_head(channel, payload)
        if tag != 0x31:
            return None
        question = decode_sync(channel, payload)
        assert isinstance(question, GetBlock)
        return encode_sync(BlockAnswer(question.height, 10**18, None, None), number)

    liar.reply = deny
    wire.connect("liar", liar)
    async with nodes_on(wire, late=late) as (node,):
        await until(lambda: ("late", "liar", Offence.FALSE_CLAIM) in [entry[:3] for entry in wire.offences])
        assert node.consensus.log == [], "nothing that was not verified pauses consensus"
        async with nodes_on(wire, a=source):
            await until(lambda: node.height == 30)
    assert wire.blamed() == {"liar"}


async def test_a_silent_liar_is_given_up_and_consensus_goes_on(genesis_and_source, monkeypatch) -> None:
    import p2p.block_sync as pure

    monkeypatch.setattr(pure, "REQUEST_SECONDS", 0.05)
    monkeypatch.setattr(module, "STALL_SECONDS", 0.3)
    genesis, source = genesis_and_source
    late = open_application(Path(), genesis)
    wire = Wire()
    wire.connect("liar", Claimer(wire, "liar", 10**18))
    async with nodes_on(wire, a=source, late=late) as (_, node):
        await until(lambda: node.height == 30 and isinstance(node.consensus.log[-1], int))
    assert ("late", "liar", Offence.UNRESPONSIVE) in [entry[:3] for entry in wire.offences]


async def test_who_claims_the_sky_and_hands_out_each_new_block_first_pauses_nobody(
    genesis_and_source, monkeypatch
) -> None:
    import p2p.block_sync as pure

    monkeypatch.setattr(pure, "REQUEST_SECONDS", 0.2)
    genesis, source = genesis_and_source
    validator = open_application(Path(), genesis)
    blocks = source.ledger.blocks
    for height in range(1, 30):
        validator.finalize_block(blocks.block(height))
        validator.commit(blocks.block(height), blocks.commit(height))
    wire = Wire()
    liar = Claimer(wire, "liar", 10**18)

    def feed(peer: str, channel: Channel, payload: bytes) -> bytes | None:
        tag, number = read_head(channel, payload)
        question = decode_sync(channel, payload)
        if tag != 0x31 or question != GetBlock(30):
            return None
        return encode_sync(BlockAnswer(30, 10**18, blocks.block_bytes(30), blocks.commit(30)), number)

    liar.reply = feed
    wire.connect("liar", liar)
    async with nodes_on(wire, validator=validator) as (node,):
        await until(lambda: Offence.UNRESPONSIVE in [offence for _, _, offence, _ in wire.offences])
        assert node.consensus.log == []
        assert node.height == 29


async def test_what_a_single_peer_claims_keeps_nobody_out_of_consensus(
    genesis_and_source, monkeypatch
) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 1e9)
    genesis, source = genesis_and_source
    late = open_application(Path(), genesis)
    wire = Wire()
    wire.connect("liar", Claimer(wire, "liar", 10**18))
    async with nodes_on(wire, a=source, late=late) as (_, node):
        await until(lambda: node.height == 30 and node.consensus.log[-1] == 31)


def tamper(kind: str, data: bytes) -> bytes:
    """A peer's answer, made wrong in one way."""
    _, number = read_head(Channel.BLOCKS, data)
    answer = decode_sync(Channel.BLOCKS, data)
    assert isinstance(answer, BlockAnswer)
    block = decode_block(answer.block or b"")
    if kind == "garbage":
        return encode_sync(answer._replace(block=b"\x94garbage"), number)
    if kind == "transactions":
        block = block._replace(transactions=())
    elif kind == "header":
        block = block._replace(header=block.header._replace(time=block.header.time + 1))
    elif kind == "height":
        return encode_sync(answer._replace(height=answer.height + 1), number)
    elif kind == "commit" and block.commit is not None:
        vote = block.commit.signatures[0]._replace(signature=bytes(64), flag=FLAG_COMMIT)
        commit = block.commit._replace(signatures=(vote,))
        from qenex.block import commit_hash

        header = block.header._replace(commit_hash=commit_hash(commit))
        block = block._replace(commit=commit, header=header)
    return encode_sync(answer._replace(block=encode_block(block)), number)


@pytest.mark.parametrize("kind", ["garbage", "transactions", "header", "height", "commit"])
async def test_a_wrong_block_is_refused_its_sender_pays_and_another_peer_is_asked(
    genesis_and_source, kind
) -> None:
    genesis, source = genesis_and_source
    honest = open_application(Path(), genesis)
    for height in range(1, 31):
        honest.finalize_block(source.ledger.blocks.block(height))
        honest.commit(source.ledger.blocks.block(height), source.ledger.blocks.commit(height))
    late = open_application(Path(), genesis)
    wire = Wire()
    wire.change = lambda sender, to, channel, data: (
        tamper(kind, data) if sender == "liar" and to == "late" and data[0] == 0x32 else data
    )
    async with nodes_on(wire, liar=source, honest=honest, late=late) as nodes:
        await until(lambda: nodes[2].height == 30)
    assert late.ledger.tree_root == source.ledger.tree_root
    assert wire.blamed() == {"liar"}
    assert {entry[2] for entry in wire.offences} <= {
        Offence.FALSE_CONTENT,
        Offence.UNSOLICITED,
        Offence.MALFORMED,
    }


async def test_unsolicited_blocks_are_refused_before_they_are_decoded(genesis_and_source) -> None:
    genesis, _ = genesis_and_source
    late = open_application(Path(), genesis)
    wire = Wire()
    async with nodes_on(wire, late=late) as (node,):
        pusher = Claimer(wire, "pusher", 0)
        wire.connect("pusher", pusher)
        # Not even MessagePack: decoding it would be a MALFORMED, not an UNSOLICITED.
        pusher.port.send("late", Channel.BLOCKS, b"\x32\x00\x00\x00\x07" + b"\xff" * 4_000_000)
        await until(lambda: wire.offences)
        assert wire.offences == [
            ("late", "pusher", Offence.UNSOLICITED, "an answer to nothing that was asked")
        ]
        assert node.height == 0


async def test_a_decided_block_that_breaks_the_rules_ends_the_node(genesis_and_source) -> None:
    """Whatever more than 2/3 signed is the chain; a node that computes otherwise must not go on."""
    genesis, source = genesis_and_source
    other = open_application(Path(), make_other(genesis))
    wire = Wire()
    node = SyncNode(other, Port(wire, "late"))
    wire.connect("late", node.follower)
    async with nodes_on(wire, a=source):
        with pytest.raises(InternalError, match="breaks this node's rules"):
            await asyncio.wait_for(node.sync.run(), 20)
    assert other.ledger.height == 0


def make_other(genesis):
    from tests.node.chain_helpers import make_genesis

    return make_genesis(wallets(2), chain_id=genesis.chain_id)


async def test_a_peer_that_comes_and_goes_does_no_harm(genesis_and_source) -> None:
    genesis, source = genesis_and_source
    late = open_application(Path(), genesis)
    wire = Wire()
    wire.connect("ghost", Claimer(wire, "ghost", 500))
    async with nodes_on(wire, late=late) as (node,):
        await until(lambda: node.sync.status.target == 500)
        wire.disconnect("ghost")
        assert node.sync.status.target == 0
        async with nodes_on(wire, a=source):
            await until(lambda: node.height == 30)


async def test_a_node_none_of_whose_peers_has_the_next_block_says_so(
    genesis_and_source, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.1)
    genesis, _ = genesis_and_source
    late = open_application(Path(), genesis)
    wire = Wire()
    wire.connect("pruned", Claimer(wire, "pruned", 500, base=400))
    async with nodes_on(wire, late=late):
        await until(lambda: "join by a snapshot" in caplog.text)
    assert wire.offences == []


async def test_who_is_stopped_while_it_waits_for_a_write_leaves_no_thread_at_the_store(
    genesis_and_source, monkeypatch: pytest.MonkeyPatch
) -> None:
    genesis, source = genesis_and_source
    late = open_application(Path(), genesis)
    second = source.ledger.blocks.block(2)
    goes_on, write = threading.Event(), late.ledger.write

    def slow(staged: Any) -> None:
        goes_on.wait()
        write(staged)

    monkeypatch.setattr(late.ledger, "write", slow)
    wire = Wire()
    node = SyncNode(late, Port(wire, "late"))
    async with nodes_on(wire, a=source):
        wire.connect("late", node.follower)
        tasks = [asyncio.create_task(node.follower.run()), asyncio.create_task(node.sync.run())]
        try:
            await until(lambda: second is not None and late.holds(block_hash(second.header)))
            for _ in range(100):  # its tree as well: then the first one's write is waited for
                await asyncio.sleep(0)
            for _ in range(2):
                tasks[1].cancel()
                for _ in range(100):
                    await asyncio.sleep(0)
                assert not tasks[1].done()
        finally:
            goes_on.set()
            tasks[0].cancel()
            await asyncio.wait(tasks)
    assert tasks[1].cancelled()
    assert late.ledger.durable_height == 1


async def test_what_comes_while_a_block_is_verified_is_not_waited_for(
    genesis_and_source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event was cleared before each wait: the blocks after the first one were looked at half a second later."""
    genesis, source = genesis_and_source
    late = open_application(Path(), genesis)
    wire = Wire()

    def asked(sender: str, to: str, channel: Channel, data: bytes) -> bytes:
        if sender == "late" and data[0] == 0x31:
            monkeypatch.setattr(module, "LOOK_SECONDS", 1e9)
        return data

    wire.change = asked

    async def decoded(block: Block, admission: Admission) -> Any:
        for _ in range(100):  # all that was asked for comes meanwhile
            await asyncio.sleep(0)
        return await decode_transactions(block, admission)

    monkeypatch.setattr(module, "decode_transactions", decoded)
    async with nodes_on(wire, a=source, late=late) as (_, node):
        await until(lambda: node.height == 30)


async def test_the_first_of_several_blocks_is_at_the_verifier_before_the_next_is_decoded(
    genesis_and_source, monkeypatch: pytest.MonkeyPatch
) -> None:
    genesis, source = genesis_and_source
    late = open_application(Path(), genesis)
    log: list[int] = []

    async def decoded(block: Block, admission: Admission) -> Any:
        log.append(block.header.height)
        for _ in range(100):  # the others would get their turn here
            await asyncio.sleep(0)
        log.append(block.header.height)
        return await decode_transactions(block, admission)

    monkeypatch.setattr(module, "decode_transactions", decoded)
    async with nodes_on(Wire(), a=source, late=late) as (_, node):
        await until(lambda: node.height == 30)
    assert log == [height for height in range(1, 31) for _ in range(2)]


@pytest.mark.parametrize(("bytes_ahead", "blocks_ahead"), [(1, 3), (8 << 20, 8)])
async def test_so_many_blocks_are_verified_ahead_and_no_more_bytes(
    genesis_and_source, monkeypatch: pytest.MonkeyPatch, bytes_ahead: int, blocks_ahead: int
) -> None:
    """Decoded blocks take a multiple of their bytes: large ones are not kept by the eight."""
    genesis, source = genesis_and_source
    late = open_application(Path(), genesis)
    monkeypatch.setattr(module, "AHEAD_BYTES", bytes_ahead)
    ahead: list[int] = []

    async def decoded(block: Block, admission: Admission) -> Any:
        for _ in range(100):  # more comes meanwhile
            await asyncio.sleep(0)
        ahead.append(len(node.sync._verifying))
        return await decode_transactions(block, admission)

    monkeypatch.setattr(module, "decode_transactions", decoded)
    wire = Wire()
    node = SyncNode(late, Port(wire, "late"))
    async with nodes_on(wire, a=source):
        wire.connect("late", node.follower)
        async with node.running():
            await until(lambda: node.height == 30)
    assert max(ahead) == blocks_ahead


async def test_blocks_verified_ahead_are_let_go_when_consensus_was_faster(
    genesis_and_source, monkeypatch: pytest.MonkeyPatch
) -> None:
    genesis, source = genesis_and_source
    late = open_application(Path(), genesis)
    overtaken = asyncio.Event()

    async def decoded(block: Block, admission: Admission) -> Any:
        await overtaken.wait()
        return await decode_transactions(block, admission)

    monkeypatch.setattr(module, "decode_transactions", decoded)
    async with nodes_on(Wire(), a=source, late=late) as (_, node):
        await until(lambda: node.sync._verifying)
        for height in range(1, 31):
            block, commit = source.ledger.blocks.block(height), source.ledger.blocks.commit(height)
            late.finalize_block(block)
            late.commit(block, commit)
        overtaken.set()
        await until(lambda: not node.sync._verifying)
        assert not node.sync._decoded
        assert not node.sync.applied


@pytest.mark.parametrize("kind", ["signer", "recipient"])
async def test_a_damaged_record_that_is_read_ahead_ends_the_node_as_the_disks_fault(kind: str) -> None:
    """As everywhere: a node that goes on after a failed read would compute another state. No peer is to blame."""
    genesis, source = chain(5)
    store = MemoryBackend()
    machine = make_machine()
    ledger = Ledger.create_in(store, genesis, codecs=machine.state_codecs)
    Application.init_chain(machine, ledger)
    people = wallets()  # in block 1 the first pays the second
    address = people[0 if kind == "signer" else 1].address
    batch = store.batch()
    batch.put(VALUE + account_state_key(address), b"\xc1")
    store.write(batch, sync=True)
    late = Application(machine, Ledger.open_in(store, codecs=machine.state_codecs), Verifier(0))
    wire = Wire()
    node = SyncNode(late, Port(wire, "late"))
    async with nodes_on(wire, a=source):
        wire.connect("late", node.follower)
        following = asyncio.create_task(node.follower.run())
        with pytest.raises(StorageFault, match="a stored value is damaged"):
            await asyncio.wait_for(node.sync.run(), 20)
        following.cancel()
    assert late.ledger.height == 0
    assert wire.offences == []


async def test_a_late_joiner_of_real_networks_block_syncs() -> None:
    genesis, source = chain(25)
    late = open_application(Path(), genesis)
    a = RealNode(1, lambda network: SyncNode(source, network))
    await a.network.start()
    b = RealNode(2, lambda network: SyncNode(late, network), a.address)
    await b.network.start()
    try:
        async with a.node.running(), b.node.running():
            await until(lambda: b.node.height == 25)
        assert late.ledger.tree_root == source.ledger.tree_root
        assert not b.network.offences
    finally:
        await b.network.stop()
        await a.network.stop()


def test_status_is_of_the_durable_height(genesis_and_source) -> None:
    genesis, source = genesis_and_source
    wire = Wire()
    node = SyncNode(source, Port(wire, "a"))
    assert node.server.status() == Status(30, 1)
    sync = BlockSync(source, Port(wire, "a"), node.consensus)
    assert sync.status == (False, 30, 0)
    assert genesis.initial_height == 1
