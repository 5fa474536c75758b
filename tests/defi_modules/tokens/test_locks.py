"""Vesting and escrow: who may take what, and when; the vault always holds what waits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.bank.math import vested
from defi_modules.tokens.module import Tokens
from qenex.crypto import encode_address, module_address
from qenex.errors import (
    AmountNotPositive,
    EscrowNotExpired,
    InsufficientBalance,
    InvalidGenesis,
    InvalidSchedule,
    NotAuthorisedHere,
    NothingToClaim,
    NotRevocable,
    RecipientClosed,
    UnknownSchedule,
)
from tests.defi_modules.tokens.lab import ALICE, BOB, CAROL, TokenChain
from tests.vm.chain import GENESIS_TIME, Chain

VAULT = module_address("tokens")
START = GENESIS_TIME // 10**9 + 100
COIN = ("QXC", 1_000)


def at(chain: TokenChain, seconds: int) -> None:
    """The next block has this time."""
    chain.time = seconds * 10**9 - 10**8


def test_a_schedule_pays_its_recipient_alone_and_to_the_unit() -> None:
    chain = TokenChain()
    receipt = chain.do(ALICE, "create_vesting", BOB.address, COIN, START, 300, 60, False)
    assert receipt.results == ((1,),)
    assert chain.balance(VAULT) == 1_000
    at(chain, START + 59)
    assert chain.do(BOB, "claim_vesting", 1).status == NothingToClaim.code
    at(chain, START + 61)
    assert chain.do(ALICE, "claim_vesting", 1).status == NotAuthorisedHere.code
    assert chain.do(ALICE, "revoke_vesting", 1).status == NotRevocable.code
    at(chain, START + 61)
    assert chain.do(BOB, "claim_vesting", 1).results == (("QXC", 203),)
    (info,) = chain.query("tokens.list_vestings", BOB.address, None, None).items
    assert (info.id, info.schedule.claimed) == (1, 203)
    at(chain, START + 300)
    assert chain.do(BOB, "claim_vesting", 1).results == (("QXC", 797),)
    assert chain.do(BOB, "claim_vesting", 1).status == UnknownSchedule.code, "paid out and forgotten"
    assert chain.query("tokens.list_vestings", BOB.address, None, None).items == ()
    assert chain.balance(VAULT) == 0
    assert chain.problems() == []


def test_revoking_pays_what_is_free_and_returns_the_rest() -> None:
    chain = TokenChain()
    chain.do(ALICE, "create_vesting", BOB.address, COIN, START, 100, 0, True)
    at(chain, START + 25)
    before = chain.balance(BOB.address)
    assert chain.do(BOB, "revoke_vesting", 1).status == NotAuthorisedHere.code
    at(chain, START + 25)
    before = chain.balance(BOB.address)
    assert chain.do(ALICE, "revoke_vesting", 1).results == (("QXC", 750),)
    assert chain.balance(BOB.address) - before == 250
    assert chain.balance(VAULT) == 0


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((BOB.address, ("QXC", 0), START, 10, 0, False), AmountNotPositive),
        ((BOB.address, COIN, START, 10, 11, False), InvalidSchedule),
        ((BOB.address, COIN, 0, 10, 0, False), InvalidSchedule),
        ((BOB.address, COIN, (1 << 40) - 1, 10, 0, False), InvalidSchedule),
        ((VAULT, COIN, START, 10, 0, False), RecipientClosed),
        ((BOB.address, ("amm/1", 5), START, 10, 0, False), InsufficientBalance),
    ],
)
def test_schedules_refused_by_name(args: tuple[Any, ...], error: Any) -> None:
    chain = TokenChain()
    assert chain.do(ALICE, "create_vesting", *args).status == error.code
    assert chain.balance(VAULT) == 0


def test_an_escrow_goes_where_those_it_names_say() -> None:
    chain = TokenChain()
    expiry = START + 1_000
    for _ in range(4):
        chain.do(ALICE, "open_escrow", BOB.address, COIN, CAROL.address, expiry)
    assert chain.do(BOB, "release_escrow", 1).status == NotAuthorisedHere.code
    assert chain.do(ALICE, "return_escrow", 1).status == EscrowNotExpired.code
    before = chain.balance(BOB.address)
    assert chain.do(ALICE, "release_escrow", 1).status == 0
    assert chain.do(CAROL, "release_escrow", 2).status == 0
    assert chain.balance(BOB.address) - before == 2_000
    assert chain.do(CAROL, "return_escrow", 3).results == (COIN,)
    at(chain, expiry)
    assert chain.do(ALICE, "return_escrow", 4).results == (COIN,)
    assert chain.do(ALICE, "return_escrow", 4).status == UnknownSchedule.code
    assert chain.balance(VAULT) == 0
    assert chain.problems() == []


def test_an_outsider_and_wrong_escrows_are_refused() -> None:
    chain = TokenChain()
    chain.do(ALICE, "open_escrow", BOB.address, COIN, None, START)
    for name in ("release_escrow", "return_escrow"):
        assert chain.do(CAROL, name, 1).status == NotAuthorisedHere.code
        assert chain.do(CAROL, name, 9).status == UnknownSchedule.code
    assert chain.do(ALICE, "open_escrow", BOB.address, COIN, None, 1).status == InvalidSchedule.code
    assert chain.do(ALICE, "open_escrow", VAULT, COIN, None, START).status == RecipientClosed.code
    assert chain.do(BOB, "return_escrow", 1).status == 0, "who would receive can decline"


@given(data=st.data())
def test_whoever_claims_whenever_no_unit_is_lost_or_made(data: st.DataObject) -> None:
    chain = TokenChain()
    total = data.draw(st.integers(1, 10**6))
    duration = data.draw(st.integers(0, 1_000))
    cliff = data.draw(st.integers(0, duration))
    chain.do(ALICE, "create_vesting", BOB.address, ("QXC", total), START, duration, cliff, True)
    paid, now = 0, START
    for _ in range(data.draw(st.integers(0, 6))):
        now += data.draw(st.integers(0, 400))
        at(chain, now)
        receipt = chain.do(BOB, "claim_vesting", 1)
        paid += receipt.results[0][1] if receipt.status == 0 else 0
        assert paid == vested(total, START, duration, cliff, now)
    at(chain, now + 1)
    receipt = chain.do(ALICE, "revoke_vesting", 1)
    assert receipt.status in (0, UnknownSchedule.code)
    assert chain.balance(VAULT) == 0
    assert chain.problems() == []


def test_exported_locks_begin_with_the_same_numbers_and_coins() -> None:
    chain = TokenChain()
    for _ in range(3):
        chain.do(ALICE, "create_vesting", BOB.address, COIN, START, 10, 0, True)
        chain.do(ALICE, "open_escrow", BOB.address, COIN, None, START)
    chain.do(ALICE, "revoke_vesting", 3)
    chain.do(ALICE, "release_escrow", 2)
    exported = chain.machine.export_genesis(chain.base)
    again = Chain(Tokens, actors=[], data=exported["modules"], parameters=exported["parameters"])
    assert again.machine.export_genesis(again.base) == exported
    assert exported["modules"]["tokens"]["locks"]["last_schedule"] == 3


@pytest.mark.parametrize("claimed", ["1000", "1001"])
def test_a_schedule_without_anything_left_is_no_genesis(claimed: str) -> None:
    schedule = {
        "creator": encode_address(ALICE.address), "recipient": encode_address(BOB.address), "denom": "QXC",
        "total": "1000", "claimed": claimed, "start_s": START, "duration_s": 10, "cliff_s": 0, "revocable": False,
    }  # fmt: skip
    locks = {"schedules": [{"id": 1, "schedule": schedule}], "last_schedule": 1}
    with pytest.raises(InvalidGenesis):
        TokenChain(data={"tokens": {"locks": locks}})


def test_locked_coins_that_the_vault_does_not_hold_are_no_genesis() -> None:
    escrow = {
        "payer": encode_address(ALICE.address), "recipient": encode_address(BOB.address), "arbiter": None,
        "denom": "QXC", "amount": "5", "expires_s": START,
    }  # fmt: skip
    locks = {"escrows": [{"id": 1, "escrow": escrow}], "last_escrow": 1}
    with pytest.raises(InvalidGenesis):
        TokenChain(data={"tokens": {"locks": locks}})
    chain = TokenChain(data={"tokens": {"locks": locks}}, balances=[(VAULT, "QXC", 5)])
    assert chain.do(ALICE, "release_escrow", 1).status == 0
