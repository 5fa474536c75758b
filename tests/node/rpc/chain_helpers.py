"""A real chain in memory: machine, ledger, application, pool, verification in the process; blocks on demand."""

from __future__ import annotations

import json
from typing import Any

from defi_modules.bank.module import Bank
from defi_modules.tokens.module import Tokens
from ledger.genesis import Genesis
from ledger.options import Options
from ledger.store import Ledger
from node.application import Application
from node.entrance import Entrance
from node.events import EventBus
from node.gate import Gate
from node.outcomes import Committed
from node.rpc.app import build_registry
from node.rpc.dispatcher import Caller, Dispatcher
from node.service import Identity, NodeService
from node.steps import run
from node.verifier import Verifier
from qenex.block import FLAG_COMMIT, PRECOMMIT, Commit, CommitSignature, Validator, vote_sign_bytes
from qenex.crypto import SCHEMES_BY_TAG
from qenex.crypto.address import Address, encode_address
from qenex.transaction import Fee, Message, Signer, encode_body
from qenex.types import Coin
from qenex.wallet import Wallet
from tests.node.rpc.json_schema import check
from vm.machine import Machine

CHAIN_ID = "rpc-test"
GENESIS_TIME = 1_700_000_000 * 10**9
QXC_EACH = 1_000 * 10**9


def wallet(number: int) -> Wallet:
    """A fixed Ed25519 wallet."""
    return Wallet.from_secret("ed25519", SCHEMES_BY_TAG[1].generate(bytes([number]) * 32)[1])


ALICE, BOB, CAROL, VALIDATOR_KEY = (wallet(number) for number in (1, 2, 3, 9))


def text(of: Wallet | bytes) -> str:
    """Text form of an address."""
    return encode_address(of.address if isinstance(of, Wallet) else of)


class TestChain:
    """One validator, three funded accounts; `mine` makes a block of what waits."""

    __test__ = False

    def __init__(self, history: int = 1_000, retain_blocks: int = 0, gate: Gate | None = None) -> None:
        balances = [
            {"address": text(owner), "denom": denom, "amount": str(amount)}
            for owner in (ALICE, BOB)
            for denom, amount in (("QXC", QXC_EACH), ("tokens/gold", 500))
        ]
        genesis = Genesis(
            chain_id=CHAIN_ID,
            time=GENESIS_TIME,
            validators=(Validator(VALIDATOR_KEY.address, VALIDATOR_KEY.public_key, 10),),
            modules={"bank": {"balances": balances}},
            parameters={},
        )
        self.machine = Machine([Bank, Tokens])
        self.ledger = Ledger.create(
            None,
            genesis,
            codecs=self.machine.state_codecs,
            backend="memory",
            options=Options(history=history, retain_blocks=retain_blocks),
        )
        Application.init_chain(self.machine, self.ledger)
        self.app = Application(self.machine, self.ledger, Verifier(0))
        self.bus = EventBus(self.app.read_events, self.ledger.height)
        self.app.on_commit = self._committed
        self.reason = ""
        self.entrance = Entrance(self.app, gate=gate)
        self.service = NodeService(
            self.machine,
            self.ledger,
            self.app.mempool,
            self.bus,
            self.entrance,
            Identity("test", "1.0", validator=VALIDATOR_KEY.address),
            not_ready=lambda: self.reason,
        )
        self.dispatcher = Dispatcher(build_registry(self.service))
        self.caller = Caller(lambda cost: None)

    def _committed(self, committed: Committed) -> None:
        self.entrance.committed(committed.tx_ids)
        self.bus.publish(committed.events)
        run(self.service.wake_steps(committed.height))

    def mine(self, blocks: int = 1) -> int:
        """Make blocks of what waits; the new height."""
        for _ in range(blocks):
            time = self.app.parent_time + 10**9
            proposal = self.app.prepare_proposal(time, VALIDATOR_KEY.address)
            self.app.finalize_block(proposal.block)
            self.app.commit(proposal.block, self._commit(proposal.block.header.height, proposal.hash))
        return self.ledger.height

    def _commit(self, height: int, block_hash: bytes) -> Commit:
        vote = vote_sign_bytes(CHAIN_ID, PRECOMMIT, height, 0, block_hash)
        signature = VALIDATOR_KEY.sign(vote)
        return Commit(
            height, 0, block_hash, (CommitSignature(VALIDATOR_KEY.address, FLAG_COMMIT, signature),)
        )

    # -- transactions ------------------------------------------------------------------------------

    def body(
        self, sender: Wallet = ALICE, to: Wallet | bytes = BOB, amount: int = 5, **changes: Any
    ) -> bytes:
        """Unsigned body of a `bank.send`; `changes` replace parts of it."""
        record = self.ledger.committed.get(b"\x01\x01" + sender.address)
        fresh = record is None or not record.key
        sequence = changes.pop("sequence", self.service.next_sequence(sender.address))
        key = changes.pop("public_key", sender.public_key if fresh and sequence == 0 else None)
        recipient = to.address if isinstance(to, Wallet) else to
        parts: dict[str, Any] = {
            "chain_id": CHAIN_ID,
            "signers": [Signer(sender.address, sequence, key, None)],
            "messages": [Message("bank.send", (recipient, Coin(changes.pop("denom", "QXC"), amount)), 0)],
            "fee": changes.pop("fee", Fee(10**7, 20_000, 0)),
            "valid_until": self.ledger.height + 100,
            "lease": None,
            "memo": "",
            **changes,
        }
        return encode_body(**parts)

    def signed(self, sender: Wallet = ALICE, *args: Any, **changes: Any) -> bytes:
        """Raw signed bytes of `body`."""
        body = self.body(sender, *args, **changes)
        return sender.sign_transaction(body).raw

    async def send(self, *args: Any, **changes: Any) -> str:
        """Submit a transfer; its hash."""
        raw = self.signed(*args, **changes)
        return (await self.call("tx_submit", transaction="0x" + raw.hex()))["hash"]

    # -- calls ----------------------------------------------------------------------------------------

    async def answer(self, name: str, params: Any) -> Any:
        """The JSON-RPC answer to a call."""
        request = {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}
        data = await self.dispatcher.handle(json.dumps(request).encode(), self.caller)
        assert data is not None
        return json.loads(data)

    async def call(self, name: str, **params: Any) -> Any:
        """The result of a call, which fits its declared schema."""
        answer = await self.answer(name, params)
        assert "result" in answer, answer
        check(answer["result"], self.dispatcher.registry.methods[name].result_schema, name)
        return answer["result"]

    async def error(self, name: str, **params: Any) -> Any:
        """The error of a call."""
        answer = await self.answer(name, params)
        assert "error" in answer, answer
        assert answer["error"]["code"] != -32603
        return answer["error"]

    def balance(self, address: Address) -> int:
        """Base units of QXC."""
        record = self.ledger.committed.get(b"\x01\x01" + address)
        return record.balance if record else 0
