"""Several engines in one event loop, joined by a network that is a dictionary; real applications, guards and logs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from consensus.events import Message
from consensus.signer import SignerGuard
from consensus.wal import FileStorage, Storage
from ledger.genesis import Genesis
from ledger.options import Options
from ledger.store import Ledger
from node.application import Application
from node.bft_engine import Engine
from node.bft_log import EventLog
from node.bft_options import EngineOptions, Timeouts
from node.bft_pace import Intervals
from node.bft_recording import Recording
from node.home import ValidatorKey
from node.modules import make_machine
from node.validation import check_commit
from node.verifier import Verifier
from qenex.block import Block, Evidence, SignedProposal, SignedVote, Validator, block_hash
from qenex.errors import DataFolderMissing, SignerStateMissing
from tests.node.chain_helpers import Wallet, make_genesis

FAST = Intervals(minimum=0.0, settle=0.05, idle=0.2)
SHORT = Timeouts(propose=0.4, prevote=0.2, precommit=0.2, delta=0.1)
GOSSIP_SECONDS = 0.1
"""A summary goes out this often, whatever happens."""


def make_keys(count: int) -> list[ValidatorKey]:
    return [ValidatorKey.from_seed(bytes([50 + n]) * 64, Wallet(1_000_000 + n).address) for n in range(count)]


def genesis_of(keys: Sequence[ValidatorKey], wallets: list[Wallet], **changes: Any) -> Genesis:
    validators = tuple([Validator(key.address, key.key, 10) for key in keys])
    return make_genesis(wallets, validators=validators, **changes)


class MemoryGossip:
    """One node's end of the network. Implements `node.bft_face.Gossip`."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name
        self._told = False
        self.punished: list[tuple[str, str]] = []
        self.sent: list[Message] = []
        """Everything of our own that left, in order."""

    def _each(self, deliver: Callable[[Engine], None]) -> None:
        for other in self._network.reachable(self._name):
            self._network.later(self._name, other, deliver)

    def send_proposal(self, proposal: SignedProposal, block: Block | None, *, own: bool) -> None:
        if not own:
            return  # all are neighbours
        self.sent.append(proposal)

        def deliver(engine: Engine) -> None:
            engine.receive(self._name, proposal)
            if block is not None:
                engine.receive_body(block)

        self._each(deliver)

    def send_vote(self, vote: SignedVote, *, own: bool) -> None:
        if own:
            self.sent.append(vote)
            self._each(lambda engine: engine.receive(self._name, vote))

    def send_evidence(self, evidence: Sequence[Evidence]) -> None:
        self._each(lambda engine: engine.receive_evidence(self._name, evidence))

    def send_to(self, peer: str, messages: Sequence[Message]) -> None:
        if peer in self._network.reachable(self._name):

            def deliver(engine: Engine) -> None:
                for message in messages:
                    engine.receive(self._name, message)

            self._network.later(self._name, peer, deliver)

    def summary_changed(self) -> None:
        if not self._told:
            self._told = True
            asyncio.get_running_loop().call_later(0.01, self.tell_summary)

    def tell_summary(self) -> None:
        self._told = False
        engine = self._network.engines.get(self._name)
        if engine is not None:
            summary = engine.summary()
            self._each(lambda other: other.receive_summary(self._name, summary))

    async def fetch_body(self, block_hash: bytes) -> Block:
        while True:
            for other in self._network.reachable(self._name):
                block = self._network.engines[other].body(block_hash)
                if block is not None:
                    return block
            await asyncio.sleep(0.005)

    def punish(self, peer: str, reason: str) -> None:
        self.punished.append((peer, reason))


class Network:
    """Who is up, who reaches whom."""

    def __init__(self) -> None:
        self.engines: dict[str, Engine] = {}
        self.cut: set[frozenset[str]] = set()
        self.delay = 0.0
        self.on_message: Callable[[str, str], bool] = lambda sender, receiver: True

    def reachable(self, name: str) -> list[str]:
        return [other for other in self.engines if other != name and frozenset((name, other)) not in self.cut]

    def later(self, sender: str, name: str, deliver: Callable[[Engine], None]) -> None:
        def now() -> None:
            engine = self.engines.get(name)
            if engine is not None and self.on_message(sender, name):
                deliver(engine)

        asyncio.get_running_loop().call_later(self.delay, now)

    async def gossip(self) -> None:
        """Summaries from time to time."""
        while True:
            await asyncio.sleep(GOSSIP_SECONDS)
            for engine in list(self.engines.values()):
                engine._gossip.tell_summary()  # type: ignore[attr-defined]  # it is a MemoryGossip


class Member:
    """One node's disk and key; `start` makes an engine on it, `stop` and `kill` end that."""

    def __init__(
        self,
        network: Network,
        name: str,
        folder: Path,
        genesis: Genesis,
        key: ValidatorKey | None,
        **options: Any,
    ) -> None:
        self.network = network
        self.name = name
        self.folder = folder
        self.genesis = genesis
        self.key = key
        self.options = options
        self.backend: Any = options.pop("backend", "leveldb")
        self.clock: Callable[[], int] = options.pop("clock", time.time_ns)
        self.recording: Recording | None = None
        self.storage: Callable[[], Storage] = lambda: FileStorage(folder / "wal")
        self.hashes: dict[int, bytes] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def open_application(self) -> Application:
        machine = make_machine()
        options = Options(history=100)
        try:
            if self.backend == "memory":
                raise DataFolderMissing
            ledger = Ledger.open(
                self.folder / "data",
                codecs=machine.state_codecs,
                genesis_hash=self.genesis.hash,
                options=options,
            )
        except DataFolderMissing:
            ledger = Ledger.create(
                self.folder / "data",
                self.genesis,
                codecs=machine.state_codecs,
                backend=self.backend,
                options=options,
            )
            Application.init_chain(machine, ledger)
        return Application(machine, ledger, Verifier(0))

    def open_guard(self) -> SignerGuard | None:
        key = self.key
        if key is None:
            return None
        common: dict[str, Any] = {
            "chain_id": self.genesis.chain_id,
            "scheme_tag": key.scheme.tag,
            "public_key": key.public_key,
            "sign": key.sign,
        }
        path = self.folder / "signer.json"
        try:
            return SignerGuard.open(path, signed_height=0, **common)
        except SignerStateMissing:
            return SignerGuard.create(path, **common)

    def start(self) -> Engine:
        self.application = self.open_application()
        self.guard = self.open_guard()
        self.gossip = MemoryGossip(self.network, self.name)
        self.engine = Engine(
            self.application,
            self.gossip,
            EventLog(self.storage()),
            signer=self.guard,
            identity=self.key,
            evidence_path=self.folder / "evidence",
            recording=self.recording,
            options=EngineOptions(FAST, SHORT)._replace(**self.options),
            clock=self.clock,
        )
        self.application.admission.on_admitted = self.engine.wake
        self.application.on_commit = self._committed
        self._syncing: asyncio.Task[None] | None = None
        self.engine.on_behind = self._behind
        self.network.engines[self.name] = self.engine
        self.task = asyncio.create_task(self.engine.run())
        return self.engine

    def _behind(self, height: int) -> None:
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.create_task(self.block_sync())

    def _committed(self, told: Any) -> None:
        assert self.hashes.setdefault(told.height, told.hash) == told.hash, "a told block was replaced"

    @property
    def height(self) -> int:
        return self.application.ledger.durable_height

    async def stop(self) -> None:
        self.network.engines.pop(self.name, None)
        self.engine.stop()
        try:
            await self.task
        finally:
            self.close()

    async def block_sync(self) -> None:
        """As block sync does it: pause, apply what the others have with a full check of each commit, go on."""
        engine, ours = self.engine, self.application
        await engine.pause()
        for other in self.network.engines.values():
            blocks = other._application.ledger
            while ours.ledger.height < blocks.durable_height:
                height = ours.ledger.height + 1
                block, commit = blocks.blocks.block(height), blocks.blocks.commit(height)
                check_commit(
                    commit,
                    chain_id=self.genesis.chain_id,
                    height=height,
                    block_hash=block_hash(block.header),
                    validators=ours.validators,
                    verify=Verifier.verify_now,
                )
                ours.finalize_block(block)
                ours.commit(block, commit)
        await engine.resume_at(ours.ledger.height + 1)

    def close(self) -> None:
        if self.guard is not None:
            self.guard.close()
        self.application.ledger.close()


class Chain:
    """A network of members, started and stopped together."""

    def __init__(self, folder: Path, count: int = 4, *, followers: int = 0, **options: Any) -> None:
        self.wallets = [Wallet(number) for number in range(1, 11)]
        self.keys = make_keys(count)
        self.genesis = genesis_of(self.keys, self.wallets)
        self.network = Network()
        keys: list[ValidatorKey | None] = [*self.keys, *[None] * followers]
        self.members = [
            Member(self.network, f"node{n}", folder / f"node{n}", self.genesis, key, **options)
            for n, key in enumerate(keys)
        ]
        self._gossiping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for member in self.members:
            member.start()
        self._gossiping = asyncio.create_task(self.network.gossip())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._gossiping is not None
        self._gossiping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._gossiping
        for member in self.members:
            if member.name in self.network.engines:
                await member.stop()

    def heights(self) -> list[int]:
        return [member.height for member in self.members if member.name in self.network.engines]

    async def submit(self, raw: bytes) -> bytes:
        """To every pool that is up, as gossip does; returns the transaction's id."""
        name = b""
        for member in self.members:
            if member.name in self.network.engines:
                name = (await member.application.submit(raw)).tx_id
        return name

    def check_agreement(self) -> None:
        """No two members have another block at any height, nor another state."""
        agreed: dict[int, bytes] = {}
        for member in self.members:
            for height, name in member.hashes.items():
                assert agreed.setdefault(height, name) == name, f"fork at height {height}"
