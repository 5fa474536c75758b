"""Commands of a module, made from what it declares: each query and each message is one.

Required parameters are arguments in their declared order, optional ones are options. Texts become
typed values by the declared types: an account may be a key's name, a coin is written 1.5QXC.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Final

import click

from cli.app import App, pass_app
from cli.chain import account_of, connected, for_people, parse_at, read_coin
from cli.exit_codes import unanswered
from cli.layout import Style, of_json
from cli.lazy import Command, Group
from cli.output import Result
from cli.passwords import PasswordSource
from cli.submit import Choices, carry_out, sending_options
from cli.views import layout, rows_before_signing
from node.modules import make_machine
from qenex.building import read_argument
from qenex.codec import codec_for, fields_of
from qenex.crypto.address import Address
from qenex.errors import MalformedBytes, QenexError, UsageError
from qenex.money import format_amount
from qenex.types import QXC, Between, Coin, Denom, Quantity
from vm.registry import CallSpec, MessageSpec, ParameterSpec, QuerySpec

BY_HAND: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "accounts": {
        "add-scoped-key": (
            "cli.scoped:add_scoped_key",
            "Let a second key act for an account within a scope.",
        ),
        "create-multisig": (
            "cli.multisig:create_multisig",
            "Make the key of an account that several sign for.",
        ),
        "set-guard": (
            "cli.guards:set_guard",
            "Let large amounts leave only after a delay, in which another account can cancel.",
        ),
        "propose-rotation": (
            "cli.agreement:propose_rotation",
            "Write a file in which a new key's owners agree to sign for an account.",
        ),
        "agree": ("cli.agreement:agree", "Agree to a rotation, where the new key lies."),
        "rotate": ("cli.agreement:rotate", "Let the key sign whose owners have agreed in a file."),
        "rotate-to-multisig": ("cli.multisig:rotate_to_multisig", "Let several members sign for an account."),
    },
    "oracle": {
        "feed": ("cli.oracle_feed:feed", "Report prices from a file or a web address, again and again.")
    },
    "staking": {
        "join": ("cli.staking_join:join", "Declare the validator whose key lies in a node's home."),
    },
}
"""Commands of a module's group that are more than one message or query."""


def build_group(name: str, summary: str) -> click.Command:
    """Return the group of module `name` with a command for every query and message, and those made by hand."""
    registry = make_machine().registry
    by_hand = BY_HAND.get(name, {})
    group = Group(name=name, help=summary, lazy=by_hand)
    for query in registry.queries.values():
        if query.module == name:
            group.add_command(_query_command(query))
    for message in registry.messages.values():
        if message.module == name and message.name.partition(".")[2].replace("_", "-") not in by_hand:
            group.add_command(_message_command(message))
    return group


def _inner(hint: Any) -> Any:
    """Return the type inside `X | None`, or the type itself."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


def _is_optional(spec: CallSpec, parameter: ParameterSpec) -> bool:
    """Whether it is an option: what may be left out, and the denomination that a query is about (QXC unless given)."""
    asked = parameter.hint == Denom and parameter.name == "denom" and isinstance(spec, QuerySpec)
    return parameter.codec.check_none() or asked


def _parameters(spec: CallSpec) -> list[click.Parameter]:
    found: list[click.Parameter] = []
    for parameter in spec.parameters:
        if _is_optional(spec, parameter):
            default = QXC if parameter.hint == Denom else None
            option = f"--{parameter.name.replace('_', '-')}"
            shown = default is not None
            meaning = parameter.doc
            found.append(
                click.Option([option, parameter.name], default=default, show_default=shown, help=meaning)
            )
        else:
            found.append(click.Argument([parameter.name]))
    return found


def _typed(app: App, parameter: ParameterSpec, text: str) -> Any:
    """Return the value that a text means for a parameter. Raises UsageError and the typed errors of values."""
    hint = _inner(parameter.hint)
    try:
        return read_argument(hint, _from_text(app, hint, text))
    except MalformedBytes as error:
        raise UsageError(f"{parameter.name}: {error.message}") from None


def _from_text(app: App, hint: Any, text: str) -> Any:
    if hint is Address:
        return account_of(app, text)
    if hint is Coin:
        return read_coin(text)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        if any(isinstance(mark, Quantity) for mark in parts[1:]):
            # Base units, as the parameter's own words say; with a denomination it is an amount of QXC.
            return int(text) if _is_number(text) else text
        return _from_text(app, parts[0], text)
    if hint is int:
        if not _is_number(text.removeprefix("-")):
            raise UsageError(f"{text[:40]!a} is no integer")
        return int(text)
    if hint is bool:
        if text not in ("true", "false"):
            raise UsageError(f"{text[:40]!a} is neither true nor false")
        return text == "true"
    if hint is not Coin and (origin is tuple or (isinstance(hint, type) and issubclass(hint, tuple))):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise UsageError(f"{text[:40]!a} is not JSON") from None
        return _from_json(app, hint, value)
    return text


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 78


def _from_json(app: App, hint: Any, value: Any) -> Any:
    """Return what a JSON value means for a type: within it, too, an account may be a key's name, a coin 1.5QXC."""
    hint = hint if value is None else _inner(hint)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Address and isinstance(value, str):
        return account_of(app, value)
    if hint is Coin and isinstance(value, str):
        return read_coin(value)
    if origin is Annotated and typing.get_origin(parts[0]) is tuple and isinstance(value, list):
        return _from_json(app, parts[0], value)
    if origin is tuple and parts[-1:] == (Ellipsis,) and isinstance(value, list):
        return tuple([_from_json(app, parts[0], item) for item in value])
    if hint is not Coin and isinstance(hint, type) and issubclass(hint, tuple) and isinstance(value, dict):
        fields = fields_of(hint)
        unknown = [name for name in value if name not in fields]
        missing = [name for name in fields if name not in value]
        if unknown or missing:
            raise UsageError(f"{hint.__name__} has {', '.join(fields)}: unknown {unknown}, missing {missing}")
        return hint(*[_from_json(app, fields[name], value[name]) for name in fields])
    return codec_for(hint).from_json(value)


def _help_of(spec: CallSpec) -> str:
    lines = [spec.details or spec.doc]
    told = [parameter for parameter in spec.parameters if not _is_optional(spec, parameter)]
    if told:
        width = max(len(parameter.name) for parameter in told)
        lines.append("\b\n" + "\n".join(f"{p.name.upper().ljust(width)}  {p.doc}" for p in told))
    return "\n\n".join(lines)


def _settings(spec: CallSpec) -> dict[str, Any]:
    """Where a number may be negative, what begins with a minus sign may be one; other such words are too many then."""
    negative = any(
        isinstance(mark, Between) and mark.low < 0
        for parameter in spec.parameters
        for mark in typing.get_args(parameter.hint)[1:]
    )
    return {"ignore_unknown_options": True} if negative else {}


def _query_command(spec: QuerySpec) -> click.Command:
    head, *rest = spec.verb.split("_")
    method = f"{spec.module}_{head}{''.join(word.capitalize() for word in rest)}"

    @pass_app
    def run(app: App, at: str | None, prove: bool, **texts: str | None) -> Result:
        prefix_params: dict[str, Any] = {}
        height = parse_at(at)
        with connected(app) as client:
            prefix = client.address_prefix()
            for parameter in spec.parameters:
                text = texts[parameter.name]
                if text is not None:
                    value = _typed(app, parameter, text)
                    prefix_params[parameter.name] = parameter.codec.to_json(value, prefix)
            extra: dict[str, Any] = {} if height is None else {"at": height}
            if prove:
                extra["prove"] = True
            try:
                found = client.call(method, **prefix_params, **extra)
            except QenexError as error:
                raise unanswered(error) from None
            laid = None if prove else layout(app, client, spec.name, found, prefix_params)

        def text_of(style: Style) -> str:
            if laid is not None:
                return laid(style)
            amount = isinstance(found, str) and found.isdigit() and "denom" in prefix_params
            return (
                format_amount(int(str(found)), prefix_params["denom"])
                if amount
                else of_json(for_people(app, found), style)
            )

        return Result(found, text_of)

    params = _parameters(spec)
    params.append(
        click.Option(["--at"], metavar="HEIGHT", help="State after this height instead of the latest.")
    )
    params.append(
        click.Option(["--prove"], is_flag=True, help="Ask for proofs; they are shown, not checked here.")
    )
    return Command(
        name=spec.verb.replace("_", "-"),
        params=params,
        callback=run,
        help=_help_of(spec),
        short_help=spec.doc,
    )


def _message_command(spec: MessageSpec) -> click.Command:
    def run(app: App, *, choices: Choices, password: PasswordSource, **texts: str | None) -> Result:
        arguments: dict[str, Any] = {}
        for parameter in spec.parameters:
            text = texts[parameter.name]
            if text is not None:
                arguments[parameter.name] = _typed(app, parameter, text)
        done = f"{spec.name} is final."
        rows = rows_before_signing(app, spec.name, arguments, choices)
        return carry_out(app, [(spec.name, arguments)], choices, password, done, rows=rows, told=True)

    decorated: Callable[..., Any] = sending_options(pass_app(run))
    made = click.command(
        spec.verb.replace("_", "-"),
        cls=Command,
        help=_help_of(spec),
        short_help=spec.doc,
        context_settings=_settings(spec),
    )(decorated)
    made.params[:0] = _parameters(spec)
    return made
