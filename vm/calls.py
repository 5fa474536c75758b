"""Calls between modules: typed handles that the machine gives to those that declare `uses`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ledger.collections import Map
from ledger.state import State
from qenex.crypto.address import Address, module_address
from qenex.errors import CallNotAllowed, CallTooDeep, DebitNotAllowed, ModulePaused
from vm.context import MAX_CALL_DEPTH, Context
from vm.core import Pause
from vm.module import Module
from vm.money import Money
from vm.registry import InternalSpec, Registry


class Handle:
    """One module's view of another: the internals it may call, as methods `(ctx, *args, acting=None)`.

    A call has its own scope and acts as the calling module's main account, or as the object account
    given as `acting`. A failed call leaves no trace, so the caller may catch the error and go on.
    """

    def __init__(self, caller: Module, callee: Module, specs: list[InternalSpec], machine: Parts) -> None:
        self._route = f"{caller.name} may not call {callee.name}"
        for spec in specs:
            setattr(self, spec.verb, _call(caller.name, callee, spec, machine))

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        """Only asked for what is not there. Raises CallNotAllowed."""
        raise CallNotAllowed(f"{self._route}.{verb}")


class Parts(NamedTuple):
    """What a call needs of the machine."""

    state: State
    money: Money
    paused: Map[int, Pause]


def _call(caller: str, callee: Module, spec: InternalSpec, machine: Parts) -> Callable[..., Any]:
    main = module_address(caller)
    method: Callable[..., Any] = getattr(callee, spec.verb)
    state, money, paused = machine
    callee_id = int(callee.id)

    def call(ctx: Context, *args: Any, acting: Address | None = None) -> Any:
        if ctx.depth >= MAX_CALL_DEPTH:
            raise CallTooDeep(f"{spec.name} called {MAX_CALL_DEPTH} deep")
        if not spec.exit and paused.get(callee_id) is not None:
            raise ModulePaused(f"module {spec.module} is paused")
        if acting is not None and money.owner(acting) != caller:
            raise DebitNotAllowed(f"{caller} may not act for an account that is not its own")
        ctx.gas.use(spec.gas)
        actor, module = ctx.actor, ctx.module
        mark, events, debts = state.mark(), len(ctx.events), len(ctx.debts)
        ctx.actor, ctx.module = acting or main, spec.module
        ctx.depth += 1
        try:
            return method(ctx, *args)
        except Exception:
            state.revert(mark)
            del ctx.events[events:], ctx.debts[debts:]
            raise
        finally:
            ctx.actor, ctx.module = actor, module
            ctx.depth -= 1

    return call


def give_handles(modules: dict[str, Module], registry: Registry, machine: Parts) -> None:
    """Set `module.<used>` for every module that declares `uses`."""
    for module in modules.values():
        for used in module.uses:
            specs = [
                spec
                for spec in registry.internals.values()
                if spec.module == used and module.name in spec.callers
            ]
            setattr(module, used, Handle(module, modules[used], specs, machine))
