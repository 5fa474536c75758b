"""`NodeNetwork`: what peers say goes to the pool, the engine and block sync; what those have to say goes to the peers.

Everything runs on the event loop. The pure parts (`p2p.gossip`, `p2p.proposals`, `p2p.flood`) say when they have
something to do by their `due`; one timer serves all three. Messages of other channels go to whoever took them
over by `route`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from consensus.events import Message
from ledger.backend import StorageFault
from node.application import Application
from node.bft_face import Consensus
from node.entrance import Entrance
from node.gate import Gate
from node.intake import Intake, Outcome
from node.outcomes import Committed
from node.tasks import watched
from p2p import messages
from p2p.channels import Channel
from p2p.flood import Flood
from p2p.gossip import TransactionGossip
from p2p.limits import Bucket, Rate
from p2p.messages import decode_message, encode_message
from p2p.offences import Offence
from p2p.peers import PeerInfo
from p2p.proposals import Proposals
from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    PRECOMMIT,
    Block,
    Commit,
    CommitSignature,
    Evidence,
    SignedProposal,
    SignedVote,
)
from qenex.crypto.address import Address
from qenex.transaction import Transaction, witness_hash

log = logging.getLogger("qenex.network")

SUMMARY_SECONDS: Final = 1.0
"""Peers are told at least so often where this node stands: it is how what was lost is found."""
SUMMARY_GAP_SECONDS: Final = 0.2
"""And at most so often, when it changes."""
SUMMARY_DELAY_SECONDS: Final = 0.01
"""What changes in quick succession is told at once."""
MAX_PRECOMMITS: Final = 1_200
"""Precommits kept to put commits together, of the last height and the one in progress."""
RATES: Final = {
    messages.Votes: Rate(40_000, 8_000),
    messages.Summary: Rate(100, 20),
    messages.Proposal: Rate(600, 60),
    messages.CommitMessage: Rate(60, 10),
}
"""Votes, and messages of other kinds, of one peer. Several times what the largest set of validators says in ten rounds a
second; what is beyond is not looked at, and an offence. For messages of past heights, which are no offence, cost time too."""
EARLY: Final = 0.001
"""Timers are this exact."""


class Transport(Protocol):
    """What is used of `p2p.network.Network`."""

    def send(self, peer_id: str, channel: Channel, payload: bytes) -> bool: ...

    def punish(self, peer_id: str, offence: Offence, detail: str = "") -> None: ...

    def peer_ids(self) -> list[str]: ...


class Follower(Protocol):
    """Who takes over channels: block and state sync."""

    def on_message(self, peer: str, channel: Channel, payload: bytes) -> None:
        """A payload of one of its channels. Raises MalformedBytes or TooLarge: the peer pays."""
        ...

    def on_connected(self, info: PeerInfo) -> None:
        """A peer has come."""
        ...

    def on_disconnected(self, peer: str) -> None:
        """A peer has gone."""
        ...


def _nobody(error: BaseException) -> None:
    """Before `NodeNetwork.start`."""


class _Holdings:
    """What the node holds, as gossip and proposals see it."""

    def __init__(self, network: NodeNetwork) -> None:
        self._network = network
        self._pool = network.application.mempool
        self._intake = network.intake

    def __contains__(self, witness_id: bytes) -> bool:
        return self._pool.get_witness(witness_id) is not None or witness_id in self._intake

    def raw_of(self, witness_id: bytes) -> bytes | None:
        tx = self._pool.get_witness(witness_id)
        return self._intake.raw_of(witness_id) if tx is None else tx.raw

    def witness_ids(self) -> Iterable[bytes]:
        return [tx.witness_id for tx in self._pool.in_order()]

    def body(self, name: bytes) -> Block | None:
        consensus = self._network.consensus
        return None if consensus is None else consensus.body(name)

    def commit(self, outline: messages.CommitOutline) -> Commit | None:
        return self._network.precommits.rebuild(outline, self._network.application)


class Precommits:
    """Precommits of the last height and the one in progress, from which a proposal's commit is put together.

    Those that came after a height was decided count too: a proposer had some of them in time. They are not
    verified; a wrong one makes the commit's hash differ, and the commit is asked for.
    """

    def __init__(self) -> None:
        self._votes: dict[tuple[int, int, Address, bytes | None], bytes] = {}
        self._addresses: frozenset[Address] = frozenset()

    def __len__(self) -> int:
        return len(self._votes)

    def note(self, vote: SignedVote, *, verified: bool) -> None:
        """Keep a precommit. One that was verified takes the place of one that was not."""
        if vote.type != PRECOMMIT or vote.address not in self._addresses:
            return
        key = vote.height, vote.round, vote.address, vote.block_hash
        if verified or (key not in self._votes and len(self._votes) < MAX_PRECOMMITS):
            self._votes[key] = vote.signature

    def advance(self, last: int, addresses: Iterable[Address]) -> None:
        """`last` is the last height that was decided; `addresses` are the validators of it and the next one."""
        self._addresses = frozenset(addresses)
        for key in [key for key in self._votes if key[0] < last]:
            del self._votes[key]

    def rebuild(self, outline: messages.CommitOutline, application: Application) -> Commit | None:
        """The commit of these flags, as far as it can be said."""
        seen, validators = application.seen_commit, application.last_validators
        if (
            seen is None
            or (seen.height, seen.block_hash) != (outline.height, outline.block_hash)
            or len(validators) != len(outline.flags)
        ):
            return None
        mine = {entry.address: entry for entry in seen.signatures} if seen.round == outline.round else {}
        entries: list[CommitSignature] = []
        for validator, flag in zip(validators, outline.flags, strict=True):
            known = mine.get(validator.address)
            if flag == FLAG_ABSENT:
                entries.append(CommitSignature(validator.address, FLAG_ABSENT, b""))
            elif known is not None and known.flag == flag:
                entries.append(known)
            else:
                voted = outline.block_hash if flag == FLAG_COMMIT else None
                signature = self._votes.get((outline.height, outline.round, validator.address, voted))
                if signature is None:
                    return None
                entries.append(CommitSignature(validator.address, flag, signature))
        return Commit(outline.height, outline.round, outline.block_hash, tuple(entries))


class NodeNetwork:
    """See the module. `attach` gives it transport and engine before `start`. Implements `node.bft_face.Gossip`."""

    def __init__(
        self, application: Application, *, push_peers: int | None = None, gate: Gate | None = None
    ) -> None:
        self.application = application
        self.precommits = Precommits()
        self._advance(application.ledger.height)
        self.intake = Intake(
            application.admission,
            Outcome(self._admitted, self._forget, self._punish),
        )
        self.entrance = Entrance(application, self._spread, gate)
        self.consensus: Consensus | None = None
        self._transport: Transport | None = None
        holdings = _Holdings(self)
        clock = time.monotonic
        options = {} if push_peers is None else {"push_peers": push_peers}
        self.transactions = TransactionGossip(
            holdings, self._sender(Channel.MEMPOOL), self.intake.put, self._punish, clock,
            has_room=lambda: self.intake.has_room, **options,
        )  # fmt: skip
        self.proposals = Proposals(
            holdings, self._sender(Channel.CONSENSUS), self._complete, self._punish, clock
        )
        self.flood = Flood(
            self._sender(Channel.CONSENSUS), self._sender(Channel.EVIDENCE), clock, random.random
        )
        self._parts = (self.flood, self.proposals, self.transactions)
        self._followers: dict[Channel, Follower] = {}
        self._bodies: dict[bytes, dict[asyncio.Future[Block], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._summary_timer: asyncio.TimerHandle | None = None
        self._summary_at = 0.0
        self._summary_sent = 0.0
        self._running: list[asyncio.Task[None]] = []
        self._failed: Callable[[BaseException], None] = _nobody
        self._buckets: dict[str, dict[type, Bucket]] = {}
        self.counts: dict[tuple[str, ...], float] = {}
        """Messages that came, by kind."""
        self.bytes: dict[tuple[str, ...], float] = {}
        """Bytes of payloads by channel and direction, "in" or "out"; those of all peers together."""
        self._handle: dict[type, Callable[[str, Any], None]] = {
            messages.Votes: self._on_votes,
            messages.Summary: self._on_summary,
            messages.Proposal: self._on_proposal,
            messages.GetOutline: self.proposals.on_get_outline,
            messages.OutlineAnswer: self.proposals.on_outline_answer,
            messages.GetBody: self.proposals.on_get_body,
            messages.BodyPart: self.proposals.on_body_part,
            messages.CommitMessage: self._on_commit,
            messages.EvidenceMessage: self._on_evidence,
            messages.Announce: self.transactions.on_announce,
            messages.GetTransactions: self.transactions.on_get,
            messages.Transactions: self.transactions.on_transactions,
            messages.PushTransactions: self.transactions.on_push,
        }

    # -- life -------------------------------------------------------------------------------------

    def attach(self, transport: Transport | None, consensus: Consensus) -> None:
        """Who carries messages (None: there is nobody to tell), and who agrees on blocks."""
        self._transport = transport
        self.consensus = consensus

    def route(self, channels: Iterable[Channel], follower: Follower) -> None:
        """Give the messages of these channels to `follower`, and tell it of peers."""
        for channel in channels:
            self._followers[channel] = follower

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Begin to admit what comes, and to tell where this node stands.

        `failed` is told of what no node can go on after: a task that died unseen would leave it deaf.
        """
        self._failed = failed
        for work in (self.intake.run, self._tell_regularly):
            self._running.append(asyncio.create_task(watched(work, failed)))

    async def stop(self) -> None:
        """Say and take nothing any more."""
        running, self._running = self._running, []
        for task in running:
            task.cancel()
        for task in running:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for handle in (self._timer, self._summary_timer):
            if handle is not None:
                handle.cancel()
        self._timer = self._summary_timer = None
        self._transport = None

    # -- timers -----------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Have `_tick` called when the first part is due."""
        due = min([part.due for part in self._parts if part.due is not None], default=None)
        if due is None or self._transport is None:
            return
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, due - time.monotonic()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = time.monotonic() + EARLY
        try:
            for part in self._parts:
                if part.due is not None and part.due <= now:
                    part.tick()
            self._arm()
        except BaseException as error:  # in a callback of the loop it would be lost, and the timer with it
            self._failed(error)

    def _say(self, peer: str, channel: Channel, payload: bytes) -> bool:
        transport = self._transport
        if transport is None or not transport.send(peer, channel, payload):
            return False
        self._count_bytes(channel, "out", len(payload))
        return True

    def _sender(self, channel: Channel) -> Callable[[str, bytes], bool]:
        return lambda peer, payload: self._say(peer, channel, payload)

    def _count_bytes(self, channel: Channel, direction: str, size: int) -> None:
        key = (channel.name.lower(), direction)
        self.bytes[key] = self.bytes.get(key, 0) + size

    def _punish(self, peer: str, offence: Offence, detail: str) -> None:
        log.debug("offence", extra={"peer": peer, "offence": offence.value, "detail": detail})
        if self._transport is not None:
            self._transport.punish(peer, offence, detail)

    # -- from the transport -------------------------------------------------------------------------

    def on_connected(self, info: PeerInfo) -> None:
        """A peer has come: it is told where this node stands, what evidence waits, and which transactions."""
        peer = info.node_id
        for part in self._parts:
            part.connected(peer)
        consensus = self.consensus
        if consensus is not None:
            self._say(peer, Channel.CONSENSUS, encode_message(consensus.summary()))
            evidence = consensus.waiting_evidence()
            if evidence:
                self.flood.evidence(evidence, only=peer)
        for follower in dict.fromkeys(self._followers.values()):
            follower.on_connected(info)
        self._arm()

    def on_disconnected(self, peer: str) -> None:
        """A peer has gone."""
        self._buckets.pop(peer, None)
        for part in self._parts:
            part.disconnected(peer)
        if self.consensus is not None:
            self.consensus.forget_peer(peer)
        for follower in dict.fromkeys(self._followers.values()):
            follower.on_disconnected(peer)
        self._arm()

    def on_message(self, peer: str, channel: Channel, payload: bytes) -> None:
        """A payload came. Raises MalformedBytes or TooLarge, for which the transport makes the peer pay."""
        try:
            self._take(peer, channel, payload)
        except StorageFault as error:
            self._failed(error)

    def _take(self, peer: str, channel: Channel, payload: bytes) -> None:
        self._count_bytes(channel, "in", len(payload))
        follower = self._followers.get(channel)
        if follower is not None:
            follower.on_message(peer, channel, payload)
            return
        message = decode_message(channel, payload)
        kind = type(message)
        rate = RATES.get(kind)
        if rate is not None and not self._affords(peer, kind, rate, message):
            self._punish(peer, Offence.FLOOD, f"too many messages of kind {kind.__name__}")
            return
        name = (kind.__name__,)
        self.counts[name] = self.counts.get(name, 0) + 1
        self._handle[kind](peer, message)
        self._arm()

    def _affords(self, peer: str, kind: type, rate: Rate, message: messages.Message) -> bool:
        now = time.monotonic()
        buckets = self._buckets.setdefault(peer, {})
        bucket = buckets.get(kind)
        if bucket is None:
            bucket = buckets[kind] = Bucket(rate, now)
        return bucket.take(now, len(message.votes) if isinstance(message, messages.Votes) else 1)

    def _on_votes(self, peer: str, message: messages.Votes) -> None:
        self.flood.heard_votes(peer, message.votes)
        last = self.application.ledger.height
        consensus = self.consensus
        for vote in message.votes:
            if last <= vote.height <= last + 1:
                self.precommits.note(vote, verified=False)
            if consensus is not None:
                consensus.receive(peer, vote)

    def _on_summary(self, peer: str, message: messages.Summary) -> None:
        self.proposals.holds(peer, message.bodies)
        if self.consensus is not None:
            self.consensus.receive_summary(peer, message)

    def _on_proposal(self, peer: str, message: messages.Proposal) -> None:
        signed, outline = message.proposal, message.outline
        self.flood.heard_proposal(peer, signed)
        last = self.application.ledger.height
        if outline is not None and last < signed.height <= last + 2:
            self.proposals.on_outline(peer, signed.block_hash, outline)
        if self.consensus is not None:
            self.consensus.receive(peer, signed)

    def _on_commit(self, peer: str, message: messages.CommitMessage) -> None:
        if self.consensus is not None:
            self.consensus.receive(peer, message.commit)

    def _on_evidence(self, peer: str, message: messages.EvidenceMessage) -> None:
        self.flood.heard_evidence(peer, message.evidence)
        if self.consensus is not None:
            self.consensus.receive_evidence(peer, message.evidence)

    # -- from the node ------------------------------------------------------------------------------

    async def submit(self, raw: bytes) -> Transaction:
        """Verify, admit and spread a transaction that was submitted here. Raises what `Entrance.submit` does."""
        return await self.entrance.submit(raw)

    def _spread(self, transactions: Sequence[Transaction]) -> None:
        self.transactions.submitted([tx.witness_id for tx in transactions], [tx.raw for tx in transactions])
        self._arm()

    def block_committed(self, committed: Committed) -> None:
        """A block is final: what concerns earlier heights is of the past."""
        self.entrance.committed(committed.tx_ids)
        self.flood.advance(committed.height + 1)
        self.proposals.advance(committed.height + 1)
        self._advance(committed.height)

    def _advance(self, last: int) -> None:
        application = self.application
        validators = (*application.last_validators, *application.validators)
        self.precommits.advance(last, [validator.address for validator in validators])

    def _admitted(self, ids: Sequence[bytes]) -> None:
        self.transactions.admitted(ids)
        self._arm()

    def _forget(self, ids: Sequence[bytes]) -> None:
        self.transactions.forget(ids)

    # -- from the engine: node.bft_face.Gossip ------------------------------------------------------

    def send_proposal(self, proposal: SignedProposal, block: Block | None, *, own: bool) -> None:
        """See `bft_face.Gossip`."""
        name = proposal.block_hash
        if block is not None:
            self.proposals.outline(block, name)
        self.flood.proposal(proposal, lambda: self.proposals.known(name), own=own)
        self._arm()

    def send_vote(self, vote: SignedVote, *, own: bool) -> None:
        """See `bft_face.Gossip`."""
        self.precommits.note(vote, verified=True)
        self.flood.vote(vote, own=own)
        self._arm()

    def send_evidence(self, evidence: Sequence[Evidence]) -> None:
        """See `bft_face.Gossip`."""
        self.flood.evidence(evidence)

    def send_to(self, peer: str, messages_: Sequence[Message]) -> None:
        """See `bft_face.Gossip`."""
        votes = [message for message in messages_ if isinstance(message, SignedVote)]
        for message in messages_:
            if isinstance(message, SignedProposal):
                self.flood.proposal_to(peer, message, self.proposals.known(message.block_hash))
            elif isinstance(message, Commit):
                self._say(peer, Channel.CONSENSUS, encode_message(messages.CommitMessage(message)))
        if votes:
            self.flood.votes_to(peer, votes)

    def summary_changed(self) -> None:
        """See `bft_face.Gossip`."""
        due = max(time.monotonic() + SUMMARY_DELAY_SECONDS, self._summary_sent + SUMMARY_GAP_SECONDS)
        if self._summary_timer is None:
            delay = due - time.monotonic()
            self._summary_timer = asyncio.get_running_loop().call_later(delay, self._tell_summary)

    def _tell_summary(self) -> None:
        if self._summary_timer is not None:
            self._summary_timer.cancel()
            self._summary_timer = None
        if self.consensus is None or self._transport is None or not self._transport.peer_ids():
            return
        self._summary_sent = time.monotonic()
        payload = encode_message(self.consensus.summary())
        for peer in self._transport.peer_ids():
            self._say(peer, Channel.CONSENSUS, payload)

    async def _tell_regularly(self) -> None:
        while True:
            left = self._summary_sent + SUMMARY_SECONDS - time.monotonic()
            if left <= 0:
                self._tell_summary()
                left = SUMMARY_SECONDS
            await asyncio.sleep(left)

    async def fetch_body(self, block_hash: bytes) -> Block:
        """See `bft_face.Gossip`."""
        future: asyncio.Future[Block] = asyncio.get_running_loop().create_future()
        waiting = self._bodies.setdefault(block_hash, {})
        waiting[future] = None
        try:
            self.proposals.want(block_hash)
            self._arm()
            return await future
        finally:
            waiting.pop(future, None)
            if not waiting and self._bodies.get(block_hash) is waiting:
                del self._bodies[block_hash]
                self.proposals.abandon(block_hash)

    def _complete(self, name: bytes, block: Block) -> None:
        self.transactions.included(map(witness_hash, block.transactions))
        for future in self._bodies.get(name, ()):
            if not future.done():
                future.set_result(block)

    def punish(self, peer: str, reason: str) -> None:
        """See `bft_face.Gossip`."""
        bad_signature = "signature" in reason
        offence = Offence.INVALID_SIGNATURE if bad_signature else Offence.INVALID_CONSENSUS
        self._punish(peer, offence, reason)
