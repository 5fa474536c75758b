"""What a node's answers mean, typed. Unknown fields are ignored: a newer node may say more.

Every answer is a NamedTuple with `to_dict()`, its plain JSON form. Nothing here trusts a
node: a missing field or one of another type is InvalidResponse.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from qenex.block import Commit, Evidence, Header, Validator, block_hash
from qenex.building import MessageFace
from qenex.codec import codec_for, fields_of
from qenex.crypto.address import PREFIX, Address
from qenex.errors import InvalidResponse, QenexError, error_from_code
from qenex.jsonrpc import Json, clean_text
from qenex.proof import TreeProof, decode_proof, proof_from_json
from qenex.types import U8, U16, U32, U64, Amount, Bytes32, Coin, Length, TimeNs

R = TypeVar("R")

HashText: TypeAlias = Annotated[str, Length(66, 66)]
"""A block's or transaction's hash as people copy it: 0x and 64 lower-case hexadecimal digits."""


def read_answer(hint: Any, value: Json, where: str) -> Any:
    """The typed value of a JSON answer; unknown fields of records are ignored.

    Raises InvalidResponse saying `where` it is wrong.
    """
    try:
        return codec_for(hint).from_json(_known_fields(hint, value))
    except QenexError as error:
        raise InvalidResponse(f"{where}: {clean_text(error.message)}") from None
    except TypeError as error:
        raise InvalidResponse(f"{where}: {clean_text(str(error))}") from None


def write_answer(hint: Any, value: Any, prefix: str = PREFIX) -> Json:
    """Plain JSON of a typed value."""
    return codec_for(hint).to_json(value, prefix)


def _known_fields(hint: Any, value: Json) -> Json:
    if isinstance(hint, type) and hasattr(hint, "_fields") and isinstance(value, dict):
        fields = fields_of(hint)
        defaults: Mapping[str, Any] = getattr(hint, "_field_defaults", {})
        return {
            name: _known_fields(inner, value[name]) if name in value else None
            for name, inner in fields.items()
            if name in value or name in defaults
        }
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType) and value is not None:
        return _known_fields(next(part for part in parts if part is not type(None)), value)
    if origin is Annotated:
        return _known_fields(parts[0], value)
    if origin is tuple and isinstance(value, list):
        if len(parts) == 2 and parts[1] is Ellipsis:
            return [_known_fields(parts[0], item) for item in value]
        if len(parts) == len(value):
            return [_known_fields(part, item) for part, item in zip(parts, value, strict=True)]
    return value


class NodeInfo(NamedTuple):
    """Who answers: its chain, its versions, the prefix of addresses, the modules it has."""

    chain_id: str
    genesis_hash: HashText
    name: str | None = None
    version: str | None = None
    protocol_version: U32 | None = None
    initial_height: U64 | None = None
    address_prefix: str | None = None
    modules: tuple[str, ...] | None = None
    validator_address: Address | None = None
    node_id: str | None = None
    p2p_address: str | None = None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON."""
        return to_plain(self, self.address_prefix or prefix)


class NodeStatus(NamedTuple):
    """Where the node stands. `height` is the last committed one, `price` base units of QXC per gas."""

    height: U64
    block_hash: HashText | None = None
    block_time: TimeNs | None = None
    state_root: HashText | None = None
    earliest_block: U64 | None = None
    round: U32 | None = None
    syncing: bool | None = None
    not_ready: str | None = None
    peers: U32 | None = None
    price: Amount | None = None
    not_signing: str | None = None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON."""
        return to_plain(self, prefix)


class AccountInfo(NamedTuple):
    """An account. `next_sequence` counts transactions that wait in the node's pool as well."""

    address: Address
    sequence: U64
    balance: Amount
    public_key: bytes | None = None
    next_sequence: U64 | None = None
    fee_tier: U16 | None = None
    is_module: bool | None = None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON."""
        return to_plain(self, prefix)


class FeeEstimate(NamedTuple):
    """What a transaction will cost: `price` in base units of QXC per gas, `max` a safe upper bound."""

    gas_limit: U64
    price: Amount
    max: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON."""
        return to_plain(self, prefix)


class EventRecord(NamedTuple):
    """An event: `fields` is the module's typed record where the SDK knows it, else plain JSON."""

    name: str
    fields: Any

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON."""
        plain = self.fields if isinstance(self.fields, dict) else to_plain(self.fields, prefix)
        return {"name": self.name, "fields": plain}


class LocatedEvent(NamedTuple):
    """An event at its place: `cursor` goes on after it; `transaction_hash` is None for a block's own."""

    cursor: str
    height: int
    transaction_hash: str | None
    event: EventRecord

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON."""
        return {
            "cursor": self.cursor,
            "height": self.height,
            "transaction_hash": self.transaction_hash,
            **self.event.to_dict(prefix),
        }


class EventPage(NamedTuple):
    """Part of the past: read on from `next_cursor` until it is None, also after an empty page."""

    items: tuple[LocatedEvent, ...]
    next_cursor: str | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON."""
        return {"items": [item.to_dict(prefix) for item in self.items], "next_cursor": self.next_cursor}


class _Place(NamedTuple):
    cursor: str
    height: U64
    transaction_hash: Bytes32 | None = None


class _Page(NamedTuple):
    next_cursor: str | None = None


def unknown_events(name: str, /) -> type | None:
    """Knows no event: all fields stay plain JSON."""
    return None


class _ReceiptCore(NamedTuple):
    tx_id: Bytes32
    status: U32
    gas_used: U64
    fee: Amount
    failed_message: U8 | None = None


class _Height(NamedTuple):
    height: U64


class EventTypes(Protocol):
    """Finds the record type of an event by its name, None where the SDK does not know it."""

    def __call__(self, name: str, /) -> type | None: ...


class TransactionReceipt(Generic[R]):
    """The outcome of one included transaction. Immutable by convention.

    `status` is 0 or the error's code; `fee` was charged in base units of QXC, whatever the status;
    `results` has one typed value a message, and is empty after a failure.
    """

    __slots__ = (
        "_plain",
        "events",
        "failed_message",
        "fee",
        "gas_used",
        "hash",
        "height",
        "results",
        "status",
    )

    def __init__(
        self,
        *,
        tx_id: bytes,
        height: int,
        status: int,
        failed_message: int | None,
        gas_used: int,
        fee: int,
        results: tuple[Any, ...],
        events: tuple[EventRecord, ...],
        plain: dict[str, Json],
    ) -> None:
        self.hash = "0x" + tx_id.hex()
        self.height = height
        self.status = status
        self.failed_message = failed_message
        self.gas_used = gas_used
        self.fee = fee
        self.results = results
        self.events = events
        self._plain = plain

    def __repr__(self) -> str:
        return f"TransactionReceipt({self.hash}, height={self.height}, status={self.status})"

    @property
    def ok(self) -> bool:
        """Whether all messages succeeded."""
        return self.status == 0

    @property
    def result(self) -> R:
        """What the last message returned (None: nothing). Raises the transaction's error if it failed."""
        self.raise_for_status()
        return typing.cast(R, self.results[-1] if self.results else None)

    @property
    def error(self) -> QenexError | None:
        """The typed error of a failed transaction, with this receipt as its `receipt`."""
        if self.status == 0:
            return None
        where = "" if self.failed_message is None else f" in message {self.failed_message}"
        error = error_from_code(self.status, f"included at height {self.height}, failed{where}, fee charged")
        error.receipt = self
        return error

    def raise_for_status(self) -> None:
        """Raise the typed error of a failed transaction."""
        error = self.error
        if error is not None:
            raise error

    @property
    def fee_coin(self) -> Coin:
        """The charged fee."""
        return Coin("QXC", self.fee)

    def to_dict(self) -> dict[str, Json]:
        """Plain JSON, as the node gave it."""
        return self._plain


def to_plain(record: Any, prefix: str = PREFIX) -> dict[str, Json]:
    """Plain JSON of a record."""
    record_type: Any = type(record)  # a record class is hashable, which mypy does not see of `type`
    plain: dict[str, Json] = codec_for(record_type).to_json(record, prefix)
    return plain


def read_receipt(
    answer: Json,
    faces: Mapping[str, MessageFace],
    event_types: EventTypes,
    tx_id: bytes | None = None,
    names: Sequence[str] | None = None,
) -> TransactionReceipt[Any] | None:
    """Read an answer of `tx_get`: None while the transaction waits.

    Results and events become typed records where their types are known and fit; what does not
    fit stays plain JSON, because a receipt for money already spent must not be lost over a field.
    Raises InvalidResponse for what is no receipt, or that of another transaction than `tx_id`.
    """
    if not isinstance(answer, dict):
        raise InvalidResponse("tx_get: not an object")
    form = answer.get("receipt")
    if form is None:
        return None
    if not isinstance(form, dict):
        raise InvalidResponse("tx_get: the receipt is not an object")
    core: _ReceiptCore = read_answer(_ReceiptCore, form, "tx_get: receipt")
    if tx_id is not None and core.tx_id != tx_id:
        raise InvalidResponse("tx_get answered with another transaction's receipt")
    results, events = form.get("results"), form.get("events")
    if not isinstance(results, list) or not isinstance(events, list):
        raise InvalidResponse("tx_get: results and events are lists")
    known = [faces[name].result if name in faces else None for name in names or message_names(answer)]
    known += [None] * (len(results) - len(known))
    return TransactionReceipt(
        tx_id=core.tx_id,
        height=read_answer(_Height, answer, "tx_get").height,
        status=core.status,
        failed_message=core.failed_message,
        gas_used=core.gas_used,
        fee=core.fee,
        results=tuple(_typed_or_plain(hint, result) for hint, result in zip(known, results, strict=False)),
        events=tuple(read_event(event, event_types) for event in events),
        plain=answer,
    )


def read_event(form: Json, event_types: EventTypes) -> EventRecord:
    """An event, typed where its record is known and fits. Raises InvalidResponse for what is none."""
    if not isinstance(form, dict) or not isinstance(form.get("name"), str):
        raise InvalidResponse("an event has a name and fields")
    fields = form.get("fields")
    return EventRecord(form["name"], _typed_or_plain(event_types(form["name"]), fields))


def read_located_event(form: Json, event_types: EventTypes) -> LocatedEvent:
    """An event with its place. Raises InvalidResponse for what is none."""
    place: _Place = read_answer(_Place, form, "event")
    found = None if place.transaction_hash is None else "0x" + place.transaction_hash.hex()
    return LocatedEvent(place.cursor, place.height, found, read_event(form, event_types))


def read_event_page(answer: Json, event_types: EventTypes) -> EventPage:
    """An answer of `events_query`. Raises InvalidResponse."""
    page: _Page = read_answer(_Page, answer, "events_query")
    items = answer.get("items")
    if not isinstance(items, list):
        raise InvalidResponse("events_query: items is a list")
    return EventPage(tuple(read_located_event(item, event_types) for item in items), page.next_cursor)


def message_names(answer: Mapping[str, Json]) -> list[str]:
    """Names of a transaction's messages in an answer that carries its JSON form, else none."""
    transaction = answer.get("transaction")
    messages = transaction.get("messages") if isinstance(transaction, dict) else None
    if not isinstance(messages, list):
        return []
    return [str(message.get("name")) for message in messages if isinstance(message, dict)]


def _typed_or_plain(hint: Any, value: Json) -> Any:
    if hint is None or value is None:
        return value
    try:
        return read_answer(hint, value, "")
    except InvalidResponse:
        return value


class SignedHeader(NamedTuple):
    """A header and the hash that the node says it has."""

    header: Header
    hash: HashText

    def checked(self) -> SignedHeader:
        """Itself, after recomputing the hash. Raises InvalidResponse if it differs."""
        if "0x" + block_hash(self.header).hex() != self.hash:
            raise InvalidResponse("the node's header has another hash than the node says")
        return self

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON."""
        return to_plain(self, prefix)


class ValidatorSet(NamedTuple):
    """Validators of one height, in canonical order."""

    height: U64
    validators: tuple[Validator, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON."""
        return to_plain(self, prefix)


class ProofAnswer(NamedTuple):
    """A state value or its absence, its proof, and the header whose `state_root` it leads to. Unchecked."""

    key: bytes
    value: bytes | None
    proof: TreeProof
    header: Header
    commit: Commit | None = None


class _ProofFrame(NamedTuple):
    key: bytes
    header: Header
    value: bytes | None = None
    commit: Commit | None = None


def read_proof(answer: Json, where: str = "state_getProof") -> ProofAnswer:
    """Read an answer of `state_getProof`; the proof is an object, or hex of its wire form.

    Raises InvalidResponse, or ProofInvalid for a malformed proof.
    """
    frame: _ProofFrame = read_answer(_ProofFrame, answer, where)
    form = answer.get("proof")
    if isinstance(form, str):
        proof = decode_proof(read_answer(bytes, form, f"{where}: proof"))
    else:
        proof = proof_from_json(form)
    return ProofAnswer(frame.key, frame.value, proof, frame.header, frame.commit)


class BlockTransaction(NamedTuple):
    """A transaction in a block; `transaction` is its JSON form, None where the node does not know a message."""

    hash: str
    size: int
    transaction: Json


class BlockAnswer(NamedTuple):
    """A block; its header's hash was recomputed, its transactions are as the node tells them."""

    height: int
    hash: str
    header: Header
    transactions: tuple[BlockTransaction, ...]
    evidence: tuple[Evidence, ...]
    commit: Commit | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON."""
        return {
            "height": self.height,
            "hash": self.hash,
            "header": write_answer(Header, self.header, prefix),
            "transactions": [item._asdict() for item in self.transactions],
            "evidence": [write_answer(Evidence, item, prefix) for item in self.evidence],
            "commit": None if self.commit is None else write_answer(Commit, self.commit, prefix),
        }


class _BlockTransactionFrame(NamedTuple):
    hash: HashText
    size: U32


class _BlockFrame(NamedTuple):
    header: Header
    hash: HashText
    transactions: tuple[_BlockTransactionFrame, ...]
    evidence: tuple[Evidence, ...] = ()
    commit: Commit | None = None


def read_block(answer: Json) -> BlockAnswer:
    """An answer of `chain_getBlock`. Raises InvalidResponse."""
    frame: _BlockFrame = read_answer(_BlockFrame, answer, "chain_getBlock")
    SignedHeader(frame.header, frame.hash).checked()
    transactions = tuple(
        BlockTransaction(item.hash, item.size, form.get("transaction"))
        for item, form in zip(frame.transactions, answer["transactions"], strict=True)
    )
    return BlockAnswer(
        frame.header.height, frame.hash, frame.header, transactions, frame.evidence, frame.commit
    )


class TransactionInfo(NamedTuple):
    """What a node knows of a transaction: waiting (`receipt` None), or included with its receipt."""

    hash: str
    height: int | None
    receipt: TransactionReceipt[Any] | None
    plain: dict[str, Json]

    @property
    def pending(self) -> bool:
        """Whether it still waits for a block."""
        return self.receipt is None

    def to_dict(self) -> dict[str, Json]:
        """Plain JSON, as the node gave it: with the transaction's own JSON form."""
        return self.plain
