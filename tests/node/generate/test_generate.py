"""What is derived is up to date, and the derivation does what it says."""

from __future__ import annotations

import ast
import asyncio
import typing
from pathlib import Path
from typing import Any

import pytest

from node.generate.__main__ import derived_files, main
from node.generate.faces import Source, accepted, docstring, render, rpc_name
from node.generate.synchronous import SOURCES, to_blocking
from node.modules import make_machine
from qenex.codec import Reference
from qenex.crypto.address import Address
from qenex.modules import EVENTS, MESSAGES
from qenex.types import Amount, Coin, Denom

REGISTRY = make_machine().registry


def test_everything_derived_is_up_to_date(repository: Path) -> None:
    stale = [
        path
        for path, text in derived_files(make_machine(), repository).items()
        if not (repository / path).is_file() or (repository / path).read_text("utf-8") != text
    ]
    assert not stale, f"run `python -m node.generate`: {stale}"


def test_check_says_what_is_out_of_date(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "node.generate.__main__.derived_files", lambda machine, root: {"no/such/file.py": "x"}
    )
    assert main(["--check"]) == 1
    assert "no/such/file.py" in capsys.readouterr().err


def shape(hint: Any) -> Any:
    """A type by its parts: the SDK has records of its own, of the same names and fields as the chain's."""
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        fields = typing.get_type_hints(hint, include_extras=True)
        return hint.__name__, {name: shape(fields[name]) for name in hint._fields}
    if typing.get_origin(hint) is None:
        return hint
    return typing.get_origin(hint), [shape(part) for part in typing.get_args(hint)]


def test_the_sdk_knows_every_message_and_event_with_the_chain_s_types() -> None:
    assert set(MESSAGES) == set(REGISTRY.messages)
    assert set(EVENTS) == set(REGISTRY.events)
    for name, spec in REGISTRY.messages.items():
        face = MESSAGES[name]
        assert [parameter for parameter, _ in face.parameters] == [p.name for p in spec.parameters]
        assert [shape(hint) for _, hint in face.parameters] == [shape(p.hint) for p in spec.parameters]
        assert getattr(face.result, "_fields", None) == getattr(spec.result, "_fields", None)
    for name, event in REGISTRY.events.items():
        assert EVENTS[name]._fields == event.record._fields  # type: ignore[attr-defined]  # records have it


@pytest.mark.parametrize("origin", SOURCES)
def test_the_blocking_half_has_no_trace_of_the_other(origin: str, repository: Path) -> None:
    text = to_blocking((repository / origin).read_text("utf-8"), origin)
    tree = ast.parse(text)
    body = text.split("\n", 1)[1]
    assert "Async" not in body
    assert "await" not in body
    assert "asyncio" not in body
    assert not [
        node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith)
    ]


def test_both_halves_of_a_function_compute_the_same() -> None:
    source = (
        "async def double(x: int) -> int:\n"
        "    return 2 * x\n\n\n"
        "class AsyncTwice:\n"
        '    """An AsyncTwice."""\n\n'
        "    async def run(self, values: list[int]) -> list[int]:\n"
        "        async def inner(v: int) -> int:  # noqa: ASYNC100  # why\n"
        "            return (await double(v)) + await double(await double(v))\n\n"
        "        return [await inner(value) for value in values]\n"
    )
    both: list[Any] = []
    for text in (source, to_blocking(source, "x")):
        scope: dict[str, Any] = {}
        exec(compile(text, "x", "exec"), scope)
        both.append(scope.get("AsyncTwice") or scope["Twice"])
    assert asyncio.run(both[0]().run([1, 2])) == both[1]().run([1, 2]) == [6, 12]
    assert "noqa" not in to_blocking(source, "x")


@pytest.mark.parametrize(
    ("hint", "text", "taken"),
    [
        (Address, "Address", "AddressLike | Reference"),
        (Coin, "Coin", "CoinLike"),
        (Amount, "Amount", "AmountLike"),
        (Denom | None, "Denom | None", "str | Reference | None"),
        (tuple[Coin, ...], "tuple[Coin, ...]", "tuple[Coin, ...] | Reference"),
    ],
)
def test_types_are_written_as_people_read_them(hint: Any, text: str, taken: str) -> None:
    assert render(hint, Source(), "") == text
    assert accepted(hint, Source(), "", references=True) == taken


def test_types_without_a_form_are_refused() -> None:
    for hint in (float, dict[str, int], Reference):
        with pytest.raises(TypeError):
            render(hint, Source(), "")


def test_rpc_names_follow_the_one_rule() -> None:
    assert rpc_name(REGISTRY.queries["bank.get_balance"]) == "bank_getBalance"


def test_docstrings_stay_docstrings() -> None:
    text = 'says """this""" and a \\ backslash\n\nArgs:\n    x: ' + "word " * 60
    made = docstring(text, 4)
    assert max(map(len, made.split("\n"))) <= 110
    assert ast.literal_eval(made.strip()).count("word") == 60
