"""Small chains of real blocks for the ledger's tests and benchmarks: made without a machine."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from ledger.backend import Backend
from ledger.collections import RecordCodec
from ledger.genesis import Genesis
from ledger.options import DEFAULT_OPTIONS, Options
from ledger.staging import BlockParts, Prepared
from ledger.state import StateCodecs, Value
from ledger.store import Ledger
from qenex.block import (
    FLAG_COMMIT,
    Block,
    Commit,
    CommitSignature,
    Event,
    Header,
    Receipt,
    Validator,
    block_hash,
    commit_hash,
    encode_block,
    evidence_root,
    results_root,
    transactions_root,
    validators_root,
)
from qenex.codec import encode
from qenex.crypto import SCHEMES, address_of, key_bytes
from qenex.crypto.address import Address
from qenex.state_keys import ACCOUNT_RECORDS, Account
from qenex.transaction import Fee, Message, Signer, assemble, encode_body, transaction_hash, witness_hash

ED25519_TAG = 1
PUBLIC_KEY, _ = SCHEMES["ed25519"].generate(bytes(32))
VALIDATOR = Validator(address_of(ED25519_TAG, PUBLIC_KEY), key_bytes(ED25519_TAG, PUBLIC_KEY), 10)
TEXTS = bytes((9, 1))
"""A collection of short texts, beside the accounts."""
CODECS: StateCodecs = {ACCOUNT_RECORDS: RecordCodec(Account, 1, {}), TEXTS: RecordCodec(str, 1, {})}
HASH = bytes(range(32))
Changes = dict[bytes, Value | None]


def genesis(chain_id: str = "test-chain", initial_height: int = 1) -> Genesis:
    return Genesis(
        chain_id=chain_id,
        time=1_000,
        validators=(VALIDATOR,),
        parameters={},
        modules={"bank": {"balances": []}},
        initial_height=initial_height,
    )


def validators_of(height: int) -> tuple[Validator, ...]:
    """The set of a height: its power changes now and then."""
    return (VALIDATOR._replace(power=10 + height // 4),)


def account_key(number: int) -> bytes:
    return ACCOUNT_RECORDS + transaction_hash(number.to_bytes(8, "big"))


def account(sequence: int, balance: int) -> Account:
    return Account(sequence, balance, VALIDATOR.key, 0, 0)


def start_state(accounts: int) -> Changes:
    state: Changes = {account_key(n): account(0, 10**9 + n) for n in range(accounts)}
    state[TEXTS + b"first"] = "one"
    return state


def transaction(number: int) -> tuple[bytes, bytes, bytes]:
    """Return (raw, tx id, witness id) of a well-formed transaction; nobody signed it."""
    body = encode_body(
        "test-chain",
        (Signer(Address(VALIDATOR.address), number, None, None),),
        (Message("bank.send", (VALIDATOR.address, ("QXC", number)), 0),),
        Fee(1_000_000, 5_000, 0),
        100,
    )
    raw = assemble(body, (number.to_bytes(64, "big"),))
    return raw, transaction_hash(body), witness_hash(raw)


def receipt(tx_id: bytes, number: int) -> bytes:
    event = Event("bank.transferred", (VALIDATOR.address, HASH, "QXC", number))
    return encode(Receipt(tx_id, 0, None, 420, 4_200, (("QXC", number),), (event,)))


def seen_commit(height: int, digest: bytes) -> Commit:
    signature = CommitSignature(VALIDATOR.address, FLAG_COMMIT, height.to_bytes(64, "big"))
    return Commit(height, 0, digest, (signature,))


def parts(ledger: Ledger, prepared: Prepared, transactions: int, **wrong: Any) -> BlockParts:
    """The block that follows the ledger's last one, with so many transactions, and its results.

    `wrong` header fields make a block that nobody would have agreed to.
    """
    height = prepared.height
    made = [transaction(height * 100_000 + n) for n in range(transactions)]
    receipts = [receipt(tx_id, n) for n, (_, tx_id, _) in enumerate(made)]
    begin, end = (Event("staking.rewarded", (height,)),), (Event("machine.fees_settled", (1, 2, height)),)
    last = None if ledger.header is None else seen_commit(height - 1, ledger.block_hash)
    header = Header(
        protocol_version=1,
        chain_id=ledger.chain_id,
        height=height,
        time=1_000 + height,
        parent_hash=ledger.block_hash,
        proposer=Address(VALIDATOR.address),
        validators_hash=validators_root(validators_of(height)),
        next_validators_hash=validators_root(validators_of(height + 1)),
        parameters_hash=HASH,
        state_root=ledger.state_root,
        results_root=ledger.results_root,
        transactions_root=transactions_root([witness for _, _, witness in made]),
        evidence_root=evidence_root(()),
        commit_hash=commit_hash(last),
    )._replace(**wrong)
    digest = block_hash(header)
    return BlockParts(
        block_bytes=encode_block(Block(header, tuple(raw for raw, _, _ in made), (), last)),
        block_hash=digest,
        header=header,
        seen_commit=seen_commit(height, digest),
        tx_ids=[tx_id for _, tx_id, _ in made],
        receipts=receipts,
        begin_events=begin,
        end_events=end,
        results_root=results_root(receipts, begin, end),
        validators=validators_of(height),
        next_validators=validators_of(height + 1),
    )


def changes_of(height: int, accounts: int, count: int = 4) -> Changes:
    """What block `height` changes, the same on every run: updates, a creation, now and then a deletion."""
    random = Random(height)
    changes: Changes = {
        account_key(random.randrange(accounts)): account(height, random.randrange(10**12))
        for _ in range(count)
    }
    changes[TEXTS + f"height {height}".encode()] = f"created by {height}"
    if height % 3 == 0:
        changes[TEXTS + f"height {height - 2}".encode()] = None
    return changes


def new_chain(
    store: Backend, accounts: int = 40, *, options: Options = DEFAULT_OPTIONS, initial_height: int = 1
) -> Ledger:
    ledger = Ledger.create_in(store, genesis(initial_height=initial_height), codecs=CODECS, options=options)
    ledger.initialise(start_state(accounts))
    return ledger


def add_block(ledger: Ledger, accounts: int = 40, transactions: int = 2) -> Prepared:
    height = ledger.height + 1
    changes = changes_of(height, accounts)
    replaced = {key: ledger.committed.get(key) for key in changes}  # as execution does before it writes
    prepared = ledger.prepare(height, changes, replaced)
    ledger.commit(prepared, **parts(ledger, prepared, transactions))
    return prepared


def expected_state(height: int, accounts: int = 40) -> dict[bytes, Value]:
    """The whole state after `height`, by the plainest means. Chains here start at height 1."""
    state = start_state(accounts)
    for number in range(1, height + 1):
        state.update(changes_of(number, accounts))
    return {key: value for key, value in state.items() if value is not None}


def encoded(state: Mapping[bytes, Value]) -> dict[bytes, bytes]:
    return {key: CODECS[key[:2]].encode(value) for key, value in state.items()}
