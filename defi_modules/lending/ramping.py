"""Terms that move in steps: no vote changes at once what a position may rest on, and a market's caps grow by schedule.

Thresholds, bonuses and rates move in a straight line, up or down; loan-to-value and caps rise so and fall at once,
since what is lower there only stops new risk. Steps are written by the hook at a block's beginning, so reading terms
costs nothing more than before.
"""

from __future__ import annotations

from typing import Any, Final

from defi_modules.lending.liquidating import Liquidating
from defi_modules.lending.types import (
    Group,
    GroupRamp,
    GroupSet,
    MarketListed,
    Ramp,
    Terms,
)
from ledger.collections import OrderedMap
from qenex.errors import InvalidMarketTerms
from qenex.integers import BASIS_POINTS
from qenex.types import U8, U16, U64
from vm.context import Context

RISKS: Final = (
    "threshold_bps", "bonus_bps", "reserve_factor_bps", "base_ray", "slope1_ray", "slope2_ray", "optimal_bps",
)  # fmt: skip
"""Terms that move in `ramp_s`, up or down."""
ROOM: Final = ("supply_cap", "borrow_cap", "debt_ceiling", "outflow_bps")
"""Terms that rise in `growth_s` and fall at once."""
STARTS_SMALL: Final = ("supply_cap", "borrow_cap", "debt_ceiling")
STEPS: Final = 100
STEP_ITEMS: Final = 8
"""Steps that one block takes."""
OF_MARKET: Final = 1
OF_GROUP: Final = 2


def between(before: int, after: int, began: int, end: int, now: int) -> int:
    """The value at `now` on the straight line from `before` at `began` to `after` at `end`; floor."""
    if now >= end:
        return after
    return before + (after - before) * max(0, now - began) // (end - began)


def rising(before: int, after: int, began: int, end: int, now: int) -> int:
    """As `between`, but what falls has fallen at once."""
    return after if after <= before else between(before, after, began, end, now)


def terms_at(ramp: Ramp, now: int) -> Terms:
    """The terms in force at `now` (seconds)."""
    before, after, began, risk_end, growth_end, _ = ramp
    if not began:
        return before
    moved: dict[str, Any] = {
        name: between(getattr(before, name), getattr(after, name), began, risk_end, now) for name in RISKS
    }
    moved["ltv_bps"] = rising(before.ltv_bps, after.ltv_bps, began, risk_end, now)
    moved |= {
        name: rising(getattr(before, name), getattr(after, name), began, growth_end, now) for name in ROOM
    }
    return after._replace(**moved)


def group_at(ramp: GroupRamp, now: int) -> Group:
    """The group's terms in force at `now` (seconds)."""
    before, after, began, end, _ = ramp
    return after._replace(
        ltv_bps=rising(before.ltv_bps, after.ltv_bps, began, end, now),
        threshold_bps=between(before.threshold_bps, after.threshold_bps, began, end, now),
        bonus_bps=between(before.bonus_bps, after.bonus_bps, began, end, now),
    )


def small(terms: Terms, start_bps: int) -> Terms:
    """Terms with the caps that a market begins with: so many basis points of its own, ceiling."""
    caps: dict[str, Any] = {
        name: -(-getattr(terms, name) * start_bps // BASIS_POINTS) for name in STARTS_SMALL
    }
    return terms._replace(**caps)


class Ramping(Liquidating):
    """Ramps of markets and groups, and the steps that are due."""

    ramps = OrderedMap[int, Ramp](9, key=U16, value=Ramp)
    group_ramps = OrderedMap[int, GroupRamp](10, key=U8, value=GroupRamp)
    steps = OrderedMap[tuple[int, int, int], int](11, key=(U64, U8, U16), value=U8)
    """What moves when: (seconds since 1970, market or group, its number)."""

    def target_of(self, number: int) -> Terms:
        """Terms that a market has or is on its way to. Raises MarketNotListed."""
        ramp = self.ramps.get(number)
        return self.terms_of(number) if ramp is None else ramp.after

    def list_small(self, number: int, terms: Terms) -> None:
        """Write the terms of a market that is not open yet: small caps, which grow once it is."""
        started = small(terms, self.params.start_bps)
        self.terms.set(number, started)
        self.ramps.set(number, Ramp(started, terms, 0, 0, 0, 0))

    def begin_ramp(self, ctx: Context, number: int, before: Terms, after: Terms) -> None:
        """Let an open market's terms move from here on, and write what holds now."""
        present = self.ramps.get(number)
        if present is not None and present.began_s:
            self.steps.set((present.next_s, OF_MARKET, number), None)
        params, now = self.params, ctx.time_s
        highest = max(before.threshold_bps, after.threshold_bps)
        if highest * max(before.bonus_bps, after.bonus_bps) > BASIS_POINTS * BASIS_POINTS:
            raise InvalidMarketTerms("on the way threshold times bonus would exceed 100%: lower one first")
        ramp = Ramp(before, after, now, now + params.ramp_s, now + params.growth_s, now)
        self._step_market(ctx, number, ramp)

    def opened(self, ctx: Context, number: int) -> None:
        """The caps of a market that opens begin to grow, if they were made small."""
        ramp = self.ramps.get(number)
        if ramp is not None and not ramp.began_s:
            self.begin_ramp(ctx, number, ramp.before, ramp.after)

    def begin_group_ramp(self, ctx: Context, before: Group, after: Group) -> None:
        """Let a group's terms move from here on."""
        present = self.group_ramps.get(after.number)
        if present is not None:
            self.steps.set((present.next_s, OF_GROUP, after.number), None)
        highest = max(before.threshold_bps, after.threshold_bps)
        if highest * max(before.bonus_bps, after.bonus_bps) > BASIS_POINTS * BASIS_POINTS:
            raise InvalidMarketTerms("on the way threshold times bonus would exceed 100%: lower one first")
        now = ctx.time_s
        self._step_group(ctx, GroupRamp(before, after, now, now + self.params.ramp_s, now))

    def take_steps(self, ctx: Context) -> None:
        """Write the terms of ramps whose next step is due, a bounded number in a block."""
        due = []
        for key, _ in self.steps.page(limit=STEP_ITEMS):
            if key[0] > ctx.time_s:
                break
            due.append(key)
        for key in due:
            self.steps.set(key, None)
            _, kind, number = key
            if kind == OF_MARKET:
                ramp = self.ramps.get(number)
                if ramp is not None:
                    self._step_market(ctx, number, ramp)
            else:
                group_ramp = self.group_ramps.get(number)
                if group_ramp is not None:
                    self._step_group(ctx, group_ramp)

    def _step_market(self, ctx: Context, number: int, ramp: Ramp) -> None:
        terms, market = terms_at(ramp, ctx.time_s), self.now(ctx, number)
        if terms == ramp.after:
            self.ramps.set(number, None)
        else:
            # Caps move in parts of the longer time, risks in parts of the shorter: both in small steps.
            ends = [end for end in (ramp.risk_end_s, ramp.growth_end_s) if end > ctx.time_s]
            length = max(1, (min(ends) - ramp.began_s) // STEPS)
            ramp = ramp._replace(next_s=min(ctx.time_s + length, *ends))
            self.ramps.set(number, ramp)
            self.steps.set((ramp.next_s, OF_MARKET, number), 1)
        if terms != self.terms_of(number):
            self.terms.set(number, terms)
            self.write(number, terms, market._replace(updated_s=ctx.time_s))
            ctx.emit(MarketListed(number, terms.denom))

    def _step_group(self, ctx: Context, ramp: GroupRamp) -> None:
        group = group_at(ramp, ctx.time_s)
        if group == ramp.after:
            self.group_ramps.set(group.number, None)
        else:
            length = max(1, (ramp.end_s - ramp.began_s) // STEPS)
            ramp = ramp._replace(next_s=min(ctx.time_s + length, ramp.end_s))
            self.group_ramps.set(group.number, ramp)
            self.steps.set((ramp.next_s, OF_GROUP, group.number), 1)
        if group != self.groups.get(group.number):
            self.groups.set(group.number, group)
            ctx.emit(GroupSet(group.number))
