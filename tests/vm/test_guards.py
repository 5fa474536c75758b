"""Large amounts wait, the canceller cancels, and nobody with the account's key alone gets round it."""

from __future__ import annotations

from typing import Any

import pytest

from defi_modules.tokens import Tokens
from defi_modules.tokens.module import token_denom
from defi_modules.tokens.types import Controls
from qenex.crypto import module_address
from qenex.errors import (
    AccountFrozen,
    DebitNotAllowed,
    GuardedAccountFrozen,
    GuardFeeLimitExceeded,
    GuardForbidsMessage,
    GuardFrozen,
    GuardLimitExceeded,
    GuardNotFound,
    InsufficientBalance,
    InvalidGenesis,
    InvalidGuard,
    NotCanceller,
    QenexError,
    QueuedNotFound,
    QueueFull,
    RecipientClosed,
    RecipientNotListed,
    ScopedKeyNotFound,
    WrongSequence,
)
from qenex.state_keys import FLAG_GUARDED
from qenex.transaction import Fee, Message, Signer, assemble, decode_transaction, encode_body
from qenex.types import QXC
from tests.defi_modules.tokens.lab import TokenChain
from tests.vm.chain import ACTORS, CHAIN_ID, START, Actor, Chain, ref
from tests.vm.lab import Lab, Vault
from tests.vm.test_accounts import rotate
from vm.guard import MAX_QUEUED, VAULT
from vm.guards import DUE_ITEMS

ALICE, BOB, CAROL, DAVE, EVE = ACTORS[:5]
"""Alice's account is guarded, Carol cancels; Bob and Eve receive, one by right, one by theft."""
SILVER = "tokens/" + "a" * 32
LIMIT, FEES, DELAY = 10**9, 5 * 10**9, 2
BLOCKS = 10 * DELAY
"""Ten blocks a second."""


def guard(
    chain: Chain,
    owner: Actor = ALICE,
    canceller: Actor = CAROL,
    delay_s: int = DELAY,
    fee_limit: int = FEES,
    limits: tuple[tuple[str, int], ...] = ((QXC, LIMIT),),
) -> Any:
    return do(chain, owner, "accounts.set_guard", canceller.address, delay_s, fee_limit, limits)


def do(chain: Chain, actor: Actor, name: str, *args: Any) -> Any:
    return chain.send_block(actor, (name, args))


def queue(chain: Chain, amount: int, denom: str = QXC, to: Actor = EVE) -> int:
    receipt = do(chain, ALICE, "accounts.queue_transfer", to.address, (denom, amount))
    assert receipt.status == 0
    number: int = receipt.results[0].number
    return number


def wait(chain: Chain, blocks: int = BLOCKS + 1) -> None:
    for _ in range(blocks):
        chain.run()


def view(chain: Chain) -> Any:
    return chain.query("accounts.get_guard", ALICE.address)


def refused(chain: Chain, tx: Any) -> type[QenexError]:
    block = chain.begin()
    with pytest.raises(QenexError) as found:
        block.execute(tx)
    assert chain.machine.state.changes() == {}
    chain.block = None
    return found.type


@pytest.fixture
def chain() -> Chain:
    chain = Chain(Tokens, balances=[(ALICE.address, SILVER, 1_000)])
    assert guard(chain).status == 0
    return chain


def test_small_amounts_leave_at_once_and_splitting_helps_nobody(chain: Chain) -> None:
    assert chain.account(ALICE.address).flags == FLAG_GUARDED
    assert chain.run(chain.send(ALICE, BOB.address, LIMIT))[0].status == 0
    assert chain.run(chain.send(ALICE, BOB.address, 1))[0].status == GuardLimitExceeded.code
    parts = [("bank.send", (BOB.address, (QXC, LIMIT // 4)))] * 5
    wait(chain)
    assert chain.send_block(ALICE, *parts).status == GuardLimitExceeded.code
    assert chain.send_block(ALICE, *parts[:4]).status == 0
    assert view(chain).spent[0].amount == LIMIT
    assert chain.run(chain.send(BOB, ALICE.address, 10 * LIMIT))[0].status == 0, "what comes is free"
    assert chain.run(chain.send(ALICE, BOB.address, 1))[0].status == GuardLimitExceeded.code


def test_a_denomination_without_a_limit_only_leaves_queued(chain: Chain) -> None:
    assert chain.run(chain.send(ALICE, BOB.address, 1, SILVER))[0].status == GuardLimitExceeded.code
    assert chain.send_block(ALICE, ("tokens.burn", (SILVER, 1))).status != 0
    queue(chain, 1_000, SILVER, BOB)
    wait(chain)
    assert (chain.balance(ALICE.address, SILVER), chain.balance(BOB.address, SILVER)) == (0, 1_000)
    assert chain.problems() == []


def test_a_queued_transfer_waits_where_all_can_see_it_and_arrives(chain: Chain) -> None:
    before = chain.balance(ALICE.address)
    receipt = do(chain, ALICE, "accounts.queue_transfer", BOB.address, (QXC, 50 * LIMIT))
    (number,) = receipt.results[0]
    assert chain.balance(ALICE.address) == before - 50 * LIMIT - receipt.fee
    assert chain.balance(VAULT) == 50 * LIMIT
    (waiting,) = view(chain).queued
    assert (waiting.number, waiting.what, waiting.transfer) == (
        number,
        "transfer",
        (BOB.address, QXC, 50 * LIMIT),
    )
    assert chain.problems() == []
    wait(chain, BLOCKS - 12)
    assert chain.balance(BOB.address) == START
    wait(chain, 12)
    assert chain.balance(BOB.address) == START + 50 * LIMIT
    assert (chain.balance(VAULT), view(chain).queued) == (0, ())
    paid = [e for r in chain.results for e in r.begin_events if e.name == "accounts.queued_transfer_paid"]
    assert [event.fields for event in paid] == [(ALICE.address, number, BOB.address, QXC, 50 * LIMIT)]
    assert chain.problems() == []


def test_the_canceller_cancels_and_the_coins_are_back(chain: Chain) -> None:
    number = queue(chain, 100 * LIMIT)
    before = chain.balance(ALICE.address)
    assert do(chain, DAVE, "accounts.cancel_queued", ALICE.address, number).status == NotCanceller.code
    assert do(chain, CAROL, "accounts.cancel_queued", ALICE.address, number).status == 0
    assert chain.balance(ALICE.address) == before + 100 * LIMIT
    again = do(chain, CAROL, "accounts.cancel_queued", ALICE.address, number)
    assert again.status == QueuedNotFound.code
    wait(chain)
    assert chain.balance(EVE.address) == START
    assert view(chain).queued == ()
    assert chain.problems() == []


def test_a_thief_undoes_no_guard_before_its_delay(chain: Chain) -> None:
    """Removal, weaker terms, another canceller, another key: all wait, and all can be cancelled."""
    thief = Actor(66)
    weak = (EVE.address, 1, 10**12, ((QXC, 10**17),))
    changes = [
        ("accounts.remove_guard", ()),
        ("accounts.set_guard", weak),
        rotate(chain, ALICE, thief, chain.account(ALICE.address).sequence),
    ]
    receipt = chain.send_block(ALICE, *changes)
    assert [result.number for result in receipt.results] == [1, 2, 3]
    assert [waiting.what for waiting in view(chain).queued] == ["removal", "guard", "rotation"]
    assert chain.run(chain.send(ALICE, EVE.address, 2 * LIMIT))[0].status == GuardLimitExceeded.code
    assert do(chain, ALICE, "accounts.cancel_queued", ALICE.address, 3).status == NotCanceller.code
    assert do(chain, CAROL, "accounts.cancel_queued", ALICE.address, None).status == 0
    wait(chain)
    assert view(chain).terms == (CAROL.address, DELAY, FEES, ((QXC, LIMIT),))
    assert chain.run(chain.send(ALICE, BOB.address, 1))[0].status == 0, "Alice's key is what it was"
    assert chain.problems() == []


def test_changes_happen_when_nobody_cancels_them(chain: Chain) -> None:
    new = Actor(67, "ml-dsa-44")
    chain.send_block(ALICE, rotate(chain, ALICE, new))
    assert guard(chain, canceller=DAVE, limits=((QXC, 7), (SILVER, 5))).results[0].number == 2
    wait(chain)
    assert view(chain).terms == (DAVE.address, DELAY, FEES, ((QXC, 7), (SILVER, 5)))
    old = chain.send(ALICE, BOB.address, 1)
    assert refused(chain, old) is not WrongSequence
    tx = chain.tx(ALICE, ("accounts.remove_guard", ()), keys=[new])
    assert chain.run(tx)[0].status == 0
    wait(chain)
    assert chain.account(ALICE.address).flags == 0
    with pytest.raises(GuardNotFound):
        view(chain)
    everything = chain.tx(ALICE, ("bank.send", (BOB.address, (QXC, 900 * LIMIT))), keys=[new])
    assert chain.run(everything)[0].status == 0
    assert chain.problems() == []


def test_a_removal_takes_back_what_waits(chain: Chain) -> None:
    assert do(chain, ALICE, "accounts.remove_guard").status == 0
    wait(chain, 5)
    queue(chain, 50 * LIMIT)
    before = chain.balance(ALICE.address)
    wait(chain, BLOCKS - 4)
    assert chain.balance(ALICE.address) == before + 50 * LIMIT
    wait(chain)
    assert chain.balance(EVE.address) == START
    assert chain.problems() == []


def test_frozen_accounts_lose_nothing_and_both_keys_rescue_them(chain: Chain) -> None:
    queue(chain, 10 * LIMIT)
    assert do(chain, ALICE, "accounts.freeze", ALICE.address, 100).status == NotCanceller.code
    assert do(chain, CAROL, "accounts.freeze", ALICE.address, 10).status == 0
    assert view(chain).queued == ()
    for message in (
        ("bank.send", (EVE.address, (QXC, 1))),
        ("accounts.queue_transfer", (EVE.address, (QXC, 1))),
        ("accounts.remove_guard", ()),
        ("accounts.set_guard", (EVE.address, 1, FEES, ())),
    ):
        assert refused(chain, chain.tx(ALICE, message)) is GuardedAccountFrozen
        both = chain.tx(CAROL, message, others=[ALICE], acting=[1])
        assert chain.run(both)[0].status == GuardFrozen.code, "the canceller ends the freeze first"
    assert refused(chain, chain.tx(ALICE, rotate(chain, ALICE, Actor(66)))) is GuardedAccountFrozen
    paid = chain.tx(BOB, ("accounts.remove_guard", ()), others=[ALICE], acting=[1])
    assert refused(chain, paid) is GuardedAccountFrozen
    check = chain.machine.new_check(chain.base, CHAIN_ID, chain.height + 1)
    with pytest.raises(GuardedAccountFrozen):
        check.admit(chain.send(ALICE, BOB.address, 1))
    new = Actor(67)
    sequence = chain.account(ALICE.address).sequence
    rescue = chain.tx(
        CAROL,
        ("accounts.freeze", (ALICE.address, 0)),
        rotate(chain, ALICE, new, sequence),
        ("accounts.approve_queued", (ALICE.address, ref(1, "number"))),
        others=[ALICE],
        acting=[0, 1, 0],
    )
    assert chain.run(rescue)[0].status == 0
    assert chain.run(chain.send(ALICE, BOB.address, 1, keys=[new]))[0].status == 0
    assert chain.run() == []
    assert do(chain, CAROL, "accounts.freeze", ALICE.address, 1).status == 0
    wait(chain, 11)
    assert chain.run(chain.send(ALICE, BOB.address, 1, keys=[new]))[0].status == 0, "a freeze ends by itself"


def test_with_both_keys_nothing_waits(chain: Chain) -> None:
    number = queue(chain, 70 * LIMIT, to=BOB)
    assert do(chain, ALICE, "accounts.approve_queued", ALICE.address, number).status == NotCanceller.code
    assert do(chain, CAROL, "accounts.approve_queued", ALICE.address, number).status == 0
    chain.run()
    assert chain.balance(BOB.address) == START + 70 * LIMIT
    again = do(chain, CAROL, "accounts.approve_queued", ALICE.address, number)
    assert again.status == QueuedNotFound.code


def test_taking_back_and_sending_in_one_transaction_is_counted(chain: Chain) -> None:
    number = queue(chain, 20 * LIMIT)
    both = [
        ("accounts.cancel_queued", (ALICE.address, number)),
        ("bank.send", (EVE.address, (QXC, 20 * LIMIT))),
    ]
    assert chain.send_block(ALICE, *both).status == GuardLimitExceeded.code
    again = [
        ("accounts.cancel_queued", (ALICE.address, number)),
        ("accounts.queue_transfer", (BOB.address, (QXC, 20 * LIMIT))),
    ]
    assert chain.send_block(ALICE, *again).status == 0
    assert chain.problems() == []


def test_an_approval_makes_no_room_for_other_coins(chain: Chain) -> None:
    number = queue(chain, 20 * LIMIT)
    tx = chain.tx(
        CAROL,
        ("accounts.approve_queued", (ALICE.address, number)),
        ("bank.send", (EVE.address, (QXC, 20 * LIMIT))),
        others=[ALICE],
        acting=[0, 1],
    )
    assert chain.run(tx)[0].status == GuardLimitExceeded.code


def test_an_account_that_became_a_modules_is_not_paid() -> None:
    chain = Chain(Lab, Vault)
    assert guard(chain).status == 0
    pool = module_address("lab", b"pool")
    assert do(chain, ALICE, "accounts.queue_transfer", pool, (QXC, 5)).status == 0
    assert do(chain, BOB, "lab.open", b"pool").status == 0
    wait(chain)
    (returned,) = [
        e for r in chain.results for e in r.begin_events if e.name == "accounts.queued_transfer_returned"
    ]
    assert returned.fields == (ALICE.address, 1, RecipientClosed.code)
    assert (chain.balance(pool), chain.balance(VAULT)) == (0, 0)


def test_what_comes_in_beside_does_not_hide_what_leaves(chain: Chain) -> None:
    """An accomplice, or the account's own loan, cannot make the balance look unchanged."""
    tx = chain.tx(
        BOB,
        ("bank.send", (ALICE.address, (QXC, 9 * LIMIT))),
        ("bank.send", (EVE.address, (QXC, 9 * LIMIT))),
        others=[ALICE],
        acting=[0, 1],
    )
    assert chain.run(tx)[0].status == GuardLimitExceeded.code


BOT, LONG_BOT = Actor(68), Actor(69, "ml-dsa-44")
SCOPE = (BOT.key, ("bank.send",), ((QXC, 10**15, 100),), 10_000)


def by_bot(chain: Chain, number: int, amount: int) -> Any:
    """A transfer by Alice's scoped key."""
    sequence = chain.query("accounts.get_scoped_key", ALICE.address, number).sequence
    messages = [Message("bank.send", (EVE.address, (QXC, amount)), 0)]
    signer = Signer(ALICE.address, sequence, None, number)
    body = encode_body(CHAIN_ID, [signer], messages, Fee(10**7, 100_000, 0), chain.height + 9)
    return chain.run(decode_transaction(assemble(body, [BOT.sign(body)])))[0]


def test_scoped_keys_from_before_are_bound_too() -> None:
    chain = Chain()
    assert do(chain, ALICE, "accounts.add_scoped_key", *SCOPE).results[0].number == 0
    assert guard(chain).status == 0
    assert by_bot(chain, 0, 2 * LIMIT).status == GuardLimitExceeded.code
    assert by_bot(chain, 0, LIMIT).status == 0


def test_a_scoped_key_of_a_guarded_account_waits_and_can_be_cancelled(chain: Chain) -> None:
    """Else a thief would leave one behind, which drains the account once its guard is taken away."""
    for number in range(MAX_QUEUED):
        assert do(chain, ALICE, "accounts.add_scoped_key", *SCOPE).results[0].number == number
    assert {waiting.what for waiting in view(chain).queued} == {"scoped key"}
    with pytest.raises(ScopedKeyNotFound):
        by_bot(chain, 0, 1)
    assert chain.problems() == []
    assert do(chain, CAROL, "accounts.cancel_queued", ALICE.address, None).status == 0
    for _ in range(2):
        assert do(chain, ALICE, "accounts.add_scoped_key", *SCOPE).status == 0, "their places are free again"
    assert do(chain, ALICE, "accounts.cancel_queued", ALICE.address, None).status == 0
    wait(chain)
    keys = chain.query("accounts.get_scoped_keys", ALICE.address).keys
    assert [key.number for key in keys] == [MAX_QUEUED, MAX_QUEUED + 1], "numbers are never used again"
    assert by_bot(chain, MAX_QUEUED, 5).status == 0
    assert chain.problems() == []


def test_fees_drain_no_more_than_their_limit(chain: Chain) -> None:
    """Also those of failing transactions, and tips to a proposer who is the thief."""
    assert refused(chain, chain.send(ALICE, BOB.address, 1, tip=FEES, gas=10_000)) is GuardFeeLimitExceeded
    check = chain.machine.new_check(chain.base, CHAIN_ID, chain.height + 1)
    with pytest.raises(GuardFeeLimitExceeded):
        check.admit(chain.send(ALICE, BOB.address, 1, tip=FEES, gas=10_000))
    before, lost = chain.balance(ALICE.address), 0
    for _ in range(10):
        block = chain.begin()
        try:
            block.execute(chain.send(ALICE, BOB.address, 2 * LIMIT, tip=FEES // 5, gas=10_000))
        except GuardFeeLimitExceeded:
            chain.block = None
            break
        chain.end()
    lost = before - chain.balance(ALICE.address)
    assert FEES // 2 < lost <= FEES
    assert view(chain).fees.amount == lost
    tx = chain.tx(BOB, ("accounts.queue_transfer", (BOB.address, (QXC, 5))), others=[ALICE], acting=[1])
    assert chain.run(tx)[0].status == 0, "another payer pays"
    wait(chain)
    assert chain.run(chain.send(ALICE, BOB.address, 1))[0].status == 0, "the window begins anew"


def test_rights_are_not_handed_over(chain: Chain) -> None:
    denom = token_denom(ALICE.address, "GOLD")
    for message in (
        ("tokens.mint", (denom, EVE.address, 1)),
        ("tokens.offer_authority", (denom, EVE.address)),
        ("tokens.renounce_authority", (denom,)),
        ("tokens.release_escrow", (1,)),
    ):
        assert refused(chain, chain.tx(ALICE, message)) is GuardForbidsMessage
    assert chain.send_block(BOB, ("tokens.release_escrow", (1,))).status > 3_000, "others may"


def test_locks_and_many_payments_are_counted_as_any_other(chain: Chain) -> None:
    now = chain.time // 10**9
    for name, args in (
        ("tokens.multi_send", (((EVE.address, (QXC, LIMIT)), (EVE.address, (QXC, 1))),)),
        ("tokens.open_escrow", (EVE.address, (QXC, LIMIT + 1), None, now + 1_000)),
        ("tokens.create_vesting", (EVE.address, (QXC, LIMIT + 1), now, 1, 0, False)),
    ):
        assert chain.send_block(ALICE, (name, args)).status == GuardLimitExceeded.code, name


def test_at_most_sixteen_wait(chain: Chain) -> None:
    for _ in range(MAX_QUEUED):
        queue(chain, 5)
    full = do(chain, ALICE, "accounts.queue_transfer", BOB.address, (QXC, 1))
    assert full.status == QueueFull.code
    assert do(chain, ALICE, "accounts.remove_guard").status == QueueFull.code
    assert do(chain, ALICE, "accounts.cancel_queued", ALICE.address, None).status == 0
    assert view(chain).queued == ()


def test_wrong_guards_and_transfers_are_refused_by_name() -> None:
    chain = Chain()
    assert do(chain, ALICE, "accounts.queue_transfer", BOB.address, (QXC, 1)).status == GuardNotFound.code
    assert do(chain, ALICE, "accounts.remove_guard").status == GuardNotFound.code
    assert do(chain, CAROL, "accounts.freeze", ALICE.address, 1).status == GuardNotFound.code
    wrong: list[dict[str, Any]] = [
        {"canceller": ALICE},
        {"fee_limit": 10**9 - 1},
        {"limits": ((QXC, 1), (QXC, 2))},
        {"limits": ((QXC, 0),)},
    ]
    for changes in wrong:
        assert guard(chain, **changes).status == InvalidGuard.code, changes
    vault = chain.send_block(ALICE, ("accounts.set_guard", (VAULT, 1, FEES, ())))
    assert vault.status == InvalidGuard.code
    assert guard(chain).status == 0
    closed = do(chain, ALICE, "accounts.queue_transfer", VAULT, (QXC, 1))
    assert closed.status == RecipientClosed.code
    much = do(chain, ALICE, "accounts.queue_transfer", BOB.address, (QXC, 2 * START))
    assert much.status == InsufficientBalance.code
    assert chain.problems() == []


def test_only_accounts_reaches_the_vault(chain: Chain) -> None:
    ctx = chain.machine.context
    ctx.module, ctx.actor = "tokens", ALICE.address
    with pytest.raises(DebitNotAllowed):
        ctx.money.take_back(ctx, EVE.address, QXC, 1)
    with pytest.raises(DebitNotAllowed):
        ctx.money.lay_down(ctx, QXC, 1)


def test_a_tokens_rules_hold_when_it_is_paid_and_its_fee_is_taken_once() -> None:
    chain = TokenChain()
    denom = chain.create(controls=Controls(True, True, 100, DAVE.address), actor=DAVE, supply=0)
    for who in (ALICE, BOB):
        assert do(chain, DAVE, "tokens.set_listed", denom, who.address, True).status == 0
    assert do(chain, DAVE, "tokens.mint", denom, ALICE.address, 10_000).status == 0
    assert guard(chain).status == 0
    queue(chain, 1_000, denom, BOB)
    queue(chain, 1_000, denom, EVE)
    wait(chain)
    assert chain.balance(BOB.address, denom) == 990
    assert chain.balance(ALICE.address, denom) == 9_000, "Eve is not on the list: hers is back, without a fee"
    (returned,) = [
        e for r in chain.results for e in r.begin_events if e.name == "accounts.queued_transfer_returned"
    ]
    assert returned.fields[2] == RecipientNotListed.code
    queue(chain, 500, denom, BOB)
    assert do(chain, DAVE, "tokens.set_frozen", denom, ALICE.address, True).status == 0
    assert do(chain, ALICE, "accounts.queue_transfer", BOB.address, (denom, 1)).status == AccountFrozen.code
    wait(chain)
    assert chain.balance(ALICE.address, denom) == 9_000, "frozen coins do not leave, not even queued ones"
    assert chain.problems() == []


def test_a_block_ends_a_thousand_entries_of_what_is_due_and_the_next_the_rest() -> None:
    many = [Actor(number) for number in range(100, 100 + DUE_ITEMS // MAX_QUEUED + 2)]
    chain = Chain(actors=[*ACTORS, *many])
    chain.run(*[chain.tx(actor, ("accounts.set_guard", (CAROL.address, DELAY, FEES, ()))) for actor in many])
    assert {r.status for r in chain.run(*[chain.tx(a, ("accounts.remove_guard", ())) for a in many])} == {0}
    wait(chain, 10)
    pay = [("accounts.queue_transfer", (BOB.address, (QXC, 1 + number))) for number in range(MAX_QUEUED - 1)]
    queued = [chain.tx(actor, *pay, gas=4_000_000) for actor in many]
    assert {receipt.status for receipt in chain.run(*queued)} == {0}
    waiting = [len(many) * MAX_QUEUED]
    while waiting[-1]:
        chain.run()
        guards = [
            chain.query("accounts.get_guard", a.address) for a in many if chain.account(a.address).flags
        ]
        waiting.append(sum(len(found.queued) for found in guards))
    whole = -(-DUE_ITEMS // MAX_QUEUED) * MAX_QUEUED
    assert waiting[-3:] == [len(many) * MAX_QUEUED, len(many) * MAX_QUEUED - whole, 0]
    assert chain.balance(BOB.address) == START, "removals end what waits beside them"
    assert chain.problems() == []


def test_guards_survive_a_genesis_round_trip(chain: Chain) -> None:
    queue(chain, 30 * LIMIT, to=BOB)
    chain.send_block(ALICE, rotate(chain, ALICE, Actor(67, "ml-dsa-44")))
    assert chain.run(chain.send(ALICE, BOB.address, 9))[0].status == 0
    assert do(chain, ALICE, "accounts.add_scoped_key", LONG_BOT.key, *SCOPE[1:]).status == 0
    assert guard(chain, DAVE).status == 0
    assert do(chain, CAROL, "accounts.freeze", DAVE.address, 2).status == 0
    modules = chain.machine.export_genesis(chain.base)["modules"]
    wrong = dict(modules["accounts"]["guards"], last_number=1)
    with pytest.raises(InvalidGenesis):
        Chain(Tokens, actors=[], data={**modules, "accounts": {**modules["accounts"], "guards": wrong}})
    again = Chain(Tokens, actors=[], data=modules)
    assert view(again) == view(chain)
    assert again.machine.export_genesis(again.base)["modules"] == modules
    again.time = chain.time
    wait(again)
    assert again.balance(BOB.address) == START + 30 * LIMIT + 9
    assert again.account(ALICE.address).key[0] == Actor(67, "ml-dsa-44").key[0]
    assert again.query("accounts.get_scoped_key", ALICE.address, 0).public_key == LONG_BOT.key
    assert again.problems() == []
    assert again.account(DAVE.address).flags == FLAG_GUARDED, "the freeze has ended"
