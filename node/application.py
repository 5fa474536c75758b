"""`Application`: the state machine as consensus sees it, in the field's own words (ABCI 2.0).

An engine calls, per height and in this order:

    prepare_proposal   (the proposer) executes while it fills, so a proposal is always valid
    process_proposal   executes a proposal on an overlay before the prevote; the result is kept by hash
    finalize_block     the block is decided: its result, kept or made now, and the new state root
    commit             everything durable in one batch; then pool, check state and subscribers follow

Each of these is also there as `..._steps`, a generator that yields between slices of about 4 ms, which
`node.steps.drive` runs on the event loop. Nothing is written before `commit`, so any proposal may be
thrown away. `info`, `init_chain`, `check_tx` and `query` complete the face, and the four snapshot methods: a node
with `snapshots` lists and hands them out; an application whose ledger has no state yet takes one, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from consensus.validators import ValidatorSet
from ledger.staging import Prepared
from ledger.state import Readable
from ledger.store import Ledger
from node.admission import Admission
from node.events import BlockEvents, EventsOfReceipts
from node.evidence import EvidenceRules
from node.foreign_blocks import verify_transactions
from node.late_votes import LateVotes
from node.mempool import Mempool
from node.outcomes import (
    Committed,
    Decided,
    Executed,
    Filled,
    FinalizeResult,
    Info,
    Pending,
    Proposal,
    ProposalAnswer,
)
from node.rotation import Turns
from node.snapshot_face import SnapshotFace
from node.steps import Slice, Steps, drive, run
from node.tree_process import TreeProcess
from node.upgrades import PROTOCOL_VERSION, check_upgrade
from node.validation import Expected, Rejected, VerifyAll, check_commit, check_contents, check_header
from node.verifier import Verifier
from qenex.block import (
    FLAG_ABSENT,
    MAX_BLOCK_SIZE,
    MAX_BLOCK_TRANSACTIONS,
    Block,
    Commit,
    Evidence,
    Header,
    SignedVote,
    block_hash,
    commit_hash,
    encode_block,
    evidence_root,
    validators_root,
)
from qenex.crypto.address import Address
from qenex.errors import InsufficientFee, NotFound, ProcessFailed, QenexError
from qenex.hashing import list_root
from qenex.transaction import Transaction, decode_transaction
from vm.context import BlockInfo
from vm.execution import BlockExecution
from vm.machine import CheckState, Machine

log = logging.getLogger("qenex.application")

PRUNE_STEP: Final = 500
"""Records deleted at once: about 2 ms."""
MAX_KEPT: Final = 4
"""Executed proposals of one height that are kept."""
MAX_MISSES: Final = 100
"""Transactions in a row that do not fit, after which a nearly full proposal counts as full."""
NEARLY_FULL_PERCENT: Final = 90
"""Of gas USED or of bytes. Limits alone fill no block: they cost their sender nothing, and a hundred accounts
with the highest gas limits would keep everybody else out."""


def _nobody(committed: Committed) -> None:
    """Default of `Application.on_commit`."""


def _nearly_full(execution: BlockExecution, room: int, max_bytes: int) -> bool:
    params = execution.params
    limit = min(max_bytes, params.max_block_bytes)
    return (
        100 * execution.gas_used >= NEARLY_FULL_PERCENT * params.max_block_gas
        or 100 * (max_bytes - room) >= NEARLY_FULL_PERCENT * limit
    )


class Application(SnapshotFace):
    """See the module. One thread; at most one execution at a time."""

    def __init__(
        self, machine: Machine, ledger: Ledger, verifier: Verifier, *, mempool: Mempool | None = None
    ) -> None:
        self.machine = machine
        self.ledger = ledger
        self.verifier = verifier
        self.genesis = ledger.genesis
        self.mempool = Mempool() if mempool is None else mempool
        machine.verify = verifier.check
        self.verify_votes: VerifyAll = verifier.verify_now
        """An engine puts one here that knows what it has seen."""
        self.evidence = EvidenceRules(machine, ledger, lambda: (self.last_validators, self.verify_votes))
        self.on_commit: Callable[[Committed], None] = _nobody
        self.tree_process: TreeProcess | None = None
        """What computes trees, if not this process."""
        self._kept: dict[bytes, Executed] = {}
        self._prepared: tuple[bytes, Prepared] | None = None
        self._decided: Executed | None = None
        """Between `commit_values` and `commit_tree`."""
        self._turns = Turns(machine)
        self.late = LateVotes(self.genesis.chain_id)
        if ledger.initialised:
            self._load()

    # -- start -------------------------------------------------------------------------------

    @classmethod
    def init_chain(cls, machine: Machine, ledger: Ledger) -> bytes:
        """Import the genesis into a new ledger; returns the state root. Raises InvalidGenesis."""
        return ledger.initialise(machine.init_chain(ledger.genesis))

    def _load(self) -> None:
        """Stand on what the ledger holds."""
        ledger, machine, first = self.ledger, self.machine, self.genesis.initial_height
        height = ledger.height
        self.parent = ledger.header
        """Header of the last block; None before the first."""
        self.seen_commit: Commit | None = None
        """The precommits that decided the last block: the next one carries them."""
        # The set of a height is the one that the state two heights before names.
        self.validators = self.last_validators = self.next_validators = machine.validators(ledger.committed)
        if height >= first:
            self.seen_commit = ledger.blocks.commit(height)
            self.validators = ledger.validators_at(height + 1)
            self.last_validators = ledger.validators_at(height)
        check = CheckState(machine, ledger.committed, self.genesis.chain_id, height + 1)
        self.admission = Admission(check, self.mempool, self.verifier)
        self.admission.load = self.ledger.committed.load

    def info(self) -> Info:
        """Height, hash and state root of the last durable block, and versions."""
        ledger, height = self.ledger, self.ledger.durable_height
        name = root = ledger.genesis_hash
        if height >= self.genesis.initial_height:
            name, root = ledger.blocks.hash(height), ledger.root_of(height)
        return Info(self.genesis.chain_id, PROTOCOL_VERSION, height, name, root)

    @property
    def parent_time(self) -> int:
        """Time of the last block in ns; that of the genesis before the first."""
        return self.genesis.time if self.parent is None else self.parent.time

    def expected(self) -> Expected:
        """The header fields that the chain dictates for the next block."""
        ledger = self.ledger
        return Expected(
            protocol_version=self.genesis.protocol_version,
            chain_id=self.genesis.chain_id,
            height=ledger.height + 1,
            parent_hash=ledger.block_hash,
            parent_time=self.parent_time,
            validators_hash=validators_root(self.validators),
            next_validators_hash=validators_root(self.next_validators),
            parameters_hash=self.machine.parameters_hash(ledger.committed),
            state_root=ledger.state_root,
            results_root=ledger.results_root,
        )

    def rotation(self, height: int) -> ValidatorSet:
        """The validators of `height` with their proposer priorities, from the oldest kept state to two heights ahead.

        Raises NotFound or Pruned. Asked height after height it costs one turn each, else up to 1,000.
        """
        ledger, ahead = self.ledger, height - self.ledger.height
        if ahead > 2:
            raise NotFound(f"the validators of height {height} are not known yet")
        if ahead >= 1:
            base: Readable = ledger.committed
            validators = self.validators if ahead == 1 else self.next_validators
        else:
            first = self.genesis.initial_height
            base, validators = ledger.view(max(height - 1, first - 1)), ledger.validators_at(height)
        return self._turns.at(base, height, validators)

    def note_late(self, vote: SignedVote) -> bool:
        """Add a precommit that came after the decision to the commit that the next block carries; whether it was."""
        commit = self.late.added(self.seen_commit, vote, self.last_validators, self.verify_votes)
        self.seen_commit = commit or self.seen_commit
        return commit is not None

    # -- transactions --------------------------------------------------------------------------

    def check_tx(self, raw: bytes) -> Transaction:
        """Admit raw transaction bytes to the pool. Raises a 1000s error; `submit` is the batching form."""
        return self.admission.check_tx(raw)

    async def submit(self, raw: bytes) -> Transaction:
        """As `check_tx`, with the signatures verified in worker processes."""
        return await self.admission.submit(raw)

    # -- a proposal of our own -------------------------------------------------------------------

    def _block_info(
        self, time: int, proposer: Address, evidence: tuple[Evidence, ...], commit: Commit | None = None
    ) -> BlockInfo:
        votes = () if commit is None else commit.signatures
        absent = tuple([vote.address for vote in votes if vote.flag == FLAG_ABSENT])
        return BlockInfo(
            self.genesis.chain_id, self.ledger.height + 1, time, self.parent_time, proposer, evidence,
            self.genesis.protocol_version, self.validators, absent,
        )  # fmt: skip

    def prepare_proposal_steps(
        self,
        time: int,
        proposer: Address,
        *,
        evidence: tuple[Evidence, ...] = (),
        max_bytes: int = MAX_BLOCK_SIZE,
        enough: Callable[[], bool] = bool,
    ) -> Steps[Proposal]:
        """A block for the next height: `fill_steps`, then `propose`."""
        filled = yield from self.fill_steps(
            time, proposer, evidence=evidence, max_bytes=max_bytes, enough=enough
        )
        return self.propose(filled)

    def fill_steps(
        self,
        time: int,
        proposer: Address,
        *,
        evidence: tuple[Evidence, ...] = (),
        max_bytes: int = MAX_BLOCK_SIZE,
        enough: Callable[[], bool] = bool,
    ) -> Steps[Filled]:
        """Fill a block for the next height from the pool, executing what goes in.

        `time` in ns, later than the parent's; `max_bytes` bounds the raw transactions, `enough` (asked
        between slices) the time: what others cannot check in time is no proposal. What may not stand at its place is left out, and leaves the pool unless it only offers too little for now.
        """
        yield from self.admission.recipients_steps()
        commit = self.seen_commit  # a late vote may be added to it while this is filled
        execution = self.machine.begin(
            self.ledger.committed, self._block_info(time, proposer, evidence, commit)
        )
        chosen: list[Transaction] = []
        invalid: list[Transaction] = []
        # What header, block and pool need of each, taken while it is in the processor's cache: a pass later costs 0.2 us.
        raws, witness_ids, tx_ids = list[bytes](), list[bytes](), list[bytes]()
        room = max_bytes
        misses = 0
        turn = Slice()
        order = self.mempool.in_order()
        for tx in order:
            if turn.over():
                yield  # also between those that are left out: a whole pool may be
                if chosen and enough():
                    break
            if len(chosen) == MAX_BLOCK_TRANSACTIONS:
                break
            if misses > MAX_MISSES and _nearly_full(execution, room, max_bytes):
                break
            raw = tx.raw
            size = len(raw) + 5
            try:
                if size > room or not execution.take(tx):
                    order.skip()
                    misses += 1
                    continue
            except InsufficientFee:
                order.skip()  # the price has risen; it may fall again before this one expires
                continue
            except QenexError as error:
                log.debug("left out of a proposal", extra={"tx": tx.tx_id, "reason": error.name})
                order.skip()
                invalid.append(tx)
                continue
            misses = 0
            room -= size
            chosen.append(tx)
            raws.append(raw)
            witness_ids.append(tx.witness_id)
            tx_ids.append(tx.tx_id)
        yield
        return Filled(
            time, proposer, evidence, commit, chosen, raws, witness_ids, tx_ids, invalid, execution.end()
        )

    def propose(self, filled: Filled) -> Proposal:
        """Make a proposal of what was filled for the next height, once the root of the last block is known."""
        header = self._header(filled)
        block = Block(header, tuple(filled.raws), filled.evidence, filled.commit)
        executed = Executed(block, block_hash(header), filled.transactions, filled.tx_ids, filled.result)
        self._keep(executed)
        if filled.invalid:
            self.admission.discard(filled.invalid)
        return Proposal(block, executed.hash)

    def prepare_proposal(
        self,
        time: int,
        proposer: Address,
        *,
        evidence: tuple[Evidence, ...] = (),
        max_bytes: int = MAX_BLOCK_SIZE,
    ) -> Proposal:
        """`prepare_proposal_steps` at once."""
        return run(self.prepare_proposal_steps(time, proposer, evidence=evidence, max_bytes=max_bytes))

    def _header(self, filled: Filled) -> Header:
        expected = self.expected()
        return Header(
            protocol_version=expected.protocol_version,
            chain_id=expected.chain_id,
            height=expected.height,
            time=filled.time,
            parent_hash=expected.parent_hash,
            proposer=filled.proposer,
            validators_hash=expected.validators_hash,
            next_validators_hash=expected.next_validators_hash,
            parameters_hash=expected.parameters_hash,
            state_root=expected.state_root,
            results_root=expected.results_root,
            transactions_root=list_root(filled.witness_ids),
            evidence_root=evidence_root(filled.evidence),
            commit_hash=commit_hash(filled.commit),
        )

    # -- a proposal of anybody -------------------------------------------------------------------

    def process_proposal_steps(
        self, block: Block, transactions: Sequence[Transaction] | None = None
    ) -> Steps[ProposalAnswer]:
        """Whether this block may follow the last one: every field, signature and transaction.

        The proposer's clock is the engine's to judge. An own proposal was executed when it was made. `transactions` is what
        `verify_block` gave.
        """
        if block_hash(block.header) in self._kept and self._is_kept(block):
            return ProposalAnswer(True)
        try:
            executed = yield from self._execute_steps(block, transactions)
        except Rejected as reason:
            return ProposalAnswer(False, str(reason))
        self._keep(executed)
        return ProposalAnswer(True)

    def process_proposal(self, block: Block) -> ProposalAnswer:
        """`process_proposal_steps` at once."""
        return run(self.process_proposal_steps(block))

    def _is_kept(self, block: Block) -> bool:
        """The header commits to the whole block, so equal headers with other contents are a forgery."""
        return self._kept[block_hash(block.header)].block == block

    def _execute_steps(
        self, block: Block, transactions: Sequence[Transaction] | None, *, decided: bool = False
    ) -> Steps[Executed]:
        header = block.header
        check_header(header, self.expected(), self.validators)
        check_contents(block)
        chain_id, height = self.genesis.chain_id, header.height
        if height == self.genesis.initial_height:
            if block.commit is not None:
                raise Rejected("the first block has no commit")
        else:
            check_commit(
                block.commit,
                chain_id=chain_id,
                height=height - 1,
                block_hash=self.ledger.block_hash,
                validators=self.last_validators,
                verify=self.verify_votes,
            )
        self.evidence.check_block(block, decided=decided)
        if transactions is None:
            transactions = yield from self._decode_steps(block.transactions)
        if list_root([tx.witness_id for tx in transactions]) != header.transactions_root:
            raise Rejected("header.transactions_root does not match the transactions")
        yield from self.admission.recipients_steps()
        info = self._block_info(header.time, header.proposer, block.evidence, block.commit)
        execution = self.machine.begin(self.ledger.committed, info)
        turn = Slice()
        for index, tx in enumerate(transactions):
            try:
                fitted = execution.take(tx)
            except QenexError as error:
                raise Rejected(f"transaction {index} may not stand here: {error.name}") from None
            if not fitted:
                raise Rejected(f"transaction {index} does not fit the block's gas or bytes")
            if turn.over():
                yield
        yield
        tx_ids = [tx.tx_id for tx in transactions]
        return Executed(block, block_hash(header), transactions, tx_ids, execution.end())

    def _decode_steps(self, raws: Sequence[bytes]) -> Steps[list[Transaction]]:
        transactions: list[Transaction] = []
        turn = Slice()
        for index, raw in enumerate(raws):
            known = self.mempool.get_raw(raw)
            try:
                transactions.append(decode_transaction(raw) if known is None else known)
            except QenexError as error:
                raise Rejected(f"transaction {index} is malformed: {error.name}") from None
            if turn.over():
                yield
        return transactions

    async def verify_block(self, block: Block, *, remember: bool = True) -> Sequence[Transaction] | None:
        """A foreign block's transactions, decoded, their signatures verified in the workers; see `node.foreign_blocks`."""
        return await verify_transactions(block, self.admission, remember=remember)

    def _keep(self, executed: Executed) -> None:
        while len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[executed.hash] = executed

    # -- decided ---------------------------------------------------------------------------------

    def finalize_block_steps(self, block: Block) -> Steps[FinalizeResult]:
        """The result of a decided block, kept from its proposal or made now, and its state root.

        Raises Rejected if it was never acceptable: then more than a third of the power is at fault.
        """
        executed = yield from self.executed_steps(block)
        prepared = yield from self.build_tree_steps(executed.hash)
        result = executed.result
        return FinalizeResult(
            result.receipts, result.validators, result.results_root, prepared.root, result.gas_used
        )

    def finalize_block(self, block: Block) -> FinalizeResult:
        """`finalize_block_steps` at once."""
        return run(self.finalize_block_steps(block))

    def executed_steps(
        self, block: Block, transactions: Sequence[Transaction] | None = None
    ) -> Steps[Executed]:
        """A decided block with what it does, kept from its proposal or executed now. Raises Rejected.

        `transactions` is what `verify_block` gave.
        """
        name = block_hash(block.header)
        if name not in self._kept or not self._is_kept(block):
            self._kept.pop(name, None)
            self._keep((yield from self._execute_steps(block, transactions, decided=True)))
        return self._kept[name]

    def build_tree_steps(self, name: bytes) -> Steps[Prepared]:
        """Encode the changes of a kept block and compute the next tree, without writing.

        May be driven while the block is voted on; `finalize_block` takes what is there.
        """
        if self._prepared is None or self._prepared[0] != name:
            executed = self._executed(name)
            steps = self.ledger.prepare_in_steps(*executed.state)
            self._prepared = name, (yield from steps)
        return self._prepared[1]

    async def build_tree(self, name: bytes) -> None:
        """`build_tree_steps`, by the tree's process where there is one. Raises StorageFault."""
        process = self.tree_process
        if process is not None and process.alive and (self._prepared is None or self._prepared[0] != name):
            executed = self._executed(name)
            try:
                self._prepared = name, await process.prepare(self.ledger, *executed.state)
            except ProcessFailed as error:
                log.warning("computing a tree here", extra={"reason": error.message})
        await drive(self.build_tree_steps(name))

    def holds(self, name: bytes) -> bool:
        """Whether `build_tree` is still possible: later proposals push earlier ones out."""
        return name in self._kept or (self._decided is not None and self._decided.hash == name)

    def _executed(self, name: bytes) -> Executed:
        """A kept block, or the decided one whose tree is not known yet."""
        decided = self._decided
        return decided if decided is not None and decided.hash == name else self._kept[name]

    async def finalize(self, block: Block, transactions: Sequence[Transaction] | None = None) -> None:
        """`finalize_block` on the event loop, the tree by its process. Raises as that."""
        executed = await drive(self.executed_steps(block, transactions))
        await self.build_tree(executed.hash)

    def commit(self, block: Block, seen_commit: Commit) -> Committed:
        """Make a finalized block durable, in one batch; then pool, check state and observers follow.

        `seen_commit` are the precommits that decided it. Raises StorageFault with nothing written.
        """
        pending = self.commit_begin(block, seen_commit)
        self.ledger.write(pending.staged)
        self.commit_end(pending)
        run(self.admission.recheck_steps())
        return pending.committed

    def commit_begin(self, block: Block, seen_commit: Commit) -> Pending:
        """First half of `commit`: memory moves to the finalized block, the next may be executed on it.

        `ledger.write(pending.staged)` follows, in any thread, then `commit_end` in this one. If the write
        fails, memory is ahead of the disk and the process has to end. Nobody may be told of the block, and
        no signature for the next one may leave, before the write has returned.
        """
        return self.commit_tree(self.commit_values(block, seen_commit))

    def commit_values(self, block: Block, seen_commit: Commit) -> Decided:
        """As `commit_begin` where the tree is still being computed: the next block may be executed, but gets no header yet.

        `commit_tree` follows. Raises KeyError for a block that was not executed.
        """
        name, height = block_hash(block.header), block.header.height
        executed = self._kept[name]
        result = executed.result
        block_bytes = encode_block(block)
        self.ledger.advance_values(block.header, name, result.results_root, result.changes, result.beside)
        self._kept.clear()
        self._decided = executed
        self.parent, self.seen_commit = block.header, seen_commit
        validators, next_validators = self.validators, self.next_validators
        self.last_validators, self.validators = validators, next_validators
        self.next_validators = result.validators
        self.admission.block_committed(
            executed.transactions, executed.tx_ids, result.changes, self.ledger.committed, height + 1
        )
        events = BlockEvents(
            height, result.begin_events, EventsOfReceipts(result.receipts), result.end_events
        )
        committed = Committed(
            height, name, block.header, seen_commit.round, len(block_bytes), result, events, executed.tx_ids
        )
        return Decided(executed, seen_commit, block_bytes, validators, next_validators, committed)

    def commit_tree(self, decided: Decided) -> Pending:
        """Stage a decided block with its tree, which is computed here if it has not been. See `commit_begin`."""
        executed, name = decided.executed, decided.executed.hash
        result = executed.result
        staged = self.ledger.stage(
            run(self.build_tree_steps(name)),
            block_bytes=decided.block_bytes,
            block_hash=name,
            header=executed.block.header,
            seen_commit=decided.seen_commit,
            tx_ids=decided.committed.tx_ids,
            receipts=result.encoded_receipts,
            begin_events=result.begin_events,
            end_events=result.end_events,
            results_root=result.results_root,
            validators=decided.validators,
            next_validators=decided.next_validators,
        )
        self.ledger.advance(staged)
        self._prepared = self._decided = None
        return Pending(staged, decided.committed)

    def commit_end(self, pending: Pending) -> None:
        """Second half of `commit`: the block is durable, others may know. Raises UpgradeRequired before unknown rules."""
        self.ledger.settle(pending.staged)
        self.on_commit(pending.committed)
        check_upgrade(self.ledger.committed, self.ledger.height + 1)

    def upkeep_steps(self, records: int = 20_000) -> Steps[None]:
        """Delete up to `records` that the settings no longer keep, in slices; call it between blocks."""
        while records > 0 and self.ledger.prune(PRUNE_STEP) == PRUNE_STEP:
            records -= PRUNE_STEP
            yield

    def read_events(self, height: int) -> BlockEvents:
        """Events of a stored block. Raises Pruned or NotFound."""
        blocks = self.ledger.blocks
        begin, end = blocks.hook_events(height)
        return BlockEvents(height, begin, EventsOfReceipts(blocks.stored_receipts(height)), end)

    # -- reads -------------------------------------------------------------------------------------

    def query(self, name: str, args: Sequence[Any], height: int | None = None) -> Any:
        """Answer a module's query on the state after `height` (None: the last durable one).

        Raises NotFound, Pruned, MethodNotFound, InvalidArguments or the module's error.
        """
        ledger = self.ledger
        at = ledger.durable_height if height is None else height
        base = ledger.committed if at == ledger.height else ledger.view(at)
        time, proposer = self.genesis.time, Address(bytes(32))
        if at >= self.genesis.initial_height:
            header = ledger.blocks.header(at)
            time, proposer = header.time, header.proposer
        info = BlockInfo(self.genesis.chain_id, at, time, time, proposer)
        return self.machine.query(base, info, name, args)
