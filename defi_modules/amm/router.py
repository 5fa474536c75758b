"""The best way from one coin to another: up to 4 hops, split where it pays. Pure, over any set of pools.

A guess by depth ranks the ways (a layered search that keeps the best few at each coin), then the exact
curves decide between the best guesses; the amount is then dealt out in tenths to ways that share no pool,
each tenth to the way that pays most for it. Exact for what it returns, not a proof that nothing is better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from defi_modules.amm.types import MAX_HOPS
from qenex.errors import QenexError

KEPT: Final = 3
"""Ways kept at each coin and number of hops."""
CANDIDATES: Final = 8
"""Ways that the exact curves are asked about."""
PARTS: Final = 10
MAX_SPLIT: Final = 3


class Edge(NamedTuple):
    """A pool in one direction: about `depth_in` and `depth_out` deep, a fee in parts of a million."""

    pool: int
    denom_in: str
    denom_out: str
    depth_in: int
    depth_out: int
    fee_pips: int


Way = tuple[Edge, ...]
Exact = Callable[[Way, int], int]
"""What a way pays exactly for an amount. Raises a typed error where it cannot."""


class Found(NamedTuple):
    """Ways with their parts of the input, and what all of them pay."""

    parts: tuple[tuple[int, Way], ...]
    amount_out: int


def guess(edge: Edge, amount: int) -> int:
    """About what an edge pays, floored."""
    with_fee = amount * (1_000_000 - edge.fee_pips)
    return with_fee * edge.depth_out // (edge.depth_in * 1_000_000 + with_fee)


def candidates(edges: Sequence[Edge], denom_in: str, denom_out: str, amount: int) -> list[Way]:
    """The most promising ways, best guess first."""
    outgoing: dict[str, list[Edge]] = {}
    incoming: dict[str, list[str]] = {}
    for edge in edges:
        outgoing.setdefault(edge.denom_in, []).append(edge)
        incoming.setdefault(edge.denom_out, []).append(edge.denom_in)
    distance = {denom_out: 0}
    layer = [denom_out]
    for hops in range(1, MAX_HOPS + 1):
        following = []
        for denom in layer:
            for source in incoming.get(denom, ()):
                if source not in distance:
                    distance[source] = hops
                    following.append(source)
        layer = following
    labels: dict[str, list[tuple[int, Way]]] = {denom_in: [(amount, ())]}
    ways: list[tuple[int, int, Way]] = []
    for hop in range(1, MAX_HOPS + 1):
        reached: dict[str, list[tuple[int, Way]]] = {}
        for denom, known in labels.items():
            for edge in outgoing.get(denom, ()):
                target = edge.denom_out
                if distance.get(target, MAX_HOPS) > MAX_HOPS - hop or target == denom_in:
                    continue
                for value, way in known:
                    if any(edge.pool == earlier.pool or target == earlier.denom_in for earlier in way):
                        continue
                    paid = guess(edge, value)
                    if paid <= 0:
                        continue
                    if target == denom_out:
                        ways.append((-paid, hop, (*way, edge)))
                    else:
                        reached.setdefault(target, []).append((paid, (*way, edge)))
        labels = {
            denom: sorted(found, key=lambda item: (-item[0], [e.pool for e in item[1]]))[:KEPT]
            for denom, found in reached.items()
        }
    ways.sort(key=lambda item: (item[0], item[1], [e.pool for e in item[2]]))
    return [way for _, _, way in ways[: CANDIDATES * 2]]


def _paid(exact: Exact, way: Way, amount: int) -> int:
    try:
        return exact(way, amount) if amount else 0
    except QenexError:
        return -1


def best_route(
    edges: Sequence[Edge], denom_in: str, denom_out: str, amount: int, exact: Exact
) -> Found | None:
    """The best way or split found for an exact input; None if nothing leads there for this amount."""
    ranked = []
    for way in candidates(edges, denom_in, denom_out, amount)[:CANDIDATES]:
        paid = _paid(exact, way, amount)
        if paid > 0:
            ranked.append((paid, way))
    if not ranked:
        return None
    ranked.sort(key=lambda item: (-item[0], len(item[1])))
    best = Found(((amount, ranked[0][1]),), ranked[0][0])
    apart = [ranked[0][1]]
    used = {edge.pool for edge in ranked[0][1]}
    for _, way in ranked[1:]:
        if len(apart) < MAX_SPLIT and not any(edge.pool in used for edge in way):
            apart.append(way)
            used.update(edge.pool for edge in way)
    if len(apart) == 1 or amount < PARTS:
        return best
    split = _split(apart, amount, exact)
    return split if split is not None and split.amount_out > best.amount_out else best


def _split(ways: Sequence[Way], amount: int, exact: Exact) -> Found | None:
    given, paid = [0] * len(ways), [0] * len(ways)
    unit = amount // PARTS
    following: list[int | None] = [None] * len(ways)
    for part in range(PARTS):
        piece = unit if part else amount - unit * (PARTS - 1)
        best, best_gain = -1, -1
        for at, way in enumerate(ways):
            value = following[at]
            if value is None:
                value = following[at] = _paid(exact, way, given[at] + piece)
            if value - paid[at] > best_gain:
                best, best_gain = at, value - paid[at]
        chosen = following[best]
        if best < 0 or chosen is None or chosen < 0:
            return None
        given[best] += piece
        paid[best] = chosen
        following[best] = None
        if part == 0:
            following = [None] * len(ways)  # the first piece was a little larger than the others
    parts = tuple((share, way) for share, way in zip(given, ways, strict=True) if share)
    return Found(parts, sum(paid))


def best_route_out(
    edges: Sequence[Edge], denom_in: str, denom_out: str, amount_out: int, cost: Exact
) -> tuple[int, Way] | None:
    """The cheapest single way found for an exact output, and what it costs; None if nothing leads there.

    What the output would fetch the other way round is about what it costs: ways are ranked by what they pay for that.
    """
    backwards = [Edge(e.pool, e.denom_out, e.denom_in, e.depth_out, e.depth_in, e.fee_pips) for e in edges]
    worth = 0
    for way in candidates(backwards, denom_out, denom_in, amount_out)[:1]:
        worth = amount_out
        for edge in way:
            worth = guess(edge, worth)
    best: tuple[int, Way] | None = None
    for way in candidates(edges, denom_in, denom_out, worth)[:CANDIDATES] if worth else ():
        paid = _paid(cost, way, amount_out)
        if paid > 0 and (best is None or paid < best[0]):
            best = paid, way
    return best
