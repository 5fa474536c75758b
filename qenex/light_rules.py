"""What makes a later header believable when an earlier one is: the rules of a light client, pure.

The header after a trusted one names the set that the trusted one announced: more than 2/3 of that set must
have signed it (adjacent). A header further on is believed if more than 1/3 of the power of the trusted set signed
it, so that at least one honest validator did, and more than 2/3 of its own set (skipping). Where the sets have
changed too much for that, `NotEnoughTrust` says so and a height between the two is verified first. The rules are
those of Tendermint's light client (arXiv 2010.07031, "A Tendermint Light Client"); times are in nanoseconds.

A trusted header counts for `trusting_period` only, which is shorter than the time in which validators can be
punished for a lie: after that, keys that are worth nothing any more could sign another history.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from qenex.block import FLAG_COMMIT, PRECOMMIT, Commit, Header, Validator, block_hash, vote_sign_bytes
from qenex.codec import codec_for
from qenex.crypto.schemes import SCHEMES_BY_TAG
from qenex.errors import InvalidArguments, NotEnoughTrust, ProofInvalid, QenexError, TrustExpired
from qenex.light import verify_commit, verify_validators

TRUSTING_PERIOD_NS: Final = 14 * 24 * 3_600 * 10**9
"""Default: two thirds of an unbonding period of 21 days."""
CLOCK_DRIFT_NS: Final = 10 * 10**9
"""Default: how far ahead of our clock a header's time may be."""
KEPT: Final = 100
"""Default number of trusted headers that are remembered; with 150 validators each may hold 200 KB."""
MAX_BACKWARDS: Final = 10_000
"""Headers below the oldest trusted one are verified by parent hashes, one by one, this far back."""
HINT: Final = "a checkpoint is a block's height and hash, as HEIGHT:HASH where it is text"


class _Checkpoint(NamedTuple):
    height: int
    hash: bytes


class Checkpoint(_Checkpoint):
    """A block that is trusted: its height and its hash, from a source of one's own choice."""

    __slots__ = ()

    def __new__(cls, height: int, hash: bytes | str) -> Self:
        """Take the hash as bytes or 0x text. Raises InvalidArguments."""
        if isinstance(hash, str):
            try:
                hash = codec_for(bytes).from_json(hash if hash.startswith("0x") else "0x" + hash)
            except QenexError as error:
                raise InvalidArguments(f"the hash of a checkpoint: {error.message}", hint=HINT) from None
        if not isinstance(hash, bytes) or len(hash) != 32:
            raise InvalidArguments(
                "the hash of a checkpoint is 32 bytes, or their hexadecimal text", hint=HINT
            )
        if type(height) is not int or not 0 < height < 1 << 64:
            raise InvalidArguments("the height of a checkpoint is a number of 1 or more", hint=HINT)
        return super().__new__(cls, height, hash)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HEIGHT:HASH`. Raises InvalidArguments."""
        height, colon, digits = text.strip().partition(":")
        if not colon or not (height.isascii() and height.isdigit() and len(height) <= 20):
            raise InvalidArguments(f"{text[:100]!a} is no checkpoint", hint=HINT)
        return cls(int(height), digits.lower())

    def __str__(self) -> str:
        return f"{self.height}:0x{self.hash.hex()}"


class LightOptions(NamedTuple):
    """How a light client believes; times in nanoseconds."""

    trusting_period: int = TRUSTING_PERIOD_NS
    clock_drift: int = CLOCK_DRIFT_NS
    kept: int = KEPT


class LightBlock(NamedTuple):
    """A header, the precommits for it, and the validator set it names. As it came: unverified."""

    header: Header
    commit: Commit
    validators: tuple[Validator, ...]


class Trusted(NamedTuple):
    """A believed header with the validator set of its height."""

    header: Header
    validators: tuple[Validator, ...]


def check_fresh(header: Header, now: int, options: LightOptions) -> None:
    """Raise TrustExpired if a trusted header is older than the trusting period at `now`."""
    if header.time + options.trusting_period <= now:
        raise TrustExpired(
            f"the trusted header of height {header.height} is older than the trusting period of "
            f"{options.trusting_period // 10**9} s"
        )


def verify_next(trusted: Trusted, block: LightBlock, now: int, options: LightOptions) -> None:
    """Raise unless `block` is believable because `trusted` is, at our clock's `now`.

    Raises TrustExpired, NotEnoughTrust (verify a height between first; never for the next height), and
    ProofInvalid for whatever no honest chain has.
    """
    old, new = trusted.header, block.header
    if new.chain_id != old.chain_id:
        raise ProofInvalid(f"the header is of chain {new.chain_id[:64]!a}, not {old.chain_id!a}")
    if new.height <= old.height:
        raise ProofInvalid(f"height {new.height} is not above the trusted height {old.height}")
    check_fresh(old, now, options)
    if new.time <= old.time:
        raise ProofInvalid(f"the header of height {new.height} is not later than that of {old.height}")
    if new.time > now + options.clock_drift:
        raise ProofInvalid(
            f"the header of height {new.height} lies in the future by this machine's clock",
            hint="compare this machine's clock with another one",
        )
    if new.height == old.height + 1:
        if new.parent_hash != block_hash(old):
            raise ProofInvalid(f"the header of height {new.height} stands on another block")
        if new.validators_hash != old.next_validators_hash:
            raise ProofInvalid(f"the header of height {new.height} names validators that were not announced")
    else:
        verify_trusting(block, trusted.validators)
    verify_commit(new, block.commit, block.validators)


def verify_trusting(block: LightBlock, validators: Sequence[Validator]) -> None:
    """Raise NotEnoughTrust unless more than 1/3 of the power of `validators`, a trusted set, signed the block.

    Votes are found by address, and count only under the key that the trusted set has for it. Raises ProofInvalid for
    a commit of another block.
    """
    header, commit = block.header, block.commit
    verify_validators(header.validators_hash, block.validators)
    if (commit.height, commit.block_hash) != (header.height, block_hash(header)):
        raise ProofInvalid("the commit is for another block")
    if len(commit.signatures) != len(block.validators):
        raise ProofInvalid("a commit has one entry for each validator")
    statement = vote_sign_bytes(header.chain_id, PRECOMMIT, commit.height, commit.round, commit.block_hash)
    known = {validator.address: validator for validator in validators}
    total = sum([validator.power for validator in validators])
    signed = 0
    for entry in commit.signatures:
        # Taken out: nobody is counted twice.
        validator = known.pop(entry.address, None) if entry.flag == FLAG_COMMIT else None
        if validator is None or not _signed(validator, statement, entry.signature):
            continue
        signed += validator.power
        if 3 * signed > total:
            return
    raise NotEnoughTrust(
        f"{signed} of {total} voting power of the trusted set signed height {header.height}; more than one third is needed"
    )


def verify_parent(child: Header, parent: Header) -> None:
    """Raise ProofInvalid unless `parent` is the header on which the believed `child` stands."""
    if parent.height + 1 != child.height or block_hash(parent) != child.parent_hash:
        raise ProofInvalid(f"the header of height {child.height - 1} has another hash than the next one says")
    if parent.chain_id != child.chain_id:
        raise ProofInvalid("the header is of another chain")


def _signed(validator: Validator, statement: bytes, signature: bytes) -> bool:
    scheme = SCHEMES_BY_TAG.get(validator.key[0]) if validator.key else None
    return scheme is not None and scheme.verify(validator.key[1:], statement, signature)
