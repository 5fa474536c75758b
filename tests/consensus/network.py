"""A few cores and a perfect network between them, for tests: what a core asks for is done at once.

Signatures are the signer's address and the sign bytes' hash: the core never looks at them, and `Verify` here does.
"""

from __future__ import annotations

from collections import deque

from consensus.events import (
    Action,
    BlockBuilt,
    BlockChecked,
    BuildBlock,
    CheckBlock,
    Decide,
    Event,
    NewHeight,
    Punish,
    Received,
    Refused,
    ReportEvidence,
    Send,
    Signed,
    SignProposal,
    SignVote,
    StartTimeout,
    TimedOut,
    Verified,
    Verify,
)
from consensus.height import Core
from consensus.validators import ValidatorSet, new_validators
from qenex.block import (
    FLAG_COMMIT,
    PRECOMMIT,
    Commit,
    CommitSignature,
    SignedProposal,
    SignedVote,
    Validator,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from qenex.crypto.address import Address
from qenex.hashing import hasher

CHAIN = "sim-core"
_hash = hasher("test.signature")


def address_of(number: int) -> Address:
    return Address(bytes([number]) * 32)


def block(name: str | int) -> bytes:
    """A block's hash."""
    return hasher("test.block")(str(name).encode())


def validator_set(*powers: int) -> ValidatorSet:
    return new_validators(
        [Validator(address_of(n), b"\x01" + bytes([n]), p) for n, p in enumerate(powers, 1)]
    )


def signature(address: bytes, message: bytes) -> bytes:
    return _hash(address + message) * 2


def make_vote(
    number: int, type: int, round: int, value: bytes | None, height: int = 1, *, good: bool = True
) -> SignedVote:
    address = address_of(number)
    made = signature(address, vote_sign_bytes(CHAIN, type, height, round, value))
    return SignedVote(address, type, height, round, value, made if good else b"bad" + made)


def make_proposal(
    number: int, round: int, value: bytes, pol_round: int = -1, height: int = 1
) -> SignedProposal:
    address = address_of(number)
    made = signature(address, proposal_sign_bytes(CHAIN, height, round, pol_round, value))
    return SignedProposal(address, height, round, pol_round, value, made)


def make_commit(
    validators: ValidatorSet, round: int, value: bytes, absent: tuple[int, ...] = (), height=1
) -> Commit:
    entries = []
    for v in validators.validators:
        if v.address[0] in absent:
            entries.append(CommitSignature(v.address, 0, b""))
        else:
            vote = make_vote(v.address[0], PRECOMMIT, round, value, height)
            entries.append(CommitSignature(v.address, FLAG_COMMIT, vote.signature))
    return Commit(height, round, value, tuple(entries))


def is_good(message) -> bool:
    if isinstance(message, SignedVote):
        bytes_ = vote_sign_bytes(CHAIN, message.type, message.height, message.round, message.block_hash)
        return message.signature == signature(message.address, bytes_)
    if isinstance(message, SignedProposal):
        place = (message.height, message.round, message.pol_round, message.block_hash)
        return message.signature == signature(message.address, proposal_sign_bytes(CHAIN, *place))
    bytes_ = vote_sign_bytes(CHAIN, PRECOMMIT, message.height, message.round, message.block_hash)
    return all(
        entry.flag != FLAG_COMMIT or entry.signature == signature(entry.address, bytes_)
        for entry in message.signatures
    )


def sign(asked: SignVote | SignProposal, address: Address) -> Signed:
    if isinstance(asked, SignVote):
        return Signed(make_vote(address[0], asked.type, asked.round, asked.block_hash, asked.height))
    return Signed(make_proposal(address[0], asked.round, asked.block_hash, asked.pol_round, asked.height))


class Node:
    """A core with everything it asks for, but timeouts: those are collected."""

    def __init__(self, address: Address | None) -> None:
        self.core = Core(CHAIN, address)
        self.address = address
        self.log: list[Event] = []
        self.actions: list[Action] = []
        self.timers: list[StartTimeout] = []
        self.decided: list[Commit] = []
        self.outgoing: list[Send] = []
        self.evidence: list[ReportEvidence] = []
        self.punished: list[Punish] = []
        self.valid = True
        self.timely = True

    def give(self, event: Event) -> None:
        """Step, and carry out what comes, until nothing is left."""
        waiting = deque([event])
        while waiting:
            event = waiting.popleft()
            self.log.append(event)
            actions = self.core.step(event)
            self.actions += actions
            for action in actions:
                self._do(action, waiting)

    def _do(self, action: Action, waiting: deque[Event]) -> None:
        if isinstance(action, Verify):
            waiting.append((Verified if is_good(action.message) else Refused)(action.peer, action.message))
        elif isinstance(action, BuildBlock):
            waiting.append(
                BlockBuilt(
                    action.height, action.round, block(f"{action.height}/{action.round}/{self.address!r}")
                )
            )
        elif isinstance(action, CheckBlock):
            waiting.append(
                BlockChecked(action.height, action.round, action.block_hash, self.valid, self.timely)
            )
        elif isinstance(action, SignProposal | SignVote):
            waiting.append(sign(action, self.address))
        elif isinstance(action, StartTimeout):
            self.timers.append(action)
        elif isinstance(action, Decide):
            self.decided.append(action.commit)
        elif isinstance(action, Send):
            self.outgoing.append(action)
        elif isinstance(action, ReportEvidence):
            self.evidence.append(action)
        elif isinstance(action, Punish):
            self.punished.append(action)


class Network:
    """Nodes of all validators; messages travel when `deliver` is called."""

    def __init__(self, *powers: int) -> None:
        self.validators = validator_set(*powers)
        self.nodes = [Node(address_of(n)) for n in range(1, len(powers) + 1)]

    def begin(self, height: int) -> None:
        for node in self.nodes:
            node.give(NewHeight(height, self.validators))

    def deliver(self) -> int:
        """Exchange everything until it is quiet; how many messages travelled."""
        count = 0
        while any(node.outgoing for node in self.nodes):
            for node in self.nodes:
                sent, node.outgoing = node.outgoing, []
                for send in sent:
                    for other in self.nodes:
                        if other is not node:
                            other.give(Received((node.address or b"").hex()[:2], send.message))
                            count += 1
        return count

    def time_out(self) -> None:
        """Every timeout that was started is over."""
        for node in self.nodes:
            timers, node.timers = node.timers, []
            for timer in timers:
                node.give(TimedOut(*timer))
