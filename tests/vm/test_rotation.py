"""Proposer priorities in the state: written when due, right for every height, whoever computes them from where."""

from __future__ import annotations

from typing import Any

import pytest

from qenex import proposers
from qenex.block import Validator, order_validators
from qenex.crypto import Address
from qenex.errors import NotFound
from qenex.state_keys import ModuleId
from tests.vm.chain import Actor, Chain
from vm.context import Context
from vm.module import Module
from vm.rotation import REFRESH, members_at

KEY = b"\x00\x07"
NAMES = [Actor(200 + n) for n in range(4)]


class Changing(Module):
    """Stands in for staking: its last hook sets the validators of `plan`."""

    id = ModuleId.STAKING
    name = "staking"
    plan: dict[int, dict[Address, int]] = {}
    core: Any = None

    def end_block(self, ctx: Context) -> None:
        """Set powers; 0 removes."""
        for address, power in self.plan.get(ctx.height, {}).items():
            key = next(a.key for a in NAMES if a.address == address)
            self.core.validators.set(address, Validator(address, key, power) if power else None)


def make_chain(plan: dict[int, dict[Address, int]]) -> Chain:
    first = [(a.address, a.key, 10 + n) for n, a in enumerate(NAMES[:3])]
    chain = Chain(Changing, validators=first)
    Changing.plan, Changing.core = plan, chain.machine.core
    return chain


def powers_of(chain: Chain) -> list[tuple[Address, int]]:
    return [(v.address, v.power) for v in chain.machine.validators(chain.base)]


PLAN = {
    2: {NAMES[0].address: 25},
    3: {NAMES[3].address: 7},
    4: {NAMES[1].address: 0, NAMES[0].address: 24},
    9: {NAMES[1].address: 12},
    10: {NAMES[1].address: 13},
}


def test_at_every_height_the_next_two_heights_have_the_priorities_of_a_step_by_step_history():
    chain = make_chain(PLAN)
    history = {1: proposers.update((), powers_of(chain)), 2: ()}
    named = {1: powers_of(chain), 2: powers_of(chain)}
    for height in range(1, 15):
        chain.begin()
        chain.end()
        named[height + 2] = powers_of(chain)
    for height in range(2, 17):
        before = history[height - 1]
        moved = proposers.advance(
            [m.address for m in before], [m.power for m in before], [m.priority for m in before], 1
        )
        members = [m._replace(priority=p) for m, p in zip(before, moved, strict=True)]
        present = {m.address: m.power for m in members}
        wanted = dict(named[height])
        gone = [(a, 0) for a in present if a not in wanted]
        changes = [(a, p) for a, p in wanted.items() if present.get(a) != p] + gone
        history[height] = proposers.update(members, changes) if changes else tuple(members)
    again = make_chain(PLAN)
    for height in range(1, 15):
        again.begin()
        again.end()
        for ahead in (1, 2):
            record = again.machine.rotation(again.base, height + ahead)
            assert members_at(record, height + ahead) == history[height + ahead], (height, ahead)


def test_changes_of_a_height_are_active_two_heights_later():
    chain = make_chain({5: {NAMES[0].address: 100}})
    for _ in range(5):
        chain.begin()
        chain.end()
    assert chain.height == 5
    powers = [
        {m.address: m.power for m in members_at(chain.machine.rotation(chain.base, h), h)}[NAMES[0].address]
        for h in (6, 7)
    ]
    assert powers == [10, 100]


def test_blocks_with_nothing_due_write_no_priorities_and_each_thousandth_height_does():
    chain = make_chain({})
    chain.height = REFRESH - 6
    written = []
    for _ in range(8):
        chain.begin()
        if KEY in chain.end().changes:
            written.append(chain.height)
    assert written == [REFRESH - 2], "active at a multiple of the distance"
    record = chain.machine.rotation(chain.base, REFRESH)
    assert record.height == REFRESH
    older = chain.machine.rotation(chain.base, REFRESH - 1)
    assert members_at(older, REFRESH) == members_at(record, REFRESH)


def test_a_changed_key_changes_no_turn():
    chain = make_chain({})
    first = chain.machine.validators(chain.base)[0]
    block = chain.begin()
    chain.machine.core.validators.set(first.address, first._replace(key=NAMES[3].key))
    assert KEY not in block.end().changes


def test_an_empty_set_leaves_the_priorities_as_they_are():
    chain = make_chain({1: {a.address: 0 for a in NAMES[:3]}})
    chain.begin()
    result = chain.end()
    assert KEY not in result.changes
    assert not chain.faults


def test_a_height_before_both_records_is_not_found():
    chain = make_chain({2: {NAMES[0].address: 25}, 3: {NAMES[0].address: 26}})
    for _ in range(4):
        chain.begin()
        chain.end()
    assert chain.machine.rotation(chain.base, 4).height == 4
    with pytest.raises(NotFound):
        chain.machine.rotation(chain.base, 3)


def test_the_genesis_set_begins_alike_in_canonical_order():
    chain = make_chain({})
    record = chain.machine.rotation(chain.base, 1)
    assert record.height == 1
    assert [m.address for m in record.members] == [
        v.address for v in order_validators(chain.genesis.validators)
    ]
    assert {m.priority for m in record.members} == {0}
