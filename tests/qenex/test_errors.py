"""The table of errors: codes rebuild their classes, every error has a hint, nothing overlaps."""

from __future__ import annotations

import pytest

from qenex import errors
from qenex.errors import REGISTRY, QenexError, UnknownError, error_from_code


@pytest.mark.parametrize("code", sorted(REGISTRY))
def test_a_code_rebuilds_its_error(code: int) -> None:
    error = error_from_code(code, "what happened", hint="do this")
    assert type(error) is REGISTRY[code]
    assert error.to_dict() == {
        "code": code,
        "name": REGISTRY[code].name,
        "message": "what happened",
        "hint": "do this",
        "retryable": REGISTRY[code].retryable,
    }
    assert getattr(errors, type(error).__name__) is type(error)


@pytest.mark.parametrize("code", sorted(REGISTRY))
def test_every_error_says_what_to_do(code: int) -> None:
    error = REGISTRY[code]()
    assert error.hint
    assert error.message == error.name.replace("_", " ")
    assert error.name == error.name.lower()
    assert not error.hint.endswith(".")


def test_names_are_unique() -> None:
    names = [error.name for error in REGISTRY.values()]
    assert len(set(names)) == len(names)


def test_an_unknown_code_keeps_what_the_node_said() -> None:
    error = error_from_code(3_999, "new", name="brand_new", hint="upgrade", retryable=True)
    assert isinstance(error, UnknownError)
    assert (error.code, error.name, error.hint, error.retryable) == (3_999, "brand_new", "upgrade", True)
    assert error_from_code(4_000).to_dict()["name"] == "error_4000"


def test_a_code_is_never_given_twice() -> None:
    with pytest.raises(TypeError, match="1000"):

        class Second(QenexError):
            code = 1000


def test_an_error_carries_no_receipt_until_the_client_gives_it_one() -> None:
    assert error_from_code(3200).receipt is None
    assert error_from_code(303).pending is None
