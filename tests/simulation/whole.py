"""The second tier: under the simulator, each node has a whole `Application` with ledger, machine, modules and pool.

Signatures are those of real validators (composite, randomised), so a run is not repeated to the byte: block hashes
contain commits. What is compared are decisions and roots between the nodes, and with an execution of the
decided blocks afterwards by an application that saw nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from consensus.validators import ValidatorSet
from ledger.genesis import Genesis
from ledger.store import Ledger
from node.application import Application
from node.validation import Rejected
from node.verifier import Verifier
from qenex.block import Block, Commit, Validator, block_hash, decode_block, encode_block
from qenex.errors import QenexError
from tests.scenario import START as SCENARIO_START
from tests.scenario import make_genesis, make_ledger, make_machine, make_people, story
from tests.simulation.chain import Body, Decided
from tests.simulation.clock import MS, START
from tests.simulation.plan import Plan
from tests.simulation.world import World

EVERY: Final = 120 * MS
"""Between two groups of transactions of the story."""


class WholeChain:
    """What `chain.Chain` is to a simulated node, over an `Application`. Bodies are real blocks."""

    def __init__(self, folder: Path, genesis: Genesis, first: ValidatorSet) -> None:
        self._machine = make_machine()
        self._ledger: Ledger = make_ledger(folder, genesis, self._machine)
        self._application = Application(self._machine, self._ledger, Verifier(0))
        self.blocks: list[Decided] = []
        self.roots: list[bytes] = [self._ledger.state_root]
        self.sets: dict[int, ValidatorSet] = {1: first, 2: first.increment()}

    @property
    def height(self) -> int:
        """Of the last block; 0 before the first."""
        return self._ledger.height

    @staticmethod
    def name_of(block: Block) -> bytes:
        """The block's hash."""
        return block_hash(block.header)

    @staticmethod
    def outline(block: Block) -> Body:
        """What the watcher looks at."""
        header = block.header
        return Body(
            header.height, header.time, header.proposer, header.parent_hash, header.state_root, b"", ()
        )

    @staticmethod
    def encode(block: Block) -> bytes:
        """The bytes that the log keeps."""
        return encode_block(block)

    @staticmethod
    def decode(data: bytes) -> Block | None:
        """Inverse of `encode`; None for anything else."""
        try:
            return decode_block(data)
        except QenexError:
            return None

    def restarted(self) -> None:
        """A new application on what the ledger holds; the pool is empty."""
        self._machine = make_machine()
        self._application = Application(self._machine, self._ledger, Verifier(0))

    def body(self, name: bytes) -> Block | None:
        """A decided block by its hash, if it is one of the last ones."""
        for item in reversed(self.blocks[-50:]):
            if item.commit.block_hash == name:
                block: Block = item.body
                return block
        return None

    def build(self, time: int, proposer: bytes, _payload: bytes) -> Block:
        """A block of what the pool holds."""
        time = max(time, self._application.parent_time + 1)
        return self._application.prepare_proposal(time, proposer).block

    def accepts(self, block: Block) -> bool:
        """Whether the block may follow."""
        return self._application.process_proposal(block).accepted

    def apply(self, block: Block, commit: Commit) -> None:
        """Execute and commit the next block. Raises Rejected if it may not follow."""
        self._application.finalize_block(block)
        self._application.commit(block, commit)
        self.blocks.append(Decided(block, commit))
        self.roots.append(self._ledger.state_root)
        self.sets[block.header.height + 2] = self.sets[block.header.height + 1].increment()

    def submit(self, raw: bytes) -> None:
        """A client sends a transaction; what is refused is refused."""
        try:
            self._application.check_tx(raw)
        except QenexError:
            return


class WholeWorld(World):
    """A run with whole applications: the story of `tests.scenario` is told to all nodes while it lasts."""

    def __init__(self, plan: Plan, folder: Path, *, write: Callable[[str], None] | None = None) -> None:
        self._folder = folder
        self._people = make_people()
        self._genesis = make_genesis(self._people)
        super().__init__(replace(plan, real=True), write=write, chain_id=self._genesis.chain_id)

    def make_chain(self, index: int, first: ValidatorSet) -> WholeChain:  # type: ignore[override]  # the same face over other blocks
        """A new ledger in memory."""
        members = tuple(Validator(v.address, v.key, v.power) for v in first.validators)
        genesis = replace(self._genesis, validators=members, time=min(SCENARIO_START, START))
        self.genesis = genesis
        return WholeChain(self._folder / str(index), genesis, first)

    def _schedule(self) -> None:
        super()._schedule()
        for number, raws in enumerate(story(self._people)):
            self.clock.at(START + number * EVERY, self._submit, raws)

    def _submit(self, raws: Sequence[bytes]) -> None:
        for node in self.nodes:
            for raw in raws:
                node.chain.submit(raw)  # type: ignore[attr-defined]  # every chain of this world is whole


def executed_again(genesis: Genesis, blocks: Sequence[Decided], folder: Path) -> list[bytes]:
    """State roots after each of the decided blocks, by an application of its own. Raises Rejected."""
    machine = make_machine()
    ledger = make_ledger(folder, genesis, machine)
    application = Application(machine, ledger, Verifier(0))
    roots = []
    for item in blocks:
        block = decode_block(encode_block(item.body))
        answer = application.process_proposal(block)
        if not answer.accepted:
            raise Rejected(answer.reason)
        application.finalize_block(block)
        application.commit(block, item.commit)
        roots.append(ledger.state_root)
    return roots
