"""Entry of the `qenex` command: parse, run, put the outcome on the right stream, return the exit code."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cli.app import App
from cli.exit_codes import ExitCode, Stopped, exit_code_of
from cli.layout import printable, style_of
from cli.lazy import Group
from cli.output import (
    OutputFailed,
    Result,
    as_commands,
    emit,
    envelope,
    error_text,
    record_defect,
    silence,
    write,
    write_json,
)
from qenex.errors import QenexError, UsageError

COMMANDS: dict[str, tuple[str, str]] = {
    "send": ("cli.send:send", "Send coins to an account."),
    "swap": ("cli.swap:swap", "Swap one coin for another along the best route."),
    "delegate": ("cli.delegate:delegate", "Stake with a validator, for rewards and at its risk."),
    "balance": ("cli.balance:balance", "Show what an account holds."),
    "keys": ("cli.keys:keys", "Create, restore and manage keys."),
    "tx": ("cli.tx:tx", "Look up, simulate, sign and broadcast transactions."),
    "query": ("cli.query:query", "Read blocks, accounts, supplies, validators and events."),
    "devnet": ("cli.devnet:devnet", "Run a chain of your own with ten funded accounts."),
    "node": ("cli.node:node", "Set up, run and check a node."),
    "config": ("cli.config:config", "Show and change the settings of a home folder."),
    "version": ("cli.version:version", "Show the versions of QENEX and its parts."),
    "completion": ("cli.version:completion", "Print the completion script for a shell."),
}

SECTIONS = {
    "Everyday": ("send", "swap", "delegate", "balance"),
    "Wallet and chain": ("keys", "tx", "query"),
    "Operating": ("devnet", "node", "config"),
    "Other": ("version", "completion"),
}


class Root(Group):
    """The top: fixed commands, and one group for each module of the machine."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from cli.modules import module_summaries

        return [*super().list_commands(ctx), *module_summaries()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        found = super().get_command(ctx, name)
        if found is not None:
            return found
        from cli.modules import module_group, module_summaries

        return module_group(name) if name in module_summaries() else None

    def short_help_of(self, ctx: click.Context, name: str) -> str:
        from cli.modules import module_summaries

        return module_summaries().get(name) or super().short_help_of(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from cli.modules import module_summaries

        self._sections = {**SECTIONS, "Modules (messages and queries)": tuple(module_summaries())}
        super().format_commands(ctx, formatter)

    def _is_hidden(self, ctx: click.Context, name: str) -> bool:
        return False


root = Root(
    name="qenex",
    lazy=COMMANDS,
    help="""Wallet, node and developer tools of a QENEX chain.

    Start with `qenex devnet up --home .devnet`, then
    `qenex --home .devnet send bob 1.5QXC --from alice`.""",
    epilog="Results go to stdout, everything else to stderr; exit codes: docs/users/wallet.md.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code. Never raises."""
    if sys.stderr is None:  # closed by the caller (`2>&-`); what would be said there is lost
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # it stays open to the end
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        return int(_without_output(OutputFailed("stdout is closed: nothing was done")))
    try:
        return _guarded(argv)
    except OutputFailed as error:
        return int(_without_output(error))
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                silence(stream)


def _without_output(error: OutputFailed) -> ExitCode:
    write(f"error: {error}", sys.stderr)
    return ExitCode.INTERNAL


def _guarded(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "_QENEX_COMPLETE" in os.environ:
        root.main(args=arguments, prog_name="qenex")
    plain = arguments[: arguments.index("--")] if "--" in arguments else arguments
    app = App(json="--json" in plain)
    try:
        return int(_succeeded(app, _run(arguments, app)))
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except Stopped as stop:
        return int(_failed(app, stop.error, stop.exit_code, data=stop.data, meta=stop.meta))
    except QenexError as error:
        return int(_failed(app, error, exit_code_of(error)))
    except click.exceptions.ClickException as error:
        return int(_failed(app, _usage_error(error), ExitCode.USAGE))
    except (
        BrokenPipeError
    ):  # click's own help text; results go through cli.output, sockets through the client
        silence(sys.stdout)
        return int(ExitCode.DONE)
    except (KeyboardInterrupt, click.exceptions.Abort):
        return int(_interrupted(app))
    except OutputFailed:
        raise
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EBADF, errno.EIO):  # click's help
            silence(sys.stdout)
            raise OutputFailed(f"the result cannot be written to stdout: {error.strerror}") from None
        return int(_failed(app, record_defect(error, _home_or_none(app)), ExitCode.INTERNAL))
    except Exception as defect:  # the last net: a defect must not become a traceback on the terminal
        return int(_failed(app, record_defect(defect, _home_or_none(app)), ExitCode.INTERNAL))


def _run(arguments: list[str], app: App) -> object:
    # Not click's own main(): it ends the process on a broken pipe of any file or socket.
    if not arguments:
        arguments = ["--help"]
    elif arguments[0] == "--version":  # what every other program calls it
        arguments = ["version", *arguments[1:]]
    with root.make_context("qenex", arguments, obj=app) as ctx:
        return root.invoke(ctx)


def _succeeded(app: App, result: object) -> ExitCode:
    if result is None:
        return ExitCode.DONE
    assert isinstance(result, Result), "a command returns a Result"
    emit(app, result)
    return result.exit_code


def _failed(
    app: App,
    error: QenexError,
    exit_code: ExitCode,
    *,
    data: object = None,
    meta: dict[str, object] | None = None,
) -> ExitCode:
    app.progress_end()
    if isinstance(error, UsageError) and error.hint == UsageError.default_hint:
        error.hint = f"see `{app.command_path} --help`"
    error.hint = as_commands(error.hint)
    if app.json:
        known = {"exit_code": int(exit_code), "elapsed_ms": app.elapsed_ms, **(meta or {})}
        write_json(envelope(data, errors=[error.to_dict()], warnings=app.warnings, meta=known), sys.stdout)
    else:
        write(error_text(error, style_of(sys.stderr)), sys.stderr)
    return exit_code


def _interrupted(app: App) -> ExitCode:
    if app.json:
        stopped = {
            "code": int(ExitCode.INTERRUPTED),
            "name": "interrupted",
            "message": "interrupted by the user",
        }
        error = {**stopped, "hint": _sent_hint(app), "retryable": not app.sent}
        meta = {"exit_code": int(ExitCode.INTERRUPTED), "elapsed_ms": app.elapsed_ms}
        write_json(envelope(app.sent or None, errors=[error], warnings=app.warnings, meta=meta), sys.stdout)
    else:
        hint = _sent_hint(app)
        write(
            "\ninterrupted" + (f"\n{style_of(sys.stderr).dim('hint:')}  {hint}" if hint else ""), sys.stderr
        )
    return ExitCode.INTERRUPTED


def _sent_hint(app: App) -> str:
    if not app.sent:
        return ""
    return (
        f"the transaction was sent and may land up to height {app.sent['valid_until']}: "
        f"`qenex tx show {app.sent['hash']}`; do not send it again before"
    )


def _usage_error(error: click.exceptions.ClickException) -> UsageError:
    """Return click's complaint as a typed error whose hint names the right help page."""
    message = printable(error.format_message())
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "qenex"
    option = str(getattr(error, "option_name", ""))
    if isinstance(error, click.NoSuchOption) and re.match(r"-[0-9.]", option):
        return UsageError(
            "an argument begins with a minus sign; amounts are greater than zero and written without one",
            hint=f"write it like 1.5QXC; see `{path} --help`",
        )
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint=f"see `{path} --help`")


def _home_or_none(app: App) -> Path | None:
    try:
        return app.home
    except (OSError, RuntimeError):
        return None
