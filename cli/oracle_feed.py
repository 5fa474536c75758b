"""`qenex oracle feed`: the process that reports prices for a validator, from a file or a web address."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from cli.app import App, pass_app
from cli.chain import connected
from cli.home import keyring_of
from cli.keys import open_password
from cli.lazy import Command
from cli.output import Result
from cli.passwords import PasswordSource, password_options
from qenex.errors import QenexError, UsageError
from qenex.modules.oracle import PriceReport
from qenex.wallet import Wallet

if TYPE_CHECKING:
    from qenex.client import QenexClient

MAX_SOURCE: Final = 256 * 1024
READ_SECONDS: Final = 5.0
FINAL_SECONDS: Final = 30
_NUMBER = re.compile(r"([0-9]{1,30})(?:\.([0-9]{0,18}))?(?:[eE]([+-]?[0-9]{1,2}))?")


@click.command("feed", cls=Command)
@click.option(
    "--source",
    required=True,
    metavar="FILE_OR_URL",
    help='JSON of prices by feed, such as {"QXC/USD": "1.25"}; read anew each time.',
)
@click.option(
    "--from", "name", required=True, metavar="NAME", help="Key of the validator's operator or feeder."
)
@click.option(
    "--interval",
    type=click.FloatRange(1, 3_600),
    default=10.0,
    show_default=True,
    help="Seconds between reports.",
)
@click.option(
    "--times", type=click.IntRange(1), metavar="N", help="Stop after N reports instead of at Ctrl-C."
)
@password_options()
@pass_app
def feed(
    app: App, *, source: str, name: str, interval: float, times: int | None, password: PasswordSource
) -> Result:
    """Report prices again and again until Ctrl-C, as a validator's operator or as the feeder it has named.

    A source that cannot be read, or a report that is refused, is told and tried again at the next turn: old
    prices grow stale on the chain by themselves, and whoever reads them says how old they may be.
    """
    reported = failed = 0
    last = ""
    problem: QenexError | None = None
    keyring = keyring_of(app)
    wallet = Wallet.from_keyring(keyring, name, open_password(app, keyring, name, password))
    with connected(app) as client:
        try:
            while times is None or reported + failed < times:
                started = time.monotonic()
                try:
                    last = _report(app, client, wallet, source)
                    reported += 1
                    app.note(f"{app.style.dim(time.strftime('%H:%M:%S'))}  {last}")
                except QenexError as error:
                    failed, problem = failed + 1, error
                    app.warn(f"not reported: {error.message}")
                if times is not None and reported + failed >= times:
                    break
                time.sleep(max(0.0, started + interval - time.monotonic()))
        except KeyboardInterrupt:
            pass
    data = {"reported": reported, "failed": failed, "last": last}
    if reported == 0 and problem is not None:
        raise problem
    return Result(data, f"{reported} reports, {failed} failed.")


def _report(app: App, client: QenexClient, wallet: Wallet, source: str) -> str:
    """One report; what was reported, in words. Raises UsageError and what the chain refuses."""
    prices = read_prices(source)
    answer: Any = client.call("oracle_listFeeds")
    feeds = [str(item["symbol"]) for item in answer]
    missing = [symbol for symbol in feeds if symbol not in prices]
    if missing:
        app.warn(f"{source} has no price of {', '.join(missing)}")
    told = [PriceReport(symbol, *prices[symbol]) for symbol in feeds if symbol in prices]
    if not told:
        raise UsageError(
            f"{source} has none of the prices of this chain: {', '.join(feeds) or 'it has none'}"
        )
    client.oracle.report(wallet, prices=tuple(told)).wait(timeout=FINAL_SECONDS).raise_for_status()
    return ", ".join(
        f"{symbol} {Decimal(mantissa).scaleb(exponent):f}" for symbol, mantissa, exponent in told
    )


def read_prices(source: str) -> dict[str, tuple[int, int]]:
    """Prices by feed as `(mantissa, exponent)`, every written digit kept. Raises UsageError saying what is wrong."""
    try:
        found = json.loads(_read(source), parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        raise UsageError(f"{source} is not JSON") from None
    if not isinstance(found, dict):
        raise UsageError(f'{source} holds an object of prices by feed, such as {{"QXC/USD": "1.25"}}')
    return {str(symbol): _price(source, str(symbol), text) for symbol, text in found.items()}


def _price(source: str, symbol: str, text: object) -> tuple[int, int]:
    match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise UsageError(f"{source}: the price of {symbol[:40]!a} is no positive decimal number")
    whole, fraction, exponent = match[1], match[2] or "", int(match[3] or 0)
    digits = (whole + fraction).rstrip("0")
    dropped = len(whole + fraction) - len(digits)
    return int(digits or "0"), exponent - len(fraction) + dropped


def _read(source: str) -> bytes:
    if urlsplit(source).scheme in ("http", "https"):
        try:
            with urllib.request.urlopen(source, timeout=READ_SECONDS) as answer:  # noqa: S310  # the scheme was looked at
                data: bytes = answer.read(MAX_SOURCE + 1)
        except (OSError, ValueError, urllib.error.URLError) as error:
            raise UsageError(f"{source} cannot be read: {str(error)[:120]}") from None
    else:
        try:
            with Path(source).open("rb") as file:
                data = file.read(MAX_SOURCE + 1)
        except OSError as error:
            raise UsageError(f"{source} cannot be read: {error.strerror}") from None
    if len(data) > MAX_SOURCE:
        raise UsageError(f"{source} has more than {MAX_SOURCE >> 10} KiB")
    return data
