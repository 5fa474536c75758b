"""What the module `governance`, and no other, may do to the machine: parameters, pauses, upgrades, actions of modules.

An action is an internal of a module whose name begins with `govern_` and which `governance` may call. A proposal names
it with its arguments as JSON, so a module says by one declaration what can be voted on.

Everything is checked twice with the same functions, when it is proposed and when it is executed: a range may have
changed in between.
"""

from __future__ import annotations

import json
from typing import Any, Final

from qenex.codec import Reference
from qenex.errors import InvalidParameters, ModuleFault, NotPausable, QenexError, UnknownAction, UnknownModule
from vm.calls import Handle, Parts
from vm.context import Context
from vm.core import Core, Pause, Upgrade
from vm.module import Module
from vm.registry import InternalSpec, Registry

MAX_CHANGES: Final = 16 * 1024
"""Bytes of the JSON of one change of parameters."""
MAX_CHANGES_DEPTH: Final = 16
"""Objects and lists in one another there: reading more would depend on how deep the interpreter's stack may be."""
NEVER_PAUSED: Final = ("machine", "accounts", "governance")
"""Without these nobody could act, or nobody could end a pause."""
PAUSED_BY_VOTE: Final = 1
GOVERNANCE: Final = "governance"
ACTION: Final = "govern_"
"""How the names of actions begin."""


class Governor:
    """The machine's face for `governance`."""

    def __init__(self, modules: dict[str, Module], registry: Registry, core: Core, machine: Parts) -> None:
        self._modules = modules
        self._registry = registry
        self._core = core
        self._state = machine.state
        self._actions = {
            name: {
                spec.verb: spec
                for spec in registry.internals.values()
                if spec.module == name and GOVERNANCE in spec.callers and spec.verb.startswith(ACTION)
            }
            for name in modules
        }
        self._handles = {
            name: Handle(modules[GOVERNANCE], modules[name], list(specs.values()), machine)
            for name, specs in self._actions.items()
            if specs
        }

    def _module(self, name: str) -> Module:
        module = self._modules.get(name)
        if module is None:
            raise UnknownModule(f"no module is called {name[:40]!a}: there are {', '.join(self._modules)}")
        return module

    # -- parameters --------------------------------------------------------------------------

    def check_parameters(self, name: str, changes: str) -> Any:
        """The parameters of a module with these changes, a JSON object by field, as in a genesis.

        Raises UnknownModule, or InvalidParameters naming field and range.
        """
        module, given = self._module(name), _object_of(changes, "changes")
        codec = self._registry.params[name]
        present = codec.to_json(module.params, "qx")
        unknown = [field for field in given if field not in present]
        if unknown:
            raise InvalidParameters(f"{name} has no {unknown[0][:40]!a}; it has {', '.join(present)}")
        try:
            return codec.from_json({**present, **given})
        except QenexError as error:
            raise InvalidParameters(f"{name}: {error.message}") from None

    def parameters_text(self, name: str) -> str:
        """JSON of a module's parameters in force, by field. Raises UnknownModule."""
        module = self._module(name)
        return json.dumps(self._registry.params[name].to_json(module.params, "qx"))

    def set_parameters(self, name: str, changes: str) -> None:
        """Put changes in force. Raises as `check_parameters`."""
        self._module(name).parameters.set(self.check_parameters(name, changes))

    # -- actions -----------------------------------------------------------------------------

    def check_action(self, ctx: Context, name: str, verb: str, arguments: str) -> None:
        """Carry an action out as if its time had come, and take it back. Raises as `act`."""
        mark, events, debts = self._state.mark(), len(ctx.events), len(ctx.debts)
        try:
            self.act(ctx, name, verb, arguments)
        finally:
            self._state.revert(mark)
            del ctx.events[events:], ctx.debts[debts:]

    def act(self, ctx: Context, name: str, verb: str, arguments: str) -> None:
        """Carry out a module's action, with arguments as a JSON object; a failed one leaves no trace.

        Raises UnknownModule, UnknownAction, InvalidParameters naming field and range, or the action's own error.
        """
        self._module(name)
        spec = self._actions[name].get(verb)
        if spec is None:
            known = ", ".join(self._actions[name]) or "none"
            raise UnknownAction(f"{name} has no action {verb[:40]!a} that can be voted on: {known}")
        args = _arguments(spec, _object_of(arguments, "arguments"))
        try:
            getattr(self._handles[name], verb)(ctx, *args)
        except (QenexError, MemoryError, RecursionError, OSError):
            raise
        except Exception as error:  # a defect of that module's code must not pause governance
            raise ModuleFault(f"{spec.name} failed: {type(error).__name__}") from error

    # -- pauses ------------------------------------------------------------------------------

    def check_pausable(self, name: str) -> int:
        """The id of a module that may be paused. Raises UnknownModule or NotPausable."""
        module = self._module(name)
        if name in NEVER_PAUSED:
            raise NotPausable(f"{name} is never paused")
        return int(module.id)

    def is_paused(self, name: str) -> bool:
        """Whether a module is paused, for whatever reason."""
        return self._core.paused.get(int(self._module(name).id)) is not None

    def pause(self, ctx: Context, name: str) -> None:
        """Pause a module; what is marked `exit` stays open. Raises as `check_pausable`."""
        number = self.check_pausable(name)
        if self._core.paused.get(number) is None:
            self._core.paused.set(number, Pause(ctx.height, PAUSED_BY_VOTE))

    def resume(self, name: str) -> None:
        """End a pause, also one by a defect of the module. Raises UnknownModule."""
        self._core.paused.set(int(self._module(name).id), None)

    # -- upgrades ----------------------------------------------------------------------------

    def plan_upgrade(self, name: str, height: int, protocol_version: int) -> None:
        """From `height` on the rules of `protocol_version` hold: a program without them stops before it."""
        self._core.upgrade.set(Upgrade(name, height, protocol_version))


def _no_float(text: str) -> Any:
    raise ValueError(f"{text[:20]} is no integer")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    given = dict(pairs)
    if len(given) != len(pairs):
        raise ValueError("a name stands twice in an object")  # which of the two was voted on?
    return given


def _object_of(text: str, what: str) -> dict[str, Any]:
    if len(text.encode()) > MAX_CHANGES:
        raise InvalidParameters(f"{what} of more than {MAX_CHANGES} bytes")
    try:
        given = json.loads(text, parse_float=_no_float, parse_constant=_no_float, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidParameters(f"the {what} are no JSON: {str(error)[:80]}") from None
    if not isinstance(given, dict) or not given:
        raise InvalidParameters(f"the {what} are an object by field, with one at least")
    if not _is_shallow(given):
        raise InvalidParameters(f"the {what} lie more than {MAX_CHANGES_DEPTH} deep in one another")
    return given


def _is_shallow(given: dict[str, Any]) -> bool:
    """Whether no value lies deeper than allowed; without recursion, since the stack's depth is no rule of a chain."""
    level: list[Any] = [given]
    for _ in range(MAX_CHANGES_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level = inner
    return not any(isinstance(value, dict | list) for value in level)


def _arguments(spec: InternalSpec, given: dict[str, Any]) -> tuple[Any, ...]:
    try:
        args = spec.args_from_json(given)
    except QenexError as error:
        raise InvalidParameters(error.message) from None
    if any(type(arg) is Reference for arg in args):
        raise InvalidParameters(f"{spec.name}: nothing went before that an argument could refer to")
    return args


def give_governor(modules: dict[str, Module], registry: Registry, core: Core, machine: Parts) -> None:
    """Set `governance.governor`, where there is such a module."""
    module: Any = modules.get(GOVERNANCE)
    if module is not None:
        module.governor = Governor(modules, registry, core, machine)
