"""Earn the difference between three pools in one transaction, with coins that are not there yet.

    python examples/arbitrage.py --home .devnet --from alice --pools 1 2 3 --start tokens/... --size 1000000

The first pool hands out what is bought now and is owed the price until the end of the transaction (a flash
swap); the others turn it back into the coin that is owed. If that brings no gain, nothing happens at all:
the node's simulation says so before anything is signed. Exit codes: 0 earned, 1 refused (no gain, or no node),
5 not known yet.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from qenex import Keyring, OutcomeUnknown, QenexClient, QenexError, Wallet, ref
from qenex.modules.amm import Hop
from qenex.types import Coin


def other(client: QenexClient, pool: int, denom: str) -> str:
    """The other coin of a pool of two."""
    first, second = client.amm.get_pool(pool).denoms
    return second if denom == first else first


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--node", default="http://127.0.0.1:7300")
    parser.add_argument("--home", default=".devnet")
    parser.add_argument("--from", dest="sender", default="alice")
    parser.add_argument("--pools", type=int, nargs=3, required=True)
    parser.add_argument("--start", required=True, help="the coin that is owed and earned")
    parser.add_argument(
        "--size", type=int, required=True, help="how much to buy of the first pool's other coin"
    )
    options = parser.parse_args()

    wallet = Wallet.from_keyring(Keyring(f"{options.home}/keyring"), options.sender)
    with QenexClient(options.node) as client:
        first, second, third = options.pools
        bought = other(client, first, options.start)
        between = other(client, second, bought)
        deadline = time.time_ns() // 10**9 + 60
        owed = client.amm.quote_out(first, Coin(bought, options.size), options.start).amount_in
        transaction = client.transaction(wallet)
        transaction.add(
            "amm.flash_swap",
            denom_in=options.start,
            path=(Hop(first, bought),),
            amount_out=options.size,
            maximum_in=owed,
            deadline_s=deadline,
        )
        transaction.add(
            "amm.swap_exact_in",
            amount_in=ref(0, "received"),
            path=(Hop(second, between), Hop(third, options.start)),
            minimum_out=owed + 1,  # or nothing happens
            deadline_s=deadline,
        )
        try:
            receipt = transaction.send().wait()
        except OutcomeUnknown as error:
            print(error.message, file=sys.stderr)
            return 5
    flash, back = receipt.results
    print(json.dumps({"owed": str(flash.amount_in), "returned": str(back.amount_out)}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except QenexError as error:
        sys.exit(f"{error.message}\n{error.hint}")
