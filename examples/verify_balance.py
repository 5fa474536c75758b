"""Prove a balance instead of believing it.

    python examples/verify_balance.py --home .devnet alice
    python examples/verify_balance.py --validators validators.json qx1...

The node sends the account's record, a Merkle proof, the header whose state root the proof leads to, and the
precommits for that header. All of it is checked here. The validator set has to come from somewhere you
trust; without `--validators` the node itself is asked for it, which shows how it is done and proves little.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from qenex import Keyring, QenexClient, QenexError, Trust, format_coin
from qenex.block import VALIDATOR


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--node", default="http://127.0.0.1:7300")
    parser.add_argument("--home", default=".devnet")
    parser.add_argument("--denom", default="QXC")
    parser.add_argument(
        "--validators",
        type=Path,
        help="JSON list of {address, key, power}, as `validators` of chain_getValidators has it",
    )
    parser.add_argument("account", help="an address, or the name of a key")
    options = parser.parse_args()

    account = options.account
    if not account.startswith("qx1"):
        account = Keyring(f"{options.home}/keyring").get_public(account).address

    with QenexClient(options.node) as client:
        if options.validators is not None:
            known = [VALIDATOR.from_json(item) for item in json.loads(options.validators.read_text())]
        else:
            known = list(client.chain.get_validators().validators)
        trust = Trust(client.node.info().chain_id, validators=known)
        coin = client.state.verified_balance(account, options.denom, trust=trust)
    print(f"{format_coin(coin)} proved")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except QenexError as error:
        sys.exit(f"{error.message}\n{error.hint}")
