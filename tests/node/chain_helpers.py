"""A small real chain for tests: machine, ledger, application; accounts with keys and money."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consensus.signer import SignerGuard
from ledger.genesis import Genesis
from ledger.store import Ledger
from node.application import Application
from node.home import ValidatorKey
from node.modules import make_machine
from node.verifier import Verifier
from qenex.block import (
    FLAG_COMMIT,
    PRECOMMIT,
    Block,
    Commit,
    CommitSignature,
    Validator,
    block_hash,
    vote_sign_bytes,
)
from qenex.crypto import SCHEMES, address_of, encode_address, key_bytes
from qenex.crypto.address import Address
from qenex.state_keys import ACCOUNT_RECORDS
from qenex.transaction import Fee, Message, Signer, assemble, encode_body
from qenex.types import Coin

CHAIN = "test-1"
START = 1_700_000_000 * 10**9
ED = SCHEMES["ed25519"]
MONEY = 10**15


class Wallet:
    """A key that signs transfers with a sequence of its own."""

    def __init__(self, number: int, scheme: str = "ed25519") -> None:
        self.scheme = SCHEMES[scheme]
        seed = number.to_bytes(4, "big") * (self.scheme.seed_size // 4)
        self.public, self.secret = self.scheme.generate(seed)
        self.address: Address = address_of(self.scheme.tag, self.public)
        self.sequence = 0

    def transfer(self, to: Address, amount: int = 1, *, step: bool = True, **options: Any) -> bytes:
        """Signed bytes; the sequence rises unless `step` is false."""
        sequence = options.pop("sequence", self.sequence)
        with_key = options.pop("with_key", sequence == 0)
        fee = Fee(options.pop("max_fee", 10**9), options.pop("gas", 10_000), options.pop("tip", 0))
        public = key_bytes(self.scheme.tag, self.public) if with_key else None
        body = encode_body(
            options.pop("chain_id", CHAIN),
            [Signer(self.address, sequence, public, None)],
            [Message("bank.send", (to, Coin("QXC", amount)), 0)],
            fee,
            options.pop("valid_until", 5_000),
            options.pop("lease", None),
            options.pop("memo", ""),
        )
        signature = self.scheme.sign(self.secret, body)
        if options.pop("garbage", False):
            signature = bytes(len(signature))
        assert not options
        if step:
            self.sequence = sequence + 1
        return assemble(body, [signature])


VALIDATOR = ValidatorKey.from_seed(bytes([9]) * 64, Wallet(1_000_000).address)


def make_genesis(wallets: list[Wallet], **changes: Any) -> Genesis:
    fields: dict[str, Any] = {
        "chain_id": CHAIN,
        "time": START,
        "validators": (Validator(VALIDATOR.address, VALIDATOR.key, 10),),
        "modules": {
            "bank": {
                "balances": [
                    {"address": encode_address(w.address), "denom": "QXC", "amount": str(MONEY)}
                    for w in wallets
                ]
            }
        },
        "parameters": {},
    }
    return Genesis(**{**fields, **changes})


def open_application(folder: Path, genesis: Genesis, backend: Any = "memory") -> Application:
    """A new chain's application without worker processes."""
    machine = make_machine()
    ledger = Ledger.create(folder, genesis, codecs=machine.state_codecs, backend=backend)
    Application.init_chain(machine, ledger)
    return Application(machine, ledger, Verifier(0))


def seen_commit(block: Block, round: int = 0) -> Commit:
    """The one validator's precommit of a block."""
    name = block_hash(block.header)
    message = vote_sign_bytes(block.header.chain_id, PRECOMMIT, block.header.height, round, name)
    vote = CommitSignature(VALIDATOR.address, FLAG_COMMIT, VALIDATOR.sign(message))
    return Commit(block.header.height, round, name, (vote,))


def produce(application: Application, time: int | None = None) -> Block:
    """One block of what waits, by the calls any engine makes."""
    when = application.parent_time + 10**9 if time is None else time
    block = application.prepare_proposal(when, VALIDATOR.address).block
    commit_block(application, block)
    return block


def commit_block(application: Application, block: Block) -> None:
    """The calls any engine makes for a proposed block."""
    assert application.process_proposal(block).accepted
    application.finalize_block(block)
    application.commit(block, seen_commit(block))


def balance(application: Application, address: Address) -> int:
    record = application.ledger.committed.get(ACCOUNT_RECORDS + address)
    return 0 if record is None else record.balance


@contextmanager
def guard(folder: Path) -> Iterator[SignerGuard]:
    made = SignerGuard.create(
        folder / "signer.json",
        chain_id=CHAIN,
        scheme_tag=VALIDATOR.scheme.tag,
        public_key=VALIDATOR.public_key,
        sign=VALIDATOR.sign,
    )
    yield made
    made.close()


async def until(condition: Any, seconds: float = 20.0) -> None:
    """Wait for something that other tasks bring about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the condition is not ours to signal)
            await asyncio.sleep(0.002)
