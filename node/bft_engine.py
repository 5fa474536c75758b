"""The consensus engine of a node: drives `consensus.height.Core` with the application, a signer, a log and the network.

The core is a function from events to actions. Here an event is appended to the write-ahead log, given to the core, and
the actions that come out are carried out in their order on the event loop; where the log has to be on disk first
(`Flush`), those behind it wait. What takes time runs elsewhere and comes back as an event: signatures of others
(`bft_votes`), own signatures (`bft_signing`), blocks (`bft_blocks`), timeouts (`bft_timers`, at the pace of
`bft_pace`). The same engine serves a chain of one validator, a validator among many, and a node without a key, which
follows what the others decide.

Restart, at any instant: the ledger holds whole blocks only, the log what was received and signed at the height after
it. The events of the log are given to a new core, and what it had asked for without an answer is asked again
(`bft_restart`). The signer's own state refuses whatever would contradict it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from consensus import events
from consensus.events import Action, Event, Message, Step
from consensus.height import Core, is_durable
from consensus.signer import STEP_NONE
from node.application import Application
from node.bft_blocks import BlockWork, Clock
from node.bft_evidence import EvidencePool
from node.bft_face import Gossip
from node.bft_late import LatePrecommits
from node.bft_log import EventLog, Recovered
from node.bft_metrics import EngineMetrics
from node.bft_options import EngineOptions, EngineStatus
from node.bft_recording import Recording, StepCore
from node.bft_rhythm import Rhythm
from node.bft_signing import SigningQueue, place_of
from node.bft_summaries import Summaries
from node.bft_votes import VoteVerifier
from node.metrics import NodeMetrics
from node.signing import Signer, SignerIdentity
from p2p.messages import Summary
from qenex.block import PRECOMMIT, Block, Commit, Evidence, SignedProposal, SignedVote, Validator
from qenex.errors import DoubleSignRefused

log = logging.getLogger("qenex.engine")

MAX_RECEIPTS: Final = 64
"""Proposals of which the time of receipt is remembered."""


class Engine:
    """See the module. `signer` and `identity` (whose key it guards) None: a node that follows. `run` it as one task."""

    def __init__(
        self,
        application: Application,
        gossip: Gossip,
        event_log: EventLog,
        *,
        signer: Signer | None = None,
        identity: SignerIdentity | None = None,
        evidence_path: Path | None = None,
        recording: Recording | None = None,
        options: EngineOptions | None = None,
        metrics: NodeMetrics | None = None,
        clock: Clock = time.time_ns,
    ) -> None:
        self._application = application
        self._gossip = gossip
        self._log = event_log
        self._identity = identity
        self._may_sign = False
        address = None if identity is None else identity.address
        options = options or EngineOptions()
        self._clock = clock
        self._signer = signer
        metrics = metrics or NodeMetrics()
        self.metrics = EngineMetrics(metrics)
        self.votes = VoteVerifier(application.verifier, application.genesis.chain_id)
        application.verify_votes = self.votes.verify_known
        self.blocks = BlockWork(
            application, gossip, address, self._spawn,
            window=options.window, clock=clock, metrics=metrics, max_block_bytes=options.max_block_bytes,
        )  # fmt: skip
        self.evidence = EvidencePool(evidence_path, self._check_evidence, gossip, self._spawn)
        self._signing = (
            SigningQueue(
                signer,
                address,
                self._post,
                self._spawn,
                self.blocks.written,
                self._is_wanted,
                metrics.stages["sign"].observe,
            )
            if signer is not None and address is not None
            else None
        )
        self._late = LatePrecommits(application, gossip, self._signing)
        self._rhythm = Rhythm(
            options, self._waiting, lambda: application.verifier.queued, time.monotonic, self._timed_out
        )
        self.on_behind: Callable[[int], None] = lambda height: None
        """Told of a height that a peer works on, where it is more than one above ours."""

        self._tasks: dict[asyncio.Task[None], None] = {}
        self._height_tasks: dict[asyncio.Task[None], None] = {}
        self._ended: asyncio.Future[None] | None = None
        self._stopping = False
        self._paused = False
        self._live = False
        """Whether the core is driven: between `_start` and a pause, a stop or a fault."""

        self._recording = recording
        self._core: Core
        self._step: StepCore
        self._summaries: Summaries
        self._height = application.ledger.height + 1
        self._at = (0, Step.NEW_HEIGHT)
        self._validators: dict[bytes, Validator] = {}
        self._events: deque[Event] = deque()
        self._actions: deque[Action] = deque()
        self._working = False
        self._flushing = False
        self._receipts: dict[tuple[int, int, bytes], int] = {}
        self._do: dict[type, Callable[[Any], None]] = {
            events.Verify: self._verify,
            events.BuildBlock: lambda action: self._in_height(self._build(action)),
            events.CheckBlock: lambda action: self._in_height(self._check(action)),
            events.SignProposal: self._sign,
            events.SignVote: self._sign,
            events.KeepBody: self._keep_body,
            events.Flush: self._flush,
            events.Send: self._send,
            events.StartTimeout: self._start_timeout,
            events.Decide: self._decided,
            events.ReportEvidence: lambda action: self.evidence.report(action.evidence),
            events.Punish: lambda action: gossip.punish(action.peer, action.reason),
            events.Stepped: self._stepped,
        }

    # -- life --------------------------------------------------------------------------------

    @property
    def status(self) -> EngineStatus:
        """Where it stands now."""
        if self._paused:
            return EngineStatus(self._application.ledger.height + 1, 0, "syncing")
        if not self._live:
            return EngineStatus(self._application.ledger.height + 1, 0, "stopped")
        round, step = self._at
        return EngineStatus(self._height, round, step.name.lower())

    @property
    def not_signing(self) -> str:
        """Why a node with a key does not sign; empty if it does, has no key, or follows for now."""
        if self._identity is None or self._signing is None or not self._live:
            return ""
        own = self._validators.get(self._identity.address)
        if own is not None and not self._may_sign:
            return "the chain has another consensus key for this operator than the one here"
        return self._signing.trouble if self._may_sign else ""

    def declare_metrics(self, metrics: NodeMetrics) -> None:
        """Have everything counted here told. Raises ValueError for a second time."""
        signing = self._signing
        counters: dict[str, tuple[str, Callable[[], int]]] = {
            "consensus_untimely_proposals_total": (
                "Proposals that came outside the window around their block's time",
                lambda: self.blocks.untimely,
            ),
            "consensus_known_signatures_total": (
                "Signatures of votes that were not verified again",
                lambda: self.votes.hits,
            ),
            "consensus_unsigned_total": (
                "Proposals and votes that the signer refused or did not answer",
                lambda: 0 if signing is None else signing.failed,
            ),
            "consensus_evidence_total": (
                "Double votes, waiting here once, that came into blocks",
                lambda: self.evidence.committed,
            ),
        }
        self.metrics.watch(metrics, counters)

    async def run(self) -> None:
        """Agree on blocks until `stop`.

        Raises StorageFault or OSError when the disk fails, DoubleSignRefused where the only validator's data are
        older than what its key signed, InternalError when a decided block breaks the rules of this node.
        """
        self._ended = asyncio.get_running_loop().create_future()
        try:
            if not self._stopping:
                self.evidence.load()
                self._rhythm.pace.begin(empty_chain=self._application.parent is None)
                if not self._paused:
                    await self._start()
                await self._ended
        finally:
            await self._halt()
            if self._signing is not None:
                await self._signing.close()
            await self.evidence.close()
            if self._recording is not None:
                self._recording.close()
            await self._log.close()

    def stop(self) -> None:
        """Let `run` return; what is being written is finished."""
        self._stopping = True
        self._live = False
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    async def pause(self) -> None:
        """Stop taking part, and leave the application to block sync: no execution is under way on return."""
        self._paused = True
        await self._halt()

    async def resume_at(self, height: int) -> None:
        """Take part again at `height`, the one after the application's last block. Raises ValueError."""
        if height != self._application.ledger.height + 1:
            raise ValueError(f"the last block is {self._application.ledger.height}: cannot go on at {height}")
        if self._stopping or not self._paused:
            return
        self._paused = False
        self._rhythm.pace.begin(empty_chain=False)
        await self._start()

    async def _halt(self) -> None:
        """Drive the core no further. Ends with everything written that had to be."""
        self._live = False
        self._rhythm.stop()
        self._events.clear()
        self._actions.clear()
        if self._signing is not None:
            self._signing.clear()
        self.blocks.clear()
        running = list(self._height_tasks)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        await self.blocks.settled()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._task_ended)
        return task

    def _in_height(self, work: Coroutine[Any, Any, None]) -> None:
        """Work that is of use at this height only."""
        self._height_tasks[self._spawn(work)] = None

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._height_tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Nothing can go on after this; the first one counts."""
        self._live = False
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)

    # -- heights -------------------------------------------------------------------------------

    async def _start(self) -> None:
        """A new core at the height after the last block, with what the log holds of it."""
        height = self._application.ledger.height + 1
        chain_id = self._application.genesis.chain_id
        recovered = await self._log.begin(height)
        self._enter(height)
        self._core = core = Core(chain_id, None if self._identity is None else self._identity.address)
        self._step = core.step if self._recording is None else self._recording.of(core)
        self._summaries = Summaries(core, self.blocks.bodies, time.monotonic)
        self._live = True
        self._take_up(recovered)
        self._recall(recovered.events)
        self._rhythm.begin()
        self._work()

    def _take_up(self, recovered: Recovered) -> None:
        """Begin the height, where the log left it."""
        height = self._height
        for name, block in recovered.bodies.items():
            self.blocks.bodies.put(name, block)
            self.blocks.bodies.keep(name)
        # A chain of one validator cannot go on without its signature, and the guard remembers the lock.
        may_sign = self._may_sign and (recovered.intact or len(self._validators) == 1)
        first = events.NewHeight(height, self._application.rotation(height), may_sign)
        if not recovered.events:
            self._actions.extend(self._step(first))
            return
        self._step(first)
        for event in recovered.events:
            self._step(event)
        self._actions.extend(self._core.resume())

    def _recall(self, history: Sequence[Event]) -> None:
        """Let the core know what the key signed at this height and the log does not hold.

        It then has the lock that the signer remembers.
        """
        signer = self._signer
        if signer is None:
            return
        place = signer.memory[:3]
        if place[0] > self._height and len(self._validators) == 1:
            raise DoubleSignRefused(
                f"this key has signed at height {place[0]}, the data end at {self._height - 1}: they are an old copy",
                hint="restore the newest data folder; with this one the chain would fork",
            )
        if place[0] != self._height or place[2] == STEP_NONE:
            return
        asked = self._core.state.signing
        known = [place_of(event.message) for event in history if isinstance(event, events.Signed)]
        if place in known or (asked is not None and place_of(asked) == place):
            return
        self._post(events.Recalled(self._height, place[1], *signer.memory.lock))

    def _enter(self, height: int) -> None:
        self._height = height
        self._at = (0, Step.NEW_HEIGHT)
        self._validators = {v.address: v for v in self._application.validators}
        identity, own = self._identity, None
        if identity is not None:
            own = self._validators.get(identity.address)
        self._may_sign = own is not None and identity is not None and own.key == identity.key
        self._receipts = {key: at for key, at in self._receipts.items() if key[0] >= height}
        self._late.begin()

    async def _next(self) -> None:
        """The last block is decided: on to the next height. Its log may hold something if the node died here."""
        height = self._application.ledger.height + 1
        recovered = await self._log.begin(height)
        if self._live:
            self._enter(height)
            self._take_up(recovered)
            self._rhythm.begin()
            self._work()

    # -- events in, actions out ------------------------------------------------------------------

    def _post(self, event: Event) -> None:
        if self._live:
            self._events.append(event)
            if not self._working:
                self._work()

    def _work(self) -> None:
        """Step the core and carry out its actions until both are done or the disk has to be waited for."""
        self._working = True
        try:
            while self._live:
                if self._actions and not self._flushing:
                    action = self._actions.popleft()
                    self._do[type(action)](action)
                elif self._events:
                    event = self._events.popleft()
                    if is_durable(event):
                        self._log.append(event)
                    self._actions.extend(self._step(event))
                else:
                    return
        except BaseException as error:  # whatever it is, it must not be lost in a callback of the loop
            self._fail(error)
        finally:
            self._working = False

    # -- from the network --------------------------------------------------------------------------

    def receive(self, peer: str, message: Message) -> None:
        """See `bft_face.Consensus`."""
        if not self._live:
            return
        if message.height < self._height:
            self.metrics.late += 1
            self._late.after(peer, message)
            return
        if message.height > self._height + 1:
            self.on_behind(message.height)
        elif isinstance(message, SignedProposal) and len(self._receipts) < MAX_RECEIPTS:
            self._note_receipt(message)
        self._late.note(message, self._height, self._validators)
        self._post(events.Received(peer, message))

    def receive_body(self, block: Block) -> None:
        """See `bft_face.Consensus`."""
        if self._live and self._height <= block.header.height <= self._height + 1:
            self.blocks.take(block)

    def receive_evidence(self, peer: str, evidence: Sequence[Evidence]) -> None:
        """See `bft_face.Consensus`."""
        if self.evidence.receive(peer, evidence, self._application.ledger.height):
            self.wake()

    def receive_summary(self, peer: str, summary: Summary) -> None:
        """See `bft_face.Consensus`."""
        if not self._live:
            return
        if summary.height > self._height + 1:
            self.on_behind(summary.height)
            return
        commit = self._application.seen_commit
        if summary.height == self._height - 1 and commit is not None:
            missing = self._summaries.unsent(peer, [commit])
        else:
            missing = self._summaries.missing(peer, summary)
        if missing:
            self._gossip.send_to(peer, missing)

    def forget_peer(self, peer: str) -> None:
        """See `bft_face.Consensus`."""
        if self._live:
            self._summaries.forget(peer)

    def summary(self) -> Summary:
        """See `bft_face.Consensus`."""
        if self._live:
            return self._summaries.summary()
        return Summary(self._application.ledger.height + 1, 0, 0, (), ())

    def body(self, block_hash: bytes) -> Block | None:
        """See `bft_face.Consensus`."""
        return self.blocks.find(block_hash)

    def waiting_evidence(self) -> Sequence[Evidence]:
        """See `bft_face.Consensus`."""
        return self.evidence.pending()

    # -- time ------------------------------------------------------------------------------------

    def wake(self) -> None:
        """A transaction was admitted, or evidence has come."""
        self._rhythm.wake()

    def _waiting(self) -> int:
        return len(self._application.mempool) + len(self.evidence)

    def _start_timeout(self, action: events.StartTimeout) -> None:
        if action.height == self._height:
            self._rhythm.start_timeout(action)

    def _timed_out(self, height: int, round: int, step: Step) -> None:
        self._rhythm.others_act()
        self._post(events.TimedOut(height, round, step))

    # -- actions ---------------------------------------------------------------------------------

    def _note_receipt(self, proposal: SignedProposal) -> None:
        place = (proposal.height, proposal.round, proposal.block_hash)
        self._receipts.setdefault(place, self._clock())

    def _verify(self, action: events.Verify) -> None:
        if isinstance(action.message, SignedProposal):
            self._note_receipt(action.message)  # if a flood of others' left no room when it came
        self._in_height(self._verified(action))

    async def _verified(self, action: events.Verify) -> None:
        peer, message = action
        good = message.height == self._height and await self.votes.check(message, self._validators)
        if not good:
            self._post(events.Refused(peer, message))
            return
        self._rhythm.others_act()
        if isinstance(message, SignedProposal):
            self.blocks.bodies.keep(message.block_hash)
        self._late.note(message, self._height, self._validators, verified=True)
        self._post(events.Verified(peer, message))

    async def _build(self, action: events.BuildBlock) -> None:
        alone = len(self._validators) == 1
        while True:
            if action.round == 0:
                await self._rhythm.reason()
            evidence = self._application.evidence.select(self.evidence.pending(action.height))
            proposal = await self.blocks.build(evidence)
            block = proposal.block
            if block.transactions or block.evidence or not alone or action.round or self._rhythm.pace.is_time:
                break
            # Nobody waits for this block, and nothing of what waits can stand in one now.
            self._rhythm.attempt_was_empty()
        self.blocks.bodies.keep(proposal.hash)
        # Nobody else has it: once the log knows of the block, it has to have the block.
        self._log.keep_body(proposal.hash, block)
        self._post(events.BlockBuilt(action.height, action.round, proposal.hash))
        self.blocks.prepare_tree(proposal.hash)

    async def _check(self, action: events.CheckBlock) -> None:
        name, round = action.block_hash, action.round
        self.blocks.bodies.keep(name)
        block, valid = await self.blocks.check(name)
        timely = not action.fresh or (
            block.header.proposer == self._core.proposer(round)  # he gets the tips
            and self.blocks.is_timely(block, round, self._receipts.get((action.height, round, name)))
        )
        self._post(events.BlockChecked(action.height, round, name, valid, timely))
        if valid:
            self.blocks.prepare_tree(name)

    def _sign(self, action: events.SignProposal | events.SignVote) -> None:
        if self._signing is None:
            return
        name = action.block_hash
        if isinstance(action, events.SignProposal):
            needs_body = action.pol_round < 0
        else:
            needs_body = action.type == PRECOMMIT
        if needs_body and name is not None and not self._log.has_body(name):
            self._in_height(self._sign_with_body(action, name))
        else:
            self._signing.sign(action)

    def _is_wanted(self, action: events.SignProposal | events.SignVote) -> bool:
        core = self._core
        return self._live and core.state.signing == action and core.round == action.round

    async def _sign_with_body(self, action: events.SignProposal | events.SignVote, name: bytes) -> None:
        """The block was here before a restart: it has to be fetched and kept again."""
        self._log.keep_body(name, await self.blocks.body(name))
        self.blocks.bodies.keep(name)
        await self._log.flush()
        if self._signing is not None and self._core.state.signing == action:
            self._signing.sign(action)

    def _keep_body(self, action: events.KeepBody) -> None:
        block = self.blocks.find(action.block_hash)
        if block is not None:
            self._log.keep_body(action.block_hash, block)
            self.blocks.bodies.keep(action.block_hash)

    def _flush(self, action: events.Flush) -> None:
        if self._log.is_dirty:
            self._flushing = True
            self._spawn(self._flushed())

    async def _flushed(self) -> None:
        try:
            await self._log.flush()
        finally:
            self._flushing = False
        if not self._working:
            self._work()

    def _send(self, action: events.Send) -> None:
        message = action.message
        if isinstance(message, SignedVote):
            self._gossip.send_vote(message, own=action.own)
        else:
            self._gossip.send_proposal(message, self.blocks.find(message.block_hash), own=action.own)

    def _check_evidence(self, piece: Evidence) -> None:
        application = self._application
        application.evidence.check(
            piece, height=application.ledger.height + 1, time=application.parent_time + 1
        )

    def _stepped(self, action: events.Stepped) -> None:
        self.metrics.stepped(self._at, (action.round, action.step))
        if action.round != self._at[0]:
            self.blocks.bodies.keep_only(self._core.useful_blocks())
        self._at = (action.round, action.step)
        if action.round > 0:
            self._rhythm.others_act()
        self._gossip.summary_changed()

    # -- decided -----------------------------------------------------------------------------------

    def _decided(self, action: events.Decide) -> None:
        self.metrics.stepped(self._at, (self._at[0], Step.NEW_HEIGHT))
        self._rhythm.stop()
        if self._signing is not None:
            self._signing.clear()
        for task in list(self._height_tasks):
            task.cancel()
        self._in_height(self._finalize(action.commit))

    async def _finalize(self, commit: Commit) -> None:
        block, committed = await self.blocks.decide(commit)
        self._late.decided(commit, self._core.state.own)
        self.evidence.block_committed(committed.height, block.evidence)
        self._rhythm.pace.decided(
            # The genesis state's first root stands in the second header: proofs need it soon.
            eventful=committed.eventful or committed.height == self._application.genesis.initial_height,
            took=bool(committed.result.receipts),
        )
        await self._next()
