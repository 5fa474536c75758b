"""`tx_` methods: submit, look up, simulate, estimate, decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from node.rpc.declare import method
from node.rpc.dispatcher import Caller
from node.rpc.render import (
    AMOUNT,
    BYTES,
    HASH,
    INTEGER,
    LOOKUP,
    SIMULATION,
    TRANSACTION,
    Renderer,
    hex_of,
    shape,
)
from node.rpc.strict_json import Json
from node.rpc.values import Timeout, TransactionInput
from node.service import Included, NodeService
from qenex.codec import codec_for
from qenex.errors import (
    AlreadyKnown,
    InsufficientFee,
    InsufficientFunds,
    InvalidParams,
    InvalidSignature,
    MalformedBytes,
    MempoolFull,
    NodeBusy,
    NotFound,
    OutcomeUnknown,
    QenexError,
    TransactionExpired,
    WrongChainId,
    WrongSequence,
)
from qenex.transaction import (
    MAX_TRANSACTION_SIZE,
    Signature,
    Transaction,
    assemble,
    decode_body,
    decode_transaction,
)
from qenex.types import Bytes32

ENTRY_ERRORS = (
    MalformedBytes, WrongChainId, WrongSequence, InvalidSignature, InsufficientFee, InsufficientFunds, AlreadyKnown,
    MempoolFull, NodeBusy,
)  # fmt: skip

GAS_PER_UNIT = 1_000
"""Gas (100 ns each) that one unit of a caller's rate pays for."""

_bytes = codec_for(bytes)


class TransactionMethods:
    """Transactions on their way in, and what became of them."""

    def __init__(self, service: NodeService, renderer: Renderer) -> None:
        self._service = service
        self._renderer = renderer

    @method(
        "tx_submit", result=shape("Submitted", hash=HASH, valid_until=INTEGER), cost=5, errors=ENTRY_ERRORS,
        together="submit_several",
    )  # fmt: skip
    async def submit(self, caller: Caller, transaction: TransactionInput) -> Json:
        """Verify and admit a signed transaction; it is pending after this, not yet included.

        It can be included up to the height `valid_until`, and not after it.

        Args:
            transaction: raw signed bytes as hex, or the JSON form with signatures.
        """
        tx = await self._service.submit(self._raw(transaction), caller.key)
        return _submitted(tx)

    async def submit_several(self, caller: Caller, calls: Sequence[list[Any]]) -> list[Json | QenexError]:
        """`submit` for several calls of a batch, verified together."""
        answers: list[Json | QenexError] = []
        raws: list[bytes] = []
        places: list[int] = []
        for at, (given,) in enumerate(calls):
            answers.append(None)
            try:
                raws.append(self._raw(given))
                places.append(at)
            except QenexError as error:
                answers[at] = error
        for at, found in zip(places, await self._service.submit_many(raws, caller.key), strict=True):
            answers[at] = found if isinstance(found, QenexError) else _submitted(found)
        return answers

    @method(
        "tx_submitAndWait", result=LOOKUP, cost=10, errors=(*ENTRY_ERRORS, OutcomeUnknown, TransactionExpired)
    )
    async def submit_and_wait(
        self, caller: Caller, transaction: TransactionInput, timeout_ms: Timeout = 20_000
    ) -> Json:
        """Submit, then wait until the transaction is included, which is final.

        After the deadline the error OutcomeUnknown has hash, valid_until and height in its data: do not
        sign again before valid_until has passed, look the hash up.

        Args:
            transaction: raw signed bytes as hex, or the JSON form with signatures.
            timeout_ms: milliseconds to wait, at most 60,000.
        """
        found = await self._service.submit_and_wait(self._raw(transaction), timeout_ms / 1000, caller.key)
        return self._renderer.included(found)

    @method("tx_get", result=LOOKUP, rest="/transactions/{hash}", cost=2, errors=(NotFound,))
    async def get(self, hash: Bytes32, prove: bool = False) -> Json:
        """A transaction: pending, or included with its receipt.

        Args:
            hash: the transaction's hash, of its body.
            prove: add the receipt's audit path and the header with its root, that of the next block.
        """
        found = await self._service.find(hash)
        if not isinstance(found, Included):
            if prove:
                raise NotFound("a pending transaction has no proof", hint="ask again when it is included")
            return self._renderer.waiting(found)
        answer = self._renderer.included(found)
        if prove:
            proof = await self._service.prove_receipt(found.height, found.position)
            answer["proof"] = self._renderer.receipt_proof(proof)
        return answer

    @method("tx_simulate", result=SIMULATION, cost=10, errors=(MalformedBytes, InsufficientFunds))
    async def simulate(self, caller: Caller, transaction: TransactionInput) -> Json:
        """What a transaction would do in the next block, by its receipt and its signers' balances; nothing is changed.

        `balance_changes` leave the fee out; a negative one is paid.

        Signatures are not looked at. A transaction that would fail has a status and an error; one that
        no block may take is refused with its 1000s error. Waiting transactions of its signers count as
        done where sequences and keys are concerned. Runs up to its gas limit, at most a block's.

        Args:
            transaction: body bytes or raw bytes as hex, or the JSON form, signed or not.
        """
        tx = self._unsigned(transaction)
        found = await self._service.simulate(tx)
        caller.owe(found.receipt.gas_used // GAS_PER_UNIT)
        return self._renderer.simulation(found, tx)

    @method(
        "tx_estimateFee",
        result=shape(
            "FeeEstimate", price=AMOUNT, gas_used=INTEGER, gas_limit=INTEGER, tip=AMOUNT, max=AMOUNT
        ),
        cost=10,
        errors=(MalformedBytes, InsufficientFunds),
    )
    async def estimate_fee(self, caller: Caller, transaction: TransactionInput) -> Json:
        """Gas limit and fee that will do, by simulation: `max` covers twice the present price.

        The fee that the transaction states is ignored, but for its tip.

        Args:
            transaction: body bytes or raw bytes as hex, or the JSON form, signed or not.
        """
        try:
            estimate = await self._service.estimate_fee(self._unsigned(transaction))
        except QenexError as error:
            caller.owe(int(error.__dict__.get("gas_used", 0)) // GAS_PER_UNIT)
            raise
        caller.owe(estimate.gas_used // GAS_PER_UNIT)
        return {
            "price": str(estimate.price),
            "gas_used": estimate.gas_used,
            "gas_limit": estimate.gas_limit,
            "tip": str(estimate.tip),
            "max": str(estimate.max),
        }

    @method(
        "tx_decode",
        result=shape("Decoded", hash=HASH, body=BYTES, size=INTEGER, transaction=TRANSACTION),
        cost=2,
        errors=(MalformedBytes,),
    )
    def decode(self, transaction: TransactionInput) -> Json:
        """The JSON form and the hash of a transaction given either way; the body is what is signed.

        Args:
            transaction: body bytes or raw bytes as hex, or the JSON form, signed or not.
        """
        tx = self._any(transaction)
        form = self._service.registry.transaction_to_json(tx, self._service.prefix)
        return {
            "hash": hex_of(tx.tx_id),
            "body": hex_of(tx.body_bytes),
            "size": tx.size or len(tx.body_bytes),
            "transaction": form,
        }

    # -- reading either form ------------------------------------------------------------------------

    def _raw(self, given: bytes | dict[str, Json]) -> bytes:
        """Raw bytes of a signed transaction in either form. Raises a 1000s error."""
        if isinstance(given, bytes):
            return given
        body = self._service.registry.body_from_json(given)
        return assemble(body, _signatures(given.get("signatures")))

    def _any(self, given: bytes | dict[str, Json]) -> Transaction:
        """A decoded transaction of either form, signed or not. Raises a 1000s error."""
        if isinstance(given, dict):
            if given.get("signatures"):
                return decode_transaction(self._raw(given))
            return decode_body(self._service.registry.body_from_json(given))
        if len(given) <= MAX_TRANSACTION_SIZE and _is_raw(given):
            return decode_transaction(given)
        return decode_body(given)

    def _unsigned(self, given: bytes | dict[str, Json]) -> Transaction:
        """The transaction without signatures, as a simulation runs it."""
        tx = self._any(given)
        return decode_body(tx.body_bytes) if tx.raw else tx


def _submitted(tx: Transaction) -> Json:
    return {"hash": hex_of(tx.tx_id), "valid_until": tx.valid_until}


def _is_raw(data: bytes) -> bool:
    """Raw bytes are an array of two, a body one of eight: the first byte tells."""
    return data[:1] == b"\x92"


def _signatures(given: Json) -> list[Signature]:
    if type(given) is not list or not given:
        raise InvalidParams("transaction: signatures is an array with one signature per signer")
    found: list[Signature] = []
    for item in given:
        try:
            if type(item) is list:
                found.append(tuple([None if member is None else _bytes.from_json(member) for member in item]))
            else:
                found.append(_bytes.from_json(item))
        except QenexError as error:
            raise MalformedBytes(f"signatures: {error.message}") from None
    return found
