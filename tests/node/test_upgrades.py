"""A node stops before rules that it does not know, and says which it needs."""

from __future__ import annotations

import pytest

from ledger.state import EmptyBase, State
from node.upgrades import PLANNED_UPGRADE, PROTOCOL_VERSION, check_upgrade
from qenex.errors import UpgradeRequired
from vm.core import Core, Upgrade
from vm.machine import Machine


def test_the_key_is_the_one_that_governance_writes() -> None:
    machine = Machine([])
    machine.core.upgrade.set(Upgrade("two", 5, 2))
    assert machine.state.get(PLANNED_UPGRADE) == Upgrade("two", 5, 2)
    assert isinstance(machine.core, Core)


@pytest.mark.parametrize(
    ("version", "height", "next_height", "stops"),
    [
        (PROTOCOL_VERSION + 1, 10, 9, False),
        (PROTOCOL_VERSION + 1, 10, 10, True),
        (PROTOCOL_VERSION + 1, 10, 11, True),
        (PROTOCOL_VERSION, 10, 11, False),
    ],
)
def test_a_node_stops_before_the_height_and_not_earlier(
    version: int, height: int, next_height: int, stops: bool
) -> None:
    state = State(EmptyBase())
    check_upgrade(state, next_height)
    state.set(PLANNED_UPGRADE, Upgrade("two", height, version))
    if not stops:
        check_upgrade(state, next_height)
        return
    with pytest.raises(UpgradeRequired, match=f"version {version}"):
        check_upgrade(state, next_height)
