"""What the exit code of `qenex` says, and which error gives which.

An error's code decides by its range (see `qenex.errors`); where the range says too little, its class
does. Where the same error means different things at different moments (an insufficient balance may
be found by the simulation, at admission or in the receipt), the command wraps it in `Stopped`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from qenex import errors
from qenex.errors import QenexError


class ExitCode(IntEnum):
    """Stable numbers; scripts rely on them. MEANINGS says what each tells."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    REFUSED_AT_ADMISSION = 3
    FAILED = 4
    UNKNOWN = 5
    NODE_UNREACHABLE = 6
    NOT_FOUND = 7
    KEY = 8
    REFUSED_BEFORE_SIGNING = 9
    CONFIG = 10
    DECLINED = 11
    INTERRUPTED = 130


MEANINGS: Final[dict[ExitCode, str]] = {
    ExitCode.DONE: "done",
    ExitCode.INTERNAL: "a defect of the program, or stdout takes no result",
    ExitCode.USAGE: "the command line is wrong, or something typed on it",
    ExitCode.REFUSED_AT_ADMISSION: "refused by the node before inclusion; nothing was charged",
    ExitCode.FAILED: "included in a block but failed; the fee was charged",
    ExitCode.UNKNOWN: "sent, outcome not known yet: look it up, do not resubmit",
    ExitCode.NODE_UNREACHABLE: "the node cannot be reached, is behind, or answers wrongly",
    ExitCode.NOT_FOUND: "there is no such thing, or the node no longer has it",
    ExitCode.KEY: "a key or a password",
    ExitCode.REFUSED_BEFORE_SIGNING: "refused by the simulation or a policy; nothing was signed",
    ExitCode.CONFIG: "settings, data folder, or the processes of a node",
    ExitCode.DECLINED: "declined by the user, or nobody could be asked: no terminal and no --yes",
    ExitCode.INTERRUPTED: "interrupted by the user",
}


class Stopped(Exception):
    """An error whose exit code the moment decides, not its class alone."""

    def __init__(
        self,
        error: QenexError,
        exit_code: ExitCode,
        *,
        data: object = None,
        meta: dict[str, object] | None = None,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.exit_code = exit_code
        self.data = data
        """What is known all the same (a hash, a report): the envelope's `data`."""
        self.meta = meta or {}


_BY_CLASS: dict[type[QenexError], ExitCode] = {
    # Typed on this command line, checked here, never sent.
    errors.InvalidAddress: ExitCode.USAGE,
    errors.InvalidAmount: ExitCode.USAGE,
    errors.UnknownDenomination: ExitCode.USAGE,
    errors.UsageError: ExitCode.USAGE,
    errors.AccountNotFound: ExitCode.NOT_FOUND,
    # The client.
    errors.NodeUnreachable: ExitCode.NODE_UNREACHABLE,
    errors.InvalidResponse: ExitCode.NODE_UNREACHABLE,
    errors.ProofInvalid: ExitCode.NODE_UNREACHABLE,
    errors.TrustExpired: ExitCode.NODE_UNREACHABLE,
    errors.NotEnoughTrust: ExitCode.NODE_UNREACHABLE,
    errors.HeaderConflict: ExitCode.NODE_UNREACHABLE,
    errors.NoWitness: ExitCode.NODE_UNREACHABLE,
    errors.SubscriptionLagged: ExitCode.NODE_UNREACHABLE,
    errors.OutcomeUnknown: ExitCode.UNKNOWN,
    errors.TransactionExpired: ExitCode.REFUSED_AT_ADMISSION,
    errors.Declined: ExitCode.DECLINED,
    errors.PolicyRefused: ExitCode.REFUSED_BEFORE_SIGNING,
    errors.ProgramFault: ExitCode.INTERNAL,
    # JSON-RPC.
    errors.ParseError: ExitCode.INTERNAL,
    errors.InvalidRequest: ExitCode.INTERNAL,
    errors.InternalError: ExitCode.INTERNAL,
    errors.MethodNotFound: ExitCode.USAGE,
    errors.InvalidParams: ExitCode.USAGE,
    errors.NotFound: ExitCode.NOT_FOUND,
    errors.Pruned: ExitCode.NOT_FOUND,
    errors.Syncing: ExitCode.NODE_UNREACHABLE,
    errors.LimitExceeded: ExitCode.NODE_UNREACHABLE,
    errors.Forbidden: ExitCode.CONFIG,
}

_BY_RANGE: tuple[tuple[range, ExitCode], ...] = (
    (range(100, 200), ExitCode.KEY),
    (range(200, 300), ExitCode.CONFIG),
    (range(300, 400), ExitCode.INTERNAL),
    (range(1000, 2000), ExitCode.REFUSED_AT_ADMISSION),
    (range(2000, 1 << 31), ExitCode.FAILED),
)


def exit_code_of(error: QenexError) -> ExitCode:
    """Return the exit code that `error` gives where no moment decides otherwise."""
    for kind in type(error).__mro__:  # a subclass is what its nearest known parent is
        if kind in _BY_CLASS:
            return _BY_CLASS[kind]
    for codes, exit_code in _BY_RANGE:
        if error.code in codes:
            return exit_code
    return ExitCode.INTERNAL


def unanswered(error: QenexError) -> Exception:
    """Return why a query of a module has no answer: no transaction failed, so nothing was charged.

    What its arguments name is not there (7), or the module refuses to answer (9), as with a price that is too old.
    """
    if exit_code_of(error) is not ExitCode.FAILED:
        return error
    missing = error.name.startswith(("unknown_", "no_")) or error.name.endswith(("_not_found", "_not_kept"))
    return Stopped(error, ExitCode.NOT_FOUND if missing else ExitCode.REFUSED_BEFORE_SIGNING)
