"""What will go wrong in a run, drawn from its seed before it starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final, NamedTuple

from tests.simulation.clock import MS, SECOND
from tests.simulation.network import CALM, Weather

PRECISION: Final = 300 * MS
MESSAGE_DELAY: Final = 500 * MS
"""Of the window that a fresh proposal's time must lie in."""

POINTS: Final = (
    "before append", "after append", "before flush", "after flush", "before signature",
    "after signature", "between actions", "before store", "after store", "before send", "after send",
)  # fmt: skip
"""Where a node's process may end."""

BEHAVIOURS: Final = (
    "equivocation", "amnesia", "withholding", "stale certificates", "future flood", "garbage signatures",
    "invalid blocks", "untimely blocks", "wrong proposer", "lying summaries", "absence",
)  # fmt: skip
"""What a byzantine validator may do."""


class Cut(NamedTuple):
    """From `start` to `end` (ns after the beginning) nothing goes from the first of a pair to the second."""

    start: int
    end: int
    pairs: tuple[tuple[int, int], ...]


class CrashAt(NamedTuple):
    """The process of `node` ends at the `passes`-th time it comes to `point` after `start`, for `down` ns.

    `fate` of its disk besides what is lost unsynced: `kept`, `damaged` (a bit of the log turns), `no log`.
    """

    node: int
    start: int
    point: str
    passes: int
    down: int
    fate: str


class Slow(NamedTuple):
    """A flush of `node` takes `delay` ns between `start` and `end`."""

    node: int
    start: int
    end: int
    delay: int


@dataclass(frozen=True)
class Plan:
    """Times in ns after the beginning. Node i holds key i; `powers` are those at the first height, 0 for a spare."""

    seed: int
    powers: tuple[int, ...]
    storm: Weather = CALM
    calm: Weather = CALM
    healing: int = 0
    """When the faults end."""
    cuts: tuple[Cut, ...] = ()
    crashes: tuple[CrashAt, ...] = ()
    slow: tuple[Slow, ...] = ()
    skews: tuple[int, ...] = ()
    changes: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()
    """Height, and node and new power of each change."""
    byzantine: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """Node and what it does."""
    heights: int = 5
    """Heights that every honest node decides after the faults have ended."""
    bound: int = 120 * SECOND
    """Time for them."""
    signing: int = 0
    """Longest time that a signature takes."""
    storing: int = 0
    """Longest time that executing and storing a decided block takes."""
    passing: int = 0
    """To how many nodes, drawn each time, a node passes on what others said and tells where it stands; 0: to all.

    Own messages go to all. With `passing` a height takes messages as the square of the number of nodes, else as the cube.
    """
    summaries: bool = True
    """Whether nodes tell each other where they stand."""
    real: bool = False
    """Sign with the scheme of real validators."""
    above: bool = False
    """More than a third may be byzantine: forks are looked for, not refused."""

    @property
    def traitors(self) -> tuple[int, ...]:
        """Nodes that are byzantine."""
        return tuple(node for node, _ in self.byzantine)


def calm(seed: int, validators: int = 4, heights: int = 20) -> Plan:
    """Nothing goes wrong."""
    return Plan(seed, (10,) * validators, skews=(0,) * validators, heights=heights)


def draw(seed: int, validators: int, *, byzantine: bool = False) -> Plan:
    """Everything may go wrong, each kind in some of the runs."""
    luck = Random(f"plan/{seed}/{validators}/{byzantine}")
    powers = _powers(luck, validators)
    spares = (0,) * luck.choice((0, 0, 1, 2))
    count = validators + len(spares)
    length = luck.randint(3, 10) * SECOND
    plan = Plan(
        seed,
        powers + spares,
        storm=_weather(luck),
        calm=Weather(loss=luck.choice((0.0, 0.02)), delay=luck.randint(1, 10) * MS, jitter=10 * MS),
        healing=length,
        cuts=_cuts(luck, count, length),
        skews=_skews(luck, count),
        heights=luck.randint(3, 6),
        signing=luck.choice((0, 0, 2 * MS, 30 * MS)),
        storing=luck.choice((0, 0, 20 * MS)),
    )
    if byzantine:
        plan = replace(plan, byzantine=_byzantine(luck, plan.powers, luck.choice((1, 1, 2))))
    plan = replace(plan, changes=_changes(luck, plan))
    return replace(plan, crashes=_crashes(luck, plan, length), slow=_slow(luck, count, length))


def draw_above(seed: int, validators: int) -> Plan:
    """More than a third of the power runs its keys twice, on both sides of a cut through the honest rest."""
    luck = Random(f"above/{seed}/{validators}")
    powers = (10,) * validators
    traitors = tuple(range(validators - validators // 3 - 1, validators))
    honest = [node for node in range(validators) if node not in traitors]
    half = set(luck.sample(honest, max(1, len(honest) // 2)))
    # One instance of each traitor stands on each side; those that run twice have the numbers after all others.
    sides = {node: node in half for node in honest} | dict.fromkeys(traitors, True)
    sides |= {validators + place: False for place in range(len(traitors))}
    pairs = tuple((a, b) for a in sides for b in sides if sides[a] != sides[b])
    return Plan(
        seed,
        powers,
        storm=Weather(loss=luck.choice((0.0, 0.05)), delay=5 * MS, jitter=20 * MS),
        calm=Weather(delay=5 * MS, jitter=5 * MS),
        healing=luck.randint(2, 4) * SECOND,
        cuts=(Cut(0, luck.randint(1, 4) * SECOND, pairs),),
        skews=(0,) * validators,
        byzantine=tuple((node, ("equivocation",)) for node in traitors),
        heights=0,
        bound=3 * SECOND,
        above=True,
    )


def _powers(luck: Random, validators: int) -> tuple[int, ...]:
    kind = luck.randrange(4)
    if kind == 0:
        return (1,) * validators
    if kind == 1:
        return tuple(luck.randint(1, 10) for _ in range(validators))
    if kind == 2:
        return tuple(luck.randint(10**9, 2 * 10**9) for _ in range(validators))
    heavy = luck.randrange(validators)
    return tuple(luck.randint(1, 3) + (validators if node == heavy else 0) for node in range(validators))


def _weather(luck: Random) -> Weather:
    bad = luck.random() < 0.7
    return Weather(
        loss=luck.choice((0.02, 0.1, 0.2, 0.3)) if bad else 0.0,
        duplicate=luck.choice((0.0, 0.05, 0.2)),
        late=luck.choice((0.0, 0.05, 0.2)),
        bodiless=luck.choice((0.0, 0.0, 0.3)),
        delay=luck.randint(1, 30) * MS,
        jitter=luck.randint(1, 60) * MS,
        lateness=luck.randint(100, 2_000) * MS,
    )


def _cuts(luck: Random, count: int, length: int) -> tuple[Cut, ...]:
    cuts = []
    for _ in range(luck.choice((0, 1, 1, 2, 3))):
        start = luck.randint(0, length)
        end = min(length, start + luck.randint(100 * MS, 4 * SECOND))
        group = set(luck.sample(range(count), luck.randint(1, count - 1)))
        pairs = [(a, b) for a in range(count) for b in range(count) if a in group and b not in group]
        if luck.random() < 0.6:  # else one way only
            pairs += [(b, a) for a, b in pairs]
        cuts.append(Cut(start, end, tuple(pairs)))
    return tuple(cuts)


def _skews(luck: Random, count: int) -> tuple[int, ...]:
    """Clocks of up to half the precision are within what the chain is made for; some are far out for a while."""
    if luck.random() < 0.3:
        return (0,) * count
    skews = [luck.randint(-PRECISION // 2, PRECISION // 2) for _ in range(count)]
    if luck.random() < 0.5:
        skews[luck.randrange(count)] = luck.choice((-1, 1)) * luck.randint(1, 20) * SECOND
    return tuple(skews)


def _byzantine(luck: Random, powers: tuple[int, ...], most: int) -> tuple[tuple[int, tuple[str, ...]], ...]:
    total, held = sum(powers), 0
    chosen: list[tuple[int, tuple[str, ...]]] = []
    nodes = [node for node, power in enumerate(powers) if power]
    luck.shuffle(nodes)
    for node in nodes:
        if 3 * (held + powers[node]) < total and len(chosen) < max(most, len(powers) // 4):
            held += powers[node]
            chosen.append((node, tuple(luck.sample(BEHAVIOURS, luck.randint(1, 3)))))
    return tuple(sorted(chosen))


def _changes(luck: Random, plan: Plan) -> tuple[tuple[int, tuple[tuple[int, int], ...]], ...]:
    """Changes that leave every traitor below a third of the power, and someone honest."""
    if luck.random() < 0.4:
        return ()
    changes, powers = [], list(plan.powers)
    scale = max(powers)
    for height in range(1, luck.randint(3, 30)):
        if luck.random() < 0.5:
            continue
        node = luck.randrange(len(powers))
        after = list(powers)
        after[node] = 0 if luck.random() < 0.3 else luck.randint(1, scale)
        alive = sum(power > 0 for power in after)
        held = sum(after[traitor] for traitor in plan.traitors)
        if after == powers or alive < 3 or 3 * held >= sum(after):
            continue
        powers = after
        changes.append((height, ((node, after[node]),)))
    return tuple(changes)


def _crashes(luck: Random, plan: Plan, length: int) -> tuple[CrashAt, ...]:
    crashes = []
    unlucky = luck.choice(_light(plan) or [-1])
    for _ in range(luck.choice((0, 1, 3, 6, 10))):
        node = luck.randrange(len(plan.powers))
        fate = "kept"
        # At most one node loses more than what a crash may take, one that the others can do without, and
        # only where nobody betrays: such a node may have to be silent until the height is decided.
        if node == unlucky and not plan.byzantine and luck.random() < 0.4:
            fate = luck.choice(("damaged", "no log"))
        crashes.append(
            CrashAt(
                node,
                luck.randint(0, length),
                luck.choice(POINTS),
                luck.randint(1, 20),
                luck.randint(20 * MS, 3 * SECOND),
                fate,
            )
        )
    crashes += _blackout(plan, length)
    return tuple(sorted(crashes, key=lambda crash: crash.start))


def _blackout(plan: Plan, length: int) -> list[CrashAt]:
    """In some runs the power fails everywhere at once."""
    luck = Random(f"blackout/{plan.seed}/{len(plan.powers)}")
    if luck.random() > 0.15:
        return []
    start, down = luck.randint(0, length // 2), luck.randint(100 * MS, 2 * SECOND)
    return [
        CrashAt(node, start, luck.choice(POINTS), luck.randint(1, 4), down + luck.randint(0, 50 * MS), "kept")
        for node in range(len(plan.powers))
    ]


def _light(plan: Plan) -> list[int]:
    """Nodes that hold less than a third of the power at every height."""
    powers, heavy = list(plan.powers), set[int]()
    for changes in ((), *[changes for _, changes in plan.changes]):
        for node, power in changes:
            powers[node] = power
        heavy |= {node for node, power in enumerate(powers) if 3 * power >= sum(powers)}
    return [node for node in range(len(powers)) if node not in heavy]


def _slow(luck: Random, count: int, length: int) -> tuple[Slow, ...]:
    return tuple(
        Slow(
            luck.randrange(count),
            start := luck.randint(0, length),
            start + length // 4,
            luck.randint(5, 200) * MS,
        )
        for _ in range(luck.choice((0, 0, 1, 2)))
    )
