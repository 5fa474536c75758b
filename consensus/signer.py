"""The guard in front of a validator's key: it never signs two things for one step.

The last signature is written, synced, renamed and the folder synced BEFORE the signature leaves. Asked
again for the same step and bytes it gives the stored signature (ML-DSA signing is randomised, so a new
one would differ); asked for other bytes, or for an earlier step, it refuses. The state file lies beside
the key, apart from the data folder, so that deleting the chain's data does not delete the memory of what
was signed. A lock keeps a second process away.

Steps of a height and round are ordered: proposal, prevote, precommit. Requests are structured, and the
sign bytes are built here from protocol.md's forms, so nothing else can be slipped under the key.

With a vote goes what its voter is locked on and the valid value he knows. They are stored with it and given back by
`memory`, so that a node whose log is lost or corrupt has no amnesia.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from qenex.block import PRECOMMIT, PREVOTE, proposal_sign_bytes, vote_sign_bytes
from qenex.crypto.address import key_hash
from qenex.errors import (
    DoubleSignRefused,
    SignerLocked,
    SignerStateBehind,
    SignerStateInvalid,
    SignerStateMissing,
)
from qenex.hashing import hasher

SCHEMA_VERSION: Final = 2
OLDER_SCHEMAS: Final = (1,)
"""1: without lock and valid value. It is read, and written anew with the next signature."""
MAX_STATE_SIZE: Final = 256 * 1024
STEP_NONE, STEP_PROPOSAL, STEP_PREVOTE, STEP_PRECOMMIT = 0, 1, 2, 3
STEP_NAMES: Final = ("nothing", "proposal", "prevote", "precommit")
MAX_ROUND: Final = (1 << 32) - 1

_checksum = hasher("qx.signer")


class Lock(NamedTuple):
    """What a voter is locked on and the valid value he knows (arXiv 1807.04938); -1 and None: nothing."""

    locked_round: int = -1
    locked_hash: bytes | None = None
    valid_round: int = -1
    valid_hash: bytes | None = None


NO_LOCK: Final = Lock()


class Memory(NamedTuple):
    """The place that was signed last, and the lock of that height."""

    height: int
    round: int
    step: int
    lock: Lock


def newest_lock(before: Memory, height: int, given: Lock) -> Lock:
    """The lock to remember once something is signed at `height`: within a height none is ever lowered."""
    if height != before.height:
        return given
    locked, valid = (
        max(before.lock, given, key=lambda lock: lock.locked_round),
        max(before.lock, given, key=lambda lock: lock.valid_round),
    )
    return Lock(locked.locked_round, locked.locked_hash, valid.valid_round, valid.valid_hash)


class SignerState(NamedTuple):
    """The last thing signed. `sign_bytes` and `signature` are empty right after creation or recovery.

    `chain_id` and `key` (hash of the public key) say whose state it is.
    """

    chain_id: str
    key: bytes
    height: int
    round: int
    step: int
    sign_bytes: bytes
    signature: bytes
    lock: Lock = NO_LOCK

    @property
    def memory(self) -> Memory:
        """What a restart needs to know."""
        return Memory(*self.place, self.lock)

    @property
    def place(self) -> tuple[int, int, int]:
        """Height, round and step, which only rise."""
        return self.height, self.round, self.step


def encode_state(state: SignerState) -> bytes:
    """The file's bytes: JSON with a checksum over everything else."""
    fields = {
        "schema_version": SCHEMA_VERSION,
        "chain_id": state.chain_id,
        "key": state.key.hex(),
        "height": state.height,
        "round": state.round,
        "step": state.step,
        "sign_bytes": state.sign_bytes.hex(),
        "signature": state.signature.hex(),
        "locked_round": state.lock.locked_round,
        "locked_hash": _hex(state.lock.locked_hash),
        "valid_round": state.lock.valid_round,
        "valid_hash": _hex(state.lock.valid_hash),
    }
    fields["checksum"] = _checksum(json.dumps(fields, sort_keys=True).encode()).hex()
    return (json.dumps(fields, indent=1) + "\n").encode()


def decode_state(data: bytes) -> SignerState:
    """Inverse of `encode_state`. Raises SignerStateInvalid saying what is wrong."""
    try:
        fields: dict[str, Any] = json.loads(data)
        checksum = fields.pop("checksum")
        if fields["schema_version"] not in (SCHEMA_VERSION, *OLDER_SCHEMAS):
            raise SignerStateInvalid(f"signer state of schema version {fields['schema_version']}")
        if _checksum(json.dumps(fields, sort_keys=True).encode()).hex() != checksum:
            raise SignerStateInvalid("the signer state's checksum does not match its contents")
        numbers = fields["height"], fields["round"], fields["step"]
        if any(type(number) is not int or number < 0 for number in numbers):
            raise SignerStateInvalid("the signer state's height, round or step is no number")
        return SignerState(
            str(fields["chain_id"]),
            bytes.fromhex(fields["key"]),
            *numbers,
            bytes.fromhex(fields["sign_bytes"]),
            bytes.fromhex(fields["signature"]),
            NO_LOCK if fields["schema_version"] == 1 else _read_lock(fields),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SignerStateInvalid(f"the signer state is unreadable: {str(error)[:80]}") from None


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _read_lock(fields: dict[str, Any]) -> Lock:
    """Rounds and hashes that belong together. Raises SignerStateInvalid, or as `decode_state` maps it."""
    read: list[Any] = []
    for kind in ("locked", "valid"):
        number, text = fields[f"{kind}_round"], fields[f"{kind}_hash"]
        if type(number) is not int or not -1 <= number <= MAX_ROUND or (number < 0) != (text is None):
            raise SignerStateInvalid(f"the signer state's {kind} round and hash do not belong together")
        read += [number, None if text is None else bytes.fromhex(text)]
    return Lock(*read)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file so that after a crash it holds the old bytes or the new, and is on disk on return.

    Raises OSError; then the old file is still in place.
    """
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        written = 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Vault(Protocol):
    """Where one guard's state lies, and nobody else's while it is open."""

    def read(self) -> bytes:
        """What was written last. Raises SignerStateMissing, SignerStateInvalid."""
        ...

    def write(self, data: bytes) -> None:
        """Replace all, durable on return; after a crash it holds the old bytes or the new. Raises OSError."""
        ...

    def close(self) -> None:
        """Let another guard have it."""
        ...


class FileVault:
    """A file, and a lock beside it. Raises SignerLocked or SignerStateInvalid when it cannot be taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = _take_lock(path)

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> bytes:
        """The file's bytes."""
        return _read_file(self._path)

    def write(self, data: bytes) -> None:
        """See `write_durably`."""
        write_durably(self._path, data)

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)


class SignerGuard:
    """Guards one key on one chain. Made by `create`, `open` or `recover`; `close` releases the lock.

    `sign` makes a signature of bytes: a secret key here, or a device elsewhere. `where` is a file's path, or
    a vault of another kind.
    """

    def __init__(self, vault: Vault, state: SignerState, sign: Callable[[bytes], bytes]) -> None:
        self._vault: Vault | None = vault
        self._sign = sign
        self.state = state

    # -- opening ----------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        where: Path | Vault,
        *,
        chain_id: str,
        scheme_tag: int,
        public_key: bytes,
        sign: Callable[[bytes], bytes],
    ) -> SignerGuard:
        """Begin a state for a key that has never signed on this chain.

        Raises SignerStateInvalid if there is one already: it is never overwritten. SignerLocked.
        """
        vault = _open_vault(where)
        try:
            if _has_state(vault):
                raise SignerStateInvalid(
                    f"{vault} exists already", hint="a signer state is never overwritten; open it instead"
                )
            state = SignerState(chain_id, key_hash(scheme_tag, public_key), 0, 0, STEP_NONE, b"", b"")
            vault.write(encode_state(state))
        except BaseException:
            vault.close()
            raise
        return cls(vault, state, sign)

    @classmethod
    def open(
        cls,
        where: Path | Vault,
        *,
        chain_id: str,
        scheme_tag: int,
        public_key: bytes,
        sign: Callable[[bytes], bytes],
        signed_height: int,
    ) -> SignerGuard:
        """Read the state of this key.

        `signed_height` is the greatest height for which the chain holds a signature of this key (0 if
        none): the state must be at least as new.

        Raises SignerStateMissing, SignerStateInvalid, SignerStateBehind or SignerLocked.
        """
        vault = _open_vault(where)
        try:
            state = decode_state(vault.read())
            if state.chain_id != chain_id:
                raise SignerStateInvalid(
                    f"{vault} is for chain {state.chain_id[:64]!r}, this is {chain_id!r}"
                )
            if state.key != key_hash(scheme_tag, public_key):
                raise SignerStateInvalid(f"{vault} is for another key")
            if state.height < signed_height:
                raise SignerStateBehind(
                    f"{vault} last signed at height {state.height}, but the chain holds a signature of this "
                    f"key at height {signed_height}"
                )
        except BaseException:
            vault.close()
            raise
        return cls(vault, state, sign)

    @classmethod
    def recover(
        cls,
        where: Path | Vault,
        *,
        chain_id: str,
        scheme_tag: int,
        public_key: bytes,
        sign: Callable[[bytes], bytes],
        height: int,
        round: int = MAX_ROUND,
    ) -> SignerGuard:
        """Replace a lost or outdated state by one that refuses everything up to and with `height`, `round`.

        Only for an operator who is certain that nothing else signs with this key, and who names a place
        at or above everything it may have signed. A state that is newer stays as it is.
        """
        vault = _open_vault(where)
        try:
            key = key_hash(scheme_tag, public_key)
            state = SignerState(chain_id, key, height, round, STEP_PRECOMMIT, b"", b"")
            with suppress(SignerStateMissing, SignerStateInvalid):
                present = decode_state(vault.read())
                if (present.chain_id, present.key) == (chain_id, key) and present.place > state.place:
                    state = present
            vault.write(encode_state(state))
        except BaseException:
            vault.close()
            raise
        return cls(vault, state, sign)

    def close(self) -> None:
        """Release the lock; nothing can be signed after."""
        if self._vault is not None:
            self._vault.close()
            self._vault = None

    @property
    def place(self) -> tuple[int, int, int]:
        """Height, round and step signed last."""
        return self.state.place

    @property
    def memory(self) -> Memory:
        """The place signed last, and the lock of that height: a restarted core is told by `Recalled`."""
        return self.state.memory

    # -- signing ----------------------------------------------------------------------------

    def sign_proposal(self, height: int, round: int, pol_round: int, block_hash: bytes) -> bytes:
        """Signature of a proposal. Raises DoubleSignRefused; OSError if it cannot be made durable."""
        message = proposal_sign_bytes(self.state.chain_id, height, round, pol_round, block_hash)
        return self._sign_once(height, round, STEP_PROPOSAL, message, NO_LOCK)

    def sign_prevote(self, height: int, round: int, block_hash: bytes | None, lock: Lock = NO_LOCK) -> bytes:
        """Signature of a prevote (None: nil); `lock` is remembered with it. Raises as `sign_proposal`."""
        message = vote_sign_bytes(self.state.chain_id, PREVOTE, height, round, block_hash)
        return self._sign_once(height, round, STEP_PREVOTE, message, lock)

    def sign_precommit(
        self, height: int, round: int, block_hash: bytes | None, lock: Lock = NO_LOCK
    ) -> bytes:
        """Signature of a precommit (None: nil); `lock` is remembered with it. Raises as `sign_proposal`."""
        message = vote_sign_bytes(self.state.chain_id, PRECOMMIT, height, round, block_hash)
        return self._sign_once(height, round, STEP_PRECOMMIT, message, lock)

    def free_round(self, height: int) -> int:
        """The lowest round of `height` in which this key has signed nothing. Raises DoubleSignRefused."""
        if self.state.height < height:
            return 0
        if self.state.height > height or self.state.round >= MAX_ROUND:
            raise DoubleSignRefused(f"this key has already signed at height {self.state.height}")
        return self.state.round + (self.state.step != STEP_NONE)

    def _sign_once(self, height: int, round: int, step: int, message: bytes, lock: Lock) -> bytes:
        state = self.state
        place = (height, round, step)
        if self._vault is None:
            raise SignerLocked("the signer is closed")
        if place == state.place and message == state.sign_bytes:
            return state.signature
        if place <= state.place:
            raise DoubleSignRefused(
                f"asked for a {STEP_NAMES[step]} at height {height}, round {round}; this key has signed a "
                f"{STEP_NAMES[state.step]} at height {state.height}, round {state.round}"
            )
        if height >= 1 << 64 or round > MAX_ROUND:
            raise DoubleSignRefused(f"height {height}, round {round} is out of range")
        signature = self._sign(message)
        lock = newest_lock(state.memory, height, lock)
        new = SignerState(state.chain_id, state.key, height, round, step, message, signature, lock)
        # Remembered before it is durable: after a failed write this process, too, refuses anything else.
        self.state = new._replace(sign_bytes=b"", signature=b"")
        self._vault.write(encode_state(new))
        self.state = new
        return signature


def read_state(path: Path) -> SignerState:
    """The stored state. Raises SignerStateMissing or SignerStateInvalid."""
    return decode_state(_read_file(path))


def _open_vault(where: Path | Vault) -> Vault:
    return FileVault(where) if isinstance(where, Path) else where


def _has_state(vault: Vault) -> bool:
    """Whether anything was ever written there, good or not."""
    try:
        vault.read()
    except SignerStateMissing:
        return False
    except SignerStateInvalid:
        return True
    return True


def _read_file(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SignerStateMissing(f"there is no signer state at {path}") from None
    except OSError as error:
        raise SignerStateInvalid(f"{path}: {error.strerror}") from None
    try:
        data = os.read(descriptor, MAX_STATE_SIZE + 1)
    except OSError as error:
        raise SignerStateInvalid(f"{path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(data) > MAX_STATE_SIZE:
        raise SignerStateInvalid(f"{path} is larger than any signer state")
    return data


def _take_lock(path: Path) -> int:
    """Lock the state, by a file beside it that is never replaced. Raises SignerLocked."""
    try:
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SignerStateInvalid(f"{path.parent}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise SignerLocked(f"{path} is in use by another process") from None
    return lock
