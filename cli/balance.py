"""`qenex balance`: what an account holds."""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import account_of, connected, names_by_address, parse_at
from cli.home import client_settings
from cli.layout import Style, table
from cli.lazy import Command
from cli.output import Result
from qenex.crypto.address import encode_address
from qenex.errors import UnknownDenomination, UsageError
from qenex.money import format_amount
from qenex.types import QXC

MAX_PAGES = 100


@click.command("balance", cls=Command)
@click.argument("account", metavar="NAME_OR_ADDRESS")
@click.option("--denom", metavar="DENOM", help="Only this denomination.")
@click.option("--at", metavar="HEIGHT", help="State after this height instead of the latest.")
@click.option("--prove", is_flag=True, help="Ask for a proof and check it against the block header.")
@click.option(
    "--trusted",
    metavar="HEIGHT:HASH",
    help="A block you trust: the header is verified from there. Implies --prove.",
)
@click.option(
    "--witness", "witnesses", multiple=True, metavar="URL", help="Another node to ask for the same header."
)
@pass_app
def balance(
    app: App,
    *,
    account: str,
    denom: str | None,
    at: str | None,
    prove: bool,
    trusted: str | None,
    witnesses: tuple[str, ...],
) -> Result:
    """Show the balances of a key or an address."""
    from qenex.codec import is_denom

    address = account_of(app, account)
    height = parse_at(at)
    if denom is not None and not is_denom(denom):
        raise UnknownDenomination(f"{denom[:70]!a} is no denomination")
    data: dict[str, Any] = {
        "name": names_by_address(app).get(address),
        "address": encode_address(address, client_settings(app).address_prefix),
    }
    coins: list[tuple[str, int]] = []
    if witnesses and trusted is None:
        raise UsageError("--witness needs --trusted HEIGHT:HASH")
    with connected(app, trusted=trusted, witnesses=witnesses) as client:
        if prove or trusted is not None:
            from qenex.light import verified_balance
            from qenex.state_keys import account_state_key, balance_state_key

            wanted = denom or QXC
            key = account_state_key(address) if wanted == QXC else balance_state_key(address, wanted)
            proof = client.state.get_proof(key, height)
            coins = [(wanted, verified_balance(address, wanted, proof).amount)]
            client.light.believe(proof.header)
            shown_hash = "0x" + _hash(proof.header)
            data["proof"] = {
                "header_height": proof.header.height,
                "header_hash": shown_hash,
                "verified": True,
                "checkpoint": None if trusted is None else str(client.light.chain.checkpoint),
            }
            if trusted is None:
                app.warn(
                    "proved against the header that this node gave; compare its hash with another source, or "
                    "give --trusted HEIGHT:HASH"
                )
        elif denom is not None:
            coins = [(denom, client.bank.get_balance(address, denom=denom, at=height))]
        else:
            cursor: str | None = None
            for _ in range(MAX_PAGES):
                page = client.bank.get_balances(address, limit=1_000, cursor=cursor, at=height)
                coins += [(coin.denom, coin.amount) for coin in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            else:
                app.warn(f"only the first {len(coins)} denominations are shown")
    wanted = denom or QXC
    data["denom"] = wanted
    data["balance"] = str(dict(coins).get(wanted, 0))
    data["balances"] = [{"denom": name, "amount": str(amount)} for name, amount in coins]

    def text(style: Style) -> str:
        title = f"{style.bold(data['name'])}  {data['address']}" if data["name"] else str(data["address"])
        rows = [
            [format_amount(amount, name).removesuffix(name), name] for name, amount in coins or [(wanted, 0)]
        ]
        lines = [title, "", table(["balance", "denom"], rows, style, right=[0])]
        if "proof" in data:
            lines += [
                "",
                style.green(
                    f"Proved for the state after height {data['proof']['header_height'] - 1}, by its root in"
                ),
                f"header {data['proof']['header_height']}, {data['proof']['header_hash']}.",
            ]
        return "\n".join(lines)

    return Result(data, text)


def _hash(header: Any) -> str:
    from qenex.block import block_hash

    return block_hash(header).hex()
