"""Validators that break the rules, each in some of the ways of `plan.BEHAVIOURS`.

A traitor is a whole node without a guard, so what it says is mostly right, and wrong where it hurts. "Equivocation" is
the same key run twice: two instances that share nothing but the key, besides double votes made on purpose.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from consensus import events
from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    PRECOMMIT,
    PREVOTE,
    Commit,
    CommitSignature,
    SignedProposal,
    SignedVote,
)
from tests.simulation.chain import Body, Chain
from tests.simulation.clock import MS, SECOND
from tests.simulation.node import Proposed, SimNode
from tests.simulation.scheme import Key

if TYPE_CHECKING:
    from tests.simulation.world import World

MISCHIEF_EVERY: Final = 60 * MS


class Traitor(SimNode):
    """See the module."""

    honest = False

    def __init__(self, world: World, index: int, key: Key, chain: Chain, kinds: tuple[str, ...]) -> None:
        super().__init__(world, index, key, chain)
        self.kinds = kinds
        self.absent = "absence" in kinds
        self.luck = Random(f"traitor/{world.plan.seed}/{index}")
        self.names: list[bytes | None] = [None]
        """Blocks heard of lately."""

    def does(self, kind: str, share: float) -> bool:
        """Whether it misbehaves so now; counted."""
        if kind in self.kinds and self.luck.random() < share:
            self.world.faults[kind] += 1
            return True
        return False

    # -- no guard ------------------------------------------------------------------------------------

    def signed(self, message: Any) -> Any:
        """The message with a signature of this key."""
        return message._replace(signature=self.key.sign(self.world.verifier.sign_bytes(message)))

    def sign_proposal(self, action: events.SignProposal) -> bytes:
        """Anything that is asked."""
        height, round, pol, name = action
        return self.key.sign(
            self.world.verifier.sign_bytes(SignedProposal(self.address, height, round, pol, name, b""))
        )

    def sign_vote(self, action: events.SignVote) -> bytes:
        """Anything that is asked."""
        height, round, kind, name = action[:4]
        return self.key.sign(
            self.world.verifier.sign_bytes(SignedVote(self.address, kind, height, round, name, b""))
        )

    # -- blocks ----------------------------------------------------------------------------------------

    def build(self, height: int, round: int) -> Body | None:
        """Sometimes a block that may not follow, or one of another time, or none."""
        body = super().build(height, round)
        if body is None or self.does("withholding", 0.2):
            return None
        if self.does("invalid blocks", 0.7):
            wrong = self.luck.choice(("payload", "state_root", "parent", "changes"))
            return body._replace(
                **{wrong: {"payload": b"invalid", "changes": ((self.address, 1),)}.get(wrong, b"x" * 32)}
            )
        if self.does("untimely blocks", 0.7):
            return body._replace(time=max(1, body.time + self.luck.choice((-1, 1)) * 20 * SECOND))
        return body

    # -- what it says ------------------------------------------------------------------------------------

    def say(self, message: SignedVote | SignedProposal) -> None:
        """To all, to some, late, twice, or not at all."""
        if self.does("absence", 1.0) or self.does("withholding", 0.2):
            return
        if isinstance(message, SignedProposal) and self.does("stale certificates", 0.6):
            message = self._stolen(message)
        self.names = [*self.names[-6:], message.block_hash]
        other = self._double(message) if self.does("equivocation", 0.3) else None
        quiet = self.does("withholding", 0.3)
        for peer in self.world.peers(self):
            if quiet and self.luck.random() < 0.5:
                continue
            if other is not None and self.luck.random() < 0.5:
                self.utter(peer, other)
                if self.luck.random() < 0.5:
                    continue
            self.utter(peer, message)
        if self.does("garbage signatures", 0.2):
            self._garbage(message)

    def utter(self, peer: int, message: SignedVote | SignedProposal) -> None:
        """To one."""
        self.world.said(self, message)
        sent: Any = message
        if isinstance(message, SignedProposal):
            sent = Proposed(message, self.bodies.get(message.block_hash))
        self.send_to(peer, sent)

    def _double(self, message: SignedVote | SignedProposal) -> SignedVote | SignedProposal | None:
        """Another statement for the same place."""
        if isinstance(message, SignedProposal):
            body = super().build(message.height, message.round)
            if body is None or message.height != body.height:
                return None
            body = body._replace(payload=b"other")
            name = self.chain.name_of(body)
            self.world.watcher.made(name, body)
            self.bodies[name] = body
            return self.signed(message._replace(block_hash=name, pol_round=-1))
        others = [name for name in self.names if name != message.block_hash]
        return self.signed(message._replace(block_hash=self.luck.choice(others))) if others else None

    def _stolen(self, message: SignedProposal) -> SignedProposal:
        """Some block of this height that is known already, as if it were new, or as if it had a polka."""
        known = [
            name for name, body in self.bodies.items() if self.chain.outline(body).height == message.height
        ]
        pol = self.luck.choice((-1, -1, message.round - 1))
        driver = self.core.state.driver
        rounds = {} if driver is None else driver.votes.rounds
        old = [
            (round, votes.prevotes.majority)
            for round, votes in rounds.items()
            if votes.prevotes.majority is not None and round < message.round
        ]
        if old and self.luck.random() < 0.5:  # a polka that there was, and that others have left behind
            pol, name = min(old)
            return self.signed(message._replace(block_hash=name, pol_round=pol))
        return (
            self.signed(message._replace(block_hash=self.luck.choice(known), pol_round=pol))
            if known
            else message
        )

    def _garbage(self, message: SignedVote | SignedProposal) -> None:
        """Its own name, or somebody else's, under bytes that sign nothing."""
        address = self.luck.choice(self.world.keys).address
        bad = message._replace(address=address, signature=self.luck.randbytes(self.luck.randint(1, 40)))
        for peer in self.world.peers(self):
            self.send_to(peer, Proposed(bad, None) if isinstance(bad, SignedProposal) else bad)

    # -- now and then ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """As any node, with mischief besides."""
        super().start()
        self.clock.after(MISCHIEF_EVERY, self._mischief, self.epoch)

    def _mischief(self, epoch: int) -> None:
        if epoch != self.epoch or not self.up:
            return
        self.clock.after(MISCHIEF_EVERY, self._mischief, epoch)
        if self.clock.now > self.world.healed_at + 20 * SECOND:
            return
        height, round, peers = self.chain.height + 1, self.round, self.world.peers(self)
        if self.does("future flood", 0.5):
            self._flood(height, round, peers)
        if self.does("stale certificates", 0.5):
            for peer in peers:
                self.send_to(peer, self._stale(height, round))
        if self.does("wrong proposer", 0.3):
            body = SimNode.build(self, height, round)
            if body is not None:
                name = self.chain.name_of(body)
                self.world.watcher.made(name, body)
                self.bodies[name] = body
                round += self.luck.randint(0, 2)
                pol = self.luck.choice((-1, round - 1))
                proposal = SignedProposal(self.address, height, round, pol, name, b"")
                self.world.said(self, signed := self.signed(proposal))
                for peer in peers:
                    self.send_to(peer, Proposed(signed, body))
        if self.does("lying summaries", 0.5):
            for peer in peers:
                self.send_to(peer, self.world.lie(self, self.luck))
        if self.does("amnesia", 0.1):
            self._forget_all()

    def _flood(self, height: int, round: int, peers: list[int]) -> None:
        for _ in range(20):
            vote = SignedVote(
                self.address,
                self.luck.choice((PREVOTE, PRECOMMIT)),
                height + self.luck.choice((0, 0, 0, 1, 2, 50)),
                round + self.luck.choice((1, 2, 7, 100, 1_000, 10**9)) + self.luck.randint(0, 300),
                self.luck.choice((None, self.luck.randbytes(32))),
                b"",
            )
            vote = self.signed(vote)
            self.world.said(self, vote)
            for peer in peers:
                self.send_to(peer, vote)

    def _stale(self, height: int, round: int) -> Any:
        """An old commit, one with too little behind it, one with nil votes passed off, or a false proof of lock."""
        kind = self.luck.randrange(5)
        if kind == 4 and self.chain.height:
            return self._shuffled(self.chain.blocks[-1].commit)
        if kind == 0 and self.chain.height:
            return self.luck.choice(self.chain.blocks).commit
        name = next((name for name in reversed(self.names) if name is not None), self.luck.randbytes(32))
        if kind == 3:
            pol = self.luck.choice((max(round - 1, -1), round, round + 3))
            proposal = SignedProposal(self.address, height, round, pol, name, b"")
            self.world.said(self, signed := self.signed(proposal))
            return Proposed(signed, self.bodies.get(name))
        entries = []
        for validator in self.chain.sets[height].validators:
            vote = SignedVote(validator.address, PRECOMMIT, height, round, name, b"")
            if validator.address == self.address:
                vote = self.signed(vote)
                self.world.said(self, vote)
            elif kind == 1:
                entries.append(CommitSignature(validator.address, FLAG_ABSENT, b""))
                continue
            else:
                vote = vote._replace(signature=self.world.heard_signature(validator.address, height, round))
            entries.append(CommitSignature(validator.address, FLAG_COMMIT, vote.signature or b"-"))
        return Commit(height, round, name, tuple(entries))

    def _shuffled(self, commit: Commit) -> Commit:
        """A good commit of the last height, with its entries in another order."""
        entries = list(commit.signatures)
        self.luck.shuffle(entries)
        return commit._replace(signatures=tuple(entries))

    def _forget_all(self) -> None:
        """Begin the height again, knowing nothing of what was said: locks, votes, log and signer."""
        self.disk.files.clear()
        self.disk.signer = None
        self.up = False
        self.epoch += 1
        self._forget()
        self.start()
