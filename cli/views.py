"""Answers and orders that are laid out for people in another way than as plain fields; `--json` stays as it is."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from cli.app import App
from cli.chain import connected
from cli.home import client_settings
from cli.layout import Style
from cli.signers import signing_account
from cli.submit import Choices
from qenex.errors import QenexError

if TYPE_CHECKING:
    from qenex.client import QenexClient

VIEWS: Final = {
    "amm.list_pools": "cli.amm_view:pools",
    "amm.get_pool": "cli.amm_view:pool",
    "governance.get_proposal": "cli.governance_view:proposal",
    "governance.list_proposals": "cli.governance_view:proposals",
    "governance.get_module_parameters": "cli.governance_view:parameters",
    "lending.list_markets": "cli.lending_view:markets",
    "lending.get_market": "cli.lending_view:market",
    "lending.get_position": "cli.lending_view:position",
    "lending.preview_prices": "cli.lending_view:position",
    "lending.preview_changes": "cli.lending_view:position",
    "lending.list_liquidatable": "cli.lending_view:risks",
}
"""By query: where what lays its answer out is found."""
WITH_ARGUMENTS: Final = {
    "amm.get_average_price": "cli.amm_view:average_price",
    "amm.get_candles": "cli.amm_view:candles",
    "amm.get_statistics": "cli.amm_view:statistics",
}
"""The same, of answers that say too little without the question."""
PREVIEWED: Final = frozenset({
    "lending.supply", "lending.withdraw", "lending.borrow", "lending.repay", "lending.collateral_on",
    "lending.collateral_off", "lending.choose_group",
})  # fmt: skip
"""Messages of which more is shown before they are signed than what they cost."""


def layout(
    app: App, client: QenexClient, query: str, found: Any, given: Mapping[str, Any]
) -> Callable[[Style], str] | None:
    """What lays out the answer of a query with these arguments; None where plain fields do, or for programs."""
    place = VIEWS.get(query) or WITH_ARGUMENTS.get(query)
    if place is None or app.json:
        return None
    module, _, name = place.partition(":")
    extra = [given] if query in WITH_ARGUMENTS else []
    try:
        view = getattr(importlib.import_module(module), name)
        laid: Callable[[Style], str] = view(app, client, found, *extra)
    except (QenexError, KeyError, TypeError, ValueError):
        return None  # another version's node: its answer is shown as it is
    return laid


def rows_before_signing(
    app: App, message: str, arguments: Mapping[str, Any], choices: Choices
) -> list[tuple[str, str]]:
    """Rows beside what is paid: what becomes of the signer's position."""
    if message not in PREVIEWED or (app.json and (choices.yes or choices.dry_run)):
        return []
    from cli.lending_view import preview

    signer = signing_account(app, choices.signer, choices.public_key).address
    with connected(app) as client:
        prefix = client_settings(app).address_prefix
        return preview(client, message.partition(".")[2], arguments, signer, prefix)
