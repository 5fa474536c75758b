"""Find unhealthy positions over RPC and take them without money of one's own, each in one transaction.

    python examples/liquidator.py --home .devnet --from carol --pool 1 [--rounds 10] [--interval 2]

A flash loan lends the debt, the liquidation turns it into collateral and a bonus, and a swap in the pool turns the
collateral back into what the loan is owed; what is left is the profit. If it does not suffice, the transaction fails
with nothing moved but the fee, and the node's simulation says so before anything is signed. Prints one line for each
position taken. Exit codes: 0 done, 1 refused, 5 not known yet.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading

from qenex import Keyring, OutcomeUnknown, QenexClient, QenexError, Wallet, ref
from qenex.modules.amm import Hop
from qenex.modules.lending import Risk
from qenex.types import Coin

LATE = 1 << 40


def take(client: QenexClient, wallet: Wallet, pool: int, risk: Risk) -> dict[str, str]:
    """Liquidate one position; raises what the chain says when it does not pay."""
    fee_bps = client.lending.get_market(risk.debt_denom).terms.flash_fee_bps
    loan = risk.repayable
    due = loan + -(-loan * fee_bps // 10_000)
    transaction = client.transaction(wallet)
    transaction.add("lending.flash_loan", coins=(Coin(risk.debt_denom, loan),))
    transaction.add(
        "lending.liquidate",
        address=risk.address,
        collateral=risk.collateral_denom,
        debt=risk.debt_denom,
        receive_shares=False,
        amount=loan,
        target_health_bps=None,
    )
    transaction.add(
        "amm.swap_exact_in",
        amount_in=ref(1, "received"),
        path=(Hop(pool, risk.debt_denom),),
        minimum_out=due - loan + 1,
        deadline_s=LATE,
    )
    receipt = transaction.send().wait()
    _, seized, sold = receipt.results
    profit = loan - seized.repaid + sold.amount_out - due
    return {
        "repaid": str(seized.repaid),
        "received": str(seized.received.amount),
        "protocol": str(seized.protocol),
        "bad_debt": str(seized.bad_debt),
        "profit": str(profit),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--node", default="http://127.0.0.1:7300")
    parser.add_argument("--home", default=".devnet")
    parser.add_argument("--from", dest="sender", default="carol")
    parser.add_argument(
        "--pool", type=int, required=True, help="where collateral is sold for the debt's coin"
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two looks")
    options = parser.parse_args()

    wallet = Wallet.from_keyring(Keyring(f"{options.home}/keyring"), options.sender)
    stop = threading.Event()
    with QenexClient(options.node) as client:
        for number in range(options.rounds):
            if number:
                stop.wait(options.interval)
            for risk in client.lending.list_liquidatable().items:
                if not risk.repayable:
                    continue
                try:
                    print(json.dumps(take(client, wallet, options.pool, risk)), flush=True)
                except OutcomeUnknown as error:
                    print(error.message, file=sys.stderr)
                    return 5
                except QenexError as error:
                    print(f"left alone: {error.message}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except QenexError as error:
        sys.exit(f"{error.message}\n{error.hint}")
