"""Initialised ticks of a pool in the state: a bitmap of three levels, so that the next one is five reads away."""

from __future__ import annotations

from typing import Final

from defi_modules.amm.types import TickState
from ledger.collections import Map
from qenex.errors import TickOutOfRange
from vm.gas import Gas

OFFSET: Final = 1 << 20
"""Added to a tick divided by its spacing, so that places are not negative."""
LEVELS: Final = 3
STEP_GAS: Final = 190
"""A tick sought and one step of a swap: about 19 us."""

Words = Map[tuple[int, int, int], int]
TickStates = Map[tuple[int, int], TickState]


class StateTicks:
    """The ticks of one pool, as `walk` needs them; each look-up is charged before it is made."""

    __slots__ = ("_gas", "_pool", "_spacing", "_ticks", "_words")

    def __init__(self, words: Words, ticks: TickStates, pool: int, spacing: int, gas: Gas) -> None:
        self._words = words
        self._ticks = ticks
        self._pool = pool
        self._spacing = spacing
        self._gas = gas

    def next_tick(self, tick: int, down: bool) -> int | None:
        """The nearest initialised tick: at or below `tick` (down), or above it. None if there is none."""
        self._gas.use(STEP_GAS)
        get, pool = self._words.get, self._pool
        place = tick // self._spacing + OFFSET + (0 if down else 1)
        for level in range(LEVELS):
            word = get((pool, level, place >> 8)) or 0
            bit = place & 255
            word = word & ((2 << bit) - 1) if down else word >> bit << bit
            if word:
                place = place >> 8 << 8 | (word.bit_length() - 1 if down else (word & -word).bit_length() - 1)
                for below in range(level - 1, -1, -1):
                    word = get((pool, below, place)) or 0
                    place = place << 8 | (word.bit_length() - 1 if down else (word & -word).bit_length() - 1)
                return (place - OFFSET) * self._spacing
            place = (place >> 8) + (-1 if down else 1)
            if place < 0:
                break
        return None

    def net(self, tick: int) -> int:
        """Liquidity that is added when the price rises through `tick`."""
        state = self._ticks.get((self._pool, tick))
        return 0 if state is None else state.net

    def flip(self, tick: int) -> None:
        """Mark a tick as initialised, or no longer."""
        if tick % self._spacing:
            raise TickOutOfRange(f"tick {tick} is no multiple of {self._spacing}")
        place = tick // self._spacing + OFFSET
        for level in range(LEVELS):
            key = (self._pool, level, place >> 8)
            before = self._words.get(key) or 0
            after = before ^ (1 << (place & 255))
            self._words.set(key, after or None)
            if before and after:
                return
            place >>= 8
