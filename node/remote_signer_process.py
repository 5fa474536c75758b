"""`python -m node signer`: the process that guards a validator's key for a node.

    python -m node signer --key KEY.json --state STATE.json --chain-id ID --listen unix:/run/qenex/signer.sock

It holds the key and the signer state, and no chain: it can run as another user's only process, on a machine
without a network. It answers one request at a time; the guard's rules are those of `consensus.signer`, so two
nodes that ask the same signer cannot make it sign twice. It ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import stat
from pathlib import Path
from typing import Final

from consensus.signer import Lock, SignerGuard
from node.home import ValidatorKey, read_key
from node.logging import set_up_logging
from node.remote_signer import (
    DESCRIBE,
    HEADER,
    MAX_FRAME,
    PROPOSAL,
    REQUEST,
    WIRE_VERSION,
    SignAnswer,
    SignerDescription,
    SignRequest,
    frame,
    peer_user,
    socket_path,
)
from qenex.block import PRECOMMIT, PREVOTE
from qenex.errors import AddressInUse, InvalidArguments, QenexError, SignerUnavailable

log = logging.getLogger("qenex.signer")

EXIT_DONE, EXIT_CONFIG, EXIT_DISK = 0, 10, 74
MAX_CONNECTIONS: Final = 8


class SignerServer:
    """Serves one guard on a Unix socket."""

    def __init__(self, guard: SignerGuard, key: ValidatorKey, address: str) -> None:
        self._guard = guard
        self._key = key
        self._path = socket_path(address)
        self._connections: dict[asyncio.StreamWriter, None] = {}
        self._server: asyncio.Server | None = None
        self._ended = asyncio.Event()
        self.fault: OSError | None = None
        """Why it stopped by itself: the state cannot be written."""

    async def start(self) -> None:
        """Listen. Raises AddressInUse where another signer listens, OSError."""
        _make_way(Path(self._path))
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        finally:
            os.umask(mask)

    async def run(self) -> None:
        """Serve until `end`, or until the state cannot be written: then nothing more is signed."""
        await self._ended.wait()
        if self._server is not None:
            self._server.close()
        for writer in list(self._connections):
            writer.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def end(self) -> None:
        """Let `run` return."""
        self._ended.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection: socket.socket = writer.get_extra_info("socket")
        if len(self._connections) >= MAX_CONNECTIONS or peer_user(connection) not in (-1, 0, os.geteuid()):
            writer.close()
            return
        self._connections[writer] = None
        try:
            while not self._ended.is_set():
                size = int.from_bytes(await reader.readexactly(HEADER), "little")
                if size > MAX_FRAME:
                    return
                request = REQUEST.decode(await reader.readexactly(size), max_size=MAX_FRAME)
                writer.write(frame(self._answer(request)))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the node has hung up
        except QenexError as error:
            log.warning("a request in another form", extra={"reason": error.message})
        finally:
            del self._connections[writer]
            writer.close()

    def _answer(self, request: SignRequest) -> SignAnswer | SignerDescription:
        guard, state = self._guard, self._guard.state
        if request.kind == DESCRIBE:
            key = self._key
            height, round, step, lock = guard.memory
            return SignerDescription(
                WIRE_VERSION,
                state.chain_id,
                key.address,
                key.key,
                height,
                round,
                step,
                lock.locked_round,
                lock.locked_hash,
                lock.valid_round,
                lock.valid_hash,
            )
        try:
            return SignAnswer(0, "", sign(guard, request))
        except QenexError as error:
            log.warning(
                "refused", extra={"height": request.height, "round": request.round, "reason": error.message}
            )
            return SignAnswer(error.code, error.message[:300], b"")
        except OSError as error:
            log.critical("the signer state cannot be written: %s; nothing more is signed", error)
            self.fault = error
            self.end()
            return SignAnswer(SignerUnavailable.code, "its state cannot be written", b"")


def sign(guard: SignerGuard, request: SignRequest) -> bytes:
    """Do what a request asks for. Raises what the guard raises, InvalidArguments."""
    height, round, name = request.height, request.round, request.block_hash
    if request.kind == PROPOSAL:
        if name is None:
            raise InvalidArguments("a proposal names a block")
        return guard.sign_proposal(height, round, request.pol_round, name)
    lock = Lock(request.locked_round, request.locked_hash, request.valid_round, request.valid_hash)
    if request.kind == PREVOTE:
        return guard.sign_prevote(height, round, name, lock)
    if request.kind == PRECOMMIT:
        return guard.sign_precommit(height, round, name, lock)
    raise InvalidArguments(f"nothing of kind {request.kind} is signed")


def _make_way(path: Path) -> None:
    """Remove a socket that a killed process left; the state's lock keeps a second signer away. Raises AddressInUse."""
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode) or _answers(str(path)):
            raise AddressInUse(f"{path} is in use")
        path.unlink()


def _answers(path: str) -> bool:
    """Whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def open_guard(key: ValidatorKey, state: Path, chain_id: str, *, new: bool) -> SignerGuard:
    """The guard of a signer process. It knows no chain; the node compares the state with what the chain holds.

    `new` begins a state for a key that has never signed. Raises the signer state's errors.
    """
    if new:
        return SignerGuard.create(
            state, chain_id=chain_id, scheme_tag=key.scheme.tag, public_key=key.public_key, sign=key.sign
        )
    return SignerGuard.open(
        state,
        chain_id=chain_id,
        scheme_tag=key.scheme.tag,
        public_key=key.public_key,
        sign=key.sign,
        signed_height=0,
    )


async def serve(guard: SignerGuard, key: ValidatorKey, address: str) -> OSError | None:
    """Serve until a signal; the disk's error if that ended it."""
    server = SignerServer(guard, key, address)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.end)
    await server.start()
    log.info("signer started", extra={"address": address, "height": guard.state.height})
    await server.run()
    return server.fault


def main(arguments: list[str]) -> int:
    """Entry point; returns the exit code: 0 stopped as asked, 10 refused, 74 the disk failed."""
    parser = argparse.ArgumentParser(
        prog="python -m node signer", description="Guard a validator's key for a node."
    )
    parser.add_argument("--key", type=Path, required=True, help="the validator's key file")
    parser.add_argument("--state", type=Path, required=True, help="the signer state beside it")
    parser.add_argument("--chain-id", required=True, help="the chain it signs for")
    parser.add_argument("--listen", required=True, metavar="unix:PATH", help="the socket to listen on")
    parser.add_argument(
        "--new-state",
        action="store_true",
        help="begin a state; only for a key that has never signed on this chain",
    )
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="form of the log")
    options = parser.parse_args(arguments)
    set_up_logging("info", options.log_format)
    try:
        key = read_key(options.key)
        guard = open_guard(key, options.state.absolute(), options.chain_id, new=options.new_state)
        try:
            fault = asyncio.run(serve(guard, key, options.listen))
        finally:
            guard.close()
    except QenexError as error:
        log.critical("%s (%s); %s", error.message, error.name, error.hint)
        return EXIT_CONFIG
    except OSError as error:
        log.critical("%s", error)
        return EXIT_DISK
    return EXIT_DONE if fault is None else EXIT_DISK
