"""A chain in memory with every module, on which the gas cases run: `benchmarks.gas` measures them.

A case is one transaction with one message on the state that a script of `benchmarks.gas_cases` has built. Scripts are
histories: `do` executes what is only needed, `typical` and `worst` also note the case. Every transaction must succeed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from benchmarks.test_lending import _terms as market_terms
from defi_modules.staking import StakingParams, bonds_to_json
from ledger.genesis import Genesis
from ledger.state import Value
from node.modules import MODULES
from qenex.block import Validator
from qenex.codec import encode
from qenex.crypto import SCHEMES, address_of, encode_address
from qenex.state_keys import ACCOUNT_RECORDS
from qenex.transaction import Fee, Message, Signer, assemble, decode_transaction, encode_body
from qenex.types import QXC
from vm.context import BlockInfo
from vm.gas import gas_schedule
from vm.machine import Machine

CHAIN_ID: Final = "gas-1"
START_S: Final = 1_700_000_000
LIMIT: Final = 20_000_000
"""Gas limit of every case."""
ONE: Final = 10**9
VALIDATORS: Final = 33
LATE: Final = 1 << 40
COINS: Final = tuple([f"tokens/{letter * 32}" for letter in "abcdefgh"])
"""Coins without a token's rules, of which every actor has plenty; each has a feed and a market of lending."""
FEEDS: Final = tuple([f"{chr(65 + n // 26)}{chr(65 + n % 26)}X/USD" for n in range(64)])


class Actor:
    """A key with its address."""

    def __init__(self, seed: int, scheme: str = "ed25519") -> None:
        self.scheme = SCHEMES[scheme]
        self.public_key, self.secret_key = self.scheme.generate(seed.to_bytes(self.scheme.seed_size, "big"))
        self.key = bytes((self.scheme.tag,)) + self.public_key
        self.address = address_of(self.scheme.tag, self.public_key)

    def sign(self, data: bytes) -> bytes:
        """Its signature."""
        return self.scheme.sign(self.secret_key, data)


class Base:
    """Committed objects of a chain that has them all cached; pages cost what they return, as in a store."""

    def __init__(self, values: dict[bytes, Value]) -> None:
        self.values = values
        self.get = values.get
        self.keys = sorted(values)
        self.pages = 0
        """Pages asked for: each goes to the store in a node, where single entries are cached."""

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Value]]:
        """Entries with start <= key < stop, in key order (or its reverse)."""
        self.pages += 1
        return self._iterate(start, stop, reverse)

    def _iterate(self, start: bytes, stop: bytes, reverse: bool) -> Iterator[tuple[bytes, Value]]:
        low, high = bisect_left(self.keys, start), bisect_left(self.keys, stop)
        for at in range(high - 1, low - 1, -1) if reverse else range(low, high):
            yield self.keys[at], self.values[self.keys[at]]


class Case(NamedTuple):
    """A transaction to measure, and what it did.

    `plain` is a transfer of another account: what the end of a block with it takes is not the case's own. `gas` is what
    it used without its signature and without what created entries cost beyond an update; `keys` are the entries that it,
    and the hooks at the end because of it, changed, `size` their bytes with their keys; `pages` those of ordered
    collections that it read.
    """

    message: str
    kind: str
    base: Base
    info: BlockInfo
    raw: bytes
    plain: bytes
    gas: int
    keys: int
    size: int
    pages: int


class World:
    """A machine, the state after its last block, and the cases noted so far."""

    def __init__(self, machine: Machine, base: Base, actors: list[Actor], validators: list[Actor]) -> None:
        self.machine = machine
        self.base = base
        self.actors = actors
        self.validators = validators
        time = START_S * ONE
        self.info = BlockInfo(CHAIN_ID, 1, time + ONE, time, validators[0].address)
        self.cases: list[Case] = []

    @property
    def now_s(self) -> int:
        """Seconds of the next block's time."""
        return self.info.time // ONE

    def wait(self, seconds: int) -> None:
        """The next block comes so much later."""
        self.info = self.info._replace(time=self.info.time + seconds * ONE)

    def do(self, actor: Actor, message: str, *args: Any, **options: Any) -> Any:
        """Execute a message in a block of its own; returns its result."""
        return self._run([self.raw(actor, message, args, **options)], None)

    def miss(self, validator: Actor) -> None:
        """A block without this validator's vote for the one before; four in a row have it jailed."""
        self.info = self.info._replace(absent=(validator.address,))
        self.do(self.actors[0], "bank.send", self.actors[1].address, (QXC, 1))

    def together(self, *orders: tuple[Actor, str, tuple[Any, ...]]) -> None:
        """Execute messages of different actors in one block."""
        self._run([self.raw(*order) for order in orders], None)

    def typical(self, actor: Actor, message: str, *args: Any) -> Any:
        """`do`, and measure it as what people send."""
        return self._run([self.raw(actor, message, args)], "typical")

    def worst(self, actor: Actor, message: str, *args: Any, **options: Any) -> Any:
        """`do`, and measure it as what takes longest for its gas."""
        return self._run([self.raw(actor, message, args, **options)], "worst")

    def sequence(self, actor: Actor) -> int:
        """The sequence that the actor's next transaction has."""
        record = self.base.get(ACCOUNT_RECORDS + actor.address)
        return 0 if record is None else int(record[0])

    def raw(
        self,
        actor: Actor,
        message: str,
        args: tuple[Any, ...],
        scoped: int | None = None,
        sequence: int | None = None,
    ) -> bytes:
        """The transaction, with signatures of zeros: the machine here takes them."""
        count = self.sequence(actor) if sequence is None else sequence
        signer = Signer(actor.address, count, None if count else actor.key, None)
        if scoped is not None:
            signer = Signer(actor.address, count, None, scoped)
        price = self.machine.price(self.base)
        fee = Fee(LIMIT * price, LIMIT, 0)
        body = encode_body(CHAIN_ID, [signer], [Message(message, args, 0)], fee, self.info.height + 100)
        return assemble(body, [bytes(actor.scheme.signature_size)])

    def _run(self, raws: list[bytes], kind: str | None) -> Any:
        block = self.machine.begin(self.base, self.info)
        created = 0
        charge = block._created

        def count(key: bytes, value: Value) -> None:
            nonlocal created
            created += 1
            charge(key, value)

        block._created = count  # type: ignore[method-assign]  # counted beside being charged
        pages = self.base.pages
        for tx in map(decode_transaction, raws):
            receipt = block.execute(tx)
            if receipt.status:
                raise AssertionError(f"{tx.messages[0].name} fails: {block.error}") from block.error
        pages = self.base.pages - pages
        result = block.end()
        if kind is not None:
            self._note(raws[0], kind, receipt.gas_used, created, result.changes, pages)
        values = {**self.base.values, **result.changes}
        self.base = Base({key: value for key, value in values.items() if value is not None})
        info = self.info
        self.info = info._replace(
            height=info.height + 1, time=info.time + ONE, parent_time=info.time, absent=()
        )
        return receipt.results[0]

    def _note(
        self, raw: bytes, kind: str, used: int, created: int, changes: dict[bytes, Value | None], pages: int
    ) -> None:
        plain = self.raw(self.actors[39], "bank.send", (self.actors[38].address, (QXC, 1)))
        block = self.machine.begin(self.base, self.info)
        assert block.execute(decode_transaction(plain)).status == 0
        shared = block.end().changes
        codecs, schedule = self.machine.state_codecs, gas_schedule(1)
        tx = decode_transaction(raw)
        payer = ACCOUNT_RECORDS + tx.signers[0].address
        written = {key: value for key, value in changes.items() if key == payer or key not in shared}
        size = surcharge = 0
        for key, value in written.items():
            size += len(key) + (0 if value is None else len(codecs[key[:2]].encode(value)))
            if value is not None and self.base.get(key) is None:
                surcharge += schedule.created_byte * (len(key) + len(encode(value)))
        signature = dict(schedule.signature)[0x01]
        gas = used - signature - surcharge - created * (schedule.create - schedule.update)
        self.cases.append(
            Case(tx.messages[0].name, kind, self.base, self.info, raw, plain, gas, len(written), size, pages)
        )


def _terms(number: int) -> dict[str, Any]:
    """Of the last market little may leave at once."""
    return market_terms(COINS[number], FEEDS[number]) | {"outflow_bps": 10_000 if number < 7 else 300}


def make_worlds(names: list[str]) -> dict[str, World]:
    """A world for each script, all beginning with the same state."""
    actors = [Actor(number) for number in range(1, 41)]
    validators = [Actor(100 + number) for number in range(VALIDATORS)]
    consensus = [Actor(200 + number) for number in range(VALIDATORS)]
    stakes = [(actor.address, f"v{n}", 10**6 * ONE) for n, actor in enumerate(validators)]
    bonds, bonded, powers = bonds_to_json(stakes, StakingParams(), commission_bps=500)
    accounts = [
        {
            "address": encode_address(a.address),
            "sequence": 1,
            "key": "0x" + a.key.hex(),
            "fee_tier": 0,
            "flags": 0,
        }
        for a in (*actors, *validators)
    ]
    balances = [
        {
            "address": encode_address(a.address),
            "denom": denom,
            "amount": str(10**24 if denom != QXC else 10**18),
        }
        for a in (*actors, *validators)
        for denom in (QXC, *COINS)
    ]
    feeds = [
        {
            "symbol": symbol,
            "max_age_s": 86_400,
            "min_reports": 1,
            "min_power_bps": 1,
            "max_deviation_bps": 10_000,
        }
        for symbol in FEEDS
    ]
    price = {"price": str(10**8), "spread": "0", "time_s": START_S, "reports": 1, "power": "10"}
    genesis = Genesis(
        chain_id=CHAIN_ID,
        time=START_S * ONE,
        validators=tuple(
            [Validator(a.address, c.key, p) for a, c, p in zip(validators, consensus, powers, strict=True)]
        ),
        modules={
            "accounts": {"accounts": accounts},
            "bank": {"balances": [bonded, *balances]},
            "staking": {"bonds": bonds},
            "oracle": {"prices": [{"symbol": symbol, "price": price} for symbol in FEEDS]},
            "lending": {"terms": [_terms(number) for number in range(len(COINS))]},
        },
        parameters={
            "machine": {"max_block_gas": 10**9, "target_gas_per_second": 10**9},
            "oracle": {"feeds": feeds, "period_s": 30 * 86_400, "max_missed_bps": 10_000, "hook_items": 64},
            "amm": {"authority": encode_address(validators[0].address)},
            "lending": {"authority": encode_address(validators[0].address)},
            "staking": {"window_blocks": 4},
            "governance": {
                "guardian": encode_address(validators[1].address),
                "min_deposit": ONE,
            },
        },
    )
    machine = Machine(MODULES, verify=lambda tx, keys: True)
    changes = machine.init_chain(genesis)
    start = {key: value for key, value in changes.items() if value is not None}
    return {name: World(machine, Base(dict(start)), actors, validators) for name in names}
