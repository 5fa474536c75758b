"""What the module `governance`, and no other, may do to the machine: parameters, pauses, upgrades.

Everything is checked twice with the same functions, when it is proposed and when it is executed: a range may have
changed in between.
"""

from __future__ import annotations

import json
from typing import Any, Final

from qenex.errors import InvalidParameters, NotPausable, QenexError, UnknownModule
from vm.context import Context
from vm.core import Core, Pause, Upgrade
from vm.module import Module
from vm.registry import Registry

MAX_CHANGES: Final = 16 * 1024
"""Bytes of the JSON of one change of parameters."""
NEVER_PAUSED: Final = ("machine", "accounts", "governance")
"""Without these nobody could act, or nobody could end a pause."""
PAUSED_BY_VOTE: Final = 1


class Governor:
    """The machine's face for `governance`."""

    def __init__(self, modules: dict[str, Module], registry: Registry, core: Core) -> None:
        self._modules = modules
        self._registry = registry
        self._core = core

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
        module = self._module(name)
        if len(changes.encode()) > MAX_CHANGES:
            raise InvalidParameters(f"changes of more than {MAX_CHANGES} bytes")
        try:
            given = json.loads(changes, parse_float=_no_float, parse_constant=_no_float)
        except (ValueError, RecursionError) as error:
            raise InvalidParameters(f"the changes are no JSON: {str(error)[:80]}") from None
        if not isinstance(given, dict) or not given:
            raise InvalidParameters("the changes are an object by field, with one at least")
        codec = self._registry.params[name]
        present = codec.to_json(module.params, "qx")
        unknown = [field for field in given if field not in present]
        if unknown:
            raise InvalidParameters(f"{name} has no {unknown[0][:40]!a}; it has {', '.join(present)}")
        try:
            return codec.from_json({**present, **given})
        except QenexError as error:
            raise InvalidParameters(f"{name}: {error.message}") from None

    def set_parameters(self, name: str, changes: str) -> None:
        """Put changes in force. Raises as `check_parameters`."""
        self._module(name).parameters.set(self.check_parameters(name, changes))

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

    def cancel_upgrade(self) -> None:
        """No upgrade is planned any more."""
        self._core.upgrade.set(None)

    @property
    def upgrade(self) -> Upgrade | None:
        """The planned one."""
        return self._core.upgrade.get()


def _no_float(text: str) -> Any:
    raise ValueError(f"{text[:20]} is no integer")


def give_governor(modules: dict[str, Module], registry: Registry, core: Core) -> None:
    """Set `governance.governor`, where there is such a module."""
    module: Any = modules.get("governance")
    if module is not None:
        module.governor = Governor(modules, registry, core)
