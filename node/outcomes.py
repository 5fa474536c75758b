"""What the application answers an engine with: proposals, results, commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ledger.staging import Staged
from ledger.state import Value
from node.events import BlockEvents
from qenex.block import Block, Commit, Evidence, Header, Receipt, Validator
from qenex.crypto.address import Address
from qenex.state_keys import ModuleId
from qenex.transaction import Transaction
from vm.execution import BlockResult

FEE_EXCESS: Final = bytes((ModuleId.MACHINE, 1))
"""State key of the fee market's excess: it alone may change in an empty block."""


class Info(NamedTuple):
    """Where the application stands. `state_root` is that after `height`."""

    chain_id: str
    protocol_version: int
    height: int
    block_hash: bytes
    state_root: bytes


class Proposal(NamedTuple):
    """A block this node would propose, already executed."""

    block: Block
    hash: bytes


class ProposalAnswer(NamedTuple):
    """Whether to prevote for a proposal; `reason` says why not."""

    accepted: bool
    reason: str = ""


class Executed(NamedTuple):
    """A block with everything it does."""

    block: Block
    hash: bytes
    transactions: Sequence[Transaction]
    tx_ids: Sequence[bytes]
    """Theirs, in their order."""
    result: BlockResult

    @property
    def state(self) -> tuple[int, Mapping[bytes, Value | None], Mapping[bytes, Value | None]]:
        """Height, changes and what they replace, as `Ledger.prepare` takes them."""
        return self.block.header.height, self.result.changes, self.result.replaced


class FinalizeResult(NamedTuple):
    """Outcome of a decided block. `validators` is the set that becomes active two heights later."""

    receipts: Sequence[Receipt]
    validators: tuple[Validator, ...]
    results_root: bytes
    state_root: bytes
    gas_used: int


class Committed(NamedTuple):
    """What the observers of commits are told."""

    height: int
    hash: bytes
    header: Header
    round: int
    size: int
    result: BlockResult
    events: BlockEvents
    tx_ids: Sequence[bytes]

    @property
    def eventful(self) -> bool:
        """Whether the block did anything: its root should get a header soon."""
        result = self.result
        return bool(
            result.receipts
            or result.begin_events
            or result.end_events
            or any(key[:2] != FEE_EXCESS for key in result.changes)
        )


class Filled(NamedTuple):
    """A proposal of this node's, executed, without its header: the root of the block before may not be known yet."""

    time: int
    proposer: Address
    evidence: tuple[Evidence, ...]
    commit: Commit | None
    transactions: Sequence[Transaction]
    raws: Sequence[bytes]
    """Their bytes, in their order, and so the identifiers."""
    witness_ids: Sequence[bytes]
    tx_ids: Sequence[bytes]
    invalid: Sequence[Transaction]
    result: BlockResult


class Decided(NamedTuple):
    """A block between `commit_values` and `commit_tree`."""

    executed: Executed
    seen_commit: Commit
    block_bytes: bytes
    validators: tuple[Validator, ...]
    """Of this height."""
    next_validators: tuple[Validator, ...]
    committed: Committed


class Pending(NamedTuple):
    """A block between `commit_begin` and `commit_end`."""

    staged: Staged
    committed: Committed
