"""The check of blocks, receipts and the transaction index against the headers' hashes."""

from __future__ import annotations

from ledger.blocks import (
    BODY_PART,
    COMMIT_PART,
    EVENTS_PART,
    HEADER_PART,
    decode_hook_events,
    decode_receipt,
    pack_place,
    part_key,
    receipt_tx_id,
    receipts_key,
    unpack_commit,
    unpack_header,
    unpack_receipts,
)
from ledger.findings import Findings
from ledger.keys import (
    BLOCK,
    BLOCK_HASH,
    RECEIPT,
    ROOT,
    TRANSACTION,
    VALIDATORS,
    VERSION_SIZE,
    version_key,
)
from ledger.meta import Meta
from ledger.validator_sets import unpack_set
from qenex.block import (
    Block,
    Header,
    commit_hash,
    decode_block,
    evidence_root,
    header_hash,
    transactions_root,
    validators_root,
)
from qenex.errors import QenexError
from qenex.hashing import HASH_SIZE, list_root
from qenex.transaction import decode_transaction


class _Chain:
    """Where the walk from the first header to the last stands."""

    def __init__(self, findings: Findings, meta: Meta, earliest: int, oldest_state: int) -> None:
        self.findings = findings
        self.meta = meta
        self.earliest = earliest
        self.oldest_state = oldest_state
        self.parent_hash: bytes | None = meta.genesis_hash
        self.parent_time = -1
        self.results_root: bytes | None = meta.genesis_hash
        """Recomputed for the block before; None where that was not possible."""
        self.indexed = 0

    def step(self, height: int) -> None:
        findings = self.findings
        place = f"block {height}"
        record = findings.get(part_key(height, HEADER_PART))
        header: Header | None = None
        if record is None:
            findings.add("missing", place, "no header")
        else:
            try:
                header = unpack_header(record)
            except QenexError as error:
                findings.add("damaged", place, f"header: {error.message}")
        digest = None if record is None else header_hash(record)
        if header is not None and digest is not None:
            self._check_header(height, place, header, digest)
        self._check_commit(height, place, digest)
        if height >= self.earliest:
            self.results_root = self._check_body(height, place, header)
        else:
            self.results_root = None
        self.parent_hash = digest
        self.parent_time = -1 if header is None else header.time

    def _check_header(self, height: int, place: str, header: Header, digest: bytes) -> None:
        findings, meta = self.findings, self.meta
        if header.height != height or header.chain_id != meta.chain_id:
            findings.add("mismatch", place, f"its header is of {header.chain_id[:64]!a} at {header.height}")
        if self.parent_hash is not None and header.parent_hash != self.parent_hash:
            findings.add("mismatch", place, "its header does not link to the block before")
        if header.time <= self.parent_time:
            findings.add("mismatch", place, "its time is not after that of the block before")
        if self.results_root is not None and header.results_root != self.results_root:
            findings.add("mismatch", place, "receipts and events of the block before have another root")
        if height == meta.initial_height:
            if header.state_root != meta.genesis_hash:
                findings.add("mismatch", place, "the first header's state root is the genesis hash")
        elif height - 1 >= self.oldest_state:
            root = findings.get(ROOT + version_key(height - 1))
            if root is None or root[:HASH_SIZE] != header.state_root:
                findings.add("mismatch", place, "its state root is not that of the stored tree")
        if findings.get(BLOCK_HASH + digest) != version_key(height):
            findings.add("mismatch", place, "its hash leads to another height or nowhere")

    def _check_commit(self, height: int, place: str, digest: bytes | None) -> None:
        record = self.findings.get(part_key(height, COMMIT_PART))
        if record is None:
            self.findings.add("missing", place, "no commit")
            return
        try:
            commit = unpack_commit(record)
        except QenexError as error:
            self.findings.add("damaged", place, f"commit: {error.message}")
            return
        if commit.height != height or (digest is not None and commit.block_hash != digest):
            self.findings.add("mismatch", place, "its commit is for another block")

    def _check_body(self, height: int, place: str, header: Header | None) -> bytes | None:
        """Return the results root, recomputed."""
        findings = self.findings
        body = findings.get(part_key(height, BODY_PART))
        tx_ids: list[bytes] | None = None
        if body is None:
            findings.add("missing", place, "no body")
        else:
            try:
                block = decode_block(body)
                tx_ids = self._check_contents(height, place, header, block)
            except QenexError as error:
                findings.add("damaged", place, f"body: {error.message}")
        return self._check_results(height, place, tx_ids)

    def _check_contents(self, height: int, place: str, header: Header | None, block: Block) -> list[bytes]:
        """Return the tx ids. Raises what decoding a transaction raises."""
        findings, own = self.findings, block.header
        if header is not None and own != header:
            findings.add("mismatch", place, "the header in its body is another one")
        transactions = [decode_transaction(raw) for raw in block.transactions]
        if transactions_root([tx.witness_id for tx in transactions]) != own.transactions_root:
            findings.add("mismatch", place, "its transactions have another root")
        if evidence_root(block.evidence) != own.evidence_root:
            findings.add("mismatch", place, "its evidence has another root")
        if commit_hash(block.commit) != own.commit_hash:
            findings.add("mismatch", place, "the commit in it has another hash")
        first = height == self.meta.initial_height
        commit = block.commit
        if (commit is None) is not first or (commit is not None and commit.height != height - 1):
            findings.add("mismatch", place, "the commit in it is not of the block before")
        elif commit is not None and self.parent_hash not in (None, commit.block_hash):
            findings.add("mismatch", place, "the commit in it is for another block")
        for index, tx in enumerate(transactions):
            if findings.get(TRANSACTION + tx.tx_id) != pack_place(height, index):
                findings.add("mismatch", f"transaction {tx.tx_id.hex()}", "the index does not lead to it")
        self.indexed += len(transactions)
        return [tx.tx_id for tx in transactions]

    def _check_results(self, height: int, place: str, tx_ids: list[bytes] | None) -> bytes | None:
        findings = self.findings
        record = findings.get(receipts_key(height))
        hooks = findings.get(part_key(height, EVENTS_PART))
        if record is None or hooks is None:
            findings.add("missing", place, "no receipts" if record is None else "no events")
            return None
        try:
            receipts = unpack_receipts(record)
            for receipt in receipts:
                decode_receipt(receipt)
            decode_hook_events(hooks)
            if tx_ids is not None and [receipt_tx_id(receipt) for receipt in receipts] != tx_ids:
                findings.add("mismatch", place, "its receipts are of other transactions")
        except QenexError as error:
            findings.add("damaged", place, f"receipts or events: {error.message}")
            return None
        return list_root([*receipts, hooks])


def check_blocks(findings: Findings, meta: Meta, first: int, earliest: int, oldest_state: int) -> None:
    """Check every block from the `first` that is kept to `meta.height`; bodies from height `earliest` on."""
    last = meta.height
    chain = _Chain(findings, meta, earliest, oldest_state)
    if first > meta.initial_height:
        chain.parent_hash = chain.results_root = None  # the block before is not here
    for height in range(first, last + 1):
        chain.step(height)
        findings.tick("chain")
    if chain.parent_hash is not None and chain.parent_hash != meta.block_hash:
        findings.add("mismatch", f"block {last}", "its hash is not the one noted as the last")
    if chain.results_root is not None and chain.results_root != meta.results_root:
        findings.add("mismatch", f"block {last}", "its results root is not the one noted as the last")
    for key, _ in findings.scan(BLOCK):
        height = int.from_bytes(key[1 : 1 + VERSION_SIZE], "big")
        low = first if key[-1] in (HEADER_PART, COMMIT_PART) else earliest
        if len(key) != 2 + VERSION_SIZE or key[-1] > EVENTS_PART or not low <= height <= last:
            findings.add("unknown_record", key[:80].hex(), "no part of a kept block")
    for key, _ in findings.scan(RECEIPT):
        if len(key) != 1 + VERSION_SIZE or not max(first, earliest) <= int.from_bytes(key[1:], "big") <= last:
            findings.add("unknown_record", key[:80].hex(), "no receipts of a kept block")
    _check_sets(findings, first, last)
    hashes = sum(1 for _ in findings.scan(BLOCK_HASH))
    if hashes != last + 1 - first:
        findings.add("mismatch", "block_hashes", f"{hashes} entries for {last + 1 - first} blocks")
    entries = sum(1 for _ in findings.scan(TRANSACTION))
    if entries != chain.indexed:
        findings.add("mismatch", "transactions", f"{entries} entries for {chain.indexed} transactions")


def _check_sets(findings: Findings, first: int, last: int) -> None:
    """Each stored validator set is the one that the header of its height names, and no header names another."""
    roots: dict[int, bytes] = {}
    for key, record in findings.scan(VALIDATORS):
        height = int.from_bytes(key[1:], "big")
        if len(key) != 1 + VERSION_SIZE or not first <= height <= last + 1:
            findings.add("unknown_record", key[:80].hex(), "the validator set of no kept height")
            continue
        try:
            roots[height] = validators_root(unpack_set(record))
        except QenexError as error:
            findings.add("damaged", f"validator set {height}", error.message)
    current = b""
    for height in range(first, last + 1):
        current = roots.get(height, current)
        record_of = findings.get(part_key(height, HEADER_PART))
        try:
            header = None if record_of is None else unpack_header(record_of)
        except QenexError:  # reported where headers are checked
            continue
        if header is None:
            continue
        if header.validators_hash != current:
            findings.add("mismatch", f"block {height}", "the stored validator set is not the one it names")
            current = header.validators_hash
        if header.next_validators_hash != roots.get(height + 1, current):
            findings.add(
                "mismatch", f"block {height}", "the stored next validator set is not the one it names"
            )
