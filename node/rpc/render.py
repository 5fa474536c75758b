"""JSON forms of what the chain holds, and their schemas: the one place where both stand side by side."""

from __future__ import annotations

from typing import Any, Final

from node.events import Located
from node.rpc.declare import Schema
from node.rpc.strict_json import Encoded, Json, dumps
from node.service import Included, NodeService, Proved, ReceiptProof
from node.simulation import Simulation, receipt_error
from node.steps import Slice, Steps
from qenex.block import COMMIT, EVIDENCE, HEADER, VALIDATOR, Block, Commit, Header, Receipt
from qenex.codec import time_to_text
from qenex.crypto.address import encode_address
from qenex.errors import QenexError
from qenex.proof import proof_to_json
from qenex.transaction import Transaction, decode_transaction

# -- schemas -----------------------------------------------------------------------------------------

INTEGER: Final[Schema] = {"type": "integer", "minimum": 0}
TEXT: Final[Schema] = {"type": "string"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
BYTES: Final[Schema] = {"type": "string", "pattern": "^0x([0-9a-f]{2})*$"}
HASH: Final[Schema] = {"type": "string", "pattern": "^0x[0-9a-f]{64}$"}
AMOUNT: Final[Schema] = {"type": "string", "pattern": "^(0|[1-9][0-9]*)$", "description": "base units"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
ADDRESS: Final[Schema] = {"type": "string", "pattern": "^(qx|tqx)1[02-9ac-hj-np-z]{59}$"}
ANY_OBJECT: Final[Schema] = {"type": "object"}


def nullable(schema: Schema) -> Schema:
    """`schema` or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema) -> Schema:
    """An array of `items`."""
    return {"type": "array", "items": items}


def shape(title: str, *, optional: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object with exactly these properties, all required but the `optional` ones."""
    return {
        "type": "object",
        "title": title,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def page(title: str, items: Schema) -> Schema:
    """A page of a list."""
    return shape(title, items=array(items), next_cursor=nullable(TEXT))


ERROR: Final = shape(
    "ExecutionError", code={"type": "integer"}, name=TEXT, message=TEXT, hint=TEXT, retryable=BOOLEAN
)
EVENT: Final = shape("Event", name=TEXT, fields=ANY_OBJECT)
RECEIPT: Final = shape(
    "Receipt", tx_id=HASH, status=INTEGER, error=nullable(ERROR), failed_message=nullable(INTEGER),
    gas_used=INTEGER, fee=AMOUNT, results={"type": "array"}, events=array(EVENT),
)  # fmt: skip
BALANCE_CHANGE: Final = shape("BalanceChange", address=TEXT, denom=TEXT, change=TEXT)
SIMULATION: Final = shape(
    "Simulation", tx_id=HASH, status=INTEGER, error=nullable(ERROR), failed_message=nullable(INTEGER),
    gas_used=INTEGER, fee=AMOUNT, results={"type": "array"}, events=array(EVENT),
    balance_changes=array(BALANCE_CHANGE),
)  # fmt: skip
SIGNED_HEADER: Final = shape("SignedHeader", height=INTEGER, hash=HASH, header=HEADER.schema)
TRANSACTION: Final[Schema] = {
    "type": "object",
    "title": "TransactionForm",
    "description": "chain_id, signers, messages with named arguments, fee, valid_until, lease, memo, signatures",
    "required": ["chain_id", "signers", "messages", "fee", "valid_until", "lease", "memo", "signatures"],
}
BLOCK_TRANSACTION: Final = shape(
    "BlockTransaction", hash=HASH, size=INTEGER, transaction=nullable(TRANSACTION)
)
BLOCK: Final = shape(
    "Block", height=INTEGER, hash=HASH, header=HEADER.schema, transactions=array(BLOCK_TRANSACTION),
    evidence=array(EVIDENCE.schema), commit=nullable(COMMIT.schema),
)  # fmt: skip
TREE_PROOF: Final = shape(
    "TreeProof", bitmaps=array(INTEGER), siblings=array(HASH), terminal=TEXT, path=nullable(HASH),
    value_hash=nullable(HASH),
)  # fmt: skip
PROVED_ENTRY: Final = shape("ProvedEntry", key=BYTES, value=nullable(BYTES), proof=TREE_PROOF)
STATE_PROOF: Final = shape(
    "StateProof", height=INTEGER, key=BYTES, value=nullable(BYTES), proof=TREE_PROOF, header=HEADER.schema,
    header_hash=HASH, commit=nullable(COMMIT.schema),
)  # fmt: skip
RECEIPT_PROOF: Final = shape(
    "ReceiptProof", receipt=BYTES, index=INTEGER, count=INTEGER, proof=array(HASH), header=HEADER.schema,
    header_hash=HASH, commit=nullable(COMMIT.schema),
)  # fmt: skip
STATE: Final[Schema] = {"type": "string", "enum": ["pending", "included"]}
LOOKUP: Final = shape(
    "TransactionLookup", optional=("proof",), hash=HASH, state=STATE, height=nullable(INTEGER),
    index=nullable(INTEGER), block_hash=nullable(HASH), time=nullable(TIME), valid_until=INTEGER, size=INTEGER,
    transaction=nullable(TRANSACTION), receipt=nullable(RECEIPT), proof=RECEIPT_PROOF,
)  # fmt: skip
LOCATED_EVENT: Final = shape(
    "LocatedEvent", cursor=TEXT, height=INTEGER, source={"type": "string", "enum": ["block", "transaction"]},
    transaction_hash=nullable(HASH), name=TEXT, fields=ANY_OBJECT,
)  # fmt: skip


def proved(value: Schema, title: str) -> Schema:
    """What a read answers with `prove: true`."""
    return shape(
        title, value=value, height=INTEGER, proofs=array(PROVED_ENTRY), header=HEADER.schema, header_hash=HASH,
        commit=nullable(COMMIT.schema),
    )  # fmt: skip


# -- forms ---------------------------------------------------------------------------------------------


def hex_of(data: bytes) -> str:
    """Lower-case hex with 0x."""
    return "0x" + data.hex()


class Renderer:
    """Forms that need the registry's names and the network's address prefix."""

    def __init__(self, service: NodeService) -> None:
        self._service = service
        self._registry = service.registry
        self._prefix = service.prefix

    def header(self, height: int, header: Header, block_hash: bytes) -> Json:
        """A header with its hash."""
        return {"height": height, "hash": hex_of(block_hash), "header": HEADER.to_json(header, self._prefix)}

    def commit(self, commit: Commit | None) -> Json:
        """A commit, or null."""
        return None if commit is None else COMMIT.to_json(commit, self._prefix)

    def validators(self, validators: Any) -> Json:
        """Validators in canonical order."""
        return [VALIDATOR.to_json(validator, self._prefix) for validator in validators]

    def transaction(self, tx: Transaction) -> Json:
        """The JSON form; null where this version does not know a message."""
        try:
            return self._registry.transaction_to_json(tx, self._prefix)
        except QenexError:
            return None

    def block_steps(self, block: Block, block_hash: bytes) -> Steps[Encoded]:
        """A whole block, in slices: it may have thousands of transactions, and to write their text at once takes as long."""
        transactions: list[str] = []
        turn = Slice()
        for raw in block.transactions:
            tx = decode_transaction(raw)
            form = {"hash": hex_of(tx.tx_id), "size": len(raw), "transaction": self.transaction(tx)}
            transactions.append(dumps(form))
            if turn.over():
                yield
        rest = {
            **self.header(block.header.height, block.header, block_hash),
            "evidence": [EVIDENCE.to_json(item, self._prefix) for item in block.evidence],
            "commit": self.commit(block.commit),
        }
        return Encoded(f'{dumps(rest)[:-1]},"transactions":[{",".join(transactions)}]}}')

    def receipt(self, receipt: Receipt, tx: Transaction) -> Json:
        """A receipt with named results and events, and the error's words where it failed."""
        form = self._registry.receipt_to_json(receipt, tx, self._prefix)
        form["error"] = receipt_error(receipt).to_dict() if receipt.status else None
        return form

    def simulation(self, found: Simulation, tx: Transaction) -> Json:
        """A simulated receipt, and what changes in the signers' balances besides the fee."""
        changes = [
            {
                "address": encode_address(change.address, self._prefix),
                "denom": change.denom,
                "change": str(change.change),
            }
            for change in found.changes
        ]
        form = self.receipt(found.receipt, tx)
        if found.error is not None:  # in its own words, which no block keeps
            form["error"] = receipt_error(found.receipt, found.error).to_dict()
        return {**form, "balance_changes": changes}

    def included(self, found: Included) -> Json:
        """A transaction on chain, as `tx_get` answers."""
        return {
            "hash": hex_of(found.tx.tx_id),
            "state": "included",
            "height": found.height,
            "index": found.position,
            "block_hash": hex_of(found.block_hash),
            "time": time_to_text(found.header.time),
            "valid_until": found.tx.valid_until,
            "size": found.tx.size,
            "transaction": self.transaction(found.tx),
            "receipt": self.receipt(found.receipt, found.tx),
        }

    def waiting(self, tx: Transaction) -> Json:
        """A transaction in the pool, as `tx_get` answers."""
        return {
            "hash": hex_of(tx.tx_id),
            "state": "pending",
            "height": None,
            "index": None,
            "block_hash": None,
            "time": None,
            "valid_until": tx.valid_until,
            "size": tx.size,
            "transaction": self.transaction(tx),
            "receipt": None,
        }

    def event(self, item: Located) -> Json:
        """An event at its place; `cursor` is the place after it."""
        return {
            "cursor": str(item.next),
            "height": item.cursor.height,
            "source": "block" if item.tx_id is None else "transaction",
            "transaction_hash": None if item.tx_id is None else hex_of(item.tx_id),
            **self._registry.event_to_json(item.event, self._prefix),
        }

    def proofs(self, proof: Proved) -> dict[str, Json]:
        """Proved entries with the header that carries their root."""
        return {
            "height": proof.height,
            "proofs": [
                {
                    "key": hex_of(key),
                    "value": None if value is None else hex_of(value),
                    "proof": proof_to_json(path),
                }
                for key, value, path in proof.entries
            ],
            "header": HEADER.to_json(proof.header, self._prefix),
            "header_hash": hex_of(proof.header_hash),
            "commit": self.commit(proof.commit),
        }

    def state_proof(self, proof: Proved) -> Json:
        """One proved entry, as `state_getProof` answers."""
        form = self.proofs(proof)
        (entry,) = form.pop("proofs")
        return {**form, **entry}

    def receipt_proof(self, proof: ReceiptProof) -> Json:
        """The audit path of a receipt."""
        return {
            "receipt": hex_of(proof.receipt),
            "index": proof.position,
            "count": proof.leaves,
            "proof": [hex_of(sibling) for sibling in proof.path],
            "header": HEADER.to_json(proof.header, self._prefix),
            "header_hash": hex_of(proof.header_hash),
            "commit": self.commit(proof.commit),
        }
