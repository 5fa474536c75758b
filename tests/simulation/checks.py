"""What must hold at every step, watched from outside: by what nodes send, decide and report.

The watcher knows everything that was ever sent, so "there was a polka" means: somewhere. It trusts no node and
none of the production code: validators and proposers come from `oracle`, signatures from `scheme`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from qenex.block import FLAG_COMMIT, PRECOMMIT, PREVOTE, Commit, Evidence, SignedProposal, SignedVote
from tests.simulation import oracle
from tests.simulation.chain import Body, Changes
from tests.simulation.plan import MESSAGE_DELAY, PRECISION
from tests.simulation.scheme import Key, Verifier

MAX_VIOLATIONS = 5


def in_window(time: int, received: int, round: int) -> bool:
    """Whether a block of this time, proposed in `round`, came in time; all in ns (protocol.md, `Block`)."""
    delay = MESSAGE_DELAY * 11**round // 10**round
    return time - PRECISION <= received <= time + PRECISION + delay


class Violation(NamedTuple):
    """A rule that was broken. `time` in ns after the beginning."""

    rule: str
    detail: str
    node: int
    time: int


class _Height:
    """Everything said at one height."""

    def __init__(self, turn: oracle.Turn) -> None:
        self.turn = turn
        self.total = turn.total
        self.powers = {member.address: member.power for member in turn.members}
        self.votes: dict[tuple[int, int, bytes], list[SignedVote]] = {}
        """By type, round and address: those with different blocks."""
        self.weights: dict[tuple[int, int, bytes | None], int] = {}
        """Power by type, round and block."""
        self.proposals: dict[tuple[int, bytes], list[int]] = {}
        """By round and block: the proof-of-lock rounds with which the right proposer proposed it."""
        self.own: dict[tuple[int, bytes], SignedProposal] = {}
        """By round and address: what honest nodes proposed."""
        self.locks: dict[bytes, tuple[int, bytes]] = {}
        """By address: round and block of the last precommit of an honest node."""
        self.decided: tuple[bytes, int] | None = None
        self.root: bytes | None = None

    def polka(self, round: int, name: bytes | None) -> bool:
        """Whether more than 2/3 of the power have prevoted it in this round."""
        return 3 * self.weights.get((PREVOTE, round, name), 0) > 2 * self.total


class Watcher:
    """See the module. `honest` are the addresses of nodes that follow the rules."""

    def __init__(
        self,
        keys: dict[bytes, Key],
        powers: dict[bytes, int],
        changes: Callable[[int], Changes],
        *,
        honest: frozenset[bytes],
        verifier: Verifier,
        now: Callable[[], int],
        forks: bool = False,
    ) -> None:
        self._keys = keys
        self._changes = changes
        self._honest = honest
        self._verifier = verifier
        self._now = now
        self._forks = forks
        self._turns: dict[int, oracle.Turn] = {}
        first = oracle.first(powers)
        self._turns[1], self._turns[2] = first, oracle.following(first, {})
        self.heights: dict[int, _Height] = {}
        self.bodies: dict[bytes, Body] = {}
        self._ranked: set[int] = set()
        self.violations: list[Violation] = []
        self.forked: dict[int, list[Commit]] = {}
        """Heights that were decided in two ways, which only above a third is no violation."""
        self.reported: dict[bytes, Evidence] = {}
        """Evidence by whom it names, as honest nodes reported it."""
        self.untimely: set[tuple[int, int, int, bytes]] = set()
        self.timely: set[tuple[int, int, int, bytes]] = set()

    def violate(self, rule: str, detail: str, node: int = -1) -> None:
        """A rule is broken."""
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(Violation(rule, detail, node, self._now()))

    def turn(self, height: int) -> oracle.Turn:
        """Validators and proposer of a height: decided by the changes of two heights before."""
        while height not in self._turns:
            last = max(self._turns)
            # The changes of block H act on the set of H+2, which follows that of H+1.
            self._turns[last + 1] = oracle.following(self._turns[last], dict(self._changes(last - 1)))
        return self._turns[height]

    def at(self, height: int) -> _Height:
        """What was said at a height."""
        found = self.heights.get(height)
        if found is None:
            found = self.heights[height] = _Height(self.turn(height))
        return found

    # -- what is sent ----------------------------------------------------------------------------

    def sent(self, node: int, message: SignedVote | SignedProposal) -> None:
        """A message of its own left a node, honest or not: `message.address` may still be a lie."""
        key = self._keys.get(message.address)
        if key is None or not self._verifier.single(key.public, message):
            if message.address in self._honest:
                self.violate("signature", f"a message with a bad signature at height {message.height}", node)
            return
        if isinstance(message, SignedVote):
            self._vote(node, message)
        else:
            self._proposal(node, message)

    def _vote(self, node: int, vote: SignedVote) -> None:
        here = self.at(vote.height)
        honest = vote.address in self._honest
        before = here.votes.setdefault((vote.type, vote.round, vote.address), [])
        for other in before:
            if other.block_hash == vote.block_hash:
                if honest and other.signature != vote.signature:
                    self.violate("stored signature", f"one vote signed twice, {_place(vote)}", node)
                return
        if honest:
            if before:
                self.violate("double sign", f"two votes at {_place(vote)}", node)
            if vote.address not in here.powers:
                self.violate("stranger votes", f"not a validator at {_place(vote)}", node)
            if vote.block_hash is not None:
                check = self._check_prevote if vote.type == PREVOTE else self._check_precommit
                check(node, here, vote, vote.block_hash)
        before.append(vote)
        place = (vote.type, vote.round, vote.block_hash)
        here.weights[place] = here.weights.get(place, 0) + here.powers.get(vote.address, 0)

    def _check_prevote(self, node: int, here: _Height, vote: SignedVote, name: bytes) -> None:
        place = _place(vote)
        lock = here.locks.get(vote.address)
        held = lock is not None and lock[0] < vote.round and lock[1] != name
        if lock is not None and held and not any(here.polka(r, name) for r in range(lock[0], vote.round)):
            self.violate("lock", f"prevote against the lock of round {lock[0]}, {place}", node)
        proposed = here.proposals.get((vote.round, name))
        if proposed is None:
            self.violate("proposal", f"prevote for what the proposer did not propose, {place}", node)
            return
        if not self.valid(name):
            self.violate("validity", f"prevote for an invalid block, {place}", node)
        if any(0 <= pol < vote.round and here.polka(pol, name) for pol in proposed):
            return
        if -1 not in proposed:
            self.violate("proof of lock", f"no polka in rounds {proposed}, {place}", node)
        elif (node, vote.height, vote.round, name) in self.untimely:
            self.violate("timeliness", f"prevote for an untimely block, {place}", node)

    def _check_precommit(self, node: int, here: _Height, vote: SignedVote, name: bytes) -> None:
        if not here.polka(vote.round, name):
            self.violate("polka", f"precommit without one, {_place(vote)}", node)
        here.locks[vote.address] = (vote.round, name)

    def _proposal(self, node: int, proposal: SignedProposal) -> None:
        here = self.at(proposal.height)
        right = oracle.proposer(here.turn, proposal.round) == proposal.address
        name, round = proposal.block_hash, proposal.round
        if proposal.address in self._honest:
            before = here.own.setdefault((round, proposal.address), proposal)
            where = f"height {proposal.height}, round {round}"
            if before._replace(signature=b"") != proposal._replace(signature=b""):
                self.violate("double sign", f"two proposals at {where}", node)
            elif before.signature != proposal.signature:
                self.violate("stored signature", f"one proposal signed twice at {where}", node)
            if not right:
                self.violate("proposer", f"a proposal out of turn at {where}", node)
            if not self.valid(name):
                self.violate("validity", f"an honest node proposes an invalid block at {where}", node)
            self._check_reproposal(node, here, proposal, where)
        if right:
            proposed = here.proposals.setdefault((round, name), [])
            if proposal.pol_round not in proposed:
                proposed.append(proposal.pol_round)

    def _check_reproposal(self, node: int, here: _Height, proposal: SignedProposal, where: str) -> None:
        name, pol = proposal.block_hash, proposal.pol_round
        if pol >= proposal.round or (pol >= 0 and not here.polka(pol, name)):
            self.violate("proof of lock", f"a proposal claims a polka of round {pol} at {where}", node)
        lock = here.locks.get(proposal.address)
        if lock is not None and lock[0] < proposal.round and pol < lock[0]:
            self.violate("valid value", f"a proposal forgets the polka of round {lock[0]} at {where}", node)
        if pol < 0 and self.bodies[name].proposer != proposal.address:
            self.violate("valid value", f"somebody else's block proposed as new at {where}", node)

    # -- blocks ------------------------------------------------------------------------------------

    def made(self, name: bytes, body: Body) -> None:
        """A block exists."""
        self.bodies.setdefault(name, body)

    def valid(self, name: bytes) -> bool:
        """Whether a block may follow the decided ones."""
        body = self.bodies.get(name)
        if body is None:
            return False
        before = self.heights.get(body.height - 1)
        if before is not None and before.decided is not None and not self._forks:
            parent = self.bodies[before.decided[0]]
            if (body.parent, body.state_root) != (before.decided[0], before.root) or body.time <= parent.time:
                return False
        return body.changes == self._changes(body.height) and not body.payload.startswith(b"invalid")

    def judged(self, node: int, height: int, round: int, name: bytes, *, timely: bool) -> None:
        """A node found a fresh proposal timely or not."""
        place = (node, height, round, name)
        if not timely and place not in self.timely:
            self.untimely.add(place)
        elif timely:
            self.timely.add(place)
            self.untimely.discard(place)

    # -- decisions -----------------------------------------------------------------------------------

    def decided(self, node: int, commit: Commit, root: bytes) -> None:
        """An honest node has decided a height; `root` is its state after it."""
        here = self.at(commit.height)
        name, place = commit.block_hash, f"height {commit.height}, round {commit.round}"
        if here.decided is None:
            here.decided, here.root = (name, commit.round), root
            if (commit.round, name) not in here.proposals:
                self.violate("validity", f"decided what no proposer of that round proposed, {place}", node)
            if not self.valid(name):
                self.violate("validity", f"an invalid block is decided, {place}", node)
        elif here.decided[0] != name:
            if self._forks:
                self.forked.setdefault(commit.height, []).append(commit)
            else:
                self.violate("agreement", f"two blocks decided, {place} and {here.decided[1]}", node)
        elif here.root != root:
            self.violate("state", f"two states after one block, {place}", node)
        self._check_commit(node, here, commit, place)

    def ranked(self, node: int, height: int, members: Iterable[tuple[bytes, int, int]]) -> None:
        """A node's validators of a height, with power and priority after its first turn."""
        if height not in self._ranked:
            self._ranked.add(height)
            if sorted(map(tuple, members)) != sorted(map(tuple, self.turn(height).members)):
                self.violate("validators", f"other powers or priorities at height {height}", node)

    def _check_commit(self, node: int, here: _Height, commit: Commit, place: str) -> None:
        members = here.turn.members
        if [entry.address for entry in commit.signatures] != [member.address for member in members]:
            self.violate("commit", f"does not list the validators in order, {place}", node)
            return
        signed = 0
        for entry in commit.signatures:
            if not entry.flag:
                continue
            name = commit.block_hash if entry.flag == FLAG_COMMIT else None
            vote = SignedVote(entry.address, PRECOMMIT, commit.height, commit.round, name, entry.signature)
            if not self._verifier.single(self._keys[entry.address].public, vote):
                self.violate("commit", f"a bad signature, {place}", node)
            elif entry.flag == FLAG_COMMIT:
                signed += here.powers[entry.address]
        if 3 * signed <= 2 * here.total:
            self.violate("commit", f"{signed} of {here.total} signed, {place}", node)

    # -- evidence ------------------------------------------------------------------------------------

    def evidence(self, node: int, evidence: Evidence) -> None:
        """An honest node reports a double sign."""
        first, second = evidence.first, evidence.second
        place = _place(first)
        if first.address in self._honest:
            self.violate("evidence", f"names an honest validator, {place}", node)
        same = ("address", "type", "height", "round")
        if any(getattr(first, name) != getattr(second, name) for name in same):
            self.violate("evidence", f"of two places, {place}", node)
        if (first.block_hash or b"") >= (second.block_hash or b""):
            self.violate("evidence", f"not of two blocks in order, {place}", node)
        key = self._keys.get(first.address)
        if key is None or not all(self._verifier.single(key.public, vote) for vote in (first, second)):
            self.violate("evidence", f"a bad signature, {place}", node)
        self.reported.setdefault(first.address, evidence)

    def guilty(self, height: int) -> frozenset[bytes]:
        """Who signed two different votes at one place of a height, by all that was ever sent."""
        votes = self.at(height).votes
        return frozenset(address for (_, _, address), said in votes.items() if len(said) > 1)


def _place(vote: SignedVote) -> str:
    kind = "prevote" if vote.type == PREVOTE else "precommit"
    return f"{kind} of height {vote.height}, round {vote.round}"
