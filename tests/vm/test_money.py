"""Nobody creates, destroys or moves money but by right; per denomination everything adds up, always."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qenex.crypto import Address, module_address
from qenex.errors import (
    AmountNotPositive,
    ConservationViolated,
    DebitNotAllowed,
    InsufficientBalance,
    MintNotAllowed,
    QenexError,
    RecipientClosed,
    UnknownDenomination,
    ValueOutOfRange,
)
from qenex.state_keys import ACCOUNT_RECORDS, EMPTY_ACCOUNT, balance_state_key, supply_state_key
from qenex.types import MAX_AMOUNT, QXC
from tests.vm.chain import ACTORS, START, VALIDATOR, Chain, ref
from tests.vm.lab import TOKEN, Lab, Vault
from vm.money import check_conservation

ALICE, BOB, CAROL = ACTORS[:3]
NOBODY = Address(b"\x66" * 32)


@pytest.fixture
def chain() -> Chain:
    return Chain(Lab, Vault)


# -- supply ------------------------------------------------------------------------------------------------


def test_minted_and_burned_coins_are_the_supply(chain: Chain) -> None:
    assert chain.send_block(ALICE, ("lab.make", (100,))).status == 0
    assert (chain.supply(TOKEN), chain.balance(ALICE.address, TOKEN)) == (100, 100)
    assert chain.send_block(ALICE, ("lab.burn", (ALICE.address, TOKEN, 30))).status == 0
    assert (chain.supply(TOKEN), chain.balance(ALICE.address, TOKEN)) == (70, 70)
    assert chain.send_block(ALICE, ("lab.burn", (ALICE.address, TOKEN, 70))).status == 0
    assert not [key for key in chain.store.values if b"lab/token" in key], "zero is no entry"
    assert chain.problems() == []


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("lab.mint_any", (QXC, 1), MintNotAllowed),
        ("lab.mint_any", ("vault/token", 1), MintNotAllowed),
        ("lab.mint_any", ("lab", 1), MintNotAllowed),
        ("lab.mint_any", ("labx/token", 1), MintNotAllowed),
        ("lab.mint_any", ("LAB/token", 1), MintNotAllowed),
        ("lab.mint_any", (TOKEN, 0), AmountNotPositive),
        ("lab.mint_any", (TOKEN, MAX_AMOUNT - 1), None),
        ("lab.burn", (ALICE.address, QXC, 1), MintNotAllowed),
        ("lab.burn", (ALICE.address, TOKEN, 0), AmountNotPositive),
        ("lab.burn", (ALICE.address, TOKEN, 1), InsufficientBalance),
        ("lab.burn", (BOB.address, TOKEN, 1), DebitNotAllowed),
        ("lab.take", (BOB.address, (QXC, 1)), DebitNotAllowed),
        ("lab.take", (module_address("vault"), (QXC, 1)), DebitNotAllowed),
        ("lab.take", (module_address("lab"), (QXC, 1)), InsufficientBalance),
        ("lab.take", (ALICE.address, (QXC, 0)), AmountNotPositive),
    ],
)
def test_rights_over_money(
    chain: Chain, name: str, args: tuple[Any, ...], error: type[QenexError] | None
) -> None:
    receipt = chain.send_block(ALICE, (name, args))
    assert receipt.status == (error.code if error else 0)
    assert chain.problems() == []


def test_supply_stays_below_two_to_the_128(chain: Chain) -> None:
    top = MAX_AMOUNT - 1
    assert chain.send_block(ALICE, ("lab.make", (top - 1,)), ("lab.make", (1,))).status == 0
    assert chain.send_block(BOB, ("lab.make", (1,))).status == ValueOutOfRange.code
    assert chain.send_block(ALICE, ("bank.send", (BOB.address, (TOKEN, top)))).status == 0
    assert chain.balance(BOB.address, TOKEN) == top


def test_malformed_denomination_cannot_be_minted(chain: Chain) -> None:
    ctx, money = chain.machine.context, chain.machine.money
    chain.begin()
    ctx.module = "lab"
    for denom in ("lab/\u00e9", "lab/a\0b", "lab/" + "x" * 61, "lab/ x", ""):
        with pytest.raises(UnknownDenomination):
            money.mint(ctx, NOBODY, denom, 1)


def test_only_staking_and_genesis_mint_the_native_coin(chain: Chain) -> None:
    money = chain.machine.money
    assert [m for m in ("staking", "genesis", "bank", "lab", "machine", "") if money.may_mint(m, QXC)] == [
        "staking",
        "genesis",
    ]
    assert money.may_mint("staking", "staking/QXC")


# -- module accounts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["machine", "accounts", "bank", "lab", "vault", "staking", "amm", "lending"])
def test_main_accounts_of_modules_take_no_plain_transfer(chain: Chain, name: str) -> None:
    receipt = chain.send_block(ALICE, ("bank.send", (module_address(name), (QXC, 5))))
    assert receipt.status == RecipientClosed.code


def test_account_of_an_object_belongs_to_its_module_alone(chain: Chain) -> None:
    pool = module_address("lab", b"pool")
    assert chain.send_block(ALICE, ("bank.send", (pool, (QXC, 7)))).status == 0, "not opened yet"
    opened = chain.send_block(ALICE, ("lab.open", (b"pool",)))
    assert opened.results[0].who == pool
    assert chain.query("accounts.get_account", pool).is_module
    assert chain.send_block(ALICE, ("bank.send", (pool, (QXC, 5)))).status == RecipientClosed.code
    assert chain.send_block(ALICE, ("lab.give_raw", (pool, (QXC, 5)))).status == 0, "its module may"
    assert chain.send_block(ALICE, ("lab.take", (pool, (QXC, 12)))).status == 0
    assert chain.query("accounts.get_account", pool).is_module, "an empty module account stays closed"
    assert chain.send_block(ALICE, ("bank.send", (pool, (QXC, 5)))).status == RecipientClosed.code
    assert chain.problems() == []


def test_emptied_account_without_key_leaves_no_record(chain: Chain) -> None:
    plain = module_address("lab")
    chain.send_block(ALICE, ("lab.give_raw", (plain, (QXC, 5))))
    assert chain.store.values.get(ACCOUNT_RECORDS + plain)
    chain.send_block(ALICE, ("lab.take", (plain, (QXC, 5))))
    assert ACCOUNT_RECORDS + plain not in chain.store.values
    chain.send_block(ALICE, ("lab.make", (5,)), ("bank.send", (BOB.address, ref(0, "coin"))))
    assert balance_state_key(ALICE.address, TOKEN) not in chain.store.values


def test_transfer_to_oneself_changes_nothing_and_creates_nothing(chain: Chain) -> None:
    chain.send_block(ALICE, ("lab.make", (5,)))
    for denom, amount, status in ((TOKEN, 5, 0), (TOKEN, 6, InsufficientBalance.code), (QXC, 5, 0)):
        receipt = chain.send_block(ALICE, ("bank.send", (ALICE.address, (denom, amount))))
        assert receipt.status == status
        assert receipt.gas_used < 2_000
    assert chain.balance(ALICE.address, TOKEN) == 5


# -- conservation, from images alone ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "writes",
    [
        {ACCOUNT_RECORDS + NOBODY: EMPTY_ACCOUNT._replace(balance=1)},
        {ACCOUNT_RECORDS + ALICE.address: None},
        {balance_state_key(NOBODY, "lab/x"): 1},
        {balance_state_key(NOBODY, "lab/x"): 1, supply_state_key("lab/y"): 1},
        {balance_state_key(NOBODY, "lab/x"): 2, supply_state_key("lab/x"): 1},
        {supply_state_key("lab/x"): 1},
        {supply_state_key(QXC): 1},
        {supply_state_key(QXC): None},
        {balance_state_key(NOBODY, "lab/x"): 5, balance_state_key(BOB.address, "lab/x"): -5},
        {balance_state_key(NOBODY, "lab/x"): -5, supply_state_key("lab/x"): -5},
    ],
)
def test_conservation_sees_every_kind_of_forgery(chain: Chain, writes: dict[bytes, Any]) -> None:
    chain.begin()
    state = chain.machine.state
    mark = state.mark()
    check_conservation(state, state.touched(mark))
    for key, value in writes.items():
        state.set(key, value)
    with pytest.raises(ConservationViolated):
        check_conservation(state, state.touched(mark))


def test_conservation_accepts_what_adds_up(chain: Chain) -> None:
    chain.begin()
    state = chain.machine.state
    state.set(balance_state_key(NOBODY, "lab/x"), 5)
    state.set(balance_state_key(BOB.address, "lab/x"), 6)
    state.set(supply_state_key("lab/x"), 11)
    check_conservation(state, state.touched(0))
    check_conservation(state, state.touched(0), {"lab/x": None})
    with pytest.raises(ConservationViolated, match="without a right"):
        check_conservation(state, state.touched(0), {"lab/y": None})


# -- random blocks against a slow model ---------------------------------------------------------------------------------

PEOPLE = ACTORS[:4]
WHO = st.integers(0, len(PEOPLE) - 1)
SMALL = st.one_of(st.integers(0, 30), st.just(START), st.integers(START // 3, START // 2))
DENOM = st.sampled_from([QXC, TOKEN, TOKEN, "lab/none"])
MESSAGE = st.one_of(
    st.tuples(st.just("send"), WHO, WHO, DENOM, SMALL),
    st.tuples(st.just("make"), WHO, st.integers(0, 40)),
    st.tuples(st.just("forward"), WHO, WHO, st.integers(1, 40)),
    st.tuples(st.just("burn"), WHO, WHO, st.integers(0, 20)),
    st.tuples(st.just("owe"), WHO, WHO, DENOM, st.integers(1, 20)),
    st.tuples(st.just("crash"), WHO),
    st.tuples(st.just("call"), WHO, st.integers(0, 20)),
    st.tuples(st.just("forge"), WHO, WHO, st.integers(0, 2)),
)
TRANSACTION = st.fixed_dictionaries(
    {
        "messages": st.lists(MESSAGE, min_size=1, max_size=4),
        "tip": st.integers(0, 1_000),
        "spare": st.integers(0, 10**6),
        "lease": st.one_of(st.none(), st.binary(min_size=1, max_size=1)),
    }
)
BLOCKS = st.lists(st.lists(TRANSACTION, max_size=4), min_size=1, max_size=3)


class Refused(Exception):
    """The model's own failure, with the code it expects."""


class Model:
    """Balances and supplies by plain dicts; every rule written out slowly."""

    def __init__(self) -> None:
        self.balances: dict[tuple[bytes, str], int] = {(a.address, QXC): START for a in ACTORS}
        self.supplies = {QXC: START * len(ACTORS)}

    def move(self, source: bytes, target: bytes, denom: str, amount: int) -> None:
        held = self.balances.get((source, denom), 0)
        if held < amount:
            raise Refused(InsufficientBalance.code)
        self.balances[source, denom] = held - amount
        self.balances[target, denom] = self.balances.get((target, denom), 0) + amount

    def mint(self, target: bytes, denom: str, amount: int) -> None:
        if amount == 0:
            raise Refused(AmountNotPositive.code)
        self.balances[target, denom] = self.balances.get((target, denom), 0) + amount
        self.supplies[denom] = self.supplies.get(denom, 0) + amount

    def run(self, messages: list[tuple[Any, ...]]) -> int:
        """Apply all or nothing; returns the status."""
        kept = dict(self.balances), dict(self.supplies)
        debts: list[tuple[bytes, bytes, str, int]] = []
        forged = False
        try:
            for kind, who, *rest in messages:
                actor = PEOPLE[who].address
                match kind, rest:
                    case "send", [to, denom, amount]:
                        if amount == 0:
                            raise Refused(AmountNotPositive.code)
                        self.move(actor, PEOPLE[to].address, denom, amount)
                    case "make", [amount]:
                        self.mint(actor, TOKEN, amount)
                    case "forward", [to, amount]:
                        self.mint(actor, TOKEN, amount)
                        self.move(actor, PEOPLE[to].address, TOKEN, amount)
                    case "burn", [of, amount]:
                        if amount == 0:
                            raise Refused(AmountNotPositive.code)
                        if of != who:
                            raise Refused(DebitNotAllowed.code)
                        self.move(actor, b"ash", TOKEN, amount)
                        del self.balances[b"ash", TOKEN]
                        self.supplies[TOKEN] -= amount
                    case "owe", [to, denom, amount]:
                        debts.append((actor, PEOPLE[to].address, denom, amount))
                    case "crash", []:
                        raise Refused(2_999)
                    case "call", [amount]:
                        if amount == 0:
                            raise Refused(AmountNotPositive.code)
                        self.move(module_address("lab"), module_address("vault"), TOKEN, amount)
                    case "forge", _:
                        forged = True
            for debt in debts:
                try:
                    self.move(*debt)
                except Refused:
                    raise Refused(2_001) from None
            if forged:
                raise Refused(ConservationViolated.code)
        except Refused as refusal:
            self.balances, self.supplies = kept
            return int(refusal.args[0])
        return 0


def wire(messages: list[tuple[Any, ...]]) -> tuple[list[tuple[str, tuple[Any, ...]]], list[int]]:
    """Messages as they travel, and who acts in each ("forward" becomes two, with a reference)."""
    found: list[tuple[str, tuple[Any, ...]]] = []
    acting: list[int] = []
    for kind, who, *rest in messages:
        match kind, rest:
            case "send", [to, denom, amount]:
                found.append(("bank.send", (PEOPLE[to].address, (denom, amount))))
            case "make", [amount]:
                found.append(("lab.make", (amount,)))
            case "forward", [to, amount]:
                found.append(("lab.make", (amount,)))
                acting.append(who)
                found.append(("bank.send", (PEOPLE[to].address, ref(len(found) - 1, "coin"))))
            case "burn", [of, amount]:
                found.append(("lab.burn", (PEOPLE[of].address, TOKEN, amount)))
            case "owe", [to, denom, amount]:
                found.append(("lab.owe", (PEOPLE[to].address, (denom, amount), 1)))
            case "crash", []:
                found.append(("lab.crash", (0,)))
            case "call", [amount]:
                found.append(("lab.deposit", (amount, None)))
            case "forge", [to, form]:
                found.append(("lab.forge", (form, PEOPLE[to].address)))
        acting.append(who)
    return found, acting


@given(BLOCKS)
def test_random_blocks_conserve_every_denomination(blocks: list[list[dict[str, Any]]]) -> None:
    chain, model = Chain(Lab, Vault), Model()
    leases: list[tuple[bytes, bytes]] = []  # held for longer than these blocks
    for transactions in blocks:
        price, base_fees, tips = chain.machine.price(chain.base), 0, 0
        block = chain.begin()
        for spec in transactions:
            messages, acting = wire(spec["messages"])
            signers = list(dict.fromkeys([spec["messages"][0][1], *acting]))
            lease = None if spec["lease"] is None else spec["lease"] * 32
            maximum = 200_000 * price + spec["tip"] + spec["spare"]
            tx = chain.tx(
                PEOPLE[signers[0]], *messages, others=[PEOPLE[s] for s in signers[1:]],
                acting=[signers.index(who) for who in acting], gas=200_000, tip=spec["tip"],
                maximum=maximum, lease=lease,
            )  # fmt: skip
            payer = (PEOPLE[signers[0]].address, QXC)
            held = lease is not None and (payer[0], lease) in leases
            if model.balances[payer] < maximum or held:
                with pytest.raises(QenexError):
                    block.execute(tx)
                continue
            model.balances[payer] -= maximum
            status = model.run(spec["messages"])
            receipt = block.execute(tx)
            if any(message[0] == "forge" for message in spec["messages"]):
                assert receipt.status, "what was forged may pay for later messages, never for the last check"
            else:
                assert receipt.status == status
            assert receipt.fee == receipt.gas_used * price + spec["tip"]
            model.balances[payer] += maximum - receipt.fee
            base_fees += receipt.fee - spec["tip"]
            tips += spec["tip"]
            if status == 0 and lease is not None:
                leases.append((payer[0], lease))
        result = chain.end()
        burned = base_fees // 2
        model.supplies[QXC] -= burned
        earned = model.balances.get((VALIDATOR.address, QXC), 0)
        model.balances[VALIDATOR.address, QXC] = earned + base_fees - burned + tips
        assert len(result.receipts) == len(result.encoded_receipts)
    for (address, denom), amount in model.balances.items():
        assert chain.balance(Address(address), denom) == amount
    for denom, supply in model.supplies.items():
        assert chain.supply(denom) == supply
        assert supply == sum(n for (_, d), n in model.balances.items() if d == denom)
    assert chain.problems() == []


# -- payments to many --------------------------------------------------------------------------------------------


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payments=st.lists(
        st.tuples(
            st.sampled_from(
                (ALICE.address, BOB.address, NOBODY, module_address("vault"), module_address("lab", b"pool"))
            ),
            st.tuples(
                st.sampled_from((QXC, QXC, QXC, TOKEN)), st.sampled_from((1, 5, 7, 0, START // 2, 1_000))
            ),
        ),
        max_size=8,
    ),
    likely=st.booleans(),
)
def test_several_payments_at_once_are_the_same_one_by_one(
    chain: Chain, payments: list[tuple[Address, tuple[str, int]]], likely: bool
) -> None:
    if likely:  # nothing but what is usual: the way that writes the payer once
        payments = [(to, (QXC, amount or 1)) for to, (_, amount) in payments if to in (BOB.address, NOBODY)]
    if not chain.results:
        chain.send_block(ALICE, ("lab.make", (10,)), ("lab.open", (b"pool",)))
    chain.begin()
    machine, outcomes = chain.machine, []
    ctx, money, state = machine.context, machine.money, machine.state
    ctx.actor, ctx.module = ALICE.address, "bank"
    mark = state.mark()
    for way in (
        lambda: money.pay_each(ctx, payments),
        lambda: [money.pay(ctx, to, denom, amount) for to, (denom, amount) in payments],
    ):
        answer: Any
        try:
            answer = way()
        except QenexError as error:
            answer = type(error)
        else:
            answer = answer, state.changes(), state.touched(mark)
        outcomes.append(answer)
        state.revert(mark)
    assert outcomes[0] == outcomes[1]
