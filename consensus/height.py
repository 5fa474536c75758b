"""Layer 4: heights. The consensus core as its driver sees it: `Core.step(event) -> actions`.

Here stand the order of signing and sending, what is done with messages before they are verified, and what a
decision is. The rules a driver relies on:

- at most one `SignProposal` or `SignVote` is out at a time; our own message counts when `Signed` comes back;
- a `Flush` precedes every `SignProposal` and `SignVote`, and `KeepBody` that of a precommit for a block and of a
  proposal of our own new one (nobody else has that body, and a restart would propose it again): what led to a
  signature is durable before it is made, so a restart asks for the same one again and the signer gives the stored
  one. (Flushed after it, a crash in between would leave a signature that nobody has and the signer does not
  repeat for other bytes: the validator would be missing from that round, which may never end.)
- a verified message of another validator is passed on once, when it is counted;
- `Punish` only for what no honest node sends: one passes on nothing it has not verified;
- after `Decide` nothing but `NewHeight` counts; messages of the next height are kept, within bounds.

`Core.state` is plain data: `copy()`, `==` and `fingerprint()` (the same under every hash seed). The write-ahead log
holds the events for which `is_durable` is true; giving them to a new core in order reproduces the state, and `resume`
tells what was under way. What came but is not verified lies in `Core.inbox` and is no state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from consensus import round as rules
from consensus.driver import Driver, DriverOutput, Entered
from consensus.events import (
    Action,
    BlockBuilt,
    BlockChecked,
    BuildBlock,
    CheckBlock,
    Decide,
    Event,
    Flush,
    KeepBody,
    Message,
    NewHeight,
    Punish,
    Recalled,
    Received,
    Refused,
    ReportEvidence,
    Send,
    Signed,
    SigningFailed,
    SignProposal,
    SignVote,
    StartTimeout,
    Step,
    Stepped,
    TimedOut,
    Verified,
    Verify,
)
from consensus.inbox import Inbox
from consensus.validators import ValidatorSet
from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    FLAG_NIL,
    PRECOMMIT,
    PREVOTE,
    Commit,
    SignedProposal,
    SignedVote,
)
from qenex.codec import Plain, encode
from qenex.crypto.address import Address
from qenex.hashing import hasher

MAX_RECALLED_ROUND: Final = 10_000
NO_VALIDATORS: Final = ValidatorSet((), ())
_fingerprint = hasher("qx.core")


class CoreState:
    """Where one node stands. Only `Core` changes it."""

    __slots__ = (
        "addresses",
        "building",
        "decided",
        "driver",
        "height",
        "indexes",
        "last_commit",
        "own",
        "queue",
        "signing",
        "timers",
        "validators",
    )

    def __init__(self) -> None:
        self.height = 0
        self.validators: ValidatorSet = NO_VALIDATORS
        self.addresses: tuple[Address, ...] = ()
        self.indexes: dict[bytes, int] = {}
        self.own: int | None = None
        """Our place among the validators; None: we follow and say nothing."""
        self.driver: Driver | None = None
        self.queue: tuple[rules.Propose | rules.Prevote | rules.Precommit, ...] = ()
        """What is to be signed next, all of the current round."""
        self.signing: SignProposal | SignVote | None = None
        self.building = -1
        """Round for which a block is being built."""
        self.timers: tuple[Step, ...] = ()
        """Timeouts of the current round that were started."""
        self.decided: Commit | None = None
        self.last_commit: Commit | None = None
        """What decided the height before, if that was decided here."""

    def copy(self) -> CoreState:
        """An independent state."""
        new = CoreState.__new__(CoreState)
        for name in self.__slots__:
            setattr(new, name, getattr(self, name))
        new.driver = None if self.driver is None else self.driver.copy()
        return new

    def plain(self) -> Plain:
        """Everything, in an order that depends on contents alone."""
        return (
            self.height,
            self.validators,
            self.own,
            None if self.driver is None else self.driver.plain(),
            tuple([(type(item).__name__, *item) for item in self.queue]),
            None if self.signing is None else (type(self.signing).__name__, *self.signing),
            self.building,
            self.timers,
            self.decided,
            self.last_commit,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CoreState) and self.plain() == other.plain()

    def fingerprint(self) -> bytes:
        """32 bytes that stand for the whole state."""
        return _fingerprint(encode(_bare(self.plain())))


def _bare(value: Any) -> Plain:
    """Steps as numbers, records as tuples: what the codec writes."""
    if isinstance(value, tuple):
        return tuple([_bare(item) for item in value])
    return int(value) if isinstance(value, Step) else value


class Core:
    """See the module. `own_address` None: a node that follows and never signs."""

    __slots__ = ("chain_id", "inbox", "own_address", "state")

    def __init__(self, chain_id: str, own_address: Address | None) -> None:
        self.chain_id = chain_id
        self.own_address = own_address
        self.state = CoreState()
        self.inbox = Inbox()

    def copy(self) -> Core:
        """An independent core in the same state."""
        new = Core(self.chain_id, self.own_address)
        new.state, new.inbox = self.state.copy(), self.inbox.copy()
        return new

    # -- what is read from outside ---------------------------------------------------------------

    @property
    def height(self) -> int:
        """The height in progress, or just decided; 0 before the first."""
        return self.state.height

    @property
    def round(self) -> int:
        """The round in progress."""
        driver = self.state.driver
        return 0 if driver is None else driver.state.round

    @property
    def round_step(self) -> Step:
        """The step in progress."""
        driver = self.state.driver
        return Step.NEW_HEIGHT if driver is None else driver.state.step

    def proposer(self, round: int) -> Address | None:
        """Address of a round's proposer; None before the first height or for a round far ahead."""
        driver = self.state.driver
        if driver is None or round > driver.state.round + 1_000:
            return None
        return self.state.addresses[driver.rotation.proposer(round)]

    def useful_blocks(self) -> tuple[bytes, ...]:
        """Hashes of blocks that this height may still need: locked, valid, proposed now or soon, decidable, being signed."""
        driver, signing = self.state.driver, self.state.signing
        if driver is None:
            return ()
        found: list[bytes | None] = [driver.state.locked, driver.state.valid]
        found += [proposal.block_hash for proposal in driver.proposals.values()]
        found += [value for _, value in driver.votes.decidable]
        found += [] if signing is None else [signing.block_hash]
        decided = self.state.decided
        found += [] if decided is None else [decided.block_hash]
        return tuple(dict.fromkeys([name for name in found if name is not None]))

    def fingerprint(self) -> bytes:
        """That of the state."""
        return self.state.fingerprint()

    # -- steps -------------------------------------------------------------------------------------

    def step(self, event: Event) -> list[Action]:
        """Apply an event; the actions are to be carried out in order. Never raises."""
        return _HANDLERS[type(event)](self, event)

    def resume(self) -> list[Action]:
        """After a replay: what was under way, to be done again. Own messages are repeated, timeouts begin anew."""
        state, driver = self.state, self.state.driver
        if driver is None or state.decided is not None:
            return [] if state.decided is None else [Decide(state.decided)]
        height, now = state.height, driver.state
        actions: list[Action] = [Stepped(height, now.round, now.step), Flush()]
        actions += [Send(message, True) for message in self._own_messages(driver)]
        actions += [StartTimeout(height, now.round, step) for step in state.timers]
        actions += [CheckBlock(height, *place, fresh) for place, fresh in sorted(driver.asked.items())]
        if state.building == now.round:
            actions.append(BuildBlock(height, now.round))
        if state.signing is not None:
            _keep_body(state.signing, actions)
            actions += [Flush(), state.signing]
        return actions

    def _own_messages(self, driver: Driver) -> list[SignedProposal | SignedVote]:
        """Ours of this height, as far as they are held, oldest first."""
        found: list[SignedProposal | SignedVote] = []
        own = self.state.own
        if own is None:
            return found
        votes = driver.votes.rounds
        for round in sorted({*votes, *driver.proposals}):
            proposal, held = driver.proposals.get(round), votes.get(round)
            if proposal is not None and proposal.address == self.own_address:
                found.append(proposal)
            if held is not None:
                found += [t.first[own] for t in (held.prevotes, held.precommits) if t.first[own] is not None]  # type: ignore[misc]  # None is excluded in the same line
        return found

    def _new_height(self, event: NewHeight) -> list[Action]:
        state = self.state
        if event.height <= state.height:
            return []
        before, early = state.decided, event.height == state.height + 1
        validators = event.validators
        state.height = event.height
        if validators.validators != state.validators.validators:
            state.addresses = tuple([validator.address for validator in validators.validators])
            state.indexes = validators.indexes
        state.validators = validators
        state.own = None
        if self.own_address is not None and event.may_sign:
            state.own = state.indexes.get(self.own_address)
        state.driver = driver = Driver(event.height, validators, state.own)
        state.queue, state.signing, state.building, state.timers = (), None, -1, ()
        state.decided = None
        state.last_commit = before if before is not None and before.height == event.height - 1 else None
        actions: list[Action] = []
        self._carry_out(driver.start(0), actions)
        for peer, message in self.inbox.take_ahead():
            if early:
                actions += self._receive(peer, message)
        return actions

    def _recalled(self, event: Recalled) -> list[Action]:
        driver = self._driver(event.height)
        if driver is None or not max(event.locked_round, event.valid_round) <= event.round:
            return []
        # Others end the round in which we cannot speak again. Who decides alone has to leave it himself.
        first = event.round + 1 if self._decides_alone() else 0
        if max(event.locked_round, event.valid_round, first) > MAX_RECALLED_ROUND:
            self.state.own = driver.own = None  # no height came so far: say nothing rather than forget a lock
            return []
        memory = rules.Recall(event.locked_round, event.locked_hash, event.valid_round, event.valid_hash)
        return self._carry_out(driver.recall(memory, first), [])

    def _decides_alone(self) -> bool:
        own, validators = self.state.own, self.state.validators
        return own is not None and 3 * validators.validators[own].power > 2 * validators.total

    def _driver(self, height: int) -> Driver | None:
        """The driver of this height, while it is undecided."""
        state = self.state
        return state.driver if state.height == height and state.decided is None else None

    # -- messages ----------------------------------------------------------------------------------

    def _received(self, event: Received) -> list[Action]:
        return self._receive(event.peer, event.message)

    def _receive(self, peer: str, message: Message) -> list[Action]:
        """Ask for verification of what is of use; keep what comes a height too early."""
        state = self.state
        if message.height != state.height or state.decided is not None:
            if message.height == state.height + 1 and not isinstance(message, Commit):
                self.inbox.keep_ahead(peer, message)
            return []
        refusal = self._refusal(message)
        if refusal:
            return [Punish(peer, refusal)]
        if self._of_use(message) and self.inbox.ask(peer, message):
            return [Verify(peer, message)]
        return []

    def _refusal(self, message: Message) -> str:
        """Why no honest node sends this message of the height in progress; empty if one may."""
        state = self.state
        if isinstance(message, SignedVote):
            if message.address not in state.indexes:
                return "a vote of somebody who is no validator"
            return "" if message.type in (PREVOTE, PRECOMMIT) else "a vote of no type"
        if isinstance(message, SignedProposal):
            if not -1 <= message.pol_round < message.round:
                return "a proof-of-lock round that is not before the proposal's"
            driver = state.driver
            near = driver is not None and driver.wants_proposal(message)
            if near and self.proposer(message.round) != message.address:
                return "a proposal of another than the round's proposer"
            return ""
        return self._commit_refusal(message)

    def _commit_refusal(self, commit: Commit) -> str:
        """A commit lists every validator in order, absent ones without a signature, and 2/3 of the power for the block."""
        validators = self.state.validators.validators
        if len(commit.signatures) != len(validators):
            return "a commit that does not list the validators"
        power = 0
        for entry, validator in zip(commit.signatures, validators, strict=True):
            if entry.address != validator.address:
                return "a commit that does not list the validators in their order"
            if entry.flag not in (FLAG_ABSENT, FLAG_COMMIT, FLAG_NIL) or bool(entry.signature) != bool(
                entry.flag
            ):
                return "a commit with an entry of no form"
            if entry.flag == FLAG_COMMIT:
                power += validator.power
        return "" if 3 * power > 2 * self.state.validators.total else "a commit without 2/3 of the power"

    def _of_use(self, message: Message) -> bool:
        state, driver = self.state, self.state.driver
        if driver is None:
            return False
        if isinstance(message, SignedVote):
            return driver.votes.of_use(state.indexes[message.address], message)
        if isinstance(message, SignedProposal):
            return driver.wants_proposal(message)
        return True

    def _refused(self, event: Refused) -> list[Action]:
        actions: list[Action] = [Punish(event.peer, "a message with a bad signature")]
        if event.message.height == self.state.height:
            following = self.inbox.settle(event.message, good=False)
            if following is not None:
                actions.append(Verify(*following))
        return actions

    def _verified(self, event: Verified) -> list[Action]:
        message = event.message
        if message.height != self.state.height:
            return []
        self.inbox.settle(message, good=True)
        driver = self._driver(message.height)
        if driver is None or self._refusal(message):
            return []
        if isinstance(message, SignedVote):
            return self._count(driver, message, [], relay=True)
        if isinstance(message, SignedProposal):
            taken, outputs = driver.proposal(message, own=False)
            return self._carry_out(outputs, [Send(message, False)] if taken else [])
        if driver.checked.get(message.block_hash) is False:
            return []  # 2/3 stand behind a block that this node found invalid: it goes no further
        return self._decide(message, [])

    def _count(self, driver: Driver, vote: SignedVote, actions: list[Action], *, relay: bool) -> list[Action]:
        added, outputs = driver.vote(self.state.indexes[vote.address], vote)
        if relay and added.counted:
            actions.append(Send(vote, False))
        if added.evidence is not None:
            actions.append(ReportEvidence(added.evidence))
        return self._carry_out(outputs, actions) if outputs else actions

    # -- outcomes ------------------------------------------------------------------------------------

    def _built(self, event: BlockBuilt) -> list[Action]:
        driver = self._driver(event.height)
        if driver is None or event.round != self.state.building:
            return []
        self.state.building = -1
        return self._carry_out(driver.built(event.round, event.block_hash), [])

    def _checked(self, event: BlockChecked) -> list[Action]:
        driver = self._driver(event.height)
        if driver is None:
            return []
        outputs = driver.answered(event.round, event.block_hash, valid=event.valid, timely=event.timely)
        return self._carry_out(outputs, [])

    def _timed_out(self, event: TimedOut) -> list[Action]:
        driver, state = self._driver(event.height), self.state
        if driver is None or event.round != driver.state.round or event.step not in state.timers:
            return []
        state.timers = tuple([step for step in state.timers if step != event.step])
        return self._carry_out(driver.timed_out(event.round, event.step), [])

    def _signed(self, event: Signed) -> list[Action]:
        state, message = self.state, event.message
        driver = self._driver(message.height)
        asked = state.signing
        if driver is None or asked is None or not _answers(asked, message, self.own_address):
            return []
        state.signing = None
        actions: list[Action] = [Send(message, True)]
        if isinstance(message, SignedVote):
            self._count(driver, message, actions, relay=False)
        else:
            self._carry_out(driver.proposal(message, own=True)[1], actions)
        return self._sign_next(actions)

    def _signing_failed(self, event: SigningFailed) -> list[Action]:
        asked = self.state.signing
        if asked is None or (asked.height, asked.round, _step_of(asked)) != event:
            return []
        self.state.signing = None
        return self._sign_next([])

    # -- what layers 1 to 3 want ------------------------------------------------------------------------

    def _carry_out(self, outputs: list[DriverOutput], actions: list[Action]) -> list[Action]:
        state, height = self.state, self.state.height
        for output in outputs:
            if isinstance(output, CheckBlock):
                actions.append(output)
            elif isinstance(output, Entered):
                if output.step == Step.PROPOSE:  # a new round
                    state.timers, state.building = (), -1
                    state.queue = ()
                actions.append(Stepped(height, output.round, output.step))
            elif isinstance(output, rules.Schedule):
                state.timers = (*state.timers, output.step)
                actions.append(StartTimeout(height, output.round, output.step))
            elif isinstance(output, rules.GetValue):
                state.building = output.round
                actions.append(BuildBlock(height, output.round))
            elif isinstance(output, rules.Decision):
                driver = state.driver
                assert driver is not None  # it has just said so
                commit = driver.votes.commit(height, output.round, output.value, state.addresses)
                return self._decide(commit, actions)
            elif (
                isinstance(output, rules.Propose | rules.Prevote | rules.Precommit) and state.own is not None
            ):
                state.queue = (*state.queue, output)
        return self._sign_next(actions)

    def _sign_next(self, actions: list[Action]) -> list[Action]:
        state, driver = self.state, self.state.driver
        if not state.queue or state.signing is not None or driver is None:
            return actions
        wanted, state.queue = state.queue[0], state.queue[1:]
        if isinstance(wanted, rules.Propose):
            asked: SignProposal | SignVote = SignProposal(
                state.height, wanted.round, wanted.pol_round, wanted.value
            )
        else:
            now = driver.state
            kind = PREVOTE if isinstance(wanted, rules.Prevote) else PRECOMMIT
            lock = (now.locked_round, now.locked, now.valid_round, now.valid)
            asked = SignVote(state.height, wanted.round, kind, wanted.value, *lock)
        _keep_body(asked, actions)
        state.signing = asked
        actions += [Flush(), asked]
        return actions

    def _decide(self, commit: Commit, actions: list[Action]) -> list[Action]:
        state = self.state
        state.decided = commit
        state.queue, state.signing, state.building, state.timers = (), None, -1, ()
        actions.append(Decide(commit))
        return actions


def is_durable(event: Event) -> bool:
    """Whether an event belongs into the write-ahead log: all that change the state, but `NewHeight`.

    A height's log begins with its `NewHeight`, which the node makes from its own chain.
    """
    return not isinstance(event, Received | Refused | NewHeight)


def _keep_body(asked: SignProposal | SignVote, actions: list[Action]) -> None:
    """Before a precommit for a block, and before a proposal of our own new one."""
    name = asked.block_hash
    needed = asked.pol_round < 0 if isinstance(asked, SignProposal) else asked.type == PRECOMMIT
    if needed and name is not None:
        actions.append(KeepBody(name))


def _step_of(asked: SignProposal | SignVote) -> Step:
    if isinstance(asked, SignProposal):
        return Step.PROPOSE
    return Step.PREVOTE if asked.type == PREVOTE else Step.PRECOMMIT


def _answers(
    asked: SignProposal | SignVote, message: SignedProposal | SignedVote, own_address: Address | None
) -> bool:
    """Whether a signed message is the one that was asked for."""
    if (message.address, message.height, message.round, message.block_hash) != (
        own_address,
        asked.height,
        asked.round,
        asked.block_hash,
    ):
        return False
    if isinstance(asked, SignVote):
        return isinstance(message, SignedVote) and message.type == asked.type
    return isinstance(message, SignedProposal) and message.pol_round == asked.pol_round


_HANDLERS: Final[dict[type, Callable[[Core, Any], list[Action]]]] = {
    NewHeight: Core._new_height,
    Recalled: Core._recalled,
    Received: Core._received,
    Verified: Core._verified,
    Refused: Core._refused,
    BlockBuilt: Core._built,
    BlockChecked: Core._checked,
    Signed: Core._signed,
    SigningFailed: Core._signing_failed,
    TimedOut: Core._timed_out,
}
