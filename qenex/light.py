"""A light client's judgement, as pure functions: headers, commits, state proofs.

The header of height H+1 carries the state root after H. So a value at version H is
proved by a path to that root and by whatever makes the header of H+1 believable: a hash
known from elsewhere, or precommits of more than 2/3 of a validator set known from
elsewhere. Without either, a proof shows only that the node contradicts itself nowhere.

Everything raises ProofInvalid and returns nothing it has not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol, Self

from qenex.block import (
    FLAG_COMMIT,
    MAX_VALIDATORS,
    PRECOMMIT,
    Commit,
    Header,
    Validator,
    block_hash,
    order_validators,
    validators_root,
    vote_sign_bytes,
)
from qenex.codec import Plain, codec_for, decode, encode
from qenex.crypto.address import Address
from qenex.crypto.schemes import SCHEMES_BY_TAG
from qenex.errors import InvalidArguments, ProofInvalid, QenexError
from qenex.proof import Terminal, TreeProof, verify_absence, verify_membership
from qenex.state_keys import (
    EMPTY_ACCOUNT,
    Account,
    account_state_key,
    balance_state_key,
)
from qenex.types import QXC, Amount, Coin

MAX_VALUE_BYTES: Final = 64 * 1024
ACCOUNT_SCHEMA: Final = 1
BALANCE_SCHEMA: Final = 1


class ProvedValue(Protocol):
    """What a node answers to `state_getProof`."""

    @property
    def key(self) -> bytes: ...

    @property
    def value(self) -> bytes | None: ...

    @property
    def proof(self) -> TreeProof: ...

    @property
    def header(self) -> Header: ...

    @property
    def commit(self) -> Commit | None: ...


class HasValidators(Protocol):
    """What `client.chain.get_validators()` returns, for one."""

    @property
    def validators(self) -> tuple[Validator, ...]: ...


class _Trust(NamedTuple):
    chain_id: str
    header_hash: bytes | None = None
    validators: tuple[Validator, ...] = ()


class Trust(_Trust):
    """What a caller believes already: the chain, and a header's hash or a validator set.

    With `validators` a header counts if more than 2/3 of their power precommitted it and it names
    exactly this set; with `header_hash` it must be that header.
    """

    __slots__ = ()

    def __new__(
        cls,
        chain_id: str,
        header_hash: bytes | str | None = None,
        validators: Iterable[Validator] | HasValidators = (),
    ) -> Self:
        """Take `header_hash` as bytes or 0x text, `validators` as records or as the answer that holds them.

        Raises InvalidArguments for anything else.
        """
        if isinstance(header_hash, str):
            try:
                header_hash = codec_for(bytes).from_json(header_hash)
            except QenexError as error:
                raise InvalidArguments(f"header_hash: {error.message}") from None
        if header_hash is not None and (not isinstance(header_hash, bytes) or len(header_hash) != 32):
            raise InvalidArguments("header_hash is 32 bytes, or their hexadecimal text with 0x")
        return super().__new__(cls, chain_id, header_hash, _validators_of(validators))


def _validators_of(given: Iterable[Validator] | HasValidators) -> tuple[Validator, ...]:
    inner = getattr(given, "validators", given)
    found = tuple(inner) if isinstance(inner, Iterable) else (inner,)
    if not all(isinstance(item, Validator) for item in found):
        raise InvalidArguments(
            "the validators of a Trust are qenex.block.Validator records (address, key, power), not "
            f"{', '.join(sorted({type(item).__name__ for item in found}))[:80]}",
            hint="pass client.chain.get_validators(), kept from a node you trust, or read your own list by "
            "qenex.block.VALIDATOR.from_json(item)",
        )
    return found


def verify_header(header: Header, expected_hash: bytes) -> None:
    """Raise ProofInvalid unless the header's recomputed hash is `expected_hash`."""
    if block_hash(header) != expected_hash:
        raise ProofInvalid(f"the header of height {header.height} has another hash than the expected one")


def verify_validators(root: bytes, validators: Sequence[Validator]) -> None:
    """Raise ProofInvalid unless `root` (a header's `validators_hash`) is that of the set, in canonical order."""
    if not 1 <= len(validators) <= MAX_VALIDATORS:
        raise ProofInvalid(f"a validator set has 1 to {MAX_VALIDATORS} members")
    if tuple(validators) != order_validators(validators) or len({v.address for v in validators}) != len(
        validators
    ):
        raise ProofInvalid("the validators are not in canonical order, each once")
    if validators_root(validators) != root:
        raise ProofInvalid("the header names another validator set")


def verify_commit(header: Header, commit: Commit, validators: Sequence[Validator]) -> None:
    """Raise ProofInvalid unless more than 2/3 of the power of `validators` precommitted `header`.

    `validators` is the set of that height, which the header must name; the commit lists each in
    canonical order. One bad signature makes the whole commit invalid.
    """
    verify_validators(header.validators_hash, validators)
    if commit.height != header.height or commit.block_hash != block_hash(header):
        raise ProofInvalid("the commit is for another block")
    if len(commit.signatures) != len(validators):
        raise ProofInvalid("a commit has one entry for each validator")
    statement = vote_sign_bytes(header.chain_id, PRECOMMIT, commit.height, commit.round, commit.block_hash)
    total = sum(validator.power for validator in validators)
    signed = 0
    for entry, validator in zip(commit.signatures, validators, strict=True):
        if entry.address != validator.address:
            raise ProofInvalid("a commit lists the validators in canonical order")
        if entry.flag == FLAG_COMMIT:
            _verify_signature(validator, statement, entry.signature)
            signed += validator.power
    if 3 * signed <= 2 * total:
        raise ProofInvalid(f"{signed} of {total} voting power signed; more than two thirds are needed")


def verify_trusted(header: Header, commit: Commit | None, trust: Trust) -> None:
    """Raise ProofInvalid unless `trust` makes the header believable."""
    if header.chain_id != trust.chain_id:
        raise ProofInvalid(f"the header is of chain {header.chain_id[:64]!a}, not {trust.chain_id!a}")
    if trust.header_hash is None and not trust.validators:
        raise ProofInvalid("nothing is trusted: give a header hash or a validator set")
    if trust.header_hash is not None:
        verify_header(header, trust.header_hash)
    if trust.validators:
        if commit is None:
            raise ProofInvalid("the answer has no commit to check against the trusted validators")
        verify_commit(header, commit, trust.validators)


def verify_state_value(header: Header, key: bytes, value: bytes | None, proof: TreeProof) -> None:
    """Raise ProofInvalid unless `key` has exactly the encoded `value` (None: nothing) after height-1."""
    if value is None:
        verify_absence(header.state_root, key, proof)
    else:
        verify_membership(header.state_root, key, value, proof)


def verify_account(header: Header, address: Address, account: Account, proof: TreeProof) -> None:
    """Raise ProofInvalid unless the account's record is this one (EMPTY_ACCOUNT: none, or an empty one)."""
    value = encode((ACCOUNT_SCHEMA, *account))
    absent = account == EMPTY_ACCOUNT and proof.terminal is not Terminal.LEAF
    verify_state_value(header, account_state_key(address), None if absent else value, proof)


def verify_balance(header: Header, answer: ProvedValue, address: Address, denom: str = QXC) -> Coin:
    """Return the balance that `answer` proves against `header`, zero if it proves absence.

    The key is derived here, never taken from the answer. Raises ProofInvalid.
    """
    key = account_state_key(address) if denom == QXC else balance_state_key(address, denom)
    verify_state_value(header, key, answer.value, answer.proof)
    if denom == QXC:
        return Coin(QXC, account_of(answer.value).balance)
    return Coin(denom, amount_of(answer.value))


def verified_value(key: bytes, answer: ProvedValue, trust: Trust | None = None) -> bytes | None:
    """The encoded value under `key` after checking proof, and header where `trust` is given."""
    if trust is not None:
        verify_trusted(answer.header, answer.commit, trust)
    verify_state_value(answer.header, key, answer.value, answer.proof)
    return answer.value


def verified_account(address: Address, answer: ProvedValue, trust: Trust | None = None) -> Account:
    """The account's record (EMPTY_ACCOUNT if there is none), checked as in `verified_value`."""
    return account_of(verified_value(account_state_key(address), answer, trust))


def verified_balance(address: Address, denom: str, answer: ProvedValue, trust: Trust | None = None) -> Coin:
    """A balance (zero if there is none), checked as in `verified_value`."""
    if trust is not None:
        verify_trusted(answer.header, answer.commit, trust)
    return verify_balance(answer.header, answer, address, denom)


def account_of(value: bytes | None) -> Account:
    """The account of an encoded state value. Raises ProofInvalid for what is none."""
    if value is None:
        return EMPTY_ACCOUNT
    fields = _fields(value, ACCOUNT_SCHEMA)
    try:
        account: Account = codec_for(Account).check(fields)
    except QenexError as error:
        raise ProofInvalid(f"the proved value is no account: {error.message}") from None
    return account


def amount_of(value: bytes | None) -> int:
    """The amount of an encoded balance or supply, 0 for None. Raises ProofInvalid for what is none."""
    if value is None:
        return 0
    fields = _fields(value, BALANCE_SCHEMA)
    try:
        (amount,) = codec_for(tuple[Amount]).check(fields)
    except QenexError as error:
        raise ProofInvalid(f"the proved value is no amount: {error.message}") from None
    return int(amount)


def _fields(value: bytes, schema: int) -> tuple[Plain, ...]:
    """Fields of a state value `[schema, fields...]`."""
    try:
        plain = decode(value, max_size=MAX_VALUE_BYTES)
    except QenexError as error:
        raise ProofInvalid(f"the proved value is not in its encoding: {error.message}") from None
    if not isinstance(plain, tuple) or not plain or type(plain[0]) is not int:
        raise ProofInvalid("the proved value is not [schema, fields...]")
    if plain[0] != schema:
        raise ProofInvalid(
            f"the value has schema {plain[0]}, this version of the SDK knows {schema}",
            hint="a newer version of the SDK may know it",
        )
    return plain[1:]


def _verify_signature(validator: Validator, statement: bytes, signature: bytes) -> None:
    scheme = SCHEMES_BY_TAG.get(validator.key[0]) if validator.key else None
    if scheme is None or not scheme.verify(validator.key[1:], statement, signature):
        raise ProofInvalid("a precommit has an invalid signature")
