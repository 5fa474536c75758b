"""Commands and groups that are imported only when they run, and options that stand anywhere.

`qenex --help` must answer as fast as Python starts, so a group knows its commands as
`name -> ("module:attribute", short help)` and imports the module of the invoked one alone.

`--home`, `--node` and `--json` are accepted before and after every subcommand: each command and
group carries them, and the one nearest to the end of the line wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cli.app import App

CONTEXT_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _set(attribute: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None and value is not False and not ctx.resilient_parsing:
            app: App = ctx.find_root().obj
            setattr(app, attribute, value)

    return callback


def global_options() -> list[click.Parameter]:
    """Return the options that every command has."""
    return [
        click.Option(
            ["--home"],
            type=click.Path(file_okay=False, path_type=Path),
            expose_value=False,
            callback=_set("home_option"),
            metavar="DIR",
            help="Home folder. Without it: QENEX_HOME, then the platform's configuration folder.",
        ),
        click.Option(
            ["--node"],
            expose_value=False,
            callback=_set("node_option"),
            metavar="URL",
            help="RPC address of the node. Without it: QENEX_NODE, then the home folder's setting.",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_set("json"),
            help="Print one JSON envelope on stdout, also on failure.",
        ),
    ]


class _Anywhere(click.Command):
    """A command that carries the global options and shows them last."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = super().get_params(ctx)
        taken = {name for param in own for name in param.opts}
        return [*own, *(option for option in global_options() if option.opts[0] not in taken)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        app: App = ctx.find_root().obj
        if app is not None:
            app.command_path = ctx.command_path
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # so that the hint names this command's help
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shared = {"--home", "--node", "--json", "--help"}
        own: list[tuple[str, str]] = []
        everywhere: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                (everywhere if shared.intersection(param.opts) else own).append(record)
        if own:
            with formatter.section("Options"):
                formatter.write_dl(own)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        with formatter.section("Options of every command"):
            formatter.write_dl(everywhere)


class Command(_Anywhere):
    """A leaf command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context_settings"] = {**CONTEXT_SETTINGS, **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)


class Group(_Anywhere, click.Group):
    """A group whose commands may be given as import paths.

    `lazy` maps a name to `("module:attribute", short help)`; `sections` orders the names in help.
    """

    command_class = Command

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, tuple[str, str]] | None = None,
        sections: Mapping[str, tuple[str, ...]] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["context_settings"] = {**CONTEXT_SETTINGS, **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})
        self._sections = dict(sections or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        entry = self._lazy.get(name)
        if entry is None:
            return super().get_command(ctx, name)
        module, _, attribute = entry[0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(name.lower(), self.list_commands(ctx), 3)
            told = f"; did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"no such command {name[:60]!a}{told}")
        return super().resolve_command(ctx, args)

    def short_help_of(self, ctx: click.Context, name: str) -> str:
        """Return one line about a command without importing a lazy one."""
        if name in self._lazy:
            return self._lazy[name][1]
        command = self.get_command(ctx, name)
        return command.get_short_help_str(limit=90) if command is not None else ""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = [name for name in self.list_commands(ctx) if not self._is_hidden(ctx, name)]
        placed = {name for section in self._sections.values() for name in section}
        sections = {**self._sections, "Commands": tuple(name for name in names if name not in placed)}
        width = max((len(name) for name in names), default=0)
        for title, members in sections.items():
            rows = [(name.ljust(width), self.short_help_of(ctx, name)) for name in members if name in names]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def _is_hidden(self, ctx: click.Context, name: str) -> bool:
        if name in self._lazy:
            return False
        command = self.get_command(ctx, name)
        return command is None or command.hidden
