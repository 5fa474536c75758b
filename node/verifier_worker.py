"""A signature-verifying process: chunks of items in, bitmaps out, over one inherited socket.

It imports `qenex.crypto` and nothing else of the project, so that it starts in a few tens of
milliseconds and stays small. It ends when the socket does: a parent that was killed leaves no orphan.

Frame, both ways: u32 length (little-endian) and that many bytes. A request is the MessagePack array of
items; the answer has bit `i` (of byte `i // 8`, least significant first) set where item `i` is valid.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

import msgpack

from qenex.crypto import ed25519, multisig
from qenex.crypto.schemes import SCHEMES_BY_TAG

Item = tuple[bytes, Sequence[bytes], Sequence[object]]
"""Signed bytes; tag + public key per signer; one signature per signer, of a multisig key one tuple."""
AnyItem = Item | tuple[bytes, bytes]
"""Also of a plain transfer: its raw bytes, whose form is known, and the one key. They are taken apart here."""

HEADER_SIZE: Final = 4
MAX_FRAME: Final = 64 << 20
NICENESS: Final = 5
"""Execution before verification: on a full machine the queue waits, not the block."""


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


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """Read `size` bytes; fewer only where the other side has closed."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            break
        parts += part
    return bytes(parts)


def serve(connection: socket.socket) -> None:
    """Answer requests until the other side closes."""
    while True:
        header = read_exactly(connection, HEADER_SIZE)
        size = int.from_bytes(header, "little")
        if len(header) < HEADER_SIZE or size > MAX_FRAME:
            return
        request = read_exactly(connection, size)
        if len(request) < size:
            return
        items = msgpack.unpackb(request, use_list=False, max_array_len=1 << 20)
        answer = verify_items(items)
        connection.sendall(len(answer).to_bytes(HEADER_SIZE, "little") + answer)


def main() -> None:
    """Entry point: the last argument is the descriptor of the inherited socket."""
    # Ctrl-C and a service manager's signal reach the whole group: the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    gc.freeze()
    gc.disable()  # plain values without cycles: counting references is enough
    connection = socket.socket(fileno=int(sys.argv[-1]))
    connection.setblocking(True)
    with contextlib.suppress(ConnectionError):  # the parent is gone
        serve(connection)
    os._exit(0)  # nothing to tidy up, and the parent may be waiting
