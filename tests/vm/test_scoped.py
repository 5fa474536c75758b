"""A scoped key does what it may and is refused the rest: messages, amounts, time, and no replay of what it signed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qenex.errors import (
    InvalidScope,
    InvalidSignature,
    PublicKeyNotAllowed,
    QenexError,
    SchemeNotAllowed,
    ScopedKeyExpired,
    ScopedKeyLimitExceeded,
    ScopedKeyMessageNotAllowed,
    ScopedKeyNotFound,
    TooManyScopedKeys,
    WrongSequence,
)
from qenex.transaction import Fee, Message, Signer, Transaction, assemble, decode_transaction, encode_body
from qenex.types import QXC
from tests.vm.chain import ACTORS, CHAIN_ID, Actor, Chain
from vm.scoped import MAX_SCOPED_KEYS, scoped_state_key

ALICE, BOB, CAROL, DAVE = ACTORS[:4]
BOT, OTHER_BOT = Actor(31), Actor(32, "ml-dsa-44")
SILVER = "tokens/" + "a" * 32
FEE = 10**7
LIMIT = 10**9


def add(
    chain: Chain,
    key: Actor = BOT,
    *,
    owner: Actor = ALICE,
    messages: tuple[str, ...] = ("bank.send",),
    limits: tuple[tuple[str, int, int], ...] = ((QXC, LIMIT, 100),),
    expires: int = 1_000,
) -> Any:
    return chain.run(chain.tx(owner, ("accounts.add_scoped_key", (key.key, messages, limits, expires))))[0]


@pytest.fixture
def chain() -> Chain:
    chain = Chain(balances=[(ALICE.address, SILVER, 1_000)])
    assert add(chain, limits=((QXC, LIMIT, 100), (SILVER, 10, 1_000))).status == 0
    return chain


def by_bot(
    chain: Chain,
    sequence: int,
    *messages: tuple[str, tuple[Any, ...]],
    index: int = 0,
    key: Actor = BOT,
    maximum: int = FEE,
    public_key: bytes | None = None,
    owner: Actor = ALICE,
    payer: Actor | None = None,
) -> Transaction:
    signers = [Signer(owner.address, sequence, public_key, index)]
    keys = [key]
    if payer is not None:
        signers.insert(0, chain.signer(payer))
        keys.insert(0, payer)
    listed = [Message(name, args, len(signers) - 1) for name, args in messages]
    body = encode_body(CHAIN_ID, signers, listed, Fee(maximum, 100_000, 0), chain.height + 50)
    return decode_transaction(assemble(body, [actor.sign(body) for actor in keys]))


def pay(amount: int, denom: str = QXC) -> tuple[str, tuple[Any, ...]]:
    return ("bank.send", (BOB.address, (denom, amount)))


def refused(chain: Chain, tx: Transaction) -> type[QenexError]:
    block = chain.begin()
    with pytest.raises(QenexError) as found:
        block.execute(tx)
    assert chain.machine.state.changes() == {}
    chain.block = None
    return found.type


def spent(chain: Chain, index: int = 0, owner: Actor = ALICE) -> list[int]:
    return [used.amount for used in chain.query("accounts.get_scoped_key", owner.address, index).spent]


def test_it_pays_within_its_limits_and_counts_its_own_sequence(chain: Chain) -> None:
    main = chain.account(ALICE.address)
    receipt = chain.run(by_bot(chain, 0, pay(500), pay(3, SILVER)))[0]
    assert receipt.status == 0
    assert spent(chain) == [500 + receipt.fee, 3]
    now = chain.account(ALICE.address)
    assert now == main._replace(balance=main.balance - 500 - receipt.fee), "the account's own sequence stands"
    assert chain.query("accounts.get_scoped_key", ALICE.address, 0).sequence == 1
    assert chain.run(chain.tx(ALICE, pay(1)))[0].status == 0
    assert chain.run(by_bot(chain, 1, pay(1)))[0].status == 0


def test_everything_it_may_not_is_refused_by_name(chain: Chain) -> None:
    assert (
        refused(chain, by_bot(chain, 0, ("accounts.revoke_scoped_key", (0,)))) is ScopedKeyMessageNotAllowed
    )
    assert refused(chain, by_bot(chain, 0, pay(1), index=1)) is ScopedKeyNotFound
    assert refused(chain, by_bot(chain, 1, pay(1))) is WrongSequence
    assert refused(chain, by_bot(chain, 0, pay(1), key=ALICE)) is InvalidSignature
    assert refused(chain, by_bot(chain, 0, pay(1), key=OTHER_BOT)) is InvalidSignature
    assert refused(chain, by_bot(chain, 0, pay(1), public_key=BOT.key)) is PublicKeyNotAllowed
    assert refused(chain, by_bot(chain, 0, pay(1), owner=BOB)) is ScopedKeyNotFound
    assert refused(chain, by_bot(chain, 0, pay(1), maximum=LIMIT + 1)) is ScopedKeyLimitExceeded
    tx = chain.tx(ALICE, pay(1), keys=[BOT])
    assert refused(chain, tx) is InvalidSignature, "its key is not the account's"
    check = chain.machine.new_check(chain.base, CHAIN_ID, chain.height + 1)
    with pytest.raises(ScopedKeyLimitExceeded):
        check.admit(by_bot(chain, 0, pay(1), maximum=LIMIT + 1))
    with pytest.raises(ScopedKeyMessageNotAllowed):
        check.admit(by_bot(chain, 0, ("accounts.revoke_scoped_key", (0,))))


def test_more_than_its_limit_fails_and_only_the_fee_counts(chain: Chain) -> None:
    before = chain.balance(ALICE.address)
    receipt = chain.run(by_bot(chain, 0, pay(LIMIT)))[0]
    assert receipt.status == ScopedKeyLimitExceeded.code
    assert chain.balance(ALICE.address) == before - receipt.fee
    assert spent(chain) == [receipt.fee, 0]
    assert chain.run(by_bot(chain, 1, pay(6, SILVER)))[0].status == 0
    assert chain.run(by_bot(chain, 2, pay(5, SILVER)))[0].status == ScopedKeyLimitExceeded.code
    assert chain.run(by_bot(chain, 3, pay(4, SILVER)))[0].status == 0
    assert spent(chain)[1] == 10


def test_failing_transactions_drain_no_more_than_the_limit(chain: Chain) -> None:
    limit = 3 * FEE
    assert add(chain, OTHER_BOT, limits=((QXC, limit, 10**6),)).status == 0
    before = chain.balance(ALICE.address)
    for sequence in range(1_000):
        block = chain.begin()
        try:
            receipt = block.execute(by_bot(chain, sequence, pay(10**14), index=1, key=OTHER_BOT))
        except ScopedKeyLimitExceeded:
            break
        assert receipt.status == ScopedKeyLimitExceeded.code
        chain.end()
    chain.block = None
    lost = before - chain.balance(ALICE.address)
    assert 0 < lost <= limit
    assert spent(chain, 1) == [lost]


def test_a_denomination_without_a_limit_may_not_leave(chain: Chain) -> None:
    assert add(chain, OTHER_BOT, limits=((QXC, LIMIT, 100),)).status == 0
    tx = by_bot(chain, 0, pay(1, SILVER), index=1, key=OTHER_BOT)
    assert chain.run(tx)[0].status == ScopedKeyLimitExceeded.code
    assert add(chain, OTHER_BOT, limits=()).status == 0
    assert refused(chain, by_bot(chain, 0, pay(1), index=2, key=OTHER_BOT)) is ScopedKeyLimitExceeded
    paid_by_carol = by_bot(chain, 0, pay(1), index=2, key=OTHER_BOT, payer=CAROL)
    assert chain.run(paid_by_carol)[0].status == ScopedKeyLimitExceeded.code


def test_what_comes_back_in_the_same_transaction_does_not_count(chain: Chain) -> None:
    signers = [Signer(ALICE.address, 0, None, 0), chain.signer(CAROL)]
    messages = [
        Message("bank.send", (CAROL.address, (QXC, 2 * LIMIT)), 0),
        Message("bank.send", (ALICE.address, (QXC, 2 * LIMIT - 7)), 1),
    ]
    body = encode_body(CHAIN_ID, signers, messages, Fee(FEE, 100_000, 0), chain.height + 9)
    receipt = chain.run(decode_transaction(assemble(body, [BOT.sign(body), CAROL.sign(body)])))[0]
    assert (receipt.status, spent(chain)) == (0, [7 + receipt.fee, 0])


def test_another_payer_pays_and_the_period_begins_anew(chain: Chain) -> None:
    assert add(chain, OTHER_BOT, limits=((QXC, 100, 2),)).status == 0

    def status(sequence: int, amount: int) -> int:
        tx = by_bot(chain, sequence, pay(amount), index=1, key=OTHER_BOT, payer=CAROL)
        found: int = chain.run(tx)[0].status
        return found

    assert (status(0, 100), spent(chain, 1)) == (0, [100])
    assert status(1, 1) == ScopedKeyLimitExceeded.code
    for _ in range(20):  # ten blocks a second
        chain.run()
    assert (status(2, 60), spent(chain, 1)) == (0, [60])


def test_it_ends_at_its_height_or_when_it_is_revoked(chain: Chain) -> None:
    assert add(chain, OTHER_BOT, expires=chain.height + 3).status == 0
    last = chain.query("accounts.get_scoped_key", ALICE.address, 1).expires
    assert chain.run(by_bot(chain, 0, pay(1), index=1, key=OTHER_BOT))[0].status == 0
    while chain.height < last:
        chain.run()
    assert refused(chain, by_bot(chain, 1, pay(1), index=1, key=OTHER_BOT)) is ScopedKeyExpired
    assert chain.run(by_bot(chain, 0, pay(1)))[0].status == 0
    old = by_bot(chain, 1, pay(1))
    assert chain.run(chain.tx(ALICE, ("accounts.revoke_scoped_key", (0,))))[0].status == 0
    assert refused(chain, old) is ScopedKeyNotFound
    assert add(chain).status == 0, "the same key again"
    assert [key.number for key in chain.query("accounts.get_scoped_keys", ALICE.address).keys] == [1, 2]
    assert refused(chain, old) is ScopedKeyNotFound, "its index is another one: nothing old is valid"
    again = chain.run(chain.tx(ALICE, ("accounts.revoke_scoped_key", (0,))))[0]
    assert again.status == ScopedKeyNotFound.code


def test_wrong_scopes_are_refused_by_name() -> None:
    chain = Chain(parameters={"machine": {"scheme_ml_dsa_44": 1}})
    wrong: list[tuple[type[QenexError], dict[str, Any]]] = [
        (InvalidScope, {"messages": ("accounts.rotate_key",)}),
        (InvalidScope, {"messages": ("bank.send", "bank.send")}),
        (InvalidScope, {"messages": ("send",)}),
        (InvalidScope, {"messages": ("Bank.send",)}),
        (InvalidScope, {"limits": ((QXC, 1, 5), (QXC, 2, 6))}),
        (InvalidScope, {"limits": ((QXC, 0, 5),)}),
        (InvalidScope, {"expires": 1}),
        (SchemeNotAllowed, {"key": OTHER_BOT}),
    ]
    for error, changes in wrong:
        assert add(chain, **changes).status == error.code, changes
    for _ in range(MAX_SCOPED_KEYS):
        assert add(chain).status == 0
    assert add(chain).status == TooManyScopedKeys.code


def test_scoped_keys_survive_a_genesis_round_trip(chain: Chain) -> None:
    assert add(chain, OTHER_BOT).status == 0
    assert chain.run(by_bot(chain, 0, pay(5)))[0].status == 0
    data = chain.machine.export_genesis(chain.base)["modules"]["accounts"]
    again = Chain(data={"accounts": data})
    for index in (0, 1):
        old, new = (c.base.get(scoped_state_key(ALICE.address, index)) for c in (chain, again))
        assert old == new
    assert add(again).status == 0
    assert [key.number for key in again.query("accounts.get_scoped_keys", ALICE.address).keys] == [
        0,
        1,
        2,
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2 * 10**8), st.booleans()), max_size=25))
def test_in_no_history_more_than_the_limit_leaves_in_one_period(steps: list[tuple[int, int, bool]]) -> None:
    limit, period = 5 * 10**8, 1
    chain = Chain()
    assert add(chain, limits=((QXC, limit, period),)).status == 0
    left: list[tuple[int, int]] = []
    sequence = 0
    for pause, amount, too_much in steps:
        for _ in range(4 * pause):
            chain.run()
        before = chain.balance(ALICE.address)
        block = chain.begin()
        try:
            block.execute(by_bot(chain, sequence, pay(amount * (10 if too_much else 1))))
        except ScopedKeyLimitExceeded:
            chain.block = None
            continue
        now = chain.machine.context.time_s
        chain.end()
        sequence += 1
        left.append((now, before - chain.balance(ALICE.address)))
    since, total = -period, 0  # the slow reference
    for now, amount in left:
        if now >= since + period:
            since, total = now, 0
        total += amount
        assert total <= limit
