"""One connection to a peer after its handshake: a reader, a writer, a pulse.

The reader bounds and throttles before it decrypts, counts after, and hands each message to the network. The writer
sends what waits, highest channel first, and waits whenever the peer reads slowly; nobody else waits with
it. The pulse pings, and closes a connection on which nothing was answered for too long. Whatever goes
wrong ends in `closed`, once, with the reason.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

from aiohttp import ClientError, ClientWebSocketResponse, WSMsgType, web

from p2p.channels import Channel
from p2p.frames import CONTROL, Assembler, Budget, Control, FrameLimits, Opener, Sealer, SendQueues
from p2p.handshake import Session
from p2p.limits import (
    CONTROL_RATE,
    FRAME_BYTES_RATE,
    FRAMES_RATE,
    MAX_PARTIAL_PER_PEER,
    MESSAGE_RATES,
    PARTIAL_SECONDS,
    WORK_RATE,
    Bucket,
    CommonWork,
    Rate,
    Work,
)
from p2p.offences import Offence
from qenex.errors import FrameInvalid, LimitExceeded, PeerMisbehaved, PeerRefused, QenexError, TooLarge

_log = logging.getLogger(__name__)

WebSocket = web.WebSocketResponse | ClientWebSocketResponse[bool]
MAX_REASON: Final = 120
UNSENT_BYTES: Final = 128 * 1024
CLOSE_SECONDS: Final = 1.0
"""How long a goodbye may take."""


class Pulse(NamedTuple):
    """Seconds between pings (0.25 at least: others count them), and how long a peer may leave them unanswered."""

    interval: float = 10.0
    deadline: float = 25.0


class Budgets(NamedTuple):
    """Memory that all connections of a node share."""

    partial: Budget
    queued: Budget
    work: CommonWork


@dataclass(slots=True)
class Statistics:
    """Counters of one connection. Bytes are of sealed frames."""

    bytes_in: int = 0
    bytes_out: int = 0
    messages_in: dict[Channel, int] = field(default_factory=lambda: dict.fromkeys(Channel, 0))
    messages_out: int = 0
    refused_out: int = 0
    """Messages not queued because the queue was full."""
    dropped_in: int = 0
    """Messages beyond the rate of their channel."""
    latency_ms: float | None = None
    """Of the last ping."""


class Owner(Protocol):
    """What a connection tells the network."""

    def ready(self, connection: Connection) -> None:
        """The peer that this node dialled has taken it in: messages may follow at once."""

    def received(self, connection: Connection, channel: Channel, payload: bytes) -> None:
        """A message came in."""

    def offended(self, connection: Connection, offence: Offence, detail: str) -> None:
        """The peer broke a rule; what follows from that is the network's to say."""

    def closed(self, connection: Connection, reason: str) -> None:
        """It is over. Called once."""


class Connection:
    """Made by the network once a handshake succeeded; `start` sets it going, `close` ends it."""

    def __init__(
        self,
        websocket: WebSocket,
        session: Session,
        owner: Owner,
        budgets: Budgets,
        pulse: Pulse,
        *,
        host: str,
        frame_limits: FrameLimits | None = None,
        rates: dict[Channel, Rate] | None = None,
    ) -> None:
        limits = frame_limits or FrameLimits()
        keys = session.keys
        send, receive = (
            (keys.to_responder, keys.to_initiator)
            if session.initiator
            else (keys.to_initiator, keys.to_responder)
        )
        self.session = session
        self.peer_id = session.peer_id
        self.outbound = session.initiator
        self.host = host
        self.since = monotonic()
        self.statistics = Statistics()
        self.closing = False
        self._websocket = websocket
        self._owner = owner
        self._pulse = pulse
        self._sealer, self._opener = Sealer(send, limits), Opener(receive, limits)
        self._assembler = Assembler(budgets.partial, MAX_PARTIAL_PER_PEER)
        self._queues = SendQueues(budgets.queued)
        now = self.since
        self._rates = {channel: Bucket(rate, now) for channel, rate in (rates or MESSAGE_RATES).items()}
        self._control_rate = Bucket(CONTROL_RATE, now)
        self._bytes_rate, self._frames_rate = Bucket(FRAME_BYTES_RATE, now), Bucket(FRAMES_RATE, now)
        self._work = Work(budgets.work, WORK_RATE, now)
        self._unfinished_since: float | None = None
        self._waiting = asyncio.Event()
        self._taken_in = not self.outbound
        self._ping_sent: float | None = None
        self._ping_number = 0
        self._reason = ""
        self._tasks: list[asyncio.Task[str]] = []
        self._main: asyncio.Task[None] | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Of the side that dialled: done when the peer has taken it in, PeerRefused when it has not."""
        self.finished = asyncio.Event()
        """Set when every trace of the connection is gone."""

    # -- for the network -------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read, write and ping. The side that was dialled says that it is ready."""
        if not self.outbound:
            self._put_control(bytes((Control.READY,)))
        self._main = asyncio.create_task(self._run(), name=f"p2p {self.peer_id[:8]}")

    def send(self, channel: Channel, payload: bytes) -> bool:
        """Queue a message; False when the queue is full or the connection ends."""
        if self.closing:
            return False
        if not self._queues.put(channel, payload):
            self.statistics.refused_out += 1
            return False
        self._waiting.set()
        return True

    def probe(self) -> None:
        """Ping now: somebody says that this connection is gone."""
        if self._ping_sent is None:
            self._ping()

    def close(self, reason: str) -> None:
        """Say why, and end, within `CLOSE_SECONDS`. What still waits to be sent is dropped. Needs `start` before."""
        if self.closing:
            return
        self.closing = True
        self._reason = reason
        self._queues.clear()
        self._put_control(bytes((Control.CLOSE,)) + reason.encode()[:MAX_REASON])
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._stop)

    def hoard(self) -> float:
        """Bytes of unfinished messages, times the seconds since there were none."""
        since = self._unfinished_since
        return 0.0 if since is None else self._assembler.held * (monotonic() - since)

    def holds(self, assembler: Assembler) -> bool:
        """Whether `assembler` is this connection's."""
        return assembler is self._assembler

    def give_up_unfinished(self, reason: str) -> None:
        """End the connection, and free what unfinished messages hold at once."""
        self.close(reason)
        self._assembler.close()

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return sum(self._queues.queued_bytes)

    # -- its life --------------------------------------------------------------------------

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _run(self) -> None:
        loops = (self._read(), self._write(), self._beat())
        self._tasks = [asyncio.create_task(self._guarded(loop)) for loop in loops]
        self._work.begin()
        try:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            reasons = [task.result() for task in done if not task.cancelled()]
            self._reason = self._reason or next(iter(reasons), "stopped")
        finally:
            self._stop()
            self.closing = True
            self._queues.clear()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._assembler.close()
            self._work.end()
            if not self.ready.done():
                self.ready.set_exception(PeerRefused(self._reason or "stopped"))
                self.ready.exception()  # nobody may be waiting
            try:
                await hang_up(self._websocket)
            finally:
                self.finished.set()
                self._owner.closed(self, self._reason or "stopped")

    async def _guarded(self, loop: Coroutine[Any, Any, str]) -> str:
        """What ended `loop`, in words; offences are told to the owner."""
        try:
            return await loop
        except PeerMisbehaved as error:
            return self._offence(Offence.WRONG_CHANNEL, error)
        except TooLarge as error:
            return self._offence(Offence.OVERSIZED, error)
        except FrameInvalid as error:
            return self._offence(Offence.BROKEN_FRAME, error)
        except LimitExceeded as error:
            return error.message
        except (OSError, RuntimeError, ClientError) as error:
            # aiohttp says RuntimeError or ConnectionResetError for a socket that closed under it.
            return f"connection lost: {type(error).__name__}"
        except Exception:  # a fault of ours costs this connection, and must not pass unseen
            _log.exception("a connection failed")
            return "fault"

    def _offence(self, offence: Offence, error: QenexError) -> str:
        self._owner.offended(self, offence, error.message)
        return error.message

    # -- reading ---------------------------------------------------------------------------

    async def _read(self) -> str:
        receive, statistics = self._websocket.receive, self.statistics
        while True:
            message = await receive()
            if message.type is not WSMsgType.BINARY:
                return self._ended(message.type)
            sealed: bytes = message.data
            now = monotonic()
            debt = max(self._bytes_rate.borrow(now, len(sealed)), self._frames_rate.borrow(now, 1))
            if debt > 0:
                await asyncio.sleep(debt)  # unread bytes fill the socket, and then the sender waits
            statistics.bytes_in += len(sealed)
            content = self._opener.open(sealed)
            if self.closing:
                continue  # nothing but the end is awaited
            messages = self._assembler.add(content)
            if not self._assembler.held:
                self._unfinished_since = None
            elif self._unfinished_since is None:
                self._unfinished_since = now
            for channel, payload in messages:
                if channel == CONTROL:
                    goodbye = self._control(payload)
                    if goodbye is not None:
                        return goodbye
                elif not self._taken_in:
                    raise FrameInvalid("the peer sends messages before it has taken this node in")
                elif not self.closing:
                    began = monotonic()
                    self._deliver(Channel(channel), payload)
                    ended = monotonic()
                    debt = self._work.took(ended, ended - began, consensus=channel == Channel.CONSENSUS)
                    if debt > 0:
                        await asyncio.sleep(debt)  # the other peers' turn, and consensus's

    def _ended(self, kind: WSMsgType) -> str:
        if kind in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
            return "cut without a goodbye"
        if kind is WSMsgType.ERROR:
            raise FrameInvalid("not a WebSocket message, or one larger than any frame")
        raise FrameInvalid(f"a WebSocket message of kind {kind.name}; only binary ones are used here")

    def _deliver(self, channel: Channel, payload: bytes) -> None:
        if not self._rates[channel].take(monotonic()):
            self.statistics.dropped_in += 1
            self._owner.offended(
                self, Offence.FLOOD, f"too many messages of the {channel.name.lower()} channel"
            )
            return
        self.statistics.messages_in[channel] += 1
        self._owner.received(self, channel, payload)

    def _control(self, message: bytes) -> str | None:
        """Act on a control message; the peer's reason if it says goodbye."""
        kind = message[0]
        if not self._control_rate.take(monotonic()):
            raise FrameInvalid("too many control messages")
        if kind == Control.CLOSE:
            text = message[1:].decode("ascii", "replace")
            return "closed by the peer: " + "".join([c if c.isprintable() else "?" for c in text])
        if kind == Control.READY and len(message) == 1 and not self._taken_in:
            self._taken_in = True
            self._owner.ready(self)
            if not self.closing and not self.ready.done():
                self.ready.set_result(None)
        elif kind == Control.PING and len(message) == 9:
            self._put_control(bytes((Control.PONG,)) + message[1:])
        elif kind == Control.PONG and self._ping_sent is not None and message[1:] == self._ping_token():
            self.statistics.latency_ms = (monotonic() - self._ping_sent) * 1e3
            self._ping_sent = None
        else:
            raise FrameInvalid(f"control message {kind} of {len(message)} bytes has no place here")
        return None

    # -- writing ---------------------------------------------------------------------------

    def _put_control(self, message: bytes) -> None:
        self._queues.put_control(message)
        self._waiting.set()

    async def _write(self) -> str:
        send, queues, statistics = self._websocket.send_bytes, self._queues, self.statistics
        while True:
            content, ended = queues.next_frame()
            if not content:
                if self.closing:
                    return self._reason  # the goodbye was the last thing to send
                self._waiting.clear()
                await self._waiting.wait()
                continue
            sealed = self._sealer.seal(content)
            await send(sealed)
            statistics.bytes_out += len(sealed)
            statistics.messages_out += ended

    # -- pulse -----------------------------------------------------------------------------

    def _ping_token(self) -> bytes:
        return self._ping_number.to_bytes(8, "big")

    def _ping(self) -> None:
        self._ping_number += 1
        self._ping_sent = monotonic()
        self._put_control(bytes((Control.PING,)) + self._ping_token())

    async def _beat(self) -> str:
        while True:
            since = self._unfinished_since
            if since is not None and monotonic() - since > PARTIAL_SECONDS:
                detail = f"messages begun {PARTIAL_SECONDS:g} s ago are not finished"
                self._owner.offended(self, Offence.UNRESPONSIVE, detail)
                return detail
            if self._ping_sent is None:
                self._ping()
                await asyncio.sleep(self._pulse.interval)
            elif monotonic() - self._ping_sent >= self._pulse.deadline:
                return f"no answer to a ping for {self._pulse.deadline:g} s"
            else:
                left = self._ping_sent + self._pulse.deadline - monotonic()
                await asyncio.sleep(max(0.001, min(left, self._pulse.interval)))


# -- sockets -----------------------------------------------------------------------------------


def _own_socket(websocket: WebSocket) -> socket.socket | None:
    """A second handle on the connection's socket: the event loops' own wrappers forbid what is needed here."""
    wrapped = websocket.get_extra_info("socket")
    try:
        return None if wrapped is None else socket.socket(fileno=os.dup(wrapped.fileno()))
    except OSError:
        return None


def tune(websocket: WebSocket) -> None:
    """Let the kernel hold little that was not sent: what lies there no vote can overtake."""
    handle = _own_socket(websocket)
    if handle is not None:
        with handle, suppress(OSError):
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


async def hang_up(websocket: WebSocket) -> None:
    """Close politely for a moment, then in any case. A peer that reads nothing cannot keep the socket."""
    handle = _own_socket(websocket)
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await websocket.close()
    except Exception as error:  # whatever state the socket is in, it is cut below
        _log.debug("closing a connection: %s", type(error).__name__)
    except asyncio.CancelledError:
        # aiohttp shares one waiter among all who wait for the socket: the cancelled writer's cancellation comes
        # out here as well. Only that of this very task counts.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
    finally:
        if handle is not None:
            with handle, suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)
