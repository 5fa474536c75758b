"""The common shape of a native module, and the declarations it is made of.

A method marked `@message`, `@query`, `@internal` or `@invariant` is the one source for argument
checks, gas, JSON schema, RPC, CLI, SDK and reference docs. Its first parameter after `self` is the
`Context`; the others are typed wire parameters, described under `Args:` in its docstring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

from ledger.collections import Collection, Item
from qenex.errors import InvalidGenesis
from qenex.state_keys import PARAMETERS_COLLECTION
from vm.context import Context

F = TypeVar("F", bound=Callable[..., Any])
Kind = Literal["message", "query", "internal", "invariant"]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a decorator notes on a method.

    `gas` is the base cost, reads and updates included; `exit` messages and internals stay open while the
    module is paused; `hands_over` messages give away what no balance shows, which guarded accounts do not;
    `callers` are the module names that may call an internal; `each` is the collection whose
    touched records an invariant checks after every transaction (empty: a full invariant).
    """

    kind: Kind
    gas: int = 0
    exit: bool = False
    hands_over: bool = False
    callers: tuple[str, ...] = ()
    each: str = ""


def _declare(declaration: Declaration) -> Callable[[F], F]:
    def mark(method: F) -> F:
        method.__qenex__ = declaration  # type: ignore[attr-defined]  # the mark that the registry reads
        return method

    return mark


def message(
    *,
    gas: int,
    exit: bool = False,  # noqa: A002 (the protocol's word)
    hands_over: bool = False,
) -> Callable[[F], F]:
    """A method that signed transactions call. `gas` of 100 ns, base cost with its reads and updates.

    `hands_over`: it gives somebody else what is not in the acting account's balances, like a right to mint.
    """
    return _declare(Declaration("message", gas=gas, exit=exit, hands_over=hands_over))


def query(method: F) -> F:
    """A read of a committed version. It must not write."""
    return _declare(Declaration("query"))(method)


def internal(*, callers: tuple[str, ...], gas: int, exit: bool = False) -> Callable[[F], F]:  # noqa: A002
    """A method that other modules call through their handle; `exit` as for messages."""
    return _declare(Declaration("internal", gas=gas, callers=callers, exit=exit))


def invariant(*, each: str = "") -> Callable[[F], F]:
    """A rule that must always hold; raises InvariantViolated.

    With `each="collection"`: `method(self, ctx, key, old, new)` for every record of that collection that
    a transaction touched. Without: `method(self, ctx)` over the whole state, at checks and in tests.
    """
    return _declare(Declaration("invariant", each=each))


class NoParams(NamedTuple):
    """Parameters of a module that has none."""


class Module:
    """Base of every native module.

    Subclasses state `id`, `name`, their `Params` record (each field with unit and range, defaults
    included; its docstring says what each means), their `events` (records; `Transferred` becomes
    `name.transferred`), the modules they `uses`, and their collections as class attributes. `objects` are keys of
    those that have an account from the start: like the module's own it takes no plain transfer.
    """

    id: ClassVar[int]
    name: ClassVar[str]
    uses: ClassVar[tuple[str, ...]] = ()
    events: ClassVar[tuple[type, ...]] = ()
    objects: ClassVar[tuple[bytes, ...]] = ()
    Params: ClassVar[type] = NoParams

    parameters: Item[Any]

    @classmethod
    def collections(cls) -> dict[str, Collection[Any]]:
        """Declared collections by attribute name, collection 0 (parameters) first."""
        found: dict[str, Collection[Any]] = {"parameters": Item(PARAMETERS_COLLECTION, cls.Params)}
        for base in reversed(cls.__mro__):
            found |= {name: value for name, value in vars(base).items() if isinstance(value, Collection)}
        ids = [collection.id for collection in found.values()]
        if len(set(ids)) != len(ids):
            raise TypeError(f"module {cls.name} uses a collection id twice")
        return found

    @property
    def params(self) -> Any:
        """The parameters in force."""
        return self.parameters.get() or self.Params()

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """Build state from this module's part of the genesis. Raises InvalidGenesis."""
        if data:
            raise InvalidGenesis(f"modules.{self.name} holds nothing, got {', '.join(sorted(data))[:80]}")

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`."""
        return {}

    def collects_fees(self) -> bool:
        """Whether the base fees that are not burned are paid to its account: asked of staking alone."""
        return True

    def begin_block(self, ctx: Context) -> None:
        """Work at the start of a block, bounded by counts. Writes nothing when nothing is due."""

    def end_block(self, ctx: Context) -> None:
        """Work at the end of a block, bounded by counts. Writes nothing when nothing is due."""
