"""`NodeService`: what a node offers to those who ask, as plain typed methods.

The RPC's methods are thin: they read JSON, call here and render. Everything here reads committed, immutable
versions and takes no lock that a block waits for; it runs on the node's event loop, between blocks and
between slices of one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from ledger.backend import StorageFault
from ledger.blocks import decode_receipt
from ledger.state import Readable, Value
from ledger.store import Ledger
from node.entrance import Entrance
from node.events import EventBus
from node.floor import Work, floor
from node.mempool import Mempool
from node.simulation import Estimate, Simulation, Simulator
from node.steps import Steps, drive
from qenex.block import Block, Commit, Header, Receipt, Validator
from qenex.crypto.address import Address
from qenex.errors import (
    InvalidParams,
    LimitExceeded,
    NotFound,
    OutcomeUnknown,
    Pruned,
    QenexError,
    TransactionExpired,
)
from qenex.proof import TreeProof, list_proof_steps
from qenex.state_keys import ACCOUNT_RECORDS, Account
from qenex.transaction import Transaction, decode_transaction
from vm.context import BlockInfo
from vm.machine import Machine

logger = logging.getLogger("qenex.service")

LATEST: Final = -1
EARLIEST: Final = -2

MAX_WAITERS: Final = 10_000
"""Calls that wait for a transaction at the same time."""
MAX_PROVED_KEYS: Final = 64
"""State entries that one proved query may read."""
WOKEN_TOGETHER: Final = 16
"""Calls that are answered in one slice of the loop when their transactions are included, 0.2 ms each."""
LOOKED_TOGETHER: Final = 250
"""Waiting transactions that are looked up in one, some us each."""
CACHED_INFOS: Final = 64
DECODED_BLOCKS: Final = 4
"""Blocks kept decoded for look-ups; each may have 4 MiB on the wire."""


class Identity(NamedTuple):
    """What the node says of itself."""

    name: str
    version: str
    prefix: str = "qx"
    validator: Address | None = None
    node_id: str | None = None
    """Its name among nodes; None for one that takes no part in a network."""
    p2p_address: str | None = None


class Proved(NamedTuple):
    """Entries of the state after `height`, each with its proof against `header`, that of `height` + 1.

    `commit` are the precommits that made that header final.
    """

    height: int
    entries: tuple[tuple[bytes, bytes | None, TreeProof], ...]
    header: Header
    header_hash: bytes
    commit: Commit | None


class Included(NamedTuple):
    """A transaction on chain."""

    tx: Transaction
    receipt: Receipt
    height: int
    position: int
    header: Header
    block_hash: bytes


class ReceiptProof(NamedTuple):
    """The audit path of a receipt under `header.results_root`; the header is that of the next block."""

    receipt: bytes
    position: int
    leaves: int
    path: tuple[bytes, ...]
    header: Header
    header_hash: bytes
    commit: Commit | None


class _Recorder:
    """A view that notes the keys a query reads."""

    def __init__(self, base: Readable) -> None:
        self._base = base
        self.keys: dict[bytes, None] = {}

    def get(self, key: bytes) -> Value | None:
        self.keys[key] = None
        return self._base.get(key)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Value]]:
        raise InvalidParams("lists cannot be proved", hint="prove the single entries with state_getProof")


def _log_fault(fault: StorageFault) -> None:
    """Default of `NodeService.on_fault`."""
    logger.critical("the store failed under a read: %s", fault)


class NodeService:
    """See the module. `entrance` is the node's admission; `peers`, `not_ready` and `not_signing` tell its state.

    `on_fault` is told when the store fails under a read: the node has to stop then.
    """

    def __init__(
        self,
        machine: Machine,
        ledger: Ledger,
        mempool: Mempool,
        events: EventBus,
        entrance: Entrance,
        identity: Identity,
        *,
        not_ready: Callable[[], str] = str,
        not_signing: Callable[[], str] = str,
        peers: Callable[[], list[dict[str, Any]]] = list,
        metrics_text: Callable[[], str] = str,
        on_fault: Callable[[StorageFault], None] = _log_fault,
    ) -> None:
        self.machine = machine
        self.registry = machine.registry
        self.ledger = ledger
        self.genesis = ledger.genesis
        self.mempool = mempool
        self.events = events
        self.identity = identity
        self.prefix = identity.prefix
        self.not_ready = not_ready
        self.not_signing = not_signing
        self.peers = peers
        self.metrics_text = metrics_text
        self.on_fault = on_fault
        self._simulator = Simulator(machine, ledger, mempool, self.next_block_info)
        self._entrance = entrance
        self._waiters: dict[bytes, dict[asyncio.Future[None], int]] = {}
        self._waiting = 0
        self._closed = False
        self._decoded: OrderedDict[int, tuple[Block, Sequence[bytes]]] = OrderedDict()
        self._infos: OrderedDict[int, BlockInfo] = OrderedDict()

    # -- the node tells ---------------------------------------------------------------------------

    async def watch(self) -> None:
        """Wake those who wait for a transaction, block after block. Runs for ever: the server's task."""
        told = self.height
        while True:
            await self.events.wait_for(told + 1)
            told = self.height  # while they are woken another block may come
            for _ in self.wake_steps(told):
                await floor().take(Work.READS)

    def wake_steps(self, height: int) -> Steps[None]:
        """Wake those whose transaction is in a block, or can no longer be.

        Some at a time: there may be thousands, and each looks its transaction up and answers with it.
        """
        locate = self.ledger.blocks.locate
        woken = looked = 0
        for tx_id, waiters in list(self._waiters.items()):
            due = locate(tx_id) is not None
            looked += 1
            for future, valid_until in list(waiters.items()):
                if (due or height >= valid_until) and not future.done():
                    future.set_result(None)
                    woken += 1
            if woken >= WOKEN_TOGETHER or looked >= LOOKED_TOGETHER:
                woken = looked = 0
                yield

    def close(self) -> None:
        """The node stops: whoever waits for a transaction is answered now, and nobody waits any more."""
        self._closed = True
        for waiters in self._waiters.values():
            for future in waiters:
                if not future.done():
                    future.set_result(None)

    # -- heights ------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """Last durable height; that before the first block right after genesis.

        While a block is being written the ledger's memory is already one ahead: nobody is told of it.
        """
        return self.ledger.durable_height

    @property
    def state_root(self) -> bytes:
        """Root of the state tree after `height`."""
        return self.ledger.root_of(self.height)

    def _settled(self) -> bool:
        return self.ledger.durable_height == self.ledger.height

    def header_height(self, at: int) -> int:
        """The height of an existing header that `at` (LATEST, EARLIEST or a height) means.

        Headers and commits are kept for ever. Raises NotFound, or Pruned for those before the snapshot with which
        this node began.
        """
        first, height = self.ledger.base_height, self.height
        if at == LATEST:
            at = height
        elif at == EARLIEST:
            at = first
        if height < first:
            raise NotFound("the chain has no block yet", hint="ask again after the first block")
        if at > height:
            raise NotFound(f"height {at} does not exist yet, the chain stands at {height}")
        if at < self.genesis.initial_height:
            raise NotFound(f"the chain begins at height {self.genesis.initial_height}")
        if at < first:
            raise Pruned(f"this node began with a snapshot of height {first}")
        return at

    def block_height(self, at: int) -> int:
        """The same for a whole block. Raises Pruned where its body is no longer kept."""
        earliest = self.ledger.blocks.earliest
        height = earliest if at == EARLIEST and self.height >= earliest else self.header_height(at)
        if height < earliest:
            raise Pruned(f"blocks below {earliest} are no longer kept")
        return height

    def state_at(self, at: int) -> tuple[int, Readable]:
        """The state after a height, and that height. Raises NotFound or Pruned."""
        height = self.height
        if at in (LATEST, height):
            # Decoded objects, unless they are ahead of the disk just now.
            return height, self.ledger.committed if self._settled() else self.ledger.view(height)
        if at == EARLIEST:
            at = self.ledger.oldest_height
        if at > height:
            raise NotFound(f"height {at} does not exist yet, the chain stands at {height}")
        return at, self.ledger.view(at)

    def block_info(self, height: int) -> BlockInfo:
        """What queries on the state after `height` see of its block."""
        info = self._infos.get(height)
        if info is None:
            info = self._infos[height] = self._make_info(height)
            if len(self._infos) > CACHED_INFOS:
                self._infos.popitem(last=False)
        return info

    def _make_info(self, height: int) -> BlockInfo:
        genesis = self.genesis
        if height < genesis.initial_height:
            return BlockInfo(genesis.chain_id, height, genesis.time, genesis.time, Address(bytes(32)))
        header = self.ledger.blocks.header(height)
        return BlockInfo(
            header.chain_id, height, header.time, header.time, header.proposer,
            protocol_version=header.protocol_version,
        )  # fmt: skip

    def validators_of(self, height: int) -> tuple[Validator, ...]:
        """The set that `validators_hash` of the header at `height` commits to.

        Raises NotFound for a height below the snapshot with which this node began.
        """
        return self.ledger.validators_at(height)

    # -- state --------------------------------------------------------------------------------------

    def query(self, name: str, args: Sequence[Any], at: int = LATEST) -> Any:
        """Answer a module's query on the state after `at`. Raises NotFound, Pruned or the module's error."""
        height, base = self.state_at(at)
        return self.machine.query(base, self.block_info(height), name, args)

    async def query_proved(self, name: str, args: Sequence[Any], at: int = LATEST) -> tuple[Any, Proved]:
        """The answer with proofs of every entry it was read from, those found absent among them.

        Raises InvalidParams for queries that read lists, LimitExceeded beyond 64 entries.
        """
        height = self.provable_height(at)
        recorder = _Recorder(self.ledger.view(height))
        result = self.machine.query(recorder, self.block_info(height), name, args)
        return result, await self.prove(tuple(recorder.keys), height)

    def provable_height(self, at: int) -> int:
        """A state height whose root stands in a header: LATEST is the one before the last block."""
        first, newest = self.genesis.initial_height, self.height - 1
        if at == LATEST:
            at = newest
        elif at == EARLIEST:
            at = max(self.ledger.oldest_height, first)
        if at > newest or newest < first:
            raise NotFound(
                f"the root of height {max(at, first)} stands in the next header, which does not exist yet",
                hint="ask again after the next block",
            )
        if at < first:
            raise NotFound("no header carries the root of the genesis state", hint=f"ask for height {first}")
        return at

    async def prove(self, keys: Sequence[bytes], at: int = LATEST) -> Proved:
        """Entries of the state after `at` with proofs, and the header that carries their root.

        Raises LimitExceeded beyond 64 entries, NotFound or Pruned for the height.
        """
        height = self.provable_height(at)
        if len(keys) > MAX_PROVED_KEYS:
            raise LimitExceeded(f"{len(keys)} entries, at most {MAX_PROVED_KEYS} are proved at once")
        blocks = self.ledger.blocks
        header = blocks.header(height + 1)
        entries = await drive(self._prove_steps(keys, height), Work.READS)
        return Proved(height, entries, header, blocks.hash(height + 1), self._seen_commit(height + 1))

    def _prove_steps(
        self, keys: Sequence[bytes], height: int
    ) -> Steps[tuple[tuple[bytes, bytes | None, TreeProof], ...]]:
        """Each takes 0.8 ms in a tree of some ten thousand accounts."""
        entries = []
        for key in keys:
            entries.append((key, *self.ledger.prove(key, height)))
            yield
        return tuple(entries)

    def _seen_commit(self, height: int) -> Commit | None:
        try:
            return self.ledger.blocks.commit(height)
        except (NotFound, Pruned):
            return None

    def account(self, address: Address, at: int = LATEST) -> Account | None:
        """An account's record, or None. Raises NotFound or Pruned for the height."""
        _, base = self.state_at(at)
        return base.get(ACCOUNT_RECORDS + address)

    def next_sequence(self, address: Address) -> int:
        """The sequence of the account's next transaction, those that wait in the pool counted."""
        return self._simulator.next_sequence(address)

    # -- transactions ---------------------------------------------------------------------------------

    async def submit(self, raw: bytes, caller: str = "") -> Transaction:
        """Verify and admit. Raises a 1000s error; then nothing was kept."""
        return await self._entrance.submit(raw, caller)

    async def submit_many(self, raws: Sequence[bytes], caller: str = "") -> list[Transaction | QenexError]:
        """The same for several that came together; per item the transaction or the error."""
        return await self._entrance.submit_many(raws, caller)

    async def submit_and_wait(self, raw: bytes, seconds: float, caller: str = "") -> Included:
        """Submit, then wait for inclusion, which is final.

        Raises a 1000s error at once, TransactionExpired when `valid_until` has passed without it, and
        OutcomeUnknown after `seconds` or when the node stops: it may still be included until then.
        """
        tx = await self._entrance.submit(raw, caller)
        found = await self.wait_for(tx, seconds)
        if found is not None:
            return found
        kind = TransactionExpired if self.height >= tx.valid_until else OutcomeUnknown
        why = "the node stops; " if self._closed else ""
        error = kind(f"{why}not included so far; it can be until height {tx.valid_until}")
        if kind is TransactionExpired:
            error = kind(f"not included until height {tx.valid_until}")
        error.__dict__["details"] = {
            "hash": "0x" + tx.tx_id.hex(), "valid_until": tx.valid_until, "height": self.height
        }  # fmt: skip
        raise error

    async def wait_for(self, tx: Transaction, seconds: float) -> Included | None:
        """Wait until a transaction is included; None after `seconds`, its last height or `close`."""
        if self._waiting >= MAX_WAITERS:
            raise LimitExceeded(f"{MAX_WAITERS} calls wait already", hint="use tx_submit and then tx_get")
        place = self.ledger.blocks.locate(tx.tx_id)
        if place is None and self.height < tx.valid_until and not self._closed:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiters = self._waiters.setdefault(tx.tx_id, {})
            waiters[future] = tx.valid_until
            self._waiting += 1
            try:
                await asyncio.wait((future,), timeout=seconds)
            finally:
                self._waiting -= 1
                del waiters[future]
                if not waiters:
                    self._waiters.pop(tx.tx_id, None)
            place = self.ledger.blocks.locate(tx.tx_id)
        return None if place is None else self.included(*place)

    def included(self, height: int, index: int) -> Included:
        """The transaction at a place of the chain."""
        block, receipts = self._block_and_receipts(height)
        tx = decode_transaction(block.transactions[index])
        receipt = decode_receipt(receipts[index])
        return Included(tx, receipt, height, index, block.header, self.ledger.blocks.hash(height))

    def _block_and_receipts(self, height: int) -> tuple[Block, Sequence[bytes]]:
        # Those who follow the chain, or look up what they just sent, ask for the same few blocks. Receipts
        # stay encoded: a block has up to 32,768, and one is wanted.
        found = self._decoded.get(height)
        if found is None:
            blocks = self.ledger.blocks
            found = self._decoded[height] = blocks.block(height), blocks.receipt_bytes(height)
            if len(self._decoded) > DECODED_BLOCKS:
                self._decoded.popitem(last=False)
        return found

    async def find(self, tx_id: bytes) -> Included | Transaction:
        """A transaction by hash: included, or waiting in the pool. Raises NotFound."""
        locate = self.ledger.blocks.locate
        place = locate(tx_id)
        if place is None and tx_id not in self.mempool and not self._settled():
            await self.events.wait_for(self.ledger.height)  # it may be in the block being written
            place = locate(tx_id)
        if place is not None:
            return self.included(*place)
        waiting = self.mempool.get(tx_id)
        if waiting is None:
            raise NotFound(
                f"no transaction 0x{tx_id.hex()} is included or waits here",
                hint="it may never have arrived, or expired; up to its valid_until it can still be included",
            )
        return waiting

    async def prove_receipt(self, height: int, index: int) -> ReceiptProof:
        """A receipt's audit path. Raises NotFound until the next block carries the root."""
        blocks = self.ledger.blocks
        if height + 1 > self.height:
            raise NotFound(
                f"the results root of height {height} stands in the header of {height + 1}",
                hint="ask again after the next block",
            )
        receipts = blocks.receipt_bytes(height)
        leaves = [*receipts, blocks.hook_event_bytes(height)]
        path = await drive(list_proof_steps(leaves, index), Work.READS)
        header = blocks.header(height + 1)
        return ReceiptProof(
            receipts[index], index, len(leaves), path, header, blocks.hash(height + 1),
            self._seen_commit(height + 1),
        )  # fmt: skip

    def next_block_info(self) -> BlockInfo:
        """The block that would come next, as far as it is known."""
        header, genesis = self.ledger.header, self.genesis
        time = genesis.time if header is None else header.time
        proposer = Address(bytes(32)) if header is None else header.proposer
        return BlockInfo(
            genesis.chain_id, self.ledger.height + 1, time + 1, time, proposer,
            protocol_version=genesis.protocol_version,
        )  # fmt: skip

    async def simulate(self, tx: Transaction) -> Simulation:
        """What the next block would do with a transaction. See `Simulator.simulate`."""
        return await self._simulator.simulate(tx)

    async def estimate_fee(self, tx: Transaction) -> Estimate:
        """Gas limit and fee that will do. See `Simulator.estimate_fee`."""
        return await self._simulator.estimate_fee(tx)

    @property
    def price(self) -> int:
        """Base units of QXC per gas that the next block asks."""
        return self._simulator.price
