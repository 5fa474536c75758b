"""The key in a process of its own: the wire between a node and `python -m node signer`, and the node's side.

A Unix socket, mode 0600, both ends of one user (the kernel tells who connects). To another machine it goes
through what the operator trusts for that, such as an SSH tunnel of the socket. Frames, both ways: u32 length
(little-endian), then one record in the chain's canonical encoding. A request names what to sign in fields,
never as bytes: the signer builds the sign bytes itself, under its own guard.

The node asks from a thread, one request at a time. A signer that is gone, hangs or answers nonsense is
SignerUnavailable: nothing is signed, the node follows, and the next thing to sign tries again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import Annotated, Final, NamedTuple, TypeVar

from consensus.signer import NO_LOCK, Lock, Memory, newest_lock
from qenex.block import PRECOMMIT, PREVOTE
from qenex.codec import Codec, codec_for, encode
from qenex.crypto.address import Address
from qenex.errors import REGISTRY, DoubleSignRefused, QenexError, SignerStateInvalid, SignerUnavailable
from qenex.types import U8, U32, U64, Between, Bytes32

WIRE_VERSION: Final = 2
MAX_FRAME: Final = 64 * 1024
HEADER: Final = 4
PROPOSAL: Final = 0
"""Kind of request beside PREVOTE and PRECOMMIT."""
DESCRIBE: Final = 3

Round = Annotated[int, Between(-1, (1 << 32) - 1)]

T = TypeVar("T")


class SignRequest(NamedTuple):
    """What to sign: `kind` is PROPOSAL, PREVOTE, PRECOMMIT, or DESCRIBE (nothing).

    `pol_round` counts for a proposal. Locked and valid round and hash are kept with the vote (-1, None: none).
    """

    kind: U8
    height: U64
    round: U32
    pol_round: Round
    block_hash: Bytes32 | None
    locked_round: Round = -1
    locked_hash: Bytes32 | None = None
    valid_round: Round = -1
    valid_hash: Bytes32 | None = None


class SignAnswer(NamedTuple):
    """`code` 0 and the signature, or an error's code and message."""

    code: U32
    message: str
    signature: bytes


class SignerDescription(NamedTuple):
    """Whose key the signer guards, what it signed last, and the lock it remembers of that height."""

    version: U8
    chain_id: str
    address: Address
    key: bytes
    height: U64
    round: U32
    step: U8
    locked_round: Round
    locked_hash: Bytes32 | None
    valid_round: Round
    valid_hash: Bytes32 | None

    @property
    def memory(self) -> Memory:
        """What a restarted core has to know."""
        lock = Lock(self.locked_round, self.locked_hash, self.valid_round, self.valid_hash)
        return Memory(self.height, self.round, self.step, lock)


REQUEST: Final[Codec[SignRequest]] = codec_for(SignRequest)
ANSWER: Final[Codec[SignAnswer]] = codec_for(SignAnswer)
DESCRIPTION: Final[Codec[SignerDescription]] = codec_for(SignerDescription)
DESCRIBE_REQUEST: Final = SignRequest(DESCRIBE, 0, 0, -1, None)


def frame(record: SignRequest | SignAnswer | SignerDescription) -> bytes:
    """The bytes of one record on the wire."""
    payload = encode(record)
    return len(payload).to_bytes(HEADER, "little") + payload


def peer_user(connection: socket.socket) -> int:
    """User id of the process at the other end, as the kernel knows it; -1 where it cannot tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return -1
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", data)[1])


def socket_path(address: str) -> str:
    """The path of `unix:PATH`. Raises SignerUnavailable for another form."""
    if not address.startswith("unix:/"):
        raise SignerUnavailable(f"{address[:80]!a} is no signer's address: write unix: and an absolute path")
    return address.removeprefix("unix:")


class RemoteSigner:
    """A `Signer` that asks the process at `address`. Connects when it is first asked, and again when it has to."""

    def __init__(self, address: str, *, chain_id: str, timeout: float = 2.0) -> None:
        self._path = socket_path(address)
        self._chain_id = chain_id
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._known: SignerDescription | None = None
        self._memory = Memory(0, 0, 0, NO_LOCK)

    # -- what a node asks --------------------------------------------------------------------

    @property
    def place(self) -> tuple[int, int, int]:
        """Height, round and step signed last, as far as was told."""
        return self._memory[:3]

    @property
    def memory(self) -> Memory:
        """That place with the lock of its height, as far as was told."""
        return self._memory

    def describe(self) -> SignerDescription:
        """Whose key it is. Raises SignerUnavailable, SignerStateInvalid for another chain or another key than before."""
        self._connect()
        if self._known is None:
            raise SignerUnavailable("the signer has not said whose key it holds")
        return self._known

    def sign_proposal(self, height: int, round: int, pol_round: int, block_hash: bytes) -> bytes:
        """Signature of a proposal. Raises DoubleSignRefused, SignerUnavailable."""
        return self._sign(SignRequest(PROPOSAL, height, round, pol_round, block_hash))

    def sign_prevote(self, height: int, round: int, block_hash: bytes | None, lock: Lock = NO_LOCK) -> bytes:
        """Signature of a prevote (None: nil); `lock` is remembered with it. Raises as `sign_proposal`."""
        return self._sign(SignRequest(PREVOTE, height, round, -1, block_hash, *lock))

    def sign_precommit(
        self, height: int, round: int, block_hash: bytes | None, lock: Lock = NO_LOCK
    ) -> bytes:
        """Signature of a precommit (None: nil); `lock` is remembered with it. Raises as `sign_proposal`."""
        return self._sign(SignRequest(PRECOMMIT, height, round, -1, block_hash, *lock))

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    # -- the wire ----------------------------------------------------------------------------

    def _sign(self, request: SignRequest) -> bytes:
        self._connect()
        answer = self._ask(request, ANSWER)
        if answer.code:
            kind = REGISTRY.get(answer.code, SignerUnavailable)
            raise kind(f"the signer: {answer.message[:300]}")
        step = {PROPOSAL: 1, PREVOTE: 2, PRECOMMIT: 3}[request.kind]
        place = (request.height, request.round, step)
        if place > self.place:
            given = Lock(request.locked_round, request.locked_hash, request.valid_round, request.valid_hash)
            self._memory = Memory(*place, newest_lock(self._memory, request.height, given))
        return answer.signature

    def _connect(self) -> None:
        """Open the connection if there is none, and see who answers. Raises SignerUnavailable."""
        if self._socket is not None:
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout)
        try:
            connection.connect(self._path)
            user = peer_user(connection)
        except OSError as error:
            connection.close()
            raise SignerUnavailable(f"no signer answers at {self._path}: {error.strerror or error}") from None
        if user not in (-1, 0, os.geteuid()):
            connection.close()
            raise SignerUnavailable(f"the signer at {self._path} is of another user (id {user})")
        self._socket = connection
        try:
            self._check(self._ask(DESCRIBE_REQUEST, DESCRIPTION))
        except BaseException:
            self.close()
            raise

    def _check(self, told: SignerDescription) -> None:
        if told.version != WIRE_VERSION:
            raise SignerUnavailable(f"the signer speaks version {told.version}, this node {WIRE_VERSION}")
        if told.chain_id != self._chain_id:
            raise SignerStateInvalid(
                f"the signer is for chain {told.chain_id[:64]!a}, this is {self._chain_id!a}"
            )
        known = self._known
        if known is not None and (known.address, known.key) != (told.address, told.key):
            raise SignerStateInvalid("the signer now holds another key than before")
        place = (told.height, told.round, told.step)
        if place < self.place:
            raise DoubleSignRefused(
                f"the signer says that it signed last at height {place[0]}, round {place[1]}; this node saw it sign "
                f"at height {self.place[0]}, round {self.place[1]}: an old copy of its state is in place"
            )
        self._known, self._memory = told, told.memory

    def _ask(self, request: SignRequest, codec: Codec[T]) -> T:
        """One request and its answer. Raises SignerUnavailable, with the connection closed."""
        connection = self._socket
        if connection is None:
            raise SignerUnavailable("not connected to the signer")
        try:
            connection.sendall(frame(request))
            size = int.from_bytes(self._read(connection, HEADER), "little")
            if size > MAX_FRAME:
                raise SignerUnavailable(f"the signer answers with {size} bytes")
            return codec.decode(self._read(connection, size), max_size=MAX_FRAME)
        except (OSError, SignerUnavailable) as error:
            self.close()  # an answer that comes late must not be taken for that of the next request
            raise SignerUnavailable(f"the signer at {self._path} does not answer: {error}") from None
        except QenexError as error:
            self.close()
            raise SignerUnavailable(f"the signer answers in another form: {error.message}") from None

    @staticmethod
    def _read(connection: socket.socket, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = connection.recv(size - len(parts))
            if not part:
                raise SignerUnavailable("it has closed the connection")
            parts += part
        return bytes(parts)
