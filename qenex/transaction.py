"""Transactions: the signed body, its identifiers, strict decoding and building.

Body: `["tx", chain_id, signers, messages, fee, valid_until, lease?, memo]`; the body's bytes are
what is signed. Raw: `[body bin, signatures]`. `tx_id` names the body, `witness_id` the raw bytes
(a known body under a garbage signature must not pass by its id).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from sys import intern
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack

from qenex.codec import Plain, encode, pack, unpack_ext
from qenex.crypto.address import Address
from qenex.crypto.multisig import MAX_DESCRIPTOR_SIZE, MAX_MEMBERS, MULTISIG_TAG
from qenex.errors import DuplicateSigner, MalformedBytes, TooLarge, UnusedSigner, WrongSignatureCount
from qenex.hashing import HASH_SIZE, hasher
from qenex.state_keys import ACCOUNT_RECORDS
from qenex.transfer_form import (
    MESSAGES,
    SEND_SIZE,
    TRANSFER_BODY,
    Payments,
    Terms,
    number_of,
    read_payments,
    terms_of,
)
from qenex.types import MAX_AMOUNT, U8, U16, U64, Amount

MAX_TRANSACTION_SIZE: Final = 64 * 1024
MAX_MESSAGES: Final = 128
MAX_SIGNERS: Final = 8
MAX_MEMO_SIZE: Final = 256
MAX_VALIDITY: Final = 10_000
"""Blocks that `valid_until` may lie ahead of the block that includes the transaction."""
MAX_PUBLIC_KEY_SIZE: Final = 4_096
"""Bytes of a scheme's tag and key; a multisig descriptor has a bound of its own."""
MAX_SIGNATURE_SIZE: Final = 16 * 1024
MAX_ARGUMENTS: Final = 64
MAX_NAME_SIZE: Final = 64
KIND: Final = "tx"

_SHORT_BODY: Final = b"\x92\xc4"
_LONG_BODY: Final = b"\x92\xc5"
_ONE_SIGNATURE: Final = b"\x91\xc4\x40"
_LONG_SIGNATURE: Final = b"\x91\xc5"
"""The outer form of a body below 256 bytes with one signature of 64: an array of 2 whose first item has its length in
the next byte, and before the last 64 bytes an array of 1 with as many. Read by position: 0.4 us, by msgpack 1.2. So is
one signature of 256 bytes or more, whose length has two bytes, and such a body of many payments."""

transaction_hash = hasher("qx.tx")
witness_hash = hasher("qx.witness")
_transaction_state = blake2b(digest_size=HASH_SIZE, person=b"qx.tx").copy
_witness_state = blake2b(digest_size=HASH_SIZE, person=b"qx.witness").copy

Signature: TypeAlias = bytes | tuple[bytes | None, ...]
"""One signer's signature; for a k-of-n key the members' signatures in member order."""


class Signer(NamedTuple):
    """Who signs: account, its present sequence, and the key (tag + key) with the first transaction."""

    address: Address
    sequence: U64
    public_key: bytes | None
    scoped_key: U16 | None


class Message(NamedTuple):
    """`name` is `module.verb`; `args` follow the declaration; `signer` acts (index into signers)."""

    name: str
    args: tuple[Plain, ...]
    signer: U8


class Fee(NamedTuple):
    """`max` and `tip` in base units of QXC; `gas_limit` in gas (1 gas = 100 ns of the reference core)."""

    max: Amount
    gas_limit: U64
    tip: Amount


class Transaction:
    """A decoded transaction. Immutable by convention; `raw` is the identity.

    Reading makes one of its two forms: `Transfer`, or one that has all parts at hand.
    """

    __slots__ = ("plan", "raw", "sender", "sequence", "terms", "tx_id", "verified", "witness_id")

    raw: bytes
    sender: bytes
    """State key of the account record of who signs alone, with a key that the chain knows as the account's own, and takes no
    lease: nearly everybody. Empty for any other transaction."""
    sequence: int
    """The first signer's."""
    terms: Terms
    """One object for all transactions that have the same."""
    body_bytes: bytes
    signers: tuple[Signer, ...]
    messages: tuple[Message, ...]
    lease: bytes | None
    memo: str
    signatures: tuple[Signature, ...]
    tx_id: bytes
    witness_id: bytes
    plan: object
    """What the machine derived from the messages (checked arguments), kept with the decoded transaction."""
    verified: tuple[bytes, ...] | None
    """The keys under which whoever holds this object has found all signatures valid."""

    def __repr__(self) -> str:
        return f"Transaction({self.tx_id.hex()}, {[message.name for message in self.messages]})"

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self.raw)

    @property
    def chain_id(self) -> str:
        """The chain for which it is signed."""
        return self.terms.chain_id

    @property
    def valid_until(self) -> int:
        """The last height of a block that may have it."""
        return self.terms.valid_until

    @property
    def fee(self) -> Fee:
        """What it pays at most. Hot paths read `terms`."""
        return _new(Fee, self.terms[1:4])


class _Whole(Transaction):
    """A transaction with all its parts."""

    __slots__ = ("body_bytes", "lease", "memo", "messages", "signatures", "signers")


def _later(name: str) -> Any:
    """A part of a `Transfer` that is read from its bytes when somebody asks."""

    def read(self: Transfer) -> Any:
        return getattr(self.whole, name)

    return property(read, doc=f"`Transaction.{name}`.")


class Transfer(Transaction):
    """What most transactions are: one signer, with his account's key, sends QXC, without key, lease and memo.

    It holds flat what its checks and its execution need, in one object where the general form has fifteen: ten thousand
    wait between arrival and block, and what a processor's caches do not hold costs it more than what it computes.
    In one message, or in many of which `payments` tells.
    """

    __slots__ = ("_whole", "amount", "payments", "recipient")

    _whole: Transaction | None
    recipient: bytes
    """State key of the account record of who receives. Empty where there are `payments`."""
    amount: int
    """Base units of QXC, at least 1, of all payments."""
    payments: Payments | None
    """None where there is one message."""

    signers: tuple[Signer, ...] = _later("signers")
    messages: tuple[Message, ...] = _later("messages")
    lease: bytes | None = _later("lease")
    memo: str = _later("memo")

    @property
    def body_bytes(self) -> bytes:  # type: ignore[override]  # nobody sets a part of what was read
        """The bytes that are signed."""
        return self.raw[3 if self.raw[1] == _SHORT_BODY[1] else 4 : -67]

    @property
    def signatures(self) -> tuple[Signature, ...]:  # type: ignore[override]  # as above
        """The one signature."""
        return (self.raw[-64:],)

    @property
    def whole(self) -> Transaction:
        """The same transaction with all its parts."""
        whole = self._whole
        if whole is None:
            whole = self._whole = _decode_whole(self.raw)
        return whole


def _bad(what: str) -> MalformedBytes:
    return MalformedBytes(f"transaction: {what}")


def _unpack(data: bytes) -> Plain:
    # Inlined from codec.decode: this runs for every transaction (two calls, 1.3 us each).
    try:
        value = msgpack.unpackb(
            data, use_list=False, ext_hook=unpack_ext, max_array_len=1024, max_map_len=0, max_ext_len=128
        )
        if pack(value) != data:
            raise _bad("not the one canonical encoding")
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise _bad(f"not canonical MessagePack: {str(error)[:120]}") from None
    return value


_new = tuple.__new__


def _signer(value: Plain) -> Signer:
    if type(value) is not tuple or len(value) != 4:
        raise _bad("a signer is [address, sequence, public_key?, scoped_key?]")
    address, sequence, public_key, scoped_key = value
    if type(address) is not bytes or len(address) != 32:
        raise _bad("a signer's address has 32 bytes")
    if type(sequence) is not int or not 0 <= sequence < 1 << 64:
        raise _bad("a sequence is an unsigned 64-bit integer")
    if public_key is not None and (
        type(public_key) is not bytes
        or not 2 <= len(public_key) <= MAX_DESCRIPTOR_SIZE
        or (len(public_key) > MAX_PUBLIC_KEY_SIZE and public_key[0] != MULTISIG_TAG)
    ):
        raise _bad("a public key is a scheme tag and the key's bytes")
    if scoped_key is not None and (type(scoped_key) is not int or not 0 <= scoped_key < 1 << 16):
        raise _bad("a scoped key index is an unsigned 16-bit integer")
    return _new(Signer, value)


def _message(value: Plain, signers: int) -> Message:
    if type(value) is not tuple or len(value) != 3:
        raise _bad("a message is [name, args, signer]")
    name, args, signer = value
    if type(name) is not str or len(name) > MAX_NAME_SIZE:
        raise _bad("a message name is text of at most 64 characters")
    if type(args) is not tuple or len(args) > MAX_ARGUMENTS:
        raise _bad("message arguments are an array of at most 64")
    if type(signer) is not int or signer < 0:
        raise _bad("a message's signer is an index")
    if signer >= signers:
        raise UnusedSigner(f"message {name[:64]} names signer {signer}, there are {signers}")
    return _new(Message, value)


def _fee(value: Plain) -> tuple[int, int, int]:
    if type(value) is not tuple or len(value) != 3:
        raise _bad("a fee is [max, gas_limit, tip]")
    maximum, gas_limit, tip = value
    if type(maximum) is not int or not 0 <= maximum < MAX_AMOUNT:
        raise _bad("fee.max is an unsigned 128-bit integer")
    if type(gas_limit) is not int or not 0 <= gas_limit < 1 << 64:
        raise _bad("fee.gas_limit is an unsigned 64-bit integer")
    if type(tip) is not int or not 0 <= tip < MAX_AMOUNT:
        raise _bad("fee.tip is an unsigned 128-bit integer")
    return value


@lru_cache(1_024)
def _terms(chain_id: str, fee_max: int, gas_limit: int, tip: int, valid_until: int) -> Terms:
    """One object for all that are equal; the types have been checked."""
    return Terms(intern(chain_id), fee_max, gas_limit, tip, valid_until)


def _signatures(value: Plain, signers: int) -> tuple[Signature, ...]:
    if type(value) is not tuple:
        raise _bad("signatures are an array")
    if len(value) != signers:
        raise WrongSignatureCount(f"{len(value)} signatures for {signers} signers")
    if signers == 1 and type(value[0]) is bytes and len(value[0]) <= MAX_SIGNATURE_SIZE:
        return value
    for signature in value:
        members = signature if type(signature) is tuple else (signature,)
        if len(members) > MAX_MEMBERS:
            raise _bad("a multisig key has at most 16 members")
        for member in members:
            if member is None and type(signature) is tuple:
                continue
            if type(member) is not bytes or len(member) > MAX_SIGNATURE_SIZE:
                raise _bad("a signature is bytes, or an array of the members' signatures")
    return value


def _read_body(body_bytes: bytes, tx: _Whole) -> None:
    body = _unpack(body_bytes)
    if type(body) is not tuple or len(body) != 8 or body[0] != KIND:
        raise _bad('the body is ["tx", chain_id, signers, messages, fee, valid_until, lease?, memo]')
    _, chain_id, signers, messages, fee, valid_until, lease, memo = body
    if type(chain_id) is not str or not 1 <= len(chain_id) <= 64:
        raise _bad("chain_id is text of 1 to 64 characters")
    if type(signers) is not tuple or not signers:
        raise _bad("there is at least one signer")
    if len(signers) > MAX_SIGNERS:
        raise TooLarge(f"{len(signers)} signers, at most {MAX_SIGNERS} allowed")
    if type(messages) is not tuple or not messages:
        raise _bad("there is at least one message")
    if len(messages) > MAX_MESSAGES:
        raise TooLarge(f"{len(messages)} messages, at most {MAX_MESSAGES} allowed")
    if type(valid_until) is not int or not 0 <= valid_until < 1 << 64:
        raise _bad("valid_until is an unsigned 64-bit integer")
    if lease is not None and (type(lease) is not bytes or len(lease) != 32):
        raise _bad("a lease has 32 bytes")
    if type(memo) is not str:
        raise _bad("the memo is text")
    if len(memo) and len(memo.encode()) > MAX_MEMO_SIZE:
        raise TooLarge(f"memo beyond {MAX_MEMO_SIZE} bytes")
    count = len(signers)
    if count == 1:  # nearly always: without a comprehension's frame
        tx.signers = (_signer(signers[0]),)
    else:
        tx.signers = tuple([_signer(signer) for signer in signers])
        if len({signer.address for signer in tx.signers}) != count:
            raise DuplicateSigner("an account signs twice")
    if len(messages) == 1:
        tx.messages = (_message(messages[0], count),)
    else:
        tx.messages = tuple([_message(message, count) for message in messages])
    address, tx.sequence, public_key, scoped_key = tx.signers[0]
    known = count == 1 and public_key is None and scoped_key is None and lease is None
    tx.sender = ACCOUNT_RECORDS + address if known else b""
    tx.terms = _terms(chain_id, *_fee(fee), valid_until)
    tx.body_bytes = body_bytes
    tx.lease = lease
    tx.memo = memo
    tx.plan = None
    tx.verified = None


def _outer(raw: bytes) -> tuple[bytes, Plain]:
    """Body and signatures."""
    end = len(raw) - 64
    if raw[:2] == _SHORT_BODY and raw[end - 3 : end] == _ONE_SIGNATURE and raw[2] == end - 6:
        return raw[3 : end - 3], (raw[end:],)
    if raw[:2] == _SHORT_BODY and len(raw) > 263:  # 3 + 4 bytes of heads, a signature of 256
        at = 3 + raw[2]
        size = len(raw) - at - 4
        if (
            raw[at : at + 2] == _LONG_SIGNATURE
            and size >= 256
            and raw[at + 2 : at + 4] == size.to_bytes(2, "big")
        ):
            return raw[3:at], (raw[at + 4 :],)
    outer = _unpack(raw)
    if type(outer) is not tuple or len(outer) != 2 or type(outer[0]) is not bytes:
        raise _bad("the outer form is [body, signatures]")
    return outer[0], outer[1]


def _read_transfer(raw: bytes) -> Transfer | None:
    """A plain transfer, in a third of the time that reading any transaction takes; None for all else.

    What is read here is read by `_decode_whole` as well, with the same meaning; what has to be refused is left to it.
    """
    end = len(raw) - 67
    if raw[end : end + 3] != _ONE_SIGNATURE:
        return None
    if raw[:2] == _SHORT_BODY and raw[2] == end - 3:
        start = 3
    elif raw[:2] == _LONG_BODY and end > 259 and raw[2:4] == (end - 4).to_bytes(2, "big"):
        start = 4
    else:
        return None
    found = TRANSFER_BODY.fullmatch(raw, start, end)
    if found is None:
        return None
    chain, address, nonce, head, messages, recipient, value, numbers = found.groups()
    terms = terms_of(chain, numbers)
    amount = number_of(value)
    if terms is None or not amount:
        return None
    payments = None
    if head != b"\x91":
        payments = read_payments(raw, *found.span(MESSAGES), head, MAX_MESSAGES)
        if payments is None:
            return None
    elif len(messages) != SEND_SIZE + len(value):
        return None
    tx = Transfer()
    tx.raw = raw
    tx.terms = terms
    tx.sender = ACCOUNT_RECORDS + address
    if payments is None:
        tx.recipient = ACCOUNT_RECORDS + recipient
        tx.amount = amount
    else:
        tx.recipient = b""
        tx.amount = sum(payments.amounts)
    tx.payments = payments
    tx.sequence = number_of(nonce)
    tx.plan = tx.verified = None
    tx._whole = None
    # The bodies of the two hashers stand here: a quarter cheaper without a call.
    state = _transaction_state()
    state.update(raw[start:end])
    tx.tx_id = state.digest()
    state = _witness_state()
    state.update(raw)
    tx.witness_id = state.digest()
    return tx


def _decode_whole(raw: bytes) -> Transaction:
    body, signatures = _outer(raw)
    tx = _Whole()
    _read_body(body, tx)
    tx.signatures = _signatures(signatures, len(tx.signers))
    tx.raw = raw
    tx.tx_id = transaction_hash(body)
    tx.witness_id = witness_hash(raw)
    return tx


def decode_transaction(raw: bytes) -> Transaction:
    """Read signed bytes strictly. Signatures are not verified here.

    Raises TooLarge, MalformedBytes, WrongSignatureCount, DuplicateSigner or UnusedSigner.
    """
    if len(raw) > MAX_TRANSACTION_SIZE:
        raise TooLarge(f"transaction of {len(raw)} bytes, at most {MAX_TRANSACTION_SIZE} allowed")
    return _read_transfer(raw) or _decode_whole(raw)


def decode_body(body_bytes: bytes) -> Transaction:
    """Read an unsigned body (for simulation and offline signing): no signatures, `raw` empty.

    Raises as `decode_transaction`.
    """
    if len(body_bytes) > MAX_TRANSACTION_SIZE:
        raise TooLarge(f"body of {len(body_bytes)} bytes, at most {MAX_TRANSACTION_SIZE} allowed")
    tx = _Whole()
    _read_body(body_bytes, tx)
    tx.signatures = ()
    tx.raw = b""
    tx.tx_id = transaction_hash(body_bytes)
    tx.witness_id = b""
    return tx


def encode_body(
    chain_id: str,
    signers: Sequence[Signer],
    messages: Sequence[Message],
    fee: Fee,
    valid_until: int,
    lease: bytes | None = None,
    memo: str = "",
) -> bytes:
    """The bytes that each signer signs. Not validated here: `decode_body` does that."""
    return encode((KIND, chain_id, tuple(signers), tuple(messages), fee, valid_until, lease, memo))


def assemble(body_bytes: bytes, signatures: Sequence[Signature]) -> bytes:
    """Raw transaction from a body and one signature per signer, in signer order."""
    return encode((body_bytes, tuple(signatures)))
