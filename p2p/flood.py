"""Votes, proposals and evidence on their way to everybody: each passed on once, to those not known to have it.

Own messages leave at the next tick. What is passed on waits a little, each node another time within `RELAY_SECONDS`:
in a net where most are connected to most, the first to pass it on saves the others the trouble.

Who is known to have a vote is who has sent exactly this vote, or was sent it. A summary's bitmap says that a peer
has some vote of a validator, not which: taken for knowledge here, it would hide a validator that votes
twice from those who could prove it. Bitmaps are for repair, see `consensus.catchup`.

Pure logic: the owner calls `tick` at `due`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from p2p.messages import (
    MAX_VOTES,
    MAX_VOTES_SIZE,
    EvidenceMessage,
    Outline,
    Proposal,
    Votes,
    encode_message,
)
from qenex.block import MAX_EVIDENCE, MAX_VALIDATORS, Evidence, SignedProposal, SignedVote
from qenex.codec import encode

RELAY_SECONDS: Final = 0.02
MAX_KNOWN: Final = 16 * MAX_VALIDATORS
"""Votes remembered for one peer, of the height in progress and the next; then it may be sent some twice."""
MAX_WAITING: Final = 16 * MAX_VALIDATORS
"""Votes that wait to be sent; further ones come to peers by their summaries."""
MAX_EVIDENCE_KNOWN: Final = 1_024
SMALL_OUTLINE: Final = 8 * 1024
"""Bytes of witness ids up to which an outline goes with a proposal that is passed on: asking costs a round trip."""

VoteKey = tuple[int, int, int, bytes, bytes | None]


class _Out(NamedTuple):
    key: VoteKey
    vote: SignedVote


def key_of(vote: SignedVote) -> VoteKey:
    """What makes two votes the same, whatever their signatures' bytes are."""
    return vote.height, vote.round, vote.type, vote.address, vote.block_hash


class _Peer:
    __slots__ = ("evidence", "proposals", "votes")

    def __init__(self) -> None:
        self.votes: dict[VoteKey, None] = {}
        self.proposals: dict[tuple[int, int, bytes], None] = {}
        self.evidence: dict[bytes, None] = {}


def _bounded(known: dict[bytes, None], item: bytes, limit: int) -> None:
    known[item] = None
    if len(known) > limit:
        del known[next(iter(known))]


class Flood:
    """See the module. One thread; `clock` in seconds; `chance` answers from 0 to 1."""

    def __init__(
        self,
        send: Callable[[str, bytes], bool],
        send_evidence: Callable[[str, bytes], bool],
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._send = send
        self._send_evidence = send_evidence
        self._clock = clock
        self._chance = chance
        self._peers: dict[str, _Peer] = {}
        self._height = 0
        self._own: list[_Out] = []
        self._relayed: list[_Out] = []
        self._relay_at = 0.0
        self._proposals: list[tuple[SignedProposal, Callable[[], Outline | None]]] = []
        self.due: float | None = None
        """When `tick` has something to do; None: not before something else happens."""
        self.duplicates = 0
        """Votes that came from a peer that was known to have them."""

    # -- peers ------------------------------------------------------------------------------------

    def connected(self, name: str) -> None:
        """A peer has come. What it lacks of the height in progress its summary tells."""
        self._peers[name] = _Peer()

    def disconnected(self, name: str) -> None:
        """A peer has gone."""
        self._peers.pop(name, None)

    def advance(self, height: int) -> None:
        """`height` begins: votes and proposals of earlier ones matter no more, but for the last precommits."""
        self._height = height
        for peer in self._peers.values():
            for votes in [key for key in peer.votes if key[0] < height - 1]:
                del peer.votes[votes]
            for place in [key for key in peer.proposals if key[0] < height]:
                del peer.proposals[place]

    # -- what peers have ----------------------------------------------------------------------------

    def heard_votes(self, name: str, votes: Sequence[SignedVote]) -> None:
        """A peer sent these, so it has them."""
        peer = self._peers.get(name)
        if peer is None:
            return
        for vote in votes:
            key = key_of(vote)
            if key in peer.votes:
                self.duplicates += 1
            else:
                self._know(peer, key)

    def _know(self, peer: _Peer, key: VoteKey) -> None:
        if key[0] < self._height - 1:
            return
        if len(peer.votes) >= MAX_KNOWN:
            del peer.votes[next(iter(peer.votes))]
        peer.votes[key] = None

    def heard_proposal(self, name: str, proposal: SignedProposal) -> None:
        """A peer sent this proposal."""
        peer = self._peers.get(name)
        if peer is not None:
            self._know_proposal(peer, proposal)

    @staticmethod
    def _know_proposal(peer: _Peer, proposal: SignedProposal) -> None:
        peer.proposals[proposal.height, proposal.round, proposal.block_hash] = None
        if len(peer.proposals) > MAX_VALIDATORS:
            del peer.proposals[next(iter(peer.proposals))]

    def heard_evidence(self, name: str, evidence: Sequence[Evidence]) -> None:
        """A peer sent this evidence."""
        peer = self._peers.get(name)
        if peer is not None:
            for item in evidence:
                _bounded(peer.evidence, encode(item), MAX_EVIDENCE_KNOWN)

    # -- what goes out ------------------------------------------------------------------------------

    def vote(self, vote: SignedVote, *, own: bool) -> None:
        """Tell everybody: an own vote at the next tick, another's a little later."""
        out = _Out(key_of(vote), vote)
        now = self._clock()
        if own:
            self._own.append(out)
            self._at(now)
        elif len(self._relayed) < MAX_WAITING:
            if not self._relayed and not self._proposals:
                self._relay_at = now + RELAY_SECONDS * (0.25 + self._chance())
            self._relayed.append(out)
            self._at(self._relay_at)

    def proposal(self, proposal: SignedProposal, outline: Callable[[], Outline | None], *, own: bool) -> None:
        """Tell everybody: an own proposal at once, another's a little later and without a long outline.

        `outline` is asked when it is sent: what is passed on may only be on its way here.
        """
        if own:
            self._tell_proposal(proposal, outline())
            return
        if not self._relayed and not self._proposals:
            self._relay_at = self._clock() + RELAY_SECONDS * (0.25 + self._chance())
        if len(self._proposals) < MAX_VALIDATORS:
            self._proposals.append((proposal, outline))
        self._at(self._relay_at)

    def _pass_on(self, proposal: SignedProposal, found: Outline | None) -> None:
        if found is not None and len(found.witness_ids) > SMALL_OUTLINE:
            found = None
        self._tell_proposal(proposal, found)

    def proposal_to(self, name: str, proposal: SignedProposal, outline: Outline | None) -> bool:
        """Send a peer a proposal that its summary lacks. False: its queue is full."""
        peer = self._peers.get(name)
        if peer is None or not self._send(name, encode_message(Proposal(proposal, outline))):
            return False
        self._know_proposal(peer, proposal)
        return True

    def _tell_proposal(self, proposal: SignedProposal, outline: Outline | None) -> None:
        place = proposal.height, proposal.round, proposal.block_hash
        payload = b""
        for name, peer in list(self._peers.items()):
            if place not in peer.proposals:
                payload = payload or encode_message(Proposal(proposal, outline))
                if self._send(name, payload):
                    self._know_proposal(peer, proposal)

    def evidence(self, evidence: Sequence[Evidence], only: str | None = None) -> None:
        """Tell everybody, or one peer, evidence that it is not known to have."""
        for name, peer in list(self._peers.items()):
            if only is not None and name != only:
                continue
            lacking = [item for item in evidence if encode(item) not in peer.evidence]
            for at in range(0, len(lacking), MAX_EVIDENCE):
                batch = tuple(lacking[at : at + MAX_EVIDENCE])
                if self._send_evidence(name, encode_message(EvidenceMessage(batch))):
                    for item in batch:
                        _bounded(peer.evidence, encode(item), MAX_EVIDENCE_KNOWN)

    def votes_to(self, name: str, votes: Sequence[SignedVote]) -> bool:
        """Send a peer votes that its summary lacks, whatever was sent to it before. False: its queue is full."""
        peer = self._peers.get(name)
        if peer is None:
            return False
        return self._send_votes(name, peer, [_Out(key_of(vote), vote) for vote in votes])

    def _send_votes(self, name: str, peer: _Peer, outs: Sequence[_Out]) -> bool:
        for batch in _batches(outs):
            if not self._send(name, encode_message(Votes(tuple([out.vote for out in batch])))):
                return False
            for out in batch:
                self._know(peer, out.key)
        return True

    def _at(self, when: float) -> None:
        if self.due is None or when < self.due:
            self.due = when

    def tick(self) -> None:
        """Send what waits."""
        self.due = None
        outs, self._own = self._own, []
        if self._relayed or self._proposals:
            if self._relay_at <= self._clock():
                outs += self._relayed
                self._relayed = []
                waiting, self._proposals = self._proposals, []
                for proposal, outline in waiting:
                    self._pass_on(proposal, outline())
            else:
                self._at(self._relay_at)
        if not outs:
            return
        payloads: dict[tuple[VoteKey, ...], list[bytes]] = {}
        for name, peer in list(self._peers.items()):
            lacking = [out for out in outs if out.key not in peer.votes]
            if not lacking:
                continue
            keys = tuple([out.key for out in lacking])
            encoded = payloads.get(keys)
            if encoded is None:
                encoded = payloads[keys] = [
                    encode_message(Votes(tuple([out.vote for out in batch]))) for batch in _batches(lacking)
                ]
            if all(self._send(name, payload) for payload in encoded):
                for key in keys:
                    self._know(peer, key)


def _batches(outs: Sequence[_Out]) -> list[list[_Out]]:
    """In messages that fit their bounds."""
    batches: list[list[_Out]] = []
    size = MAX_VOTES_SIZE
    for out in outs:
        length = len(out.vote.signature) + 128
        if size + length > MAX_VOTES_SIZE or len(batches[-1]) >= MAX_VOTES:
            batches.append([])
            size = 64
        batches[-1].append(out)
        size += length
    return batches
