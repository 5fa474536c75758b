"""Send coins and wait for the receipt.

    python examples/send.py --home .devnet --from alice --to bob 1.5QXC

On a devnet the names are the keys of its development keyring and need no password. `--to` also takes an
address (qx1...). Exit codes: 0 included and done, 1 refused or no node at the address (the error says which,
and what to do), 3 it can no longer be included, 5 not known yet.
"""

from __future__ import annotations

import argparse
import json
import sys

from qenex import Keyring, OutcomeUnknown, QenexClient, QenexError, TransactionExpired, Wallet


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--node", default="http://127.0.0.1:7300")
    parser.add_argument("--home", default=".devnet")
    parser.add_argument("--from", dest="sender", default="alice")
    parser.add_argument("--to", default="bob")
    parser.add_argument("amount")
    options = parser.parse_args()

    keyring = Keyring(f"{options.home}/keyring")
    wallet = Wallet.from_keyring(keyring, options.sender)
    to = options.to if options.to.startswith("qx1") else keyring.get_public(options.to).address

    with QenexClient(options.node) as client:
        pending = client.bank.send(wallet, to=to, amount=options.amount)
        print(f"submitted {pending.hash}, valid until height {pending.valid_until}", file=sys.stderr)
        try:
            receipt = pending.wait()
        except OutcomeUnknown:
            # It may still land. Ask again later; do not send a second transaction.
            print("not known yet; look the hash up until that height has passed", file=sys.stderr)
            return 5
        except TransactionExpired:
            print("it was not included and never will be: nothing moved", file=sys.stderr)
            return 3
    print(json.dumps(receipt.to_dict(), indent=2))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except QenexError as error:
        sys.exit(f"{error.message}\n{error.hint}")
