"""Gas cases of the oracle."""

from __future__ import annotations

from benchmarks.gas_world import FEEDS, World


def cases(world: World) -> None:
    """Feeders and their reports."""
    operator, feeder = world.validators[2], world.actors[5]
    world.typical(operator, "oracle.set_feeder", feeder.address)
    world.worst(operator, "oracle.set_feeder", world.actors[6].address)
    world.typical(operator, "oracle.report", ((FEEDS[0], 123_456, -3),))
    world.typical(operator, "oracle.report", tuple([(symbol, 123_456, -3) for symbol in FEEDS[:8]]))
    world.worst(world.validators[3], "oracle.report", tuple([(symbol, 123_456, -3) for symbol in FEEDS]))
    world.worst(world.validators[3], "oracle.report", tuple([(symbol, 123_457, -3) for symbol in FEEDS]))
