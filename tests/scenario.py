"""One eventful little chain for tests across the rooms: every signature scheme, every kind of outcome.

`Probe` is a module of its own that does what bank alone cannot: results that later messages refer to,
minted coins, debts, and code that fails in a way nobody foresaw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from defi_modules.bank import Bank
from ledger.genesis import Genesis
from ledger.store import Ledger
from node.application import Application
from node.home import ValidatorKey
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
from qenex.codec import Reference
from qenex.crypto import SCHEMES, address_of, encode_address, key_bytes
from qenex.crypto.address import Address, module_address
from qenex.transaction import Fee, Message, Signer, assemble, encode_body
from qenex.types import Amount, Coin
from vm.accounts import rotation_sign_bytes
from vm.context import Context
from vm.machine import Machine
from vm.module import Module, message

CHAIN = "scenario-1"
START = 1_700_000_000 * 10**9
MONEY = 10**15
GOLD = "probe/gold"
VAULT = module_address("probe")


class Struck(NamedTuple):
    """What `strike` made, and for whom."""

    coin: Coin
    owner: Address


class Probe(Module):
    """A module that exists in tests only."""

    id = 200
    name = "probe"

    @message(gas=300)
    def strike(self, ctx: Context, amount: Amount) -> Struck:
        """Mint gold for the acting account.

        Args:
            amount: how much.
        """
        ctx.money.mint(ctx, ctx.actor, GOLD, amount)
        return Struck(Coin(GOLD, amount), ctx.actor)

    @message(gas=300)
    def fill(self, ctx: Context, coin: Coin) -> None:
        """Put coins of the acting account into the vault.

        Args:
            coin: which.
        """
        ctx.money.transfer(ctx, ctx.actor, VAULT, coin.denom, coin.amount)

    @message(gas=300)
    def borrow(self, ctx: Context, coin: Coin) -> Struck:
        """Take coins from the vault, to be paid back by the end of the transaction.

        Args:
            coin: which.
        """
        ctx.money.transfer(ctx, VAULT, ctx.actor, coin.denom, coin.amount)
        ctx.owe(VAULT, coin.denom, coin.amount)
        return Struck(coin, ctx.actor)

    @message(gas=300)
    def melt(self, ctx: Context, amount: Amount) -> None:
        """Burn gold of the acting account.

        Args:
            amount: how much.
        """
        ctx.money.burn(ctx, ctx.actor, GOLD, amount)

    @message(gas=300)
    def stumble(self, ctx: Context, amount: Amount) -> None:
        """Mint, then fail as only defective code does.

        Args:
            amount: minted before the fall.
        """
        ctx.money.mint(ctx, ctx.actor, GOLD, amount)
        raise ZeroDivisionError


def make_machine() -> Machine:
    """Bank and the probe."""
    return Machine([Bank, Probe])


class Person:
    """A key of some scheme that signs transactions with a sequence of its own."""

    def __init__(self, number: int, scheme: str = "ed25519") -> None:
        self.take_key(number, scheme)
        self.address: Address = address_of(self.scheme.tag, self.public)
        self.sequence = 0

    def take_key(self, number: int, scheme: str) -> None:
        """Sign with another key from now on."""
        self.scheme = SCHEMES[scheme]
        seed = (number.to_bytes(4, "big") * self.scheme.seed_size)[: self.scheme.seed_size]
        self.public, self._secret = self.scheme.generate(seed)

    @property
    def key(self) -> bytes:
        """Tag + public key."""
        return key_bytes(self.scheme.tag, self.public)

    def sign(self, data: bytes) -> bytes:
        """A signature over `data`."""
        return self.scheme.sign(self._secret, data)

    def signer(self) -> Signer:
        """This person's entry in a transaction; takes the next sequence."""
        entry = Signer(self.address, self.sequence, self.key if self.sequence == 0 else None, None)
        self.sequence += 1
        return entry


def transaction(
    people: list[Person],
    *calls: tuple[str, tuple[Any, ...]] | tuple[str, tuple[Any, ...], int],
    **options: Any,
) -> bytes:
    """Signed bytes: calls are `(name, args)` or `(name, args, signer)`."""
    messages = [Message(call[0], call[1], call[2] if len(call) == 3 else 0) for call in calls]
    body = encode_body(
        options.get("chain_id", CHAIN),
        [person.signer() for person in people],
        messages,
        Fee(options.get("max_fee", 10**9), options.get("gas", 80_000), options.get("tip", 0)),
        options.get("valid_until", 1_000),
        options.get("lease"),
        options.get("memo", ""),
    )
    return assemble(body, [person.sign(body) for person in people])


def rotation(person: Person, number: int, scheme: str) -> bytes:
    """A transaction after which `person` signs with a new key."""
    sequence, old = person.sequence, Person(0)
    old.__dict__.update(person.__dict__)
    person.take_key(number, scheme)
    statement = rotation_sign_bytes(CHAIN, person.address, sequence, person.key)
    raw = transaction([old], ("accounts.rotate_key", (person.key, person.sign(statement))))
    person.sequence = sequence + 1
    return raw


VALIDATOR_OWNER = Person(1_000_000)
VALIDATOR = ValidatorKey.from_seed(bytes([9]) * 64, VALIDATOR_OWNER.address)


def make_people() -> list[Person]:
    """One person for each scheme, and three more with Ed25519."""
    schemes = [*SCHEMES, "ed25519", "ed25519", "ed25519"]
    return [Person(number + 1, scheme) for number, scheme in enumerate(schemes)]


def make_genesis(people: list[Person]) -> Genesis:
    """Everybody has QXC and something else."""
    balances = [
        {"address": encode_address(person.address), "denom": denom, "amount": str(MONEY)}
        for person in people
        for denom in ("QXC", "tokens/silver")
    ]
    return Genesis(
        chain_id=CHAIN,
        time=START,
        validators=(Validator(VALIDATOR.address, VALIDATOR.key, 10),),
        modules={"bank": {"balances": balances}},
        parameters={},
    )


def make_ledger(folder: Any, genesis: Genesis, machine: Machine, backend: Any = "memory") -> Ledger:
    """A new chain's store with the genesis state in it."""
    ledger = Ledger.create(folder, genesis, codecs=machine.state_codecs, backend=backend)
    Application.init_chain(machine, ledger)
    return ledger


def make_application(folder: Any, genesis: Genesis, backend: Any = "memory") -> Application:
    """A new chain's application; signatures are verified in this process."""
    machine = make_machine()
    return Application(machine, make_ledger(folder, genesis, machine, backend), Verifier(0))


def seen_commit(block: Block, round: int = 0) -> Commit:
    """The one validator's precommit."""
    name = block_hash(block.header)
    statement = vote_sign_bytes(block.header.chain_id, PRECOMMIT, block.header.height, round, name)
    vote = CommitSignature(VALIDATOR.address, FLAG_COMMIT, VALIDATOR.sign(statement))
    return Commit(block.header.height, round, name, (vote,))


def story(people: list[Person]) -> list[list[bytes]]:
    """What happens, block by block (24 of them): successes and failures of every kind that bank and probe know.

    To be admitted in this order. Empty lists are empty blocks.
    """
    first, *_ = people
    ed = [person for person in people if person.scheme.name == "ed25519"]
    ann, ben, cat = ed[1], ed[2], ed[3]
    send = "bank.send"

    def coin(amount: int, denom: str = "QXC") -> Coin:
        return Coin(denom, amount)

    blocks: list[list[bytes]] = [[]]
    # everybody's first transaction carries the key: one of each scheme
    blocks.append([transaction([person], (send, (ann.address, coin(1_000)))) for person in people])
    blocks.append(
        [transaction([person], (send, (ben.address, coin(7, "tokens/silver")))) for person in people]
    )
    newcomer = Person(77)
    blocks.append(
        [transaction([ann], *[(send, (newcomer.address, coin(n + 10**6))) for n in range(100)], gas=300_000)]
    )
    # two signers, each acting
    blocks.append(
        [transaction([ann, ben], (send, (cat.address, coin(5)), 0), (send, (cat.address, coin(6)), 1))]
    )
    # failures that pay: not enough of a denomination, zero, a module's account, all gas used, later message fails
    blocks.append(
        [
            transaction([ann], (send, (ben.address, coin(10**30)))),
            transaction([ann], (send, (ben.address, coin(0)))),
            transaction([ben], (send, (VAULT, coin(1)))),
            transaction([ben], *[(send, (Person(500 + n).address, coin(1))) for n in range(9)], gas=9_000),
            transaction(
                [cat], (send, (ann.address, coin(9))), (send, (ann.address, coin(10**15, "tokens/none")))
            ),
        ]
    )
    # references to earlier results
    strike = ("probe.strike", (500,))
    blocks.append(
        [
            transaction([cat], strike, (send, (ann.address, Reference(0, "coin"))), ("probe.melt", (0,))),
            transaction([cat], strike, (send, (ann.address, Reference(0, "coin")))),
            transaction(
                [ann],
                strike,
                ("probe.fill", (Reference(0, "coin"),)),
                (send, (Reference(0, "owner"), coin(3))),
            ),
        ]
    )
    # debts: paid, and not paid
    gold = coin(400, GOLD)
    blocks.append(
        [
            transaction([ann], ("probe.borrow", (gold,))),
            transaction([ben], ("probe.borrow", (gold,)), (send, (cat.address, Reference(0, "coin")))),
            transaction([cat], ("probe.borrow", (gold,)), ("probe.melt", (400,)), ("probe.strike", (400,))),
        ]
    )
    blocks.append(
        [transaction([ann], ("probe.stumble", (5,)), gas=70_000), transaction([ben], ("probe.melt", (1,)))]
    )
    # leases: a success holds it, a failure does not
    blocks.append([transaction([ann], (send, (ben.address, coin(1))), lease=bytes([1]) * 32, valid_until=12)])
    blocks.append([transaction([ben], (send, (ann.address, coin(0))), lease=bytes([2]) * 32, valid_until=14)])
    blocks.append([transaction([ben], (send, (ann.address, coin(1))), lease=bytes([2]) * 32, valid_until=14)])
    blocks.append([])
    # keys change to ML-DSA and to the composite, and sign in the next block; a bad proof of possession fails
    blocks.append([rotation(ann, 901, "ml-dsa-44"), rotation(ben, 902, "composite-mldsa44-ed25519")])
    blocks.append(
        [
            transaction([ann], (send, (ben.address, coin(2)))),
            transaction([ben], (send, (ann.address, coin(2)))),
        ]
    )
    blocks.append([transaction([cat], ("accounts.rotate_key", (Person(903).key, bytes(64))))])
    blocks.append([rotation(cat, 904, "ml-dsa-65")])
    blocks.append([transaction([cat], (send, (ann.address, coin(2))), tip=1_000)])
    # the newcomer's balance is spent to the last unit but for what the fee takes
    blocks.append(
        [transaction([newcomer], (send, (ann.address, coin(60_000_000))), max_fee=10**7, gas=50_000)]
    )
    blocks += [
        [transaction([first], (send, (cat.address, coin(tip + 1))), tip=10**4 * tip, memo=f"note {tip}")]
        for tip in range(5)
    ]
    blocks.append([])
    return blocks


class Told(NamedTuple):
    """A recorded block with the commit that decided it."""

    block: Block
    commit: Commit


def tell(application: Application, blocks: list[list[bytes]]) -> list[Told]:
    """Make the blocks of a story: admit, propose, decide, commit."""
    told = []
    for raws in blocks:
        for raw in raws:
            application.check_tx(raw)
        block = application.prepare_proposal(application.parent_time + 10**9, VALIDATOR.address).block
        assert len(block.transactions) == len(raws), "every transaction of the story finds its place"
        told.append(Told(block, decide(application, block)))
    return told


def decide(application: Application, block: Block, commit: Commit | None = None) -> Commit:
    """Process, finalize and commit one block."""
    answer = application.process_proposal(block)
    assert answer.accepted, answer.reason
    application.finalize_block(block)
    commit = commit or seen_commit(block)
    application.commit(block, commit)
    return commit
