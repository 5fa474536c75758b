"""One simulated node: the production core, log and guard, driven over the virtual clock, network and disk.

What the node's engine does with real time and sockets happens here at once and in one order. A process may end at
each named point (`plan.POINTS`); what survives is its disk and its chain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from consensus import events
from consensus.height import Core, is_durable
from consensus.signer import Lock, SignerGuard
from consensus.validators import ValidatorSet
from consensus.wal import Body as LoggedBody
from consensus.wal import Wal, decode_record, log_name, scan
from node.bft_options import Window
from qenex.block import PRECOMMIT, PREVOTE, Commit, SignedProposal, SignedVote
from qenex.errors import DoubleSignRefused, SignerStateMissing
from tests.simulation.chain import Body, Chain
from tests.simulation.checks import in_window
from tests.simulation.clock import MS
from tests.simulation.disk import Disk
from tests.simulation.plan import MESSAGE_DELAY, PRECISION, CrashAt
from tests.simulation.scheme import Key

if TYPE_CHECKING:
    from tests.simulation.world import World

TIMEOUTS: Final = {
    events.Step.PROPOSE: (300 * MS, 100 * MS),
    events.Step.PREVOTE: (150 * MS, 100 * MS),
    events.Step.PRECOMMIT: (150 * MS, 100 * MS),
}
"""Timeout of round 0, and what each further round adds."""
WINDOW: Final = Window(PRECISION, MESSAGE_DELAY)
SUMMARY_EVERY: Final = 150 * MS
ASK_EVERY: Final = 80 * MS


class Crash(Exception):
    """The process ends here."""


class Proposed(NamedTuple):
    """A proposal with its body, where the sender has it."""

    proposal: SignedProposal
    body: Any


class Wanted(NamedTuple):
    """Who has this block?"""

    name: bytes


class Found(NamedTuple):
    """Here it is."""

    name: bytes
    body: Any


class Vault:
    """A signer's state on a virtual disk, with a point before and after each write."""

    def __init__(self, disk: Disk, point: Callable[[str], None]) -> None:
        self._disk = disk
        self._point = point

    def read(self) -> bytes:
        """What was written last."""
        if self._disk.signer is None:
            raise SignerStateMissing("nothing was ever signed here")
        return self._disk.signer

    def write(self, data: bytes) -> None:
        """Replaces all."""
        self._point("before signature")
        self._disk.signer = data
        self._point("after signature")

    def close(self) -> None:
        """Nobody else would open it."""


class SimNode:
    """See the module. `index` names the instance; instances of one key are the same validator run twice."""

    honest = True
    absent = False
    """Says nothing of its own."""
    _carry_out: ClassVar[dict[type, Callable[[Any, Any], int | None]]]

    def __init__(self, world: World, index: int, key: Key, chain: Chain) -> None:
        self.world = world
        self.index = index
        self.key = key
        self.address = key.address
        self.chain = chain
        self.disk = Disk()
        self.clock = world.clock
        self.up = False
        self.epoch = 0
        self.skew = 0
        self.flush_time = 0
        self.armed: CrashAt | None = None
        self.passed = 0
        self.logged = 0
        self.flushed = 0, 0
        """Height, and records that are durable of it."""
        self.spared = 0
        """How many of those the last crash may have destroyed."""
        self.silent = False
        """The log of the height in progress was damaged: it is followed without a signature."""
        self._members: tuple[ValidatorSet | None, frozenset[bytes]] = (None, frozenset())
        self._forget()

    def _forget(self) -> None:
        """What a process holds in memory only."""
        self.inbox: deque[events.Event] = deque()
        self.actions: deque[events.Action] = deque()
        self.busy = False
        self.bodies: dict[bytes, Body] = {}
        self.heard: dict[tuple[int, int, bytes], int] = {}
        self.checks: dict[bytes, list[events.CheckBlock]] = {}
        self.deciding: Commit | None = None
        self.storing = False
        self.kept: set[bytes] = set()
        """Blocks whose bodies are in the log."""
        self.deferred: events.SignProposal | events.SignVote | None = None
        self.behind = 0
        """The greatest height that a peer claimed lately."""
        self.appending = False

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """A process begins, from what the disk holds."""
        self.up = True
        self.chain.restarted()
        self._guarded(self._recover)
        self.clock.after(self.world.luck.randrange(SUMMARY_EVERY), self._summarise, self.epoch)

    def open_guard(self) -> SignerGuard:
        """The guard over the state on the disk; made when this key has never signed."""
        vault, public = Vault(self.disk, self.point), self.key.public
        identity: Any = {
            "chain_id": self.world.verifier.chain_id,
            "scheme_tag": public[0],
            "public_key": public[1:],
            "sign": self.key.sign,
        }
        if self.disk.signer is None:
            guard = SignerGuard.create(vault, **identity)
        else:
            guard = SignerGuard.open(vault, signed_height=0, **identity)
        return guard

    def _recover(self) -> None:
        """Go on where the process before was, as far as the log tells."""
        self.guard = self.open_guard()
        height = self.chain.height + 1
        self.wal = Wal(self.disk)
        self.wal.sweep(height)
        found = self.wal.begin(height)
        self.silent = not found.may_sign
        self.world.faults[f"log {found.verdict.value}"] += 1
        self.logged = len(found.records)
        if (
            self.honest
            and found.may_sign
            and self.flushed[0] == height
            and self.logged < self.flushed[1] - self.spared
        ):
            kept = f"{self.logged} of {self.flushed[1]} flushed records"
            self.world.watcher.violate("log", f"{kept} of height {height} are left", self.index)
        for name, data in found.bodies.items():
            body = self.chain.decode(data)
            if body is not None:
                self.bodies[name] = body
                self.kept.add(name)
        self.core = self.replayed(height, found.events)
        memory = self.guard.memory
        if memory.height == height:
            self.inbox.append(events.Recalled(height, memory.round, *memory.lock))
        self.actions.extend(self.core.resume())
        self._work()

    def replayed(self, height: int, logged: Sequence[events.Event]) -> Core:
        """A core that has seen a height begin and these events."""
        core = Core(self.world.verifier.chain_id, self.address)
        core.step(events.NewHeight(height, self.chain.sets[height], not self.silent))
        for event in logged:
            core.step(event)
        return core

    def check_replay(self) -> None:
        """What was logged, all of it, gives the state that the process ended in."""
        height = self.chain.height + 1
        if self.core.height != height or self.core.state.decided is not None or self.silent:
            return
        payloads, _, _ = scan(height, self.disk.read(log_name(height)))
        logged = [record for record in map(decode_record, payloads) if not isinstance(record, LoggedBody)]
        if self.appending:
            logged = logged[:-1]
        core = self.replayed(height, logged)
        core.state.last_commit = self.core.state.last_commit
        if core.fingerprint() != self.core.fingerprint():
            self.world.watcher.violate(
                "replay", f"the log of height {height} gives another state", self.index
            )

    def members(self, validators: ValidatorSet) -> frozenset[bytes]:
        """Addresses of a set of the chain's, gathered once for each."""
        if self._members[0] is not validators:
            self._members = validators, frozenset([validator.address for validator in validators.validators])
        return self._members[1]

    @property
    def round(self) -> int:
        """The round in progress."""
        return self.core.round

    @property
    def now(self) -> int:
        """The time by this node's clock."""
        return self.clock.now + self.skew

    def point(self, name: str) -> None:
        """A place where the plan may end the process."""
        armed = self.armed
        if armed is not None and armed.point == name:
            self.passed += 1
            if self.passed >= armed.passes:
                raise Crash(name)

    def arm(self, crash: CrashAt) -> None:
        """End the process at a point to come."""
        if self.armed is None and self.clock.now < self.world.healed_at:
            self.armed, self.passed = crash, 0

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Crash as crash:
            self._die(str(crash))

    def _die(self, point: str) -> None:
        """The process is gone, with what its disk had not synced; it starts again later."""
        armed, self.armed = self.armed, None
        fate, down = ("kept", 500 * MS) if armed is None else (armed.fate, armed.down)
        self.world.crashed(self, point, fate)
        self.up = False
        self.epoch += 1
        self._forget()
        self.clock.after(down, self.start)

    # -- what comes in -----------------------------------------------------------------------------

    def receive(self, sender: int, message: Any) -> None:
        """From the network."""
        if self.up:
            try:
                self._receive(sender, message)
            except Crash as crash:
                self._die(str(crash))

    def _receive(self, sender: int, message: Any) -> None:
        kind = type(message)
        if kind is SignedVote or kind is Commit:
            self.post(events.Received(str(sender), message))
        elif kind is Proposed:
            proposal, body = message
            place = (proposal.height, proposal.round, proposal.block_hash)
            if place not in self.heard and len(self.heard) < 1_000:
                self.heard[place] = self.now
            if body is not None:
                self._body_came(proposal.block_hash, body)
            self.post(events.Received(str(sender), proposal))
        elif kind is Wanted:
            body = self.bodies.get(message.name) or self.chain.body(message.name)
            if body is not None:
                self.send_to(sender, Found(message.name, body))
        elif kind is Found:
            self._body_came(message.name, message.body)
        else:
            self._summary_came(sender, message)

    def _body_came(self, name: bytes, body: Body) -> None:
        chain = self.chain
        if name in self.bodies or chain.name_of(body) != name:
            return
        if chain.outline(body).height <= chain.height:
            return
        if len(self.bodies) >= 64:
            self.bodies.pop(next(iter(self.bodies)))
        self.bodies[name] = body
        for check in self.checks.pop(name, ()):
            self._answer_check(check, body)
        if self.deferred is not None:
            self._sign_deferred(name)
        if self.deciding is not None and self.deciding.block_hash == name and not self.storing:
            self._store(self.deciding, body)

    def _summary_came(self, sender: int, summary: Any) -> None:
        self.behind = max(self.behind, min(summary.height, self.chain.height + 100))
        for message in self.world.missing(self, summary):
            self.send_to(sender, message)

    def send_to(self, receiver: int, message: Any) -> None:
        """To one peer, unless the node is cut off on purpose."""
        self.world.network.send(self.index, receiver, message)

    # -- events in, actions out ----------------------------------------------------------------------

    def post(self, event: events.Event) -> None:
        """Hand an event to the core, after those that wait."""
        self.inbox.append(event)
        if not self.busy:
            self._work()

    def _resume(self, epoch: int) -> None:
        if epoch == self.epoch:
            self._guarded(self._work)

    def _work(self) -> None:
        self.busy = True
        actions, inbox, carry_out = self.actions, self.inbox, self._carry_out
        while True:
            while actions:
                action = actions.popleft()
                self.point("between actions")
                delay = carry_out[type(action)](self, action)
                if delay:
                    self.clock.after(delay, self._resume, self.epoch)
                    return
            if not inbox:
                break
            event = inbox.popleft()
            if is_durable(event):
                self.point("before append")
                self.wal.append(event)
                self.logged += 1
                self.appending = True
                self.point("after append")
                self.appending = False
            actions.extend(self.core.step(event))
        self.busy = False

    def _verify(self, action: events.Verify) -> None:
        message = action.message
        good = self.world.authentic(self, message)
        self.inbox.append((events.Verified if good else events.Refused)(action.peer, message))

    def _build(self, action: events.BuildBlock) -> None:
        body = self.build(action.height, action.round)
        if body is None:
            return
        name = self.chain.name_of(body)
        self.world.watcher.made(name, self.chain.outline(body))
        self.bodies[name] = body
        # Nobody else has it: once the log knows of the block, it has to have the block.
        self._keep_body(events.KeepBody(name))
        self.inbox.append(events.BlockBuilt(action.height, action.round, name))

    def build(self, height: int, round: int) -> Body | None:
        """A new block of this node's own."""
        payload = b"%d/%d" % (height, round)
        return self.chain.build(self.now, self.address, payload)

    def _check(self, action: events.CheckBlock) -> None:
        body = self.bodies.get(action.block_hash)
        if body is not None:
            self._answer_check(action, body)
            return
        waiting = self.checks.setdefault(action.block_hash, [])
        waiting.append(action)
        if len(waiting) == 1:
            self._ask(action.block_hash, self.epoch)

    def _ask(self, name: bytes, epoch: int) -> None:
        """Ask somebody for a body until it has come or the height is over."""
        if epoch == self.epoch and name in self.checks:
            peers = self.world.peers(self)
            self.send_to(peers[self.world.luck.randrange(len(peers))], Wanted(name))
            self.clock.after(ASK_EVERY, self._ask, name, epoch)

    def _answer_check(self, action: events.CheckBlock, body: Body) -> None:
        height, round, name = action.height, action.round, action.block_hash
        valid, timely = height == self.chain.height + 1 and self.chain.accepts(body), True
        if action.fresh:
            received, seen = self.heard.get((height, round, name), self.now), self.chain.outline(body)
            # Somebody else's block, proposed as new, is not to be voted for in this round. It stays valid: it may be
            # locked already, and else a traitor could make a locked block unacceptable.
            own = seen.proposer == self.chain.sets[height].proposer(round).address
            timely = own and WINDOW.holds(seen.time, received, round)
            in_time = in_window(seen.time, received, round)
            self.world.watcher.judged(self.index, height, round, name, timely=own and in_time)
        if not timely:
            self.world.faults["untimely block"] += 1
        self.post(events.BlockChecked(height, round, name, valid, timely))

    def _sign(self, action: events.SignProposal | events.SignVote) -> None:
        """Now, or when the signer comes to it."""
        if self._not_durable(action):
            return
        longest = self.world.plan.signing
        if longest:
            self.clock.after(self.world.luck.randrange(longest), self._sign_late, action, self.epoch)
        else:
            self._sign_now(action)

    def _sign_late(self, action: events.SignProposal | events.SignVote, epoch: int) -> None:
        if epoch == self.epoch and action.height == self.chain.height + 1:
            self._guarded(lambda: self._signed_late(action))

    def _signed_late(self, action: events.SignProposal | events.SignVote) -> None:
        self._sign_now(action)
        if not self.busy:
            self._work()

    def _sign_now(self, action: events.SignProposal | events.SignVote) -> None:
        if isinstance(action, events.SignProposal):
            self._sign_proposal(action)
        else:
            self._sign_vote(action)

    def _sign_proposal(self, action: events.SignProposal) -> None:
        height, round, pol, name = action
        try:
            signature = self.sign_proposal(action)
        except DoubleSignRefused:
            self.world.faults["signature refused"] += 1
            self.inbox.append(events.SigningFailed(height, round, events.Step.PROPOSE))
            return
        self.inbox.append(events.Signed(SignedProposal(self.address, height, round, pol, name, signature)))

    def _sign_vote(self, action: events.SignVote) -> None:
        height, round, kind, name = action[:4]
        try:
            signature = self.sign_vote(action)
        except DoubleSignRefused:
            self.world.faults["signature refused"] += 1
            step = events.Step.PREVOTE if kind == PREVOTE else events.Step.PRECOMMIT
            self.inbox.append(events.SigningFailed(height, round, step))
            return
        self.inbox.append(events.Signed(SignedVote(self.address, kind, height, round, name, signature)))

    def sign_proposal(self, action: events.SignProposal) -> bytes:
        """Through the guard. Raises DoubleSignRefused."""
        return self.guard.sign_proposal(action.height, action.round, action.pol_round, action.block_hash)

    def sign_vote(self, action: events.SignVote) -> bytes:
        """Through the guard. Raises DoubleSignRefused."""
        sign = self.guard.sign_prevote if action.type == PREVOTE else self.guard.sign_precommit
        return sign(action.height, action.round, action.block_hash, Lock(*action[4:]))

    def _keep_body(self, action: events.KeepBody) -> None:
        name = action.block_hash
        body = self.bodies.get(name)
        if name in self.kept:
            return
        if body is None:
            self.checks.setdefault(name, [])
            self._ask(name, self.epoch)
            return
        self.wal.append(LoggedBody(name, self.chain.encode(body)))
        self.kept.add(name)
        self.logged += 1

    def _not_durable(self, action: events.SignVote | events.SignProposal) -> bool:
        """Whether a signature has to wait for the body of its block, which was lost in a restart."""
        name = action.block_hash
        needed = action.pol_round < 0 if isinstance(action, events.SignProposal) else action.type == PRECOMMIT
        if not needed or name is None or name in self.kept:
            return False
        self.deferred = action
        return True

    def _sign_deferred(self, name: bytes) -> None:
        """The body that a signature waited for is here."""
        action = self.deferred
        if action is not None and action.block_hash == name and action.height == self.chain.height + 1:
            self.deferred = None
            self.actions.extend((events.KeepBody(name), events.Flush(), action))
            if not self.busy:
                self._work()

    def _flush(self, _action: events.Flush) -> int:
        self.point("before flush")
        self.wal.flush()
        self.flushed = self.chain.height + 1, self.logged
        self.point("after flush")
        return self.flush_time

    def _send(self, action: events.Send) -> None:
        self.point("before send")
        message = action.message
        if action.own:
            self.say(message)
        else:
            self.pass_on(message, self.world.heirs(self))
        self.point("after send")

    def say(self, message: SignedVote | SignedProposal) -> None:
        """A message of this node's own goes to everybody."""
        self.world.said(self, message)
        self.pass_on(message, self.world.peers(self))

    def pass_on(self, message: SignedVote | SignedProposal, peers: Sequence[int]) -> None:
        """To these."""
        if type(message) is SignedProposal:
            sent: Any = Proposed(message, self.bodies.get(message.block_hash))
        else:
            sent = message
        send, index = self.world.network.send, self.index
        weather = self.world.network.weather
        if weather.bodiless and type(sent) is Proposed and self.world.luck.random() < weather.bodiless:
            self.world.faults["block apart"] += 1
            sent = Proposed(message, None)
        for peer in peers:
            send(index, peer, sent)

    def _start_timeout(self, action: events.StartTimeout) -> None:
        base, more = TIMEOUTS[action.step]
        self.clock.after(base + more * action.round, self._expire, action, self.epoch)

    def _expire(self, place: events.StartTimeout, epoch: int) -> None:
        if epoch == self.epoch and place.height > self.chain.height:
            self._guarded(lambda: self.post(events.TimedOut(*place)))

    def _report(self, action: events.ReportEvidence) -> None:
        self.world.reported(self, action.evidence)

    def _punish(self, action: events.Punish) -> None:
        self.world.punished(self, int(action.peer), action.reason)

    def _stepped(self, action: events.Stepped) -> None:
        self.world.stepped(self, action)

    # -- decisions ---------------------------------------------------------------------------------

    def _decide(self, action: events.Decide) -> None:
        if self.deciding is not None:
            self.world.watcher.violate(
                "decision", f"height {action.commit.height} is decided twice", self.index
            )
        self.deciding = action.commit
        name = action.commit.block_hash
        body = self.bodies.get(name)
        if body is None:
            self.checks.setdefault(name, [])
            self._ask(name, self.epoch)
        else:
            self._store(action.commit, body)

    def _store(self, commit: Commit, body: Any) -> None:
        """Execute and write the block, which may take a while."""
        longest, self.storing = self.world.plan.storing, True
        if longest:
            self.clock.after(self.world.luck.randrange(longest), self._store_late, commit, body, self.epoch)
        else:
            self._finish(commit, body)

    def _store_late(self, commit: Commit, body: Any, epoch: int) -> None:
        if epoch == self.epoch:
            self._guarded(lambda: self._finish(commit, body))

    def _finish(self, commit: Commit, body: Any) -> None:
        """The block is final and here: make it the last one, and begin the next height."""
        self.deciding, self.storing = None, False
        if not self.chain.accepts(body):
            self._halt(commit)
            return
        self.point("before store")
        self.chain.apply(body, commit)
        self.point("after store")
        self.silent = False
        self.world.decided(self, commit)
        self.bodies.clear()
        self.kept.clear()
        self.deferred = None
        self.checks.clear()
        height = commit.height + 1
        self.heard = {place: time for place, time in self.heard.items() if place[0] >= height}
        self.wal.sweep(height)
        self.wal.begin(height)
        self.logged = 0
        self.post(events.NewHeight(height, self.chain.sets[height], True))
        if self.behind > height:
            self._catch_up()

    def _halt(self, commit: Commit) -> None:
        """What is decided may not follow here: more than a third of the power is at fault. A node stops then."""
        self.world.halted(self, commit)
        self.up = False
        self.epoch += 1
        self._forget()

    def _catch_up(self) -> None:
        """Blocks behind: ask one peer for the next at once, as a node does that fetches blocks."""
        peers = self.world.peers(self)
        told = self.world.summary(self)._replace(height=self.chain.height + 1)
        self.send_to(peers[self.world.luck.randrange(len(peers))], told)

    # -- summaries ---------------------------------------------------------------------------------

    def _summarise(self, epoch: int) -> None:
        """Tell everybody where this node stands, now and then."""
        if epoch != self.epoch or not self.world.plan.summaries:
            return
        self.clock.after(SUMMARY_EVERY, self._summarise, epoch)
        told = self.world.summary(self)
        for peer in self.world.heirs(self):
            self.send_to(peer, told)


SimNode._carry_out = {
    events.Verify: SimNode._verify,
    events.BuildBlock: SimNode._build,
    events.CheckBlock: SimNode._check,
    events.SignProposal: SimNode._sign,
    events.SignVote: SimNode._sign,
    events.KeepBody: SimNode._keep_body,
    events.Flush: SimNode._flush,
    events.Send: SimNode._send,
    events.StartTimeout: SimNode._start_timeout,
    events.Decide: SimNode._decide,
    events.ReportEvidence: SimNode._report,
    events.Punish: SimNode._punish,
    events.Stepped: SimNode._stepped,
}
