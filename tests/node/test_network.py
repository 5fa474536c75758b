"""What peers say reaches pool and engine, and the other way round; between real transports on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from p2p.channels import Channel
from p2p.messages import (
    BodyPart,
    CommitMessage,
    Proposal,
    PushTransactions,
    Summary,
    Transactions,
    Votes,
    encode_message,
)
from p2p.messages import Message as PeerMessage
from p2p.outlines import outline_of
from qenex.block import Block, SignedProposal
from tests.node.chain_helpers import VALIDATOR, Wallet, make_genesis, until
from tests.node.network_helpers import Member, network
from tests.p2p.blocks import make_commit, make_evidence, make_vote

Scenario = Callable[[list[Member]], Coroutine[Any, Any, None]]


def play(folder: Path, wallets: list[Wallet], count: int, scenario: Scenario) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), network(folder, make_genesis(wallets), count) as members:
            await scenario(members)

    asyncio.run(run())


def propose(member: Member) -> tuple[Block, SignedProposal]:
    """A block of what waits at a member, and a proposal whose signature nobody looks at here."""
    made = member.application.prepare_proposal(member.application.parent_time + 10**9, VALIDATOR.address)
    member.notes.blocks[made.hash] = made.block
    return made.block, SignedProposal(VALIDATOR.address, 1, 0, -1, made.hash, b"signature")


def test_what_is_submitted_anywhere_comes_into_every_pool_and_is_verified_once(tmp_path: Path) -> None:
    wallets = [Wallet(number) for number in range(1, 5)]

    async def scenario(members: list[Member]) -> None:
        for _ in range(25):
            for member, wallet in zip(members, wallets, strict=True):
                await member.node.submit(wallet.transfer(wallets[0].address))
        await until(lambda: all(len(member.application.mempool) == 100 for member in members))
        for member in members:
            assert member.application.verifier.verified == 100
            assert not sum(member.transport.offences.values())

    play(tmp_path, wallets, 4, scenario)


def test_a_late_joiner_gets_what_waits(tmp_path: Path) -> None:
    alice = Wallet(1)

    async def scenario(members: list[Member]) -> None:
        first, second = members
        first.transport.isolate([second.id])
        await until(lambda: not second.transport.peers())
        for _ in range(50):
            await first.node.submit(alice.transfer(alice.address))
        first.transport.isolate(None)
        await until(lambda: len(second.application.mempool) == 50)

    play(tmp_path, [alice], 2, scenario)


@pytest.mark.parametrize("kind", ["votes", "summaries", "commits", "proposals"])
def test_a_flood_of_past_heights_which_is_no_offence_by_itself_is_one_as_a_flood(
    tmp_path: Path, kind: str
) -> None:
    old = make_vote(1, 0, 0)
    said: dict[str, PeerMessage] = {
        "votes": Votes((old,) * 64),
        "summaries": Summary(0, 0, 0, (), ()),
        "commits": CommitMessage(make_commit(0, b"h" * 32)),
        "proposals": Proposal(SignedProposal(VALIDATOR.address, 0, 0, -1, b"h" * 32, b"s"), None),
    }

    async def scenario(members: list[Member]) -> None:
        one, other = members
        message = said[kind]
        for _ in range(1_000):
            other.node.on_message(one.id, Channel.CONSENSUS, encode_message(message))
            if one.id in other.transport.bans():
                return
        raise AssertionError("a flood without end")

    play(tmp_path, [], 2, scenario)


@pytest.mark.parametrize("shared", [True, False])
def test_a_proposal_arrives_as_its_outline_and_is_filled_in(tmp_path: Path, shared: bool) -> None:
    """Whether the others hold the transactions or not."""
    alice = Wallet(1)

    async def scenario(members: list[Member]) -> None:
        proposer, *others = members
        for _ in range(60):
            raw = alice.transfer(alice.address)
            if shared:
                await proposer.node.submit(raw)
            else:
                proposer.application.check_tx(raw)
        await until(lambda: all(len(m.application.mempool) == 60 * shared for m in others))
        block, proposal = propose(proposer)
        proposer.node.send_proposal(proposal, block, own=True)
        for other in others:
            await until(lambda other=other: proposal in other.notes.messages)
            found = await other.node.fetch_body(proposal.block_hash)
            assert found == block
            assert other.application.process_proposal(found).accepted
            assert other.node.proposals.fetched == (0 if shared else 60)

    play(tmp_path, [alice], 3, scenario)


def test_a_proposal_passes_through_a_node_to_one_that_the_proposer_does_not_reach(tmp_path: Path) -> None:
    wallets = [Wallet(number) for number in range(1, 7)]

    async def scenario(members: list[Member]) -> None:
        proposer, middle, far = members
        proposer.transport.isolate([far.id])
        await until(lambda: len(far.transport.peers()) == 1)
        for wallet in wallets:
            for _ in range(60):
                proposer.application.check_tx(wallet.transfer(wallet.address))
        block, proposal = propose(proposer)
        proposer.node.send_proposal(proposal, block, own=True)
        await until(lambda: proposal in middle.notes.messages)
        middle.node.send_proposal(proposal, None, own=False)
        await until(lambda: proposal in far.notes.messages)
        fetching = asyncio.create_task(far.node.fetch_body(proposal.block_hash))
        middle.notes.blocks[proposal.block_hash] = await middle.node.fetch_body(proposal.block_hash)
        assert await fetching == block

    play(tmp_path, wallets, 3, scenario)


def test_a_fetch_that_nobody_waits_for_any_more_is_abandoned(tmp_path: Path) -> None:
    async def scenario(members: list[Member]) -> None:
        tasks = [asyncio.create_task(members[0].node.fetch_body(bytes(32))) for _ in range(2)]
        await until(lambda: members[0].node.proposals.waiting == 1)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        assert members[0].node.proposals.waiting == 1
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert members[0].node.proposals.waiting == 0

    play(tmp_path, [], 2, scenario)


def test_votes_and_evidence_reach_everybody_and_are_not_sent_back(tmp_path: Path) -> None:
    async def scenario(members: list[Member]) -> None:
        first, *others = members
        vote, evidence = make_vote(1, height=1), make_evidence(1)
        first.node.send_vote(vote, own=True)
        first.node.send_evidence([evidence])
        for other in others:
            await until(lambda other=other: vote in other.notes.messages and other.notes.evidence)
            other.node.send_vote(vote, own=False)
            other.node.send_evidence([evidence])
        await until(lambda: all(not member.node.flood._relayed for member in members))
        assert vote not in first.notes.messages
        assert not first.notes.evidence

    play(tmp_path, [], 3, scenario)


def test_summaries_are_told_when_they_change_regularly_and_to_who_comes(tmp_path: Path) -> None:
    async def scenario(members: list[Member]) -> None:
        first, second = members
        assert [peer for peer, _ in second.notes.summaries][:1] == [first.id]
        first.notes.own = first.notes.own._replace(round=7)
        first.node.summary_changed()
        await until(lambda: any(summary.round == 7 for _, summary in second.notes.summaries))
        count = len(second.notes.summaries)
        await until(lambda: len(second.notes.summaries) >= count + 2)
        first.notes.waiting = [make_evidence(2)]
        first.transport.isolate([second.id])
        await until(lambda: second.notes.gone == [first.id])
        first.transport.isolate(None)
        await until(lambda: second.notes.evidence == [(first.id, make_evidence(2))])

    play(tmp_path, [], 2, scenario)


def test_a_peer_that_lacks_a_message_is_sent_it(tmp_path: Path) -> None:
    alice = Wallet(1)

    async def scenario(members: list[Member]) -> None:
        first, second = members
        first.application.check_tx(alice.transfer(alice.address))
        block, proposal = propose(first)
        vote = make_vote(1, height=1)
        first.node.send_to(second.id, [proposal, vote])
        await until(lambda: {*second.notes.messages} == {proposal, vote})
        assert await second.node.fetch_body(proposal.block_hash) == block
        first.node.send_to("gone", [proposal, vote])

    play(tmp_path, [alice], 2, scenario)


def test_lies_and_garbage_cost_their_sender(tmp_path: Path) -> None:
    alice = Wallet(1)

    async def scenario(members: list[Member]) -> None:
        judge, *liars = members
        names = ["answers", "body", "outline", "transaction", "vote", "garbage"]
        by = dict(zip(names, liars, strict=True))
        other, proposal = propose(judge)
        del judge.notes.blocks[proposal.block_hash]
        by["answers"].say(judge, Channel.MEMPOOL, Transactions(9, (b"unasked",), True))
        by["body"].say(judge, Channel.CONSENSUS, BodyPart(bytes(32), None, (), True))
        false = proposal._replace(block_hash=bytes(32))
        by["outline"].node.flood.proposal(false, lambda: outline_of(other), own=True)
        by["transaction"].say(
            judge, Channel.MEMPOOL, PushTransactions((alice.transfer(alice.address, garbage=True),))
        )
        judge.node.punish(by["vote"].id, "a message with a bad signature")
        assert by["garbage"].transport.send(judge.id, Channel.CONSENSUS, b"\x01\xc1")
        await until(lambda: all(judge.score_of(liar) > 0 for liar in liars))
        assert judge.transport.offences == {
            "unsolicited": 2, "false_content": 1, "invalid_transaction": 1, "invalid_signature": 1, "malformed": 1,
        }  # fmt: skip
        assert len(judge.application.mempool) == 0

    play(tmp_path, [alice], 7, scenario)
