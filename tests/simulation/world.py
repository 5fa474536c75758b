"""A run: nodes, clock, network, plan and watcher put together, carried to its end, and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from consensus.catchup import RoundSummary, Summary, missing, summary
from consensus.events import Message, Stepped
from consensus.validators import ValidatorSet, new_validators
from consensus.votes import FUTURE_ROUNDS, PAST_ROUNDS
from node.validation import Rejected, check_commit
from node.verifier_worker import Item
from qenex.block import Commit, Evidence, SignedProposal, SignedVote, Validator
from tests.simulation.byzantine import Traitor
from tests.simulation.chain import Chain, Changes
from tests.simulation.checks import Violation, Watcher
from tests.simulation.clock import START, Clock
from tests.simulation.network import Network
from tests.simulation.node import Found, Proposed, SimNode
from tests.simulation.plan import PRECISION, Plan, Slow
from tests.simulation.scheme import CHAIN, Verifier, make_key, verify
from tests.simulation.trace import Trace

MAX_EVENTS: Final = 3_000_000
"""Calls of the clock in one run: more means that it runs in a circle."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `time` is virtual seconds."""

    plan: Plan
    violations: tuple[Violation, ...]
    height: int
    decided: int
    """Decisions of all honest nodes together."""
    rounds: int
    """The greatest round in which a height was decided."""
    faults: Counter[str]
    trace: str
    time: float
    decisions: tuple[tuple[bytes, bytes], ...] = field(default=())
    """Payload and state root of each height, as the first node decided it."""


class World:
    """One run of a plan. `write` takes the lines of the trace."""

    traitor = Traitor

    def __init__(
        self, plan: Plan, *, write: Callable[[str], None] | None = None, chain_id: str = CHAIN
    ) -> None:
        self.plan = plan
        self.clock = Clock()
        self.trace = Trace(self.clock, write)
        self.faults: Counter[str] = Counter()
        self.luck = Random(f"world/{plan.seed}")
        self.verifier = Verifier(chain_id)
        self.healed_at = START + plan.healing
        self.keys = [make_key(number, real=plan.real) for number in range(len(plan.powers))]
        self._by_address = {key.address: key for key in self.keys}
        self._changes = self._named_changes()
        traitors = dict(plan.byzantine)
        honest = frozenset(key.address for node, key in enumerate(self.keys) if node not in traitors)
        self.watcher = Watcher(
            self._by_address,
            {key.address: power for key, power in zip(self.keys, plan.powers) if power},
            lambda height: self._changes.get(height, ()),
            honest=honest,
            verifier=self.verifier,
            now=lambda: self.clock.now - START,
            forks=plan.above,
        )
        twins = [node for node, kinds in plan.byzantine if "equivocation" in kinds]
        self.network = Network(
            self.clock, Random(f"net/{plan.seed}"), len(self.keys) + len(twins), self.faults
        )
        self.network.weather = plan.storm if plan.healing else plan.calm
        self.nodes: list[SimNode] = []
        first = new_validators(
            Validator(key.address, key.public, power) for key, power in zip(self.keys, plan.powers) if power
        )
        for index, node in enumerate([*range(len(self.keys)), *twins]):
            chain = self.make_chain(index, first)
            if node in traitors:
                self.nodes.append(self.traitor(self, index, self.keys[node], chain, traitors[node]))
            else:
                self.nodes.append(SimNode(self, index, self.keys[node], chain))
        self.network.receivers = [node.receive for node in self.nodes]
        self.honest = [node for node in self.nodes if node.honest]
        everyone = range(len(self.nodes))
        self._peers = [[other for other in everyone if other != index] for index in everyone]
        self._signatures: dict[tuple[bytes, int, int], list[bytes]] = {}
        self.target = plan.heights if not plan.healing else 1 << 62
        self.reached = 0
        self.traitors = frozenset(self.keys[node].address for node in traitors)
        self.reasons: set[str] = set()
        """For what honest nodes punished somebody."""

    def make_chain(self, _index: int, first: ValidatorSet) -> Chain:
        """A node's empty chain."""
        return Chain(first, {key.address: key.public for key in self.keys}, self._changes)

    def _named_changes(self) -> dict[int, Changes]:
        return {
            height: tuple(sorted((self.keys[node].address, power) for node, power in changes))
            for height, changes in self.plan.changes
        }

    # -- a run ---------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Carry the plan to its end. Raises nothing for what nodes do wrong: that is in the outcome."""
        plan = self.plan
        self._schedule()
        for node in self.nodes:
            node.start()
        if plan.healing:
            self.clock.run(self.healed_at, self._broken)
            self._heal()
        goal = max([node.chain.height for node in self.honest]) + plan.heights
        self.target = goal
        late = self.healed_at + plan.bound
        if plan.above:
            self.clock.run(late, self._broken)
        else:
            self.clock.run(late, self._finished)
            for node in self.honest:
                if node.chain.height < goal and not self.watcher.violations:
                    self.watcher.violate(
                        "liveness", f"height {node.chain.height} instead of {goal} in time", node.index
                    )
        return self._outcome()

    def _broken(self) -> bool:
        return bool(self.watcher.violations) or self.clock.made > MAX_EVENTS

    def _finished(self) -> bool:
        return self.reached >= len(self.honest) or self._broken()

    def _outcome(self) -> Outcome:
        best = max(self.honest, key=lambda node: node.chain.height)
        rounds = [here.decided[1] for here in self.watcher.heights.values() if here.decided is not None]
        return Outcome(
            self.plan,
            tuple(self.watcher.violations),
            best.chain.height,
            sum(node.chain.height for node in self.honest),
            max(rounds, default=0),
            self.faults,
            self.trace.digest(),
            (self.clock.now - START) / 1e9,
            tuple(
                (getattr(decided.body, "payload", b""), root)
                for decided, root in zip(best.chain.blocks, best.chain.roots[1:], strict=True)
            ),
        )

    # -- faults ----------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        plan, at = self.plan, self.clock.at
        for node, skew in zip(self.nodes, plan.skews):
            node.skew = skew
            self.faults["clock skew"] += skew != 0
        for cut in plan.cuts:
            at(START + cut.start, self.network.cut, cut.pairs)
            if cut.end < plan.healing:
                at(START + cut.end, self.network.mend, cut.pairs)
        for crash in plan.crashes:
            at(START + crash.start, self.nodes[crash.node].arm, crash)
        for slow in plan.slow:
            at(START + slow.start, self._slow, slow, slow.delay)
            at(START + slow.end, self._slow, slow, 0)

    def _slow(self, slow: Slow, delay: int) -> None:
        self.faults["slow disk"] += delay > 0
        self.nodes[slow.node].flush_time = delay

    def _heal(self) -> None:
        """From now on the network is good enough, clocks are right, and no process ends."""
        self.network.heal()
        self.network.weather = self.plan.calm
        for node in self.nodes:
            node.armed = None
            node.flush_time = 0
            node.skew = max(-PRECISION // 2, min(node.skew, PRECISION // 2))

    def crashed(self, node: SimNode, point: str, fate: str) -> None:
        """A process has ended: check what its log would give, then let its disk forget."""
        self.faults["crash"] += 1
        self.faults[f"crash {point}"] += 1
        self.trace.note(node.index, "crash", point, fate)
        if node.honest:
            node.check_replay()
        node.disk.crash(self.luck, self.faults)
        node.spared = {"kept": 0, "damaged": 1}.get(fate, 1 << 30)
        if fate == "no log":
            self.faults["log lost"] += 1
            node.disk.files.clear()
        elif fate == "damaged" and node.disk.damage(self.luck):
            self.faults["log damaged"] += 1

    # -- what nodes ask of the world ---------------------------------------------------------------------

    def peers(self, node: SimNode) -> list[int]:
        """Everybody else."""
        return self._peers[node.index]

    def heirs(self, node: SimNode) -> list[int]:
        """To whom a node passes on what others said, and tells where it stands."""
        peers, count = self._peers[node.index], self.plan.passing
        if not 0 < count < len(peers):
            return peers
        first = self.luck.randrange(len(peers))
        return (peers[first:] + peers[:first])[:count]

    def authentic(self, node: SimNode, message: Message) -> bool:
        """Whether the signatures of a message are those of validators of its height, and a commit has enough."""
        validators = node.chain.sets.get(message.height)
        if validators is None:
            return False
        if isinstance(message, Commit):
            return self._good_commit(message, validators.validators)
        key = self._by_address.get(message.address)
        member = message.address in node.members(validators)
        return member and key is not None and self.verifier.single(key.public, message)

    def _good_commit(self, commit: Commit, validators: tuple[Validator, ...]) -> bool:
        """By the production check, which here verifies with the scheme of the run."""
        try:
            check_commit(
                commit,
                chain_id=self.verifier.chain_id,
                height=commit.height,
                block_hash=commit.block_hash,
                validators=validators,
                verify=self._verify_items,
            )
        except Rejected:
            return False
        return True

    def _verify_items(self, items: Sequence[Item]) -> list[bool]:
        return [verify(keys[0], signed, signatures[0]) for signed, keys, signatures in items]

    def said(self, node: SimNode, message: SignedVote | SignedProposal) -> None:
        """A message of its own leaves a node for the first time, or again."""
        kind = (
            "proposal" if isinstance(message, SignedProposal) else ("prevote", "precommit")[message.type - 1]
        )
        self.trace.note(node.index, kind, message.height, message.round, message.block_hash)
        self.watcher.sent(node.index, message)
        signatures = self._signatures.setdefault((message.address, message.height, message.round), [])
        if len(signatures) < 4:
            signatures.append(message.signature)

    def heard_signature(self, address: bytes, height: int, round: int) -> bytes:
        """Some signature of this validator for this round, of whatever: for forgers."""
        return next(iter(self._signatures.get((address, height, round), ())), b"")

    def decided(self, node: SimNode, commit: Commit) -> None:
        """A node has a new last block."""
        self.trace.note(node.index, "decided", commit.height, commit.round, commit.block_hash)
        if not node.honest:
            return
        self.watcher.decided(node.index, commit, node.chain.roots[-1])
        following = node.chain.sets[commit.height + 1]
        self.watcher.ranked(node.index, commit.height + 1, following.increment().members)
        if commit.height == self.target:
            self.reached += 1

    def halted(self, node: SimNode, commit: Commit) -> None:
        """A node stops for good, since a decided block may not follow its own."""
        self.trace.note(node.index, "halted", commit.height, commit.round, commit.block_hash)
        self.faults["halted"] += 1
        if node.honest and not self.plan.above:
            self.watcher.violate(
                "decision", f"the block of height {commit.height} may not follow", node.index
            )

    def reported(self, node: SimNode, evidence: Evidence) -> None:
        """A node has evidence."""
        self.trace.note(node.index, "evidence", self._by_address[evidence.first.address].number)
        if node.honest:
            self.faults["evidence"] += 1
            self.watcher.evidence(node.index, evidence)

    def punished(self, node: SimNode, peer: int, reason: str) -> None:
        """A node says that a peer sent what no honest node sends."""
        self.trace.note(node.index, "punish", peer, reason)
        self.faults["punished"] += 1
        if node.honest:
            self.reasons.add(reason)
        if node.honest and self.nodes[peer].honest:
            self.watcher.violate("punish", f"honest node {peer}: {reason}", node.index)

    def stepped(self, node: SimNode, step: Stepped) -> None:
        """A node is in another step."""
        self.trace.note(node.index, "step", step.height, step.round, int(step.step))

    # -- catching up ---------------------------------------------------------------------------------------

    def summary(self, node: SimNode) -> Summary:
        """Where a node stands."""
        if node.honest:
            self._check_memory(node)
        return summary(node.core)

    def _check_memory(self, node: SimNode) -> None:
        """What others can make the core hold is bounded by the number of validators and peers."""
        state, inbox = node.core.state, node.core.inbox
        if state.driver is None:
            return
        members, peers = len(state.addresses), len(self.nodes)
        votes = state.driver.votes
        held = {
            "rounds": (len(votes.rounds), PAST_ROUNDS + 8 + FUTURE_ROUNDS * members),
            "double votes": (sum(len(r.prevotes.extra) + len(r.precommits.extra) for r in votes.rounds.values()),
                             2 * members * len(votes.rounds)),
            "proposals": (len(state.driver.proposals), 8),
            "checked blocks": (len(state.driver.checked), 4 * (PAST_ROUNDS + state.driver.state.round)),
            "messages under verification": (inbox.asked, 64 * peers),
            "messages of the next height": (inbox.ahead, 3 * 2 * (members + 1) * peers),
        }  # fmt: skip
        for name, (count, limit) in held.items():
            if count > limit:
                self.watcher.violate("memory", f"{count} {name}, at most {limit} expected", node.index)

    def missing(self, node: SimNode, theirs: Summary) -> list[Any]:
        """What a peer with this summary is sent: from the core, or from the chain if it is further behind."""
        height = node.chain.height
        if theirs.height <= height:
            if theirs.height < 1:
                return []
            decided = node.chain.blocks[theirs.height - 1]
            return [Found(decided.commit.block_hash, decided.body), decided.commit]
        found: list[Any] = []
        for message in missing(node.core, theirs):
            if not node.honest and not isinstance(message, Commit):
                self.watcher.sent(node.index, message)  # a traitor may have kept it to itself so far
            if not isinstance(message, Commit) and message.address == node.address and node.absent:
                continue
            found.append(Proposed(message, None) if isinstance(message, SignedProposal) else message)
        return found

    def lie(self, node: SimNode, luck: Random) -> Summary:
        """A summary with false bitmaps, rounds and heights."""
        size = luck.choice((1, 2, 20))
        rounds = tuple(
            RoundSummary(
                number,
                luck.randbytes(size),
                luck.randbytes(size),
                luck.random() < 0.5,
                luck.choice((None, bytes(32))),
            )
            for number in sorted(luck.sample(range(30), luck.randint(0, 5)))
        )
        return Summary(
            max(0, node.core.height + luck.randint(-3, 3)), luck.randrange(20), luck.randrange(4), rounds
        )
