"""What an engine asks of whatever holds the validator's key: the guard in this process, or a signer process."""

from __future__ import annotations

from typing import Protocol

from consensus.signer import NO_LOCK, Lock, Memory
from qenex.crypto.address import Address


class Signer(Protocol):
    """Every call may block for milliseconds, on the disk or a socket: make it in a thread, one at a time."""

    @property
    def place(self) -> tuple[int, int, int]:
        """Height, round and step signed last, as far as is known here."""
        ...

    @property
    def memory(self) -> Memory:
        """That place with the lock of its height, as far as is known here; a restarted core is told of it."""
        ...

    def sign_proposal(self, height: int, round: int, pol_round: int, block_hash: bytes) -> bytes:
        """Signature of a proposal. Raises DoubleSignRefused, SignerUnavailable; OSError for the local disk."""
        ...

    def sign_prevote(self, height: int, round: int, block_hash: bytes | None, lock: Lock = NO_LOCK) -> bytes:
        """Signature of a prevote (None: nil); `lock` is remembered with it. Raises as `sign_proposal`."""
        ...

    def sign_precommit(
        self, height: int, round: int, block_hash: bytes | None, lock: Lock = NO_LOCK
    ) -> bytes:
        """Signature of a precommit (None: nil); `lock` is remembered with it. Raises as `sign_proposal`."""
        ...


class SignerIdentity(Protocol):
    """Whose key a signer guards."""

    @property
    def address(self) -> Address:
        """The operator's account."""
        ...

    @property
    def key(self) -> bytes:
        """Scheme tag + public key."""
        ...
