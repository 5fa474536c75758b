"""Compiled checks decide as the careful ones do, of every declared type, and are refused in the same words."""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.modules import MODULES
from qenex.checks import Source, compiled, fixed, keeping
from qenex.codec import Codec, codec_for, fields_of, tuple_codec
from qenex.crypto.address import Address
from qenex.errors import MalformedBytes, QenexError
from qenex.transaction import Fee
from qenex.types import Between, Denom, DenominationName, Instant, Length, Quantity, Unsigned
from tests.qenex.test_codec import Everything, denoms, plain, same
from vm.machine import Machine

MACHINE = Machine(MODULES)


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type, as they come from the wire: records as plain tuples, or as themselves."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return annotated(parts[0], parts[1:])
    if origin in (typing.Union, types.UnionType):
        return st.one_of([of(part) for part in parts])
    if origin is tuple and parts[-1] is Ellipsis:
        return st.lists(of(parts[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*[of(part) for part in parts])
    if isinstance(hint, type) and issubclass(hint, tuple):
        fields = st.tuples(*[of(part) for part in fields_of(hint).values()])
        return st.one_of(fields, fields.map(lambda value: tuple.__new__(hint, value)))
    simple = {
        int: st.integers(-(2**256) + 1, 2**256 - 1),
        bool: st.booleans(),
        bytes: st.binary(max_size=40),
        str: st.text(max_size=20),
        Address: st.binary(min_size=32, max_size=32),
    }
    return simple.get(hint, st.none())


def annotated(base: Any, marks: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Values of a type with a bound, a bound's neighbours among them."""
    for mark in marks:
        match mark:
            case Unsigned(bits):
                return st.one_of(st.integers(0, (1 << bits) - 1), st.sampled_from([-1, 1 << bits]))
            case Between(low, high):
                return st.integers(low - 1, high + 1)
            case Quantity():
                return st.one_of(st.integers(0, 2**128 - 1), st.sampled_from([-1, 2**128]))
            case Instant():
                return st.integers(-1, 2**63)
            case DenominationName():
                return st.one_of(denoms, st.just("QXC"), st.text(max_size=5))
            case Length(low, high) if base is bytes:
                return st.binary(min_size=max(0, low - 1), max_size=min(high + 1, 80))
            case Length(low, high) if base is str:
                return st.text(min_size=max(0, low - 1), max_size=min(high + 1, 80))
            case Length(low, high):
                inner = of(typing.get_args(base)[0])
                return st.lists(inner, min_size=max(0, low - 1), max_size=min(high + 1, 5)).map(tuple)
    raise AssertionError(f"no strategy for {marks}")


def damaged(draw: st.DrawFn, value: Any) -> Any:
    """The value with something else in one place, or with an item more or less."""
    if not isinstance(value, tuple) or not value or draw(st.integers(0, 3)) == 0:
        return draw(plain)
    match draw(st.integers(0, 4)):
        case 0:
            return (*value, draw(plain))
        case 1:
            return tuple(value[:-1])
        case _:
            at = draw(st.integers(0, len(value) - 1))
            return (*value[:at], damaged(draw, value[at]), *value[at + 1 :])


@st.composite
def near(draw: st.DrawFn, hints: list[Any]) -> Any:
    """Values of these types, one of each; in half of the cases with something wrong."""
    value = draw(st.tuples(*[of(hint) for hint in hints]))
    return damaged(draw, value) if draw(st.booleans()) else value


def answer(check: Any, value: Any) -> tuple[bool, Any]:
    try:
        return True, check(value)
    except MalformedBytes as error:
        return False, error.message


@cache
def alone(codec: Codec[Any]) -> Any:
    """The compiled check, which passes nothing on."""
    return compiled(codec.steps, pytest.fail, codec.name)


def agree(codec: Codec[Any], value: Any) -> None:
    passed, found = answer(codec.check, value)
    may_pass, expected = answer(codec.careful, value)
    assert passed == may_pass
    assert same(found, expected)
    if may_pass:
        alone(codec)(value)


@settings(max_examples=400)
@given(near([Everything]))
def test_a_record_with_every_kind_of_field(value: Any) -> None:
    agree(tuple_codec([codec_for(Everything)]), value)
    if isinstance(value, tuple) and value:
        agree(codec_for(Everything), value[0])


@settings(max_examples=20)
@given(data=st.data())
@pytest.mark.parametrize("name", sorted(MACHINE.registry.messages))
def test_arguments_of_every_message(name: str, data: st.DataObject) -> None:
    spec = MACHINE.registry.messages[name]
    agree(spec.arguments, data.draw(near([parameter.hint for parameter in spec.parameters])))


VALUES = {
    f"{module.name}.{name}": collection.value_hint
    for module in MODULES
    for name, collection in module.collections().items()
}


@settings(max_examples=20)
@given(data=st.data())
@pytest.mark.parametrize("name", sorted(VALUES))
def test_values_of_every_collection(name: str, data: st.DataObject) -> None:
    hint = VALUES[name]
    value = data.draw(near([hint]))
    agree(codec_for(hint), value[0] if isinstance(value, tuple) and value else value)


@given(st.text(max_size=66) | denoms)
def test_a_denomination_is_one_object_however_often_it_comes(text: str) -> None:
    codec: Codec[tuple[str]] = codec_for(tuple[Denom])
    try:
        (found,) = codec.check((text,))
    except QenexError:
        return
    (again,) = codec.check(("".join(list(text)),))
    assert found == text
    assert again is found


def test_what_is_of_its_type_already_is_not_made_again() -> None:
    codecs: tuple[Codec[Any], Codec[Any]] = (codec_for(tuple[int, ...]), codec_for(Fee))
    for codec, plain_value in zip(codecs, ((1, 2), (1, 2, 3)), strict=True):
        value = codec.check(plain_value)
        assert codec.check(value) is value


def test_the_text_names_objects_and_holds_nothing_but_what_types_declare() -> None:
    source = Source()
    text = source.function(fixed([keeping("type({}) is int and 0 <= {} <= 5")])(source, "value"))
    assert "0 <= v1 <= 5" in text
    assert (
        compiled(fixed([keeping("type({}) is int")]), lambda value: "careful", "pair")((True,)) == "careful"
    )
