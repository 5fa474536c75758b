"""A signature-verifying process: chunks of items in, bitmaps out.

Of the project it imports `qenex.crypto` and the frame loop alone, so that it starts in a few tens of
milliseconds and stays small.

A request is the MessagePack array of items; the answer has bit `i` (of byte `i // 8`, least significant
first) set where item `i` is valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgpack

from node.child_worker import Parent, work
from qenex.crypto import ed25519, multisig
from qenex.crypto.schemes import SCHEMES_BY_TAG

Item = tuple[bytes, Sequence[bytes], Sequence[object]]
"""Signed bytes; tag + public key per signer; one signature per signer, of a multisig key one tuple."""
AnyItem = Item | tuple[bytes, bytes]
"""Also of a plain transfer: its raw bytes, whose form is known, and the one key. They are taken apart here."""

NICENESS: Final = 10
"""Execution before verification: on a full machine the queue waits, not the block. Where other programs of niceness 0 take every
core, a worker has a tenth of one by the scheduler's weights, some 2,500 Ed25519 verifications a second: a validator's machine should
run nothing else that is busy. 15 is no faster in the pipeline (0.434 and 0.436 beside 0.436 and 0.429 of the limit)."""


def verify_item(item: AnyItem) -> bool:
    """Whether every signer's signature is valid. Total on bytes; anything ill-formed is invalid."""
    if len(item) == 2:
        raw, sole = item
        start = 3 if raw[1:2] == b"\xc4" else 4  # a body of 256 bytes and more has two that say so
        if sole[:1] != b"\x01":
            scheme = SCHEMES_BY_TAG.get(sole[0]) if sole else None
            return scheme is not None and scheme.verify(sole[1:], raw[start:-67], raw[-64:])
        return ed25519.verify(sole[1:], raw[start:-67], raw[-64:])
    message, keys, signatures = item
    count = len(keys)
    if count == 0 or count != len(signatures):
        return False
    for key, signature in zip(keys, signatures, strict=True):
        if type(signature) is not bytes or not key:
            if not key or key[0] != multisig.MULTISIG_TAG or not multisig.verify(key, message, signature):
                return False
            continue
        tag = key[0]
        if tag == 0x01:
            if not ed25519.verify(key[1:], message, signature):
                return False
        else:
            scheme = SCHEMES_BY_TAG.get(tag)
            if scheme is None or not scheme.verify(key[1:], message, signature):
                return False
    return True


def verify_items(items: Sequence[AnyItem]) -> bytes:
    """Bitmap of `verify_item` over `items`."""
    bits = 0
    for index, item in enumerate(items):
        if verify_item(item):
            bits |= 1 << index
    return bits.to_bytes((len(items) + 7) // 8, "little")


def serve(parent: Parent) -> None:
    """Answer requests until the parent closes."""
    while True:
        items = msgpack.unpackb(parent.receive(), use_list=False, max_array_len=1 << 20)
        parent.send(verify_items(items))


def main() -> None:
    """Entry point of the process."""
    work(serve, NICENESS)
