"""The other side of `node.child`: the loop of a process that a node has started.

It imports nothing of the project, so that such a process starts in a few tens of milliseconds and stays small.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

HEADER_SIZE: Final = 4
MAX_FRAME: Final = 64 << 20


class Closed(Exception):
    """The parent closed the socket, or is gone."""


class Parent:
    """The socket to the parent, in frames."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def receive(self) -> bytearray:
        """Wait for a frame. Raises Closed."""
        size = int.from_bytes(self._read(HEADER_SIZE), "little")
        if size > MAX_FRAME:
            raise Closed
        return self._read(size)

    def send(self, payload: bytes) -> None:
        """Send a frame. Raises Closed."""
        try:
            self._connection.sendall(len(payload).to_bytes(HEADER_SIZE, "little") + payload)
        except OSError as error:
            raise Closed from error

    def _read(self, size: int) -> bytearray:
        parts = bytearray(size)
        with memoryview(parts) as view:
            done = 0
            while done < size:
                try:
                    got = self._connection.recv_into(view[done:])
                except OSError as error:
                    raise Closed from error
                if not got:
                    raise Closed
                done += got
        return parts


def work(serve: Callable[[Parent], None], niceness: int = 0) -> None:
    """Run `serve` until it returns or the parent is gone; the last argument is the descriptor of the inherited socket."""
    # Ctrl-C and a service manager's signal reach the whole group: the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if niceness:
        with contextlib.suppress(OSError):
            os.nice(niceness)
    gc.freeze()
    gc.disable()  # plain values without cycles: counting references is enough
    connection = socket.socket(fileno=int(sys.argv[-1]))
    connection.setblocking(True)
    with contextlib.suppress(Closed):
        serve(Parent(connection))
    os._exit(0)  # nothing to tidy up, and the parent may be waiting
