"""A process of our own code, spoken to over one inherited socket in frames.

Frame, both ways: u32 length (little-endian) and that many bytes. The child has nothing else: no terminal, no
descriptor, and it ends when the socket does, so that a parent that was killed leaves no orphan.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.child_worker import HEADER_SIZE, MAX_FRAME

RECEIVED: Final = 1 << 20
"""Bytes taken from the socket at once."""

_ROOT = str(Path(__file__).resolve().parent.parent)
# -P keeps the current folder off the path: it might hold something else that is called `node`.
_COMMAND = "import sys; sys.path.insert(0, sys.argv[1]); from node.{} import main; main()"


class Child:
    """One process. `on_frame` is told of each answer, `on_end` once of an end that nobody asked for.

    Both may call `end`, and `spawn` after it. For the thread of one event loop.
    """

    __slots__ = (
        "_command",
        "_incoming",
        "_loop",
        "_on_end",
        "_on_frame",
        "_outgoing",
        "_sock",
        "process",
        "started",
    )

    def __init__(
        self, module: str, on_frame: Callable[[memoryview], None], on_end: Callable[[], None]
    ) -> None:
        """`module` of `node` has the process's `main`."""
        self._command = _COMMAND.format(module)
        self._on_frame = on_frame
        self._on_end = on_end
        self.started = False

    def spawn(self) -> None:
        """Start the process. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            try:
                self.process = subprocess.Popen(  # noqa: S603  (our own interpreter and code)
                    [sys.executable, "-P", "-c", self._command, _ROOT, str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        self._sock = ours
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ours, self._readable)
        self.started = True

    def end(self) -> None:
        """End the process; harmless where none runs."""
        if not self.started:
            return
        self.started = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self.process.kill()
        self.process.wait()

    def send(self, payload: bytes) -> None:
        """Send a frame, or put it behind those that wait to be sent."""
        waiting = bool(self._outgoing)
        self._outgoing += len(payload).to_bytes(HEADER_SIZE, "little")
        self._outgoing += payload
        if not waiting:
            self._send()

    def _send(self) -> None:
        try:
            sent = self._sock.send(self._outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the reader sees the end of the stream and deals with it
        del self._outgoing[:sent]
        if self._outgoing:
            self._loop.add_writer(self._sock, self._send)
        else:
            self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(RECEIVED)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_end()
            return
        # Most often whole frames come, of which nothing has to be kept.
        incoming: bytes | bytearray = data
        if self._incoming:
            self._incoming += data
            incoming = self._incoming
        process, at = self.process, 0
        with memoryview(incoming) as view:
            while len(incoming) - at >= HEADER_SIZE:
                size = int.from_bytes(view[at : at + HEADER_SIZE], "little")
                if size > MAX_FRAME:
                    self._on_end()  # nothing of ours says so
                    return
                end = at + HEADER_SIZE + size
                if len(incoming) < end:
                    break
                with view[at + HEADER_SIZE : end] as frame:
                    self._on_frame(frame)
                if not self.started or self.process is not process:
                    return  # it was ended over this answer
                at = end
        self._incoming = bytearray(incoming[at:]) if at < len(incoming) else bytearray()
