"""The common shape of a module: collections found, parameters in force, nothing it did not ask for."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.collections import Item, Map
from ledger.state import EmptyBase
from qenex.errors import InvalidGenesis, InvariantViolated
from qenex.types import U8, U64
from tests.vm.chain import Chain
from tests.vm.lab import Lab, LabParams, Vault
from vm.context import Context
from vm.machine import Machine
from vm.module import Declaration, Module, NoParams, internal, invariant, message, query


def test_collections_are_found_with_parameters_first() -> None:
    assert list(Lab.collections()) == ["parameters", "notes", "numbers", "last"]
    assert Lab.collections()["parameters"].id == 0
    assert list(Vault.collections()) == ["parameters", "kept", "calls", "callers"]


def test_collection_id_is_used_once() -> None:
    class Twice(Module):
        id = 60
        name = "twice"
        first = Item[int](1, U8)
        second = Map[int, int](1, key=U8, value=U8)

    class TakesParameters(Module):
        id = 61
        name = "takes"
        first = Item[int](0, U8)

    for module in (Twice, TakesParameters):
        with pytest.raises(TypeError, match="twice"):
            module.collections()


def test_two_instances_share_no_state() -> None:
    one, other = Chain(Lab, Vault), Chain(Lab, Vault)
    one.begin()
    notes: Any = one.machine.modules["lab"]
    notes.last.set(5)
    assert notes.last.get() == 5
    lab: Any = other.machine.modules["lab"]
    assert lab.last.get() is None
    assert one.query("lab.get_last") == 0


def test_parameters_in_force_are_those_of_the_state() -> None:
    chain = Chain(Lab, Vault, parameters={"lab": {"step": 9}})
    chain.begin()
    assert chain.machine.modules["lab"].params == LabParams(step=9)
    assert chain.machine.modules["vault"].params == NoParams()


def test_module_without_genesis_data_takes_none() -> None:
    chain = Chain(Lab, Vault)
    lab = chain.machine.modules["lab"]
    lab.import_genesis(chain.machine.context, {})
    with pytest.raises(InvalidGenesis, match=r"modules\.lab"):
        lab.import_genesis(chain.machine.context, {"a": 1})
    assert lab.export_genesis(chain.machine.context) == {}


def test_marks_are_what_was_declared() -> None:
    def method(self: Any, ctx: Any) -> None: ...

    def mark_of(function: Any) -> Declaration:
        found: Declaration = function.__qenex__
        return found

    assert mark_of(message(gas=5, exit=True)(method)) == Declaration("message", gas=5, exit=True)
    assert mark_of(query(method)) == Declaration("query")
    assert mark_of(internal(callers=("a",), gas=7)(method)) == Declaration("internal", gas=7, callers=("a",))
    assert mark_of(invariant(each="notes")(method)) == Declaration("invariant", each="notes")
    assert U64 is not U8


def test_an_invariant_of_a_base_class_is_checked_too() -> None:
    """Lesson: a module of several files inherits its declarations; invariants were looked for in the last class alone."""

    class Half(Module):
        @invariant()
        def never(self, ctx: Context) -> None:
            """Never holds."""
            raise InvariantViolated("as it should")

    class Whole(Half):
        id = 40
        name = "whole"

    machine = Machine([Whole])
    assert machine.check_invariants(EmptyBase()) == ["whole: as it should"]
