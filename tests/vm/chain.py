"""A chain in memory for tests: accounts with keys, blocks, and state that passes through its encoding.

Committed values are kept as bytes and decoded anew after each block, so a value that could be written but
not read back fails the test that wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from defi_modules.bank import Bank
from ledger.genesis import Genesis
from ledger.state import Committed, StateCodecs
from qenex.block import Receipt, Validator
from qenex.codec import Reference, decode
from qenex.crypto import SCHEMES, SCHEMES_BY_TAG, Address, address_of, encode_address
from qenex.state_keys import ACCOUNT_RECORDS, EMPTY_ACCOUNT, Account
from qenex.transaction import Fee, Message, Signer, Transaction, assemble, decode_transaction, encode_body
from qenex.types import QXC
from vm.context import BlockInfo
from vm.execution import BlockExecution, BlockResult
from vm.machine import Machine
from vm.module import Module

CHAIN_ID = "lab-1"
GENESIS_TIME = 1_700_000_000 * 10**9
START = 10**15
"""Base units of QXC that each account has at genesis."""


class Actor:
    """A key with its address and the sequence its next transaction must have."""

    def __init__(self, seed: int, scheme: str = "ed25519") -> None:
        self.scheme = SCHEMES[scheme]
        material = seed.to_bytes(self.scheme.seed_size, "big")
        self.public_key, self.secret_key = self.scheme.generate(material)
        self.key = bytes((self.scheme.tag,)) + self.public_key
        self.address = address_of(self.scheme.tag, self.public_key)

    def sign(self, body: bytes) -> bytes:
        return self.scheme.sign(self.secret_key, body)


class ByteStore:
    """Encoded values by state key, ordered."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def iterate(self, start: bytes, stop: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        for key in sorted((key for key in self.values if start <= key < stop), reverse=reverse):
            yield key, self.values[key]

    def write(self, changes: dict[bytes, Any], codecs: StateCodecs) -> None:
        for key, value in changes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = codecs[key[:2]].encode(value)


ACTORS = [Actor(seed) for seed in range(1, 7)]
VALIDATOR = Actor(99)


class Chain:
    """A machine with bank and the given modules, ten blocks a second, one validator."""

    def __init__(
        self,
        *modules: type[Module],
        parameters: dict[str, dict[str, Any]] | None = None,
        balances: Sequence[tuple[Address, str, int]] = (),
        validators: Sequence[tuple[Address, bytes, int]] = (),
        actors: Sequence[Actor] = ACTORS,
        data: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.actors = list(actors)
        funds = [(actor.address, QXC, START) for actor in actors] + list(balances)
        listed = [{"address": encode_address(a), "denom": d, "amount": str(n)} for a, d, n in funds]
        self.genesis = Genesis(
            chain_id=CHAIN_ID,
            time=GENESIS_TIME,
            validators=tuple(Validator(*v) for v in validators or [(VALIDATOR.address, VALIDATOR.key, 10)]),
            modules={"bank": {"balances": listed}, **(data or {})},
            parameters={"machine": {"max_block_gas": 10**9}} if parameters is None else parameters,
        )
        self.machine = Machine([Bank, *modules])
        self.faults: list[Exception] = []
        self.machine.on_fault = self.faults.append
        self.store = ByteStore()
        self.height = 0
        self.time = GENESIS_TIME
        self.results: list[BlockResult] = []
        self.store.write(self.machine.init_chain(self.genesis), self.machine.state_codecs)
        self.base = self._committed()
        self.block: BlockExecution | None = None

    def _committed(self) -> Committed:
        return Committed(self.store.values.get, self.store.iterate, self.machine.state_codecs, capacity=64)

    # -- blocks -----------------------------------------------------------------------------

    @property
    def next_info(self) -> BlockInfo:
        return BlockInfo(CHAIN_ID, self.height + 1, self.time + 10**8, self.time, VALIDATOR.address)

    def begin(self) -> BlockExecution:
        self.block = self.machine.begin(self.base, self.next_info)
        return self.block

    def end(self) -> BlockResult:
        """End and commit the open block."""
        assert self.block is not None
        result = self.block.end()
        self._check_types(result)
        self.store.write(result.changes, self.machine.state_codecs)
        self.height, self.time = self.height + 1, self.time + 10**8
        self.base, self.block = self._committed(), None
        self.results.append(result)
        return result

    def _check_types(self, result: BlockResult) -> None:
        """Every result and event has its declared type: what the machine leaves to the modules' care."""
        registry = self.machine.registry
        hooks = (*result.begin_events, *result.end_events)
        for event in (*hooks, *(event for receipt in result.receipts for event in receipt.events)):
            registry.events[event.name].codec.check(tuple(event.fields))
        for receipt, encoded in zip(result.receipts, result.encoded_receipts, strict=True):
            assert decode(encoded, max_size=1 << 20) == receipt
            assert receipt.status == 0 or 1_000 <= receipt.status < 1 << 32

    def run(self, *txs: Transaction) -> list[Receipt]:
        """One block of these transactions, committed."""
        block = self.begin()
        receipts = [block.execute(tx) for tx in txs]
        self.end()
        return receipts

    def send_block(self, actor: Actor, *messages: tuple[str, tuple[Any, ...]], **options: Any) -> Receipt:
        """One block of one transaction by one actor."""
        return self.run(self.tx(actor, *messages, **options))[0]

    # -- transactions -------------------------------------------------------------------------

    def signer(self, actor: Actor, **changes: Any) -> Signer:
        """The signer entry that the state (with the open block's changes) asks for."""
        account = self.account(actor.address)
        key = None if account.key else actor.key
        return Signer(actor.address, account.sequence, key, None)._replace(**changes)

    def tx(
        self,
        actor: Actor,
        *messages: tuple[str, tuple[Any, ...]],
        others: Sequence[Actor] = (),
        gas: int = 1_000_000,
        tip: int = 0,
        maximum: int | None = None,
        valid_until: int | None = None,
        lease: bytes | None = None,
        memo: str = "",
        chain_id: str = CHAIN_ID,
        signers: Sequence[Signer] | None = None,
        acting: Sequence[int] = (),
        later: int = 0,
        keys: Sequence[Actor] | None = None,
    ) -> Transaction:
        """A signed transaction; `acting` names the signer of each message, `later` adds to the sequence."""
        everyone = [actor, *others]
        if signers is None:
            signers = [self.signer(a) for a in everyone]
            if later:
                signers = [s._replace(sequence=s.sequence + later, public_key=None) for s in signers]
        who = list(acting) or [0] * len(messages)
        listed = [
            Message(name, tuple(args), index) for (name, args), index in zip(messages, who, strict=True)
        ]
        price = self.machine.price(self.base)
        fee = Fee(gas * price + tip if maximum is None else maximum, gas, tip)
        until = self.height + 100 if valid_until is None else valid_until
        body = encode_body(chain_id, signers, listed, fee, until, lease, memo)
        return decode_transaction(assemble(body, [a.sign(body) for a in (keys or everyone)]))

    def send(self, actor: Actor, to: Address, amount: int, denom: str = QXC, **options: Any) -> Transaction:
        """A signed `bank.send`."""
        return self.tx(actor, ("bank.send", (to, (denom, amount))), **options)

    # -- reading --------------------------------------------------------------------------------

    def account(self, address: Address) -> Account:
        source = self.base if self.block is None else self.machine.state
        return source.get(ACCOUNT_RECORDS + address) or EMPTY_ACCOUNT

    def balance(self, address: Address, denom: str = QXC) -> int:
        result: int = self.query("bank.get_balance", address, denom)
        return result

    def supply(self, denom: str = QXC) -> int:
        result: int = self.query("bank.get_supply", denom)
        return result

    def query(self, name: str, *args: Any) -> Any:
        return self.machine.query(self.base, self.next_info, name, args)

    def problems(self) -> list[str]:
        return self.machine.check_invariants(self.base)


def ref(index: int, field: str) -> Reference:
    return Reference(index, field)


assert all(scheme.tag in SCHEMES_BY_TAG for scheme in SCHEMES.values())
