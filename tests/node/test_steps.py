"""Long work in slices: how much runs before others have their turn."""

from __future__ import annotations

import asyncio

import pytest

from node.steps import Steps, drive, run


def counting(seen: list[str], count: int) -> Steps[int]:
    for _ in range(count):
        seen.append("work")
        yield
    return count


@pytest.mark.parametrize(("burst", "turns"), [(1, 11), (4, 2), (5, 2), (100, 0)])
def test_others_have_their_turn_after_each_burst_of_slices(burst: int, turns: int) -> None:
    seen: list[str] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        def other() -> None:
            seen.append("other")
            loop.call_soon(other)

        loop.call_soon(other)
        assert await drive(counting(seen, 12), burst=burst) == 12

    asyncio.run(scenario())
    before_the_end = seen[: len(seen) - seen[::-1].index("work")]
    assert before_the_end.count("work") == 12
    assert before_the_end.count("other") == turns


def test_at_once_means_without_a_loop() -> None:
    assert run(counting([], 3)) == 3
