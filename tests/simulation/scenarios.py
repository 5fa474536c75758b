"""Runs that are asked for by name: each a plan, and what has to come of it besides breaking no rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final, NamedTuple

from tests.simulation.clock import MS, SECOND
from tests.simulation.directed import DirectedWorld, scripted
from tests.simulation.network import Weather
from tests.simulation.plan import CrashAt, Cut, Plan, calm, draw, draw_above
from tests.simulation.world import Outcome, World

Expectation = Callable[[World, Outcome], str]
"""What is missing, in words; empty: nothing."""


def _nothing(_world: World, _outcome: Outcome) -> str:
    return ""


class Scenario(NamedTuple):
    """A plan and what is expected of it."""

    plan: Plan
    expected: Expectation = _nothing
    kind: type[World] = World

    def found(self) -> str:
        """Run it: the first rule that was broken, or what is missing; empty if all is well."""
        world = self.kind(self.plan)
        outcome = world.run()
        if outcome.violations:
            return outcome.violations[0].rule
        return self.expected(world, outcome)


# -- plans -----------------------------------------------------------------------------------------


def rough(seed: int, *, crashes: int = 0, fate: str = "kept") -> Plan:
    """Short one-way cuts, one after the other: rounds fail, locks are taken and met again."""
    luck = Random(f"rough/{seed}")
    length = 8 * SECOND
    cuts = []
    for number in range(40):
        start = number * 200 * MS
        pairs = tuple((a, b) for a in range(4) for b in range(4) if a != b and luck.random() < 0.35)
        cuts.append(Cut(start, start + luck.randint(100, 350) * MS, pairs))
    node = luck.randrange(4)
    return replace(
        calm(seed),
        storm=Weather(loss=0.1, delay=10 * MS, jitter=60 * MS, late=0.1, lateness=400 * MS),
        calm=Weather(delay=5 * MS, jitter=10 * MS),
        healing=length,
        cuts=tuple(cuts),
        crashes=tuple(
            CrashAt(
                node, 300 * MS + number * length // (crashes + 1), "between actions",
                luck.randint(1, 8), luck.randint(50, 300) * MS, fate,
            )
            for number in range(crashes)
        ),
        heights=4,
        bound=30 * SECOND,
    )  # fmt: skip


def crashing(seed: int, point: str) -> Plan:
    """Everybody's process ends at one kind of point, again and again."""
    luck = Random(f"crashing/{seed}/{point}")
    crashes = [
        CrashAt(
            luck.randrange(4),
            number * 150 * MS,
            point,
            luck.randint(1, 6),
            luck.randint(20, 400) * MS,
            "kept",
        )
        for number in range(30)
    ]
    return replace(
        calm(seed),
        storm=Weather(loss=0.05, delay=5 * MS, jitter=20 * MS),
        calm=Weather(delay=5 * MS, jitter=10 * MS),
        healing=5 * SECOND,
        crashes=tuple(crashes),
        heights=4,
        bound=30 * SECOND,
    )


def damaged(seed: int) -> Plan:
    """One node's log is damaged at each of its crashes."""
    plan = rough(seed, crashes=8, fate="damaged")
    return replace(plan, cuts=plan.cuts[:12])


def thirds(seed: int) -> Plan:
    """Six validators of power 1: four of them are exactly two thirds, which is not enough."""
    return replace(
        rough(seed), powers=(1,) * 6, skews=(0,) * 6,
        storm=Weather(loss=0.25, delay=10 * MS, jitter=60 * MS), cuts=(), healing=4 * SECOND,
    )  # fmt: skip


def unequal(seed: int) -> Plan:
    """Powers between 1 and a hundred, changed at every height, joiners and leavers among them."""
    luck = Random(f"unequal/{seed}")
    powers = [luck.randint(1, 100) for _ in range(5)] + [0, 0]
    first, changes = tuple(powers), []
    for height in range(1, 60):
        node = luck.randrange(7)
        power = luck.choice((0, 1, luck.randint(1, 100), luck.randint(1, 10_000)))
        after = [power if number == node else held for number, held in enumerate(powers)]
        pairs = [(node, power)]
        gone, joins = luck.sample(range(7), 2)
        if luck.random() < 0.5 and after[gone] and not after[joins] and not powers[joins] and gone != node:
            after[gone], after[joins] = 0, luck.randint(1, 100)
            pairs = [(node, power), (gone, 0), (joins, after[joins])]
        if after != powers and sum(held > 0 for held in after) >= 4:
            pairs = [(number, held) for number, held in pairs if held != powers[number]]
            powers = after
            changes.append((height, tuple(pairs)))
    return replace(calm(seed, 7, 50), powers=first, changes=tuple(changes))


def traitor(seed: int, *kinds: str, validators: int = 4, loss: float = 0.0) -> Plan:
    """One traitor among equals, on a good network."""
    return replace(
        calm(seed, validators),
        storm=Weather(loss=loss, delay=5 * MS, jitter=20 * MS),
        calm=Weather(delay=5 * MS, jitter=10 * MS),
        healing=4 * SECOND,
        byzantine=((seed % validators, kinds),),
        heights=4,
        bound=20 * SECOND,
    )


def stalled(seed: int) -> Plan:
    """One traitor floods three honest validators that do not hear each other for a while."""
    honest = [node for node in range(4) if node != seed % 4]
    pairs = tuple((a, b) for a in honest for b in range(4) if a != b)
    return replace(traitor(seed, "future flood"), cuts=(Cut(0, 3 * SECOND, pairs),))


def forgetful(seed: int) -> Plan:
    """Clocks are apart, so rounds fail; then one of three validators, without whom nothing goes, loses its log."""
    return replace(
        traitor(seed, "absence"),
        skews=(0, 20 * SECOND, -20 * SECOND, 40 * SECOND),
        healing=12 * SECOND,
        byzantine=((3, ("absence",)),),
        crashes=(CrashAt(seed % 3, 11 * SECOND, "after append", 1, 200 * MS, "no log"),),
        heights=2,
    )


def slow_signer(seed: int) -> Plan:
    """Signatures and blocks take their time: things happen meanwhile."""
    return replace(rough(seed), signing=80 * MS, storing=60 * MS)


def bodies_apart(seed: int) -> Plan:
    """Most proposals come without their block, and processes end while it is asked for."""
    plan = crashing(seed, "after append")
    return replace(plan, storm=plan.storm._replace(bodiless=0.9, loss=0.3), heights=2)


def old_polkas(seed: int) -> Plan:
    """Rounds fail, and a traitor proposes what had a polka long ago."""
    return replace(rough(seed), byzantine=((seed % 4, ("stale certificates",)),))


def lossy(seed: int) -> Plan:
    """A third of all messages is lost, for ever."""
    weather = Weather(loss=0.3, delay=5 * MS, jitter=20 * MS)
    return replace(calm(seed, 4, 40), calm=weather, bound=60 * SECOND)


# -- expectations -------------------------------------------------------------------------------------


def _within(seconds: float) -> Expectation:
    def check(_world: World, outcome: Outcome) -> str:
        return "" if outcome.time <= seconds else f"took {outcome.time:.1f} s instead of {seconds}"

    return check


def _first_round(_world: World, outcome: Outcome) -> str:
    return "" if outcome.rounds == 0 else f"a good network needs {outcome.rounds + 1} rounds"


def _locked_once(world: World, outcome: Outcome) -> str:
    """The script went as written: two locks in round 1 of the first height, which is decided later."""
    locks = [round for round, _ in world.watcher.heights[1].locks.values()]
    return (
        "" if len(locks) >= 2 and outcome.rounds >= 2 else f"not as written: locks {locks}, {outcome.rounds}"
    )


def _accused(world: World, outcome: Outcome) -> str:
    """Every double vote that reached an honest node in time is reported."""
    traitors = [world.keys[node].address for node in world.plan.traitors]
    missing = [address for address in traitors if address not in world.watcher.reported]
    return "an equivocator is not reported" if missing else ""


def _punished(reason: str) -> Expectation:
    def check(world: World, _outcome: Outcome) -> str:
        return "" if reason in world.reasons else f"nobody is punished for {reason}"

    return check


def judge_fork(world: World, outcome: Outcome) -> str:
    """Above a third: where there is a fork, more than a third of the power is caught at that height."""
    for height in world.watcher.forked:
        turn = world.watcher.turn(height)
        guilty = world.watcher.guilty(height)
        if any(address not in world.traitors for address in guilty):
            return "an honest validator seems guilty"
        if 3 * sum(turn.power(address) for address in guilty) < turn.total:
            return f"the fork at height {height} accuses too few"
    return ""


def _forks_seen(world: World, outcome: Outcome) -> str:
    return judge_fork(world, outcome)


# -- suites --------------------------------------------------------------------------------------------

SUITES: Final[dict[str, tuple[Scenario, ...]]] = {
    "calm": (
        Scenario(calm(1, 4, 40), _within(1.5)),
        Scenario(calm(2, 7, 15), _within(0.7)),
        Scenario(replace(calm(3, 4, 20), powers=(3, 1, 1, 1)), _first_round),
    ),
    "no summaries": (
        # All three are needed for each block, so nobody is ever two heights behind.
        Scenario(replace(calm(1, 3, 30), summaries=False, storing=60 * MS)),
    ),
    "absent": tuple(Scenario(traitor(seed, "absence", loss=0.05)) for seed in range(4)),
    "withholding": tuple(Scenario(traitor(seed, "withholding")) for seed in range(4)),
    "slow signer": tuple(Scenario(slow_signer(seed)) for seed in range(8)),
    "bodies apart": tuple(Scenario(bodies_apart(seed)) for seed in range(8)),
    "old polkas": tuple(Scenario(old_polkas(seed)) for seed in range(16)),
    "directed": (
        Scenario(scripted("old polka"), _locked_once, DirectedWorld),
        Scenario(scripted("lost lock"), _locked_once, DirectedWorld),
    ),
    "stalled": tuple(Scenario(stalled(seed)) for seed in range(3)),
    "forgetful": tuple(Scenario(forgetful(seed), _within(15.5)) for seed in range(3)),
    "storm": tuple(Scenario(draw(seed, 4)) for seed in range(12)),
    "byzantine": tuple(Scenario(draw(seed, 4, byzantine=True)) for seed in range(12)),
    "rough": tuple(Scenario(rough(seed)) for seed in range(12)),
    "crashing": tuple(
        Scenario(crashing(seed, point))
        for seed in range(3)
        for point in ("after signature", "before send", "before flush", "after append", "between actions")
    ),
    "heavy crashing": tuple(
        Scenario(replace(crashing(seed, "after append"), powers=(5, 1, 1, 1))) for seed in range(12)
    ),
    "lost log": tuple(Scenario(rough(seed, crashes=12, fate="no log")) for seed in range(20)),
    "damaged log": tuple(Scenario(damaged(seed)) for seed in range(10)),
    "thirds": tuple(Scenario(thirds(seed)) for seed in range(8)),
    "unequal": tuple(Scenario(unequal(seed)) for seed in range(6)),
    "lossy": tuple(Scenario(lossy(seed)) for seed in range(4)),
    "equivocation": tuple(Scenario(traitor(seed, "equivocation"), _accused) for seed in range(4)),
    "invalid": tuple(Scenario(traitor(seed, "invalid blocks")) for seed in range(4)),
    "untimely": tuple(Scenario(traitor(seed, "untimely blocks")) for seed in range(4)),
    "flood": tuple(Scenario(traitor(seed, "future flood", loss=0.1)) for seed in range(4)),
    "garbage": tuple(
        Scenario(traitor(seed, "garbage signatures"), _punished("a message with a bad signature"))
        for seed in range(4)
    ),
    "wrong proposer": tuple(
        Scenario(
            traitor(seed, "wrong proposer"), _punished("a proposal of another than the round's proposer")
        )
        for seed in range(4)
    ),
    "certificates": tuple(
        Scenario(
            traitor(seed, "stale certificates", loss=0.15),
            _punished("a proof-of-lock round that is not before the proposal's"),
        )
        for seed in range(6)
    ),
    "above": tuple(Scenario(draw_above(seed, 4), _forks_seen) for seed in range(6)),
}
