"""Proposals for people: what they do, where they stand, and who has said what. Programs get the chain's own record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from cli.app import App
from cli.chain import for_people
from cli.layout import Style, at_second, fields, inline, of_json, printable, table
from defi_modules.governance.types import (
    ACTION,
    CANCELLED,
    EXECUTED,
    FAILED,
    NO_QUORUM,
    PARAMETERS,
    PAUSE,
    QUEUED,
    REJECTED,
    RESUME,
    SPEND,
    TEXT,
    UPGRADE,
    VETOED,
    VOTING,
)
from qenex.errors import REGISTRY
from qenex.money import format_amount

if TYPE_CHECKING:
    from qenex.client import QenexClient

_NAMED: Final = re.compile(r"t?qx1[02-9a-z]{59} \((.+?)\)")
STATUS: Final = {
    VOTING: "open for votes",
    QUEUED: "passed, waits for its execution",
    EXECUTED: "executed",
    FAILED: "passed, but could not be executed",
    REJECTED: "rejected",
    VETOED: "vetoed, its deposit is forfeited",
    CANCELLED: "cancelled by objections while it waited",
    NO_QUORUM: "too few voted",
}


def content_text(content: dict[str, Any]) -> str:
    """What a proposal does, on one line."""
    kind, module, changes = int(content["kind"]), str(content["module"]), str(content["changes"])
    recipient = inline(content["recipient"])
    words = {
        TEXT: "says something and executes nothing",
        PARAMETERS: f"changes parameters of {module}: {changes}",
        SPEND: f"pays {format_amount(int(content['amount']))} to {recipient}",
        PAUSE: f"pauses {module}",
        RESUME: f"resumes {module}",
        UPGRADE: f"from height {content['height']} on protocol version {content['version']} ({module})",
        ACTION: f"{module} with {changes}",
    }
    return printable(words.get(kind, f"kind {kind}"))


def proposal(app: App, client: QenexClient, found: Any) -> Callable[[Style], str]:
    """One proposal."""
    shown = for_people(app, found)
    return lambda style: _proposal(shown, style)


def _proposal(found: Any, style: Style) -> str:
    told = found["proposal"]
    status, total = int(told["status"]), int(told["total_power"])

    def power(amount: object) -> str:
        part = int(str(amount)) * 10_000 // total if total else 0
        return f"{format_amount(int(str(amount)))}, {part // 100}.{part % 100:02}% of all"

    rows = [
        ("proposal", f"{found['id']}: {printable(str(told['title']))}"),
        ("does", content_text(told["content"])),
        ("status", style.bold(STATUS.get(status, str(status)))),
        ("by", inline(told["proposer"])),
        ("deposit", format_amount(int(told["deposit"]))),
        ("expedited", inline(told["expedited"])),
        ("votes until", at_second(int(told["voting_end_s"]))),
        ("executed from", at_second(int(told["execution_s"]))),
        *[(option, power(amount)) for option, amount in told["tally"].items()],
        ("voted", power(sum([int(amount) for amount in told["tally"].values()]))),
    ]
    if int(told["objections"]):
        rows.append(("objections", power(told["objections"])))
    if int(told["code"]):
        error = REGISTRY.get(int(told["code"]))
        rows.append(("refused with", f"{told['code']} ({'unknown' if error is None else error.name})"))
    return fields(rows, style)


def proposals(app: App, client: QenexClient, found: Any) -> Callable[[Style], str]:
    """A page of proposals, one on a line."""
    shown = for_people(app, found)
    return lambda style: _proposals(shown, style)


def parameters(app: App, client: QenexClient, found: Any) -> Callable[[Style], str]:
    """Parameters that are in force, one on a line."""
    shown = for_people(app, json.loads(str(found)))
    return lambda style: of_json(shown, style)


def _short(text: str) -> str:
    """A cell of a list: what is cut says so, `get-proposal` tells all of it."""
    return text if len(text) <= 60 else text[:57] + "..."


def _proposals(found: Any, style: Style) -> str:
    if not found["items"]:
        return "There is no proposal."
    rows = []
    for item in found["items"]:
        told = item["proposal"]
        tally = [
            f"{option} {format_amount(int(amount))}"
            for option, amount in told["tally"].items()
            if int(amount)
        ]
        rows.append(
            [
                str(item["id"]),
                STATUS.get(int(told["status"]), str(told["status"])).split(",")[0],
                printable(str(told["title"]))[:40],
                _short(_NAMED.sub(r"\1", content_text(told["content"]))),
                at_second(int(told["voting_end_s"])),
                ", ".join(tally) or "-",
            ]
        )
    more = "" if found["next_cursor"] is None else f"\n\nmore: --cursor {found['next_cursor']}"
    return table(["id", "status", "title", "does", "votes until", "votes"], rows, style, right=[0]) + more
