"""The form of a plain transfer: one signer sends QXC, in one message or in many.

All such transactions have the same bytes but for chain, addresses and numbers. So their body is one pattern, which says of
the rest what msgpack and the canonical form would, in half the time; and of many payments recipients and amounts are
cut out, 0.25 us each, where reading in general makes six objects of each, which wait in memory until the block.
"""

from __future__ import annotations

import re
from functools import lru_cache
from sys import intern
from typing import Final, NamedTuple

import msgpack

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
SEND_SIZE: Final = len(SEND_HEAD) + 32 + len(COIN) + len(SEND_TAIL)
"""Bytes of such a message besides the amount's."""

# An integer below 2^64 in its shortest form: how long it is, its first byte says. Larger ones are read in general.
_ONE: Final = (
    rb"(?:[\x00-\x7f]|\xcc[\x80-\xff]|\xcd[^\x00].|\xce(?!\x00\x00).{4}|\xcf(?!\x00\x00\x00\x00).{8})"
)
_NUMBER: Final = b"(" + _ONE + b")"
_ADDRESS: Final = b"(.{32})"
_SEND: Final = re.escape(SEND_HEAD) + _ADDRESS + re.escape(COIN) + _NUMBER + re.escape(SEND_TAIL)

TRANSFER_BODY: Final = re.compile(
    rb"\x98\xa2tx([\xa1-\xbf][ -~]+)"  # kind, chain id
    rb"\x91\x94\xc4\x20" + _ADDRESS + _NUMBER + rb"\xc0\xc0"  # the signer: address, sequence, no keys
    rb"([\x91-\x9f]|\xdc..)((?:" + _SEND + b")+)"  # an array of messages, and what the last one says
    rb"\x93(" + 4 * _ONE + rb")\xc0\xa0",  # max, gas_limit, tip; valid_until, no lease, no memo
    re.DOTALL,
)
"""Groups: chain id, address, sequence, head and items of the messages, recipient, amount, the numbers of `Terms`.

Whether chain id and messages are as long as they say, is for who asks to see.
"""
MESSAGES: Final = 5
"""Number of the group with the messages."""
_EACH: Final = re.compile(_SEND, re.DOTALL)


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


class Terms(NamedTuple):
    """On which chain, until which height and for how much a transaction may stand: nearly all of a time have the same."""

    chain_id: str
    fee_max: int
    gas_limit: int
    tip: int
    valid_until: int


@lru_cache(1_024)
def terms_of(chain: bytes, numbers: bytes) -> Terms | None:
    """Read them once for all that have them, or None if the bytes of the chain id are not as many as they say."""
    if chain[0] != 0xA0 + len(chain) - 1:
        return None
    return Terms(intern(chain[1:].decode("ascii")), *msgpack.unpackb(b"\x94" + numbers, use_list=False))


def number_of(encoded: bytes) -> int:
    """An integer of the pattern's form."""
    return encoded[0] if len(encoded) == 1 else int.from_bytes(encoded[1:], "big")


def read_payments(raw: bytes, start: int, stop: int, head: bytes, most: int) -> Payments | None:
    """The payments between `start` and `stop`, which are nothing else, if they are as many as `head` says and at most `most`."""
    found: list[tuple[bytes, bytes]] = _EACH.findall(raw, start, stop)
    count = len(found)
    if count > most or head != array_head(count):
        return None
    parts = [part for _, part in found]
    amounts: tuple[int, ...] = msgpack.unpackb(head + b"".join(parts), use_list=False)
    if 0 in amounts:
        return None
    recipients = tuple([ACCOUNT_RECORDS + address for address, _ in found])
    sums = dict(zip(recipients, amounts, strict=True))
    if len(sums) != count:  # somebody is paid twice
        sums = dict.fromkeys(recipients, 0)
        for recipient, amount in zip(recipients, amounts, strict=True):
            sums[recipient] += amount
        recipients, amounts = tuple(sums), tuple(sums.values())
    return Payments(count, recipients, amounts, start, stop, COIN + COIN.join(parts))
