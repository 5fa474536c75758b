"""`qenex staking join`: declare a validator with the consensus key of a node's home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import account_of, connected, read_coin
from cli.lazy import Command
from cli.node_home import config_of
from cli.output import Result
from cli.passwords import PasswordSource
from cli.submit import Choices, carry_out, sending_options
from qenex.errors import UsageError
from qenex.money import format_coin
from qenex.types import QXC

PART = click.IntRange(0, 10_000)


@click.command("join", cls=Command)
@click.argument("moniker")
@click.argument("amount")
@click.option(
    "--node-home",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Home of the node that will sign, made by `qenex node init --operator`.",
)
@click.option(
    "--commission-bps", type=PART, default=500, show_default=True, help="Part of the delegators' rewards."
)
@click.option(
    "--max-commission-bps", type=PART, default=2_000, show_default=True, help="What it never exceeds."
)
@click.option(
    "--max-change-bps", type=PART, default=100, show_default=True, help="By how much it rises in a day."
)
@click.option(
    "--minimum",
    default="1QXC",
    show_default=True,
    metavar="COIN",
    help="Below that stake of your own it leaves the set.",
)
@sending_options
@pass_app
def join(
    app: App,
    *,
    moniker: str,
    amount: str,
    node_home: Path,
    commission_bps: int,
    max_commission_bps: int,
    max_change_bps: int,
    minimum: str,
    choices: Choices,
    password: PasswordSource,
) -> Result:
    """Declare a validator called MONIKER with AMOUNT of your own stake. It is active once it has enough stake.

    The node's consensus key signs a statement for this account and this chain; the key's account, named by
    `qenex node init --operator`, has to be the one that signs the transaction.

    \b
    qenex node init --home late --genesis genesis.json --peer ID@HOST:PORT --operator qx1...
    qenex staking join "my node" 10000QXC --node-home late --from operator
    """
    from defi_modules.staking import possession_sign_bytes
    from node.home import read_key

    stake, least = read_coin(amount), read_coin(minimum)
    if stake.denom != QXC or least.denom != QXC:
        raise UsageError(f"only {QXC} is staked")
    key = read_key(config_of(node_home).validator_key_path)
    operator = account_of(app, choices.signer)
    if key.address != operator:
        raise UsageError(
            f"the key in {node_home} is another operator's",
            hint="make the node with `qenex node init --operator` and this account's address",
        )
    with connected(app) as client:
        chain_id = client.node.info().chain_id
    arguments: dict[str, Any] = {
        "key": key.key,
        "possession": key.sign(possession_sign_bytes(chain_id, operator, key.key)),
        "moniker": moniker,
        "commission_bps": commission_bps,
        "max_commission_bps": max_commission_bps,
        "max_change_bps": max_change_bps,
        "min_self_delegation": least.amount,
        "amount": stake.amount,
    }
    done = f"{moniker} is declared with {format_coin(stake)}."
    return carry_out(app, [("staking.create_validator", arguments)], choices, password, done)
