"""Engines in one loop, joined by a dictionary, on real applications: they agree, whatever stops, lies or is late."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from consensus.events import SignProposal, SignVote, Step
from consensus.replay import read_recording, replay
from consensus.wal import FileStorage
from node.bft_bodies import MAX_BODIES
from node.bft_late import LatePrecommits
from node.bft_options import Timeouts, Window
from node.bft_recording import Recording
from qenex.block import FLAG_ABSENT, PRECOMMIT, PREVOTE, Commit, SignedVote, vote_sign_bytes
from qenex.errors import SignerUnavailable
from tests.ledger.faults import Crash
from tests.node.bft_network import Chain, Member
from tests.node.chain_helpers import until


async def load(chain: Chain, count: int) -> list[bytes]:
    """`count` transfers from all wallets, to every pool that is up."""
    sent = []
    for number in range(count):
        wallet = chain.wallets[number % 10]
        sent.append(await chain.submit(wallet.transfer(chain.wallets[(number + 1) % 10].address, 1)))
        await asyncio.sleep(0)
    return sent


def landed(chain: Chain, sent: list[bytes]) -> bool:
    up = [member for member in chain.members if member.name in chain.network.engines]
    return all(
        member.application.ledger.blocks.locate(name) is not None for member in up for name in sent[-10:]
    )


@pytest.mark.parametrize("backend", ["memory", "leveldb"])
async def test_four_validators_agree_under_load_on_blocks_and_state(tmp_path: Path, backend: str):
    async with Chain(tmp_path, backend=backend) as chain:
        await until(lambda: min(chain.heights()) >= 1)
        sent = await load(chain, 300)
        await until(lambda: landed(chain, sent))
        height = max(chain.heights()) + 2
        await until(lambda: min(chain.heights()) >= height)
        chain.check_agreement()
        ledgers = [member.application.ledger for member in chain.members]
        places = [[ledger.blocks.locate(name) for name in sent] for ledger in ledgers]
        assert places[0] == places[1] == places[2] == places[3]
        assert None not in places[0]
        assert len({ledger.root_of(height - 1) for ledger in ledgers}) == 1
        rounds = [ledgers[0].blocks.commit(n).round for n in range(1, height)]
        assert set(rounds) == {0}, "no round failed"
        proposers = {ledgers[0].blocks.header(n).proposer for n in range(1, height)}
        assert proposers == {key.address for key in chain.keys}, "everybody has his turn"
        assert not any(member.gossip.punished for member in chain.members)


async def test_one_stopped_validator_does_not_stop_the_chain_and_catches_up(tmp_path: Path):
    async with Chain(tmp_path) as chain:
        await until(lambda: min(chain.heights()) >= 2)
        await chain.members[3].stop()
        before = max(chain.heights())
        sent = await load(chain, 20)
        await until(lambda: landed(chain, sent) and min(chain.heights()) >= before + 8)
        chain.members[3].start()
        await until(lambda: landed(chain, sent) and min(chain.heights()) >= before + 10)
        await until(
            lambda: (
                chain.members[3].engine.status.height >= max(chain.heights())
                and any(vote.address == chain.keys[3].address for vote in _last_signers(chain))
            ),
        )
        chain.check_agreement()


async def test_a_validator_that_is_always_too_late_is_not_absent(tmp_path: Path):
    """The three others decide long before it has looked at a block; the next block's commit has its precommit anyway."""
    async with Chain(tmp_path) as chain:
        slow = chain.members[3]
        slow.engine.blocks.check = _never  # type: ignore[method-assign]  # the machine that is too slow
        await until(lambda: min(chain.heights()) >= 12)
        ledger, last = chain.members[0].application.ledger, min(chain.heights())
        carried = [ledger.blocks.block(height).commit for height in range(4, last + 1)]
        signed = [
            [entry.address for entry in commit.signatures if entry.flag] for commit in carried if commit
        ]
        missing = [1 for addresses in signed if chain.keys[3].address not in addresses]
        assert len(missing) <= 1, "but for one that lost a race with the next proposal"
        chain.check_agreement()


async def test_nobody_makes_a_validator_absent_by_what_it_never_signed(tmp_path: Path):
    """A peer that sends garbage in its name puts out no verified precommit, and is punished: so many are looked at, no more."""
    async with Chain(tmp_path) as chain:
        await chain.members[3].stop()
        member, key = chain.members[0], chain.keys[3]
        app, start = member.application, max(chain.heights())
        await until(lambda: member.engine._height == app.ledger.height + 1 > start + 2)
        seen = app.seen_commit
        assert seen is not None
        assert [entry.flag for entry in seen.signatures if entry.address == key.address] == [FLAG_ABSENT]
        message = vote_sign_bytes(app.genesis.chain_id, PRECOMMIT, seen.height, seen.round, seen.block_hash)
        good = SignedVote(key.address, PRECOMMIT, seen.height, seen.round, seen.block_hash, key.sign(message))
        garbage = good._replace(signature=bytes(len(good.signature)))
        member.engine.receive("liar", garbage)
        assert [peer for peer, _ in member.gossip.punished] == ["liar"]
        late = LatePrecommits(app, member.gossip, None)
        late.note(good, seen.height, {key.address}, verified=True)
        for round in (seen.round, seen.round + 9):
            late.note(garbage._replace(round=round), seen.height, {key.address})
        late.decided(seen, None)
        assert app.seen_commit is not None
        assert key.address in [entry.address for entry in app.seen_commit.signatures if entry.flag]


async def _never(name: bytes) -> NoReturn:
    while True:
        await asyncio.Event().wait()


def _last_signers(chain: Chain) -> list[SignedVote]:
    """Votes of the last stored commit of the first member, those that are signed."""
    commit = chain.members[0].application.seen_commit
    assert commit is not None
    return [vote for vote in commit.signatures if vote.flag]  # type: ignore[misc]  # its address is what counts


async def test_two_stopped_validators_stop_the_chain_and_it_resumes(tmp_path: Path):
    async with Chain(tmp_path) as chain:
        await until(lambda: min(chain.heights()) >= 2)
        for member in chain.members[2:]:
            await member.stop()
        await asyncio.sleep(0.3)
        halted = chain.heights()
        sent = await load(chain, 10)
        await asyncio.sleep(1.0)
        assert max(chain.heights()) <= max(halted) + 1, "two of four decide nothing"
        chain.members[2].start()
        await until(lambda: landed(chain, sent))
        chain.members[3].start()
        height = max(chain.heights()) + 3
        await until(lambda: min(chain.heights()) >= height)
        chain.check_agreement()


async def test_lost_messages_are_repaired_by_summaries(tmp_path: Path):
    async with Chain(tmp_path) as chain:
        count = 0

        def lossy(sender: str, receiver: str) -> bool:
            nonlocal count
            count += 1
            return count % 10 not in (2, 5, 9)

        chain.network.on_message = lossy
        sent = await load(chain, 10)
        await until(lambda: landed(chain, sent) and min(chain.heights()) >= 5, 60)
        chain.check_agreement()


async def test_a_cut_network_heals(tmp_path: Path):
    async with Chain(tmp_path) as chain:
        await until(lambda: min(chain.heights()) >= 2)
        names = [member.name for member in chain.members]
        chain.network.cut = {frozenset((a, b)) for a in names[:2] for b in names[2:]}
        await asyncio.sleep(0.8)
        height = max(chain.heights())
        chain.network.cut.clear()
        await until(lambda: min(chain.heights()) >= height + 3, 30)
        chain.check_agreement()


async def test_a_node_without_a_key_follows_and_signs_nothing(tmp_path: Path):
    async with Chain(tmp_path, 3, followers=1) as chain:
        sent = await load(chain, 20)
        await until(lambda: landed(chain, sent) and min(chain.heights()) >= 4)
        assert not chain.members[3].gossip.sent
        chain.check_agreement()


async def test_a_key_that_is_not_the_validators_signs_nothing(tmp_path: Path):
    chain = Chain(tmp_path, 4)
    wrong = chain.members[3]
    assert wrong.key is not None
    wrong.key = wrong.key.from_seed(bytes([9]) * 64, wrong.key.address)
    async with chain:
        await until(lambda: min(chain.heights()) >= 4)
        assert not wrong.gossip.sent
        assert not any(member.gossip.punished for member in chain.members)
        assert "another consensus key" in wrong.engine.not_signing
        assert [member.engine.not_signing for member in chain.members if member is not wrong] == ["", "", ""]


async def test_it_tells_why_its_signer_signs_nothing_and_that_it_does_again(tmp_path: Path):
    async with Chain(tmp_path) as chain:
        await until(lambda: min(chain.heights()) >= 2)
        engine, signing = chain.members[2].engine, chain.members[2].engine._signing
        assert signing is not None
        asked, away = signing._ask, True

        def ask(request: SignProposal | SignVote) -> bytes:
            if away:
                raise SignerUnavailable("no signer answers at its socket")
            return asked(request)

        signing._ask = ask  # type: ignore[method-assign]  # the signer process that has gone
        await until(lambda: "no signer answers" in engine.not_signing)
        away = False
        await until(lambda: engine.not_signing == "")
        chain.check_agreement()


async def test_a_proposal_that_is_not_timely_is_not_prevoted(tmp_path: Path):
    chain = Chain(tmp_path)
    fast = chain.members[1]
    fast.clock = lambda: time.time_ns() + 3_600 * 10**9
    async with chain:
        await until(lambda: min(chain.heights()) >= 9, 60)
        blocks = chain.members[0].application.ledger.blocks
        proposers = [blocks.header(height).proposer for height in range(1, 9)]
        assert fast.key is not None
        assert fast.key.address not in proposers
        assert chain.members[0].engine.metrics.failed_rounds > 0
        assert max(blocks.header(height).time for height in range(1, 9)) < time.time_ns() + 10**9
        chain.check_agreement()


def clock_ahead(hours: int) -> Callable[[], int]:
    return lambda: time.time_ns() + hours * 3_600 * 10**9


async def test_a_height_of_many_rounds_keeps_a_few_bodies_and_not_one_of_each_round(tmp_path: Path):
    async with Chain(tmp_path, timeouts=Timeouts(0.3, 0.02, 0.02, 0.0)) as chain:
        await until(lambda: min(chain.heights()) >= 1)
        for n, member in enumerate(chain.members):  # nobody's proposal is timely for anybody else
            member.engine.blocks._clock = member.engine._clock = clock_ahead(n + 1)
        engines = [member.engine for member in chain.members]
        await until(lambda: min(engine.status.round for engine in engines) > 2 * MAX_BODIES)
        for engine in engines:
            assert len(engine.blocks.bodies.names()) <= MAX_BODIES


def test_the_window_grows_by_a_tenth_each_round():
    window = Window(precision_ns=500, message_delay_ns=1_000)
    assert window.holds(10_000, 9_500, 0)
    assert not window.holds(10_000, 9_499, 0)
    assert window.holds(10_000, 11_500, 0)
    assert not window.holds(10_000, 11_501, 0)
    assert window.holds(10_000, 11_710, 2)
    assert not window.holds(10_000, 11_711, 2)
    assert window.holds(0, 10**9, 1 << 32), "a round of any number costs no time"


async def test_a_double_vote_is_seen_and_its_evidence_lands_once(tmp_path: Path):
    async with Chain(tmp_path) as chain:
        await until(lambda: min(chain.heights()) >= 2)
        traitor = chain.keys[3]
        told = 0

        def vote_twice(engine, height: int) -> None:
            nonlocal told
            message = vote_sign_bytes(chain.genesis.chain_id, PREVOTE, height, 0, b"\x66" * 32)
            forged = SignedVote(traitor.address, PREVOTE, height, 0, b"\x66" * 32, traitor.sign(message))
            engine.receive("node3", forged)
            told += 1

        gossip = chain.members[3].gossip
        honest = gossip.send_vote

        def send_vote(vote: SignedVote, *, own: bool) -> None:
            honest(vote, own=own)
            if own and vote.type == PREVOTE and vote.block_hash is not None and told < 2:
                for member in chain.members[:2]:
                    vote_twice(member.engine, vote.height)

        gossip.send_vote = send_vote  # type: ignore[method-assign]  # it signs a second vote besides

        def evidence() -> list[tuple[int, bytes]]:
            ledger = chain.members[2].application.ledger
            return [
                (height, piece.first.address)
                for height in range(1, ledger.durable_height + 1)
                for piece in ledger.blocks.block(height).evidence
            ]

        await until(evidence)
        height = max(chain.heights())
        await until(lambda: min(chain.heights()) >= height + 4)
        found = evidence()
        assert [address for _, address in found] == [traitor.address]
        assert all(len(member.engine.evidence) == 0 for member in chain.members[:3])
        chain.check_agreement()


async def test_garbage_costs_its_sender_and_nobody_else(tmp_path: Path):
    async with Chain(tmp_path) as chain:
        await until(lambda: min(chain.heights()) >= 2)
        engine = chain.members[0].engine
        height, key = engine.status.height, chain.keys[1]
        engine.receive("liar", SignedVote(key.address, PREVOTE, height, 0, b"\x01" * 32, b"\x00" * 2_484))
        engine.receive("liar", SignedVote(chain.wallets[0].address, PREVOTE, height, 0, None, b"\x01"))
        await until(lambda: len(chain.members[0].gossip.punished) >= 2)
        assert {peer for peer, _ in chain.members[0].gossip.punished} == {"liar"}
        await until(lambda: min(chain.heights()) >= height + 2)


class DyingStorage(FileStorage):
    """Dies at the next sync once it is armed: before it, or after."""

    armed = ""

    def sync(self, name: str) -> None:
        if self.armed == "before":
            raise Crash
        super().sync(name)
        if self.armed:
            raise Crash


async def test_validators_that_die_at_a_sync_of_their_log_come_back_and_say_nothing_else(tmp_path: Path):
    chain = Chain(tmp_path)
    said: dict[tuple[object, ...], set[bytes | None]] = {}
    storages: dict[str, DyingStorage] = {}

    def note(member: Member) -> None:
        for message in member.gossip.sent:
            assert not isinstance(message, Commit)
            kind = message.type if isinstance(message, SignedVote) else 0
            place = member.name, message.height, message.round, kind
            said.setdefault(place, set()).add(message.block_hash)

    def make_storage(member: Member) -> DyingStorage:
        storages[member.name] = made = DyingStorage(member.folder / "wal")
        return made

    for member in chain.members:
        member.storage = functools.partial(make_storage, member)
    async with chain:
        for number in range(6):
            height = max(chain.heights())
            await until(lambda height=height: min(chain.heights()) >= height + 2)
            member = chain.members[number % 4]
            storages[member.name].armed = "before" if number % 2 else "after"
            await until(member.task.done)
            with pytest.raises(Crash):
                await member.task
            del chain.network.engines[member.name]
            note(member)
            member.close()
            member.start()
        height = max(chain.heights())
        await until(lambda: min(chain.heights()) >= height + 3)
        for member in chain.members:
            note(member)
        chain.check_agreement()
    assert all(len(blocks) == 1 for blocks in said.values()), "two messages for one place"


async def test_it_tells_where_it_stands(tmp_path: Path):
    chain = Chain(tmp_path, 1)
    async with chain:
        engine = chain.members[0].engine
        await until(lambda: min(chain.heights()) >= 2)
        assert engine.status.height >= 3
        assert engine.status.step in {step.name.lower() for step in Step}
        await engine.pause()
        assert engine.status.step == "syncing"
        with pytest.raises(ValueError, match="cannot go on"):
            await engine.resume_at(1_000)
        height = chain.members[0].application.ledger.height
        await engine.resume_at(height + 1)
        await until(lambda: min(chain.heights()) >= height + 2)
    assert engine.status.step == "stopped"


async def test_a_recording_replays_to_the_same_actions_and_is_bounded(tmp_path: Path):
    chain = Chain(tmp_path)
    for member, size in zip(chain.members, (1 << 26, 20_000), strict=False):
        member.recording = Recording(tmp_path / member.name / "recording", size)
    async with chain:
        sent = await load(chain, 10)
        await until(lambda: landed(chain, sent) and min(chain.heights()) >= 5)
        await chain.members[0].engine.pause()
        await chain.members[0].engine.resume_at(chain.members[0].application.ledger.height + 1)
        await until(lambda: min(chain.heights()) >= 8)
    whole = read_recording((tmp_path / "node0" / "recording.old").read_bytes())
    assert whole.own_address == chain.keys[0].address
    assert len(whole.steps) > 50
    assert replay(whole) == []
    assert replay(read_recording((tmp_path / "node0" / "recording").read_bytes())) == []
    assert (tmp_path / "node1" / "recording").stat().st_size <= 20_000
    assert replay(read_recording((tmp_path / "node1" / "recording").read_bytes())) == []
