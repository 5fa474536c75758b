"""Signed-looking transactions for tests of the pool, which never looks at signatures."""

from __future__ import annotations

from qenex.crypto.address import Address
from qenex.transaction import Fee, Message, Signer, Transaction, assemble, decode_transaction, encode_body


def address(number: int) -> Address:
    return Address(number.to_bytes(32, "big"))


def make(
    *signers: tuple[int, int],
    tip: int = 0,
    gas: int = 1_000,
    valid_until: int = 100,
    memo: str = "",
    scoped: int | None = None,
    signature: bytes = bytes(64),
) -> Transaction:
    """A transaction of `(account number, sequence)` pairs."""
    body = encode_body(
        "test-1",
        [Signer(address(who), sequence, None, scoped) for who, sequence in signers],
        [Message("bank.send", (address(99), "QXC", 1), 0)],
        Fee(10**12, gas, tip),
        valid_until,
        None,
        memo,
    )
    return decode_transaction(assemble(body, [signature] * len(signers)))
