"""Many plain payments under one signature, read from the bytes of their messages.

A message that sends QXC has one form but for recipient and amount: `["bank.send", [address, ["QXC", amount]], 0]`. So
a run of them is found by its pattern, and what differs is cut out, 0.25 us a payment; the general way makes six objects of
each, which wait in memory until the block.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgpack

from qenex.codec import pack
from qenex.state_keys import ACCOUNT_RECORDS
from qenex.types import QXC

TRANSFER: Final = "bank.send"
"""Name of the message that sends coins."""

SEND_HEAD: Final = b"\x93\xa9" + TRANSFER.encode() + b"\x92\xc4\x20"
"""What stands before the recipient's address."""
COIN: Final = b"\x92\xa3" + QXC.encode()
"""What stands between address and amount; `COIN` and amount are a coin."""
SEND_TAIL: Final = b"\x00"
"""What stands after the amount: the first signer acts."""
FIXED_SIZE: Final = len(SEND_HEAD) + 32 + len(COIN) + len(SEND_TAIL)
"""Bytes of a payment without its amount."""

# An amount below 2^64, in any of its lengths: how long it is, its first byte says.
_AMOUNT: Final = rb"[\x00-\x7f]|\xcc.|\xcd.{2}|\xce.{4}|\xcf.{8}"
_RUN: Final = re.compile(
    b"(?:" + re.escape(SEND_HEAD) + b".{32}" + re.escape(COIN) + b"(?:" + _AMOUNT + b")" + SEND_TAIL + b")+",
    re.S,
)
_ONE: Final = re.compile(
    re.escape(SEND_HEAD) + b"(.{32})" + re.escape(COIN) + b"(" + _AMOUNT + b")" + SEND_TAIL, re.S
)


class Payments(NamedTuple):
    """What a transaction of several payments pays."""

    number: int
    """Of messages; a recipient may be named in several."""
    recipients: tuple[bytes, ...]
    """State keys of who receives, each once, in the order in which they are first named."""
    amounts: tuple[int, ...]
    """What each of them gets in all, base units of QXC."""
    start: int
    stop: int
    """Where the messages stand in the raw bytes."""
    coins: bytes
    """Encoded coins of all payments in order, one behind the other."""


def array_head(count: int) -> bytes:
    """How the canonical encoding of an array of so many items, below 65,536, begins."""
    return bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")


def read_payments(raw: bytes, start: int, end: int, most: int) -> tuple[Payments, bytes] | None:
    """Payments between `start` and `end`, at most so many, and the body as it would be with the first of them alone.

    None where there is anything else than payments, or something with them that is not canonical but for what the
    returned body has: its strict reading is the caller's.
    """
    first = raw.find(SEND_HEAD, start, end)
    run = None if first < 0 else _RUN.match(raw, first, end)
    if run is None:
        return None
    stop = run.end()
    found: list[tuple[bytes, bytes]] = _ONE.findall(raw, first, stop)
    count = len(found)
    head = array_head(count)
    before = first - len(head)
    if count > most or raw[before:first] != head:
        return None
    parts = [part for _, part in found]
    encoded = head + b"".join(parts)
    amounts: tuple[int, ...] = msgpack.unpackb(encoded, use_list=False)
    if pack(amounts) != encoded or 0 in amounts:
        return None
    recipients = tuple([ACCOUNT_RECORDS + address for address, _ in found])
    sums = dict(zip(recipients, amounts, strict=True))
    if len(sums) != count:  # somebody is paid twice
        sums = dict.fromkeys(recipients, 0)
        for recipient, amount in zip(recipients, amounts, strict=True):
            sums[recipient] += amount
        recipients, amounts = tuple(sums), tuple(sums.values())
    payments = Payments(count, recipients, amounts, first, stop, COIN + COIN.join(parts))
    alone = first + FIXED_SIZE + len(parts[0])
    return payments, raw[start:before] + array_head(1) + raw[first:alone] + raw[stop:end]
