"""QENEX for programs: keys, transactions, proofs, and a client of a node.

    from qenex import QenexClient, Wallet

    client = QenexClient("http://127.0.0.1:7300")
    alice = Wallet.from_mnemonic(words)
    receipt = client.bank.send(alice, to="qx1...", amount="1.5QXC").wait()

Names are imported when first used, so that `import qenex` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qenex.answers import TransactionReceipt as TransactionReceipt
    from qenex.async_client import AsyncQenexClient as AsyncQenexClient
    from qenex.async_sender import AsyncPending as AsyncPending
    from qenex.building import build_transaction as build_transaction
    from qenex.building import ref as ref
    from qenex.client import QenexClient as QenexClient
    from qenex.crypto.address import decode_address as decode_address
    from qenex.crypto.address import encode_address as encode_address
    from qenex.crypto.keystore import Keyring as Keyring
    from qenex.errors import OutcomeUnknown as OutcomeUnknown
    from qenex.errors import QenexError as QenexError
    from qenex.errors import TransactionExpired as TransactionExpired
    from qenex.light import Trust as Trust
    from qenex.light_rules import Checkpoint as Checkpoint
    from qenex.light_rules import LightOptions as LightOptions
    from qenex.money import format_coin as format_coin
    from qenex.money import parse_coin as parse_coin
    from qenex.sender import Pending as Pending
    from qenex.transaction import Transaction as Transaction
    from qenex.types import Coin as Coin
    from qenex.wallet import Wallet as Wallet

_HOMES = {
    "AsyncPending": "qenex.async_sender",
    "AsyncQenexClient": "qenex.async_client",
    "Checkpoint": "qenex.light_rules",
    "Coin": "qenex.types",
    "Keyring": "qenex.crypto.keystore",
    "LightOptions": "qenex.light_rules",
    "OutcomeUnknown": "qenex.errors",
    "Pending": "qenex.sender",
    "QenexClient": "qenex.client",
    "QenexError": "qenex.errors",
    "Transaction": "qenex.transaction",
    "TransactionExpired": "qenex.errors",
    "TransactionReceipt": "qenex.answers",
    "Trust": "qenex.light",
    "Wallet": "qenex.wallet",
    "build_transaction": "qenex.building",
    "decode_address": "qenex.crypto.address",
    "encode_address": "qenex.crypto.address",
    "format_coin": "qenex.money",
    "parse_coin": "qenex.money",
    "ref": "qenex.building",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  # a list of names, which the linter cannot see
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'qenex' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
