"""The token factory: whose a token is, what its controls allow, and that they hold on every path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.tokens import Controls
from defi_modules.tokens.module import Tokens, token_denom
from qenex.crypto import Address, encode_address, module_address
from qenex.errors import (
    AccountFrozen,
    AmountNotPositive,
    ControlNotChosen,
    InsufficientBalance,
    InvalidArguments,
    InvalidGenesis,
    InvalidToken,
    NotTokenAuthority,
    RecipientClosed,
    RecipientNotListed,
    SupplyCapExceeded,
    TokenExists,
    UnknownToken,
)
from tests.defi_modules.tokens.lab import ALICE, BOB, CAROL, DAVE, NONE, TokenChain
from tests.vm.chain import Chain

NOBODY = Address(b"\x44" * 32)
FREEZABLE = NONE._replace(freezable=True)
LISTED = NONE._replace(allow_list=True)
TAXED = NONE._replace(transfer_fee_bps=250, fee_recipient=DAVE.address)


# -- creation --------------------------------------------------------------------------------------


def test_a_denomination_is_bound_to_creator_and_symbol() -> None:
    chain = TokenChain()
    first, second = chain.create("GOLD"), chain.create("GOLD", actor=BOB)
    assert first != second
    assert first.startswith("tokens/")
    assert len(first) == 39
    assert chain.do(ALICE, "create", "GOLD", "", 0, "", 0, None, None).status == TokenExists.code
    info = chain.query("tokens.get_token", first)
    assert (info.supply, info.token.symbol, info.token.authority) == (1_000_000, "GOLD", ALICE.address)
    assert info.token.controls == NONE
    assert chain.balance(ALICE.address, first) == 1_000_000
    assert {item.denom for item in chain.query("tokens.list_tokens", None, None).items} == {first, second}


@pytest.mark.parametrize(
    ("symbol", "decimals", "controls", "error"),
    [
        ("gold", 6, None, InvalidToken),
        ("GO LD", 6, None, InvalidToken),
        ("G\u0430", 6, None, InvalidToken),
        ("GOLD\n", 6, None, InvalidToken),
        ("GOLD", 6, NONE._replace(transfer_fee_bps=5), InvalidToken),
        ("GOLD", 6, NONE._replace(fee_recipient=BOB.address), InvalidToken),
        ("GOLD", 6, Controls(False, False, 5, module_address("tokens")), RecipientClosed),
    ],
)
def test_creation_refused_by_name(symbol: str, decimals: int, controls: Any, error: Any) -> None:
    chain = TokenChain()
    assert chain.do(ALICE, "create", symbol, "", decimals, "", 5, None, controls).status == error.code
    assert chain.query("tokens.list_tokens", None, None).items == ()


@pytest.mark.parametrize(
    "args",
    [
        ("G" * 17, "", 6, "", 0, None, None),
        ("", "", 6, "", 0, None, None),
        ("GOLD", "x" * 65, 6, "", 0, None, None),
        ("GOLD", "", 31, "", 0, None, None),
        ("GOLD", "", 6, "x" * 257, 0, None, None),
        ("GOLD", "", 6, "", 2**128, None, None),
        ("GOLD", "", 6, "", 0, None, (False, False, 1_001, BOB.address)),
    ],
)
def test_arguments_beyond_their_bounds_are_refused_at_entry(args: tuple[Any, ...]) -> None:
    chain = TokenChain()
    block = chain.begin()
    with pytest.raises(InvalidArguments):
        block.execute(chain.tx(ALICE, ("tokens.create", args)))


def test_only_the_authority_mints_and_not_beyond_the_cap() -> None:
    chain = TokenChain()
    denom = chain.create(supply=10, cap=100)
    assert chain.do(BOB, "mint", denom, BOB.address, 1).status == NotTokenAuthority.code
    assert chain.do(ALICE, "mint", denom, BOB.address, 91).status == SupplyCapExceeded.code
    assert chain.do(ALICE, "mint", denom, module_address("amm"), 1).status == RecipientClosed.code
    assert chain.do(ALICE, "mint", denom, BOB.address, 0).status == AmountNotPositive.code
    assert chain.do(ALICE, "mint", denom, BOB.address, 90).status == 0
    assert (chain.supply(denom), chain.balance(BOB.address, denom)) == (100, 90)
    assert chain.do(BOB, "burn", denom, 91).status == InsufficientBalance.code
    assert chain.do(BOB, "burn", denom, 40).status == 0
    assert chain.supply(denom) == 60
    assert chain.do(ALICE, "create", "TOOMUCH", "", 0, "", 101, 100, None).status == SupplyCapExceeded.code
    assert chain.do(ALICE, "mint", "tokens/" + "a" * 32, BOB.address, 1).status == UnknownToken.code
    assert chain.do(ALICE, "burn", "QXC", 1).status == UnknownToken.code
    assert chain.problems() == []


def test_authority_is_offered_accepted_and_renounced_for_ever() -> None:
    chain = TokenChain()
    denom = chain.create(controls=FREEZABLE)
    assert chain.do(BOB, "accept_authority", denom).status == NotTokenAuthority.code
    assert chain.do(ALICE, "offer_authority", denom, BOB.address).status == 0
    assert chain.do(ALICE, "mint", denom, ALICE.address, 1).status == 0, "an offer changes nothing yet"
    assert chain.do(ALICE, "offer_authority", denom, None).status == 0
    assert chain.do(BOB, "accept_authority", denom).status == NotTokenAuthority.code, "taken back"
    chain.do(ALICE, "offer_authority", denom, BOB.address)
    assert chain.do(BOB, "accept_authority", denom).status == 0
    assert chain.do(ALICE, "mint", denom, ALICE.address, 1).status == NotTokenAuthority.code
    assert chain.do(BOB, "set_metadata", denom, "new name", "https://example.org").status == 0
    assert chain.do(BOB, "set_frozen", denom, ALICE.address, True).status == 0
    assert chain.pay(ALICE, CAROL.address, 1, denom).status == AccountFrozen.code
    assert chain.do(BOB, "renounce_authority", denom).status == 0
    assert chain.pay(ALICE, CAROL.address, 1, denom).status == 0, "nobody could set it free any more"
    for name, args in (
        ("mint", (denom, BOB.address, 1)),
        ("set_frozen", (denom, ALICE.address, True)),
        ("offer_authority", (denom, BOB.address)),
        ("set_metadata", (denom, "", "")),
        ("renounce_authority", (denom,)),
    ):
        assert chain.do(BOB, name, *args).status == NotTokenAuthority.code
    assert chain.query("tokens.get_token", denom).token.authority is None
    assert chain.problems() == []


# -- controls hold on every path ---------------------------------------------------------------------


def test_frozen_coins_neither_leave_nor_arrive_nor_burn_nor_get_locked() -> None:
    chain = TokenChain()
    denom = chain.create(controls=FREEZABLE)
    chain.pay(ALICE, BOB.address, 500, denom)
    assert chain.do(BOB, "set_frozen", denom, ALICE.address, True).status == NotTokenAuthority.code
    assert chain.do(ALICE, "set_frozen", denom, BOB.address, True).status == 0
    assert chain.query("tokens.get_holder", denom, BOB.address) == (True, False, False)
    late = chain.time // 10**9 + 1_000
    assert chain.pay(BOB, CAROL.address, 1, denom).status == AccountFrozen.code
    assert chain.pay(ALICE, BOB.address, 1, denom).status == AccountFrozen.code
    assert chain.do(BOB, "burn", denom, 1).status == AccountFrozen.code
    assert chain.do(ALICE, "mint", denom, BOB.address, 1).status == AccountFrozen.code
    assert chain.do(BOB, "multi_send", ((CAROL.address, (denom, 1)),)).status == AccountFrozen.code
    assert chain.do(BOB, "open_escrow", CAROL.address, (denom, 1), None, late).status == AccountFrozen.code
    assert chain.pay(BOB, CAROL.address, 1, "QXC").status == 0, "other coins are not touched"
    assert chain.do(ALICE, "set_frozen", denom, BOB.address, False).status == 0
    assert chain.pay(BOB, CAROL.address, 1, denom).status == 0
    assert chain.do(ALICE, "set_frozen", denom, module_address("tokens"), True).status == RecipientClosed.code


def test_controls_that_were_not_chosen_can_never_be_used() -> None:
    chain = TokenChain()
    denom = chain.create()
    assert chain.do(ALICE, "set_frozen", denom, BOB.address, True).status == ControlNotChosen.code
    assert chain.do(ALICE, "set_listed", denom, BOB.address, True).status == ControlNotChosen.code


def test_only_listed_accounts_receive_and_what_they_hold_can_leave() -> None:
    chain = TokenChain()
    denom = chain.create(controls=LISTED)
    assert chain.pay(ALICE, BOB.address, 10, denom).status == RecipientNotListed.code
    assert chain.do(ALICE, "set_listed", denom, BOB.address, True).status == 0
    assert chain.pay(ALICE, BOB.address, 10, denom).status == 0
    assert chain.do(ALICE, "set_listed", denom, BOB.address, False).status == 0
    assert chain.pay(ALICE, BOB.address, 10, denom).status == RecipientNotListed.code
    assert chain.do(ALICE, "mint", denom, BOB.address, 10).status == RecipientNotListed.code
    assert chain.pay(BOB, ALICE.address, 10, denom).status == 0
    late = chain.time // 10**9 + 1_000
    locked = chain.do(ALICE, "open_escrow", ALICE.address, (denom, 1), None, late)
    assert locked.status == RecipientNotListed.code, "also a module's account is listed first"


def test_a_transfer_fee_rounds_up_goes_to_its_recipient_and_leaves_modules_exact() -> None:
    chain = TokenChain()
    denom = chain.create(controls=TAXED)
    receipt = chain.pay(ALICE, BOB.address, 1_001, denom)
    assert receipt.results == ((denom, 975),)  # 250 bps of 1,001 is 25.025: 26
    assert chain.balance(BOB.address, denom) == 975
    assert chain.balance(DAVE.address, denom) == 26
    assert ("machine.transfer_fee_paid", (ALICE.address, DAVE.address, denom, 26)) in receipt.events
    assert chain.pay(BOB, CAROL.address, 1, denom).status == AmountNotPositive.code, "the fee is all of it"
    assert chain.pay(BOB, DAVE.address, 100, denom).results == ((denom, 100),), "none to its recipient"
    assert chain.pay(DAVE, BOB.address, 100, denom).results == ((denom, 100),)
    assert chain.pay(ALICE, ALICE.address, 100, denom).results == ((denom, 100),)
    before = chain.balance(ALICE.address, denom)
    late = chain.time // 10**9 + 1_000
    assert chain.do(ALICE, "open_escrow", BOB.address, (denom, 1_000), None, late).status == 0
    assert before - chain.balance(ALICE.address, denom) == 1_025, (
        "the payer pays it on top: the vault has 1,000"
    )
    assert chain.balance(module_address("tokens"), denom) == 1_000
    assert chain.do(ALICE, "release_escrow", 1).results == ((denom, 975),)
    assert chain.balance(module_address("tokens"), denom) == 0
    assert chain.problems() == []


# -- payments to many --------------------------------------------------------------------------------


def test_multi_send_pays_all_or_none() -> None:
    chain = TokenChain()
    denom = chain.create()
    people = [Address(bytes([n + 1]) * 32) for n in range(100)]
    good = tuple((to, (denom if n % 2 else "QXC", n + 1)) for n, to in enumerate(people))
    receipt = chain.do(ALICE, "multi_send", good)
    assert receipt.status == 0
    assert len(receipt.events) == 100
    assert chain.balance(people[99], denom) == 100
    for bad, error in (
        ((people[0], (denom, 0)), AmountNotPositive),
        ((module_address("bank"), (denom, 1)), RecipientClosed),
        ((people[0], (denom, 10**9)), InsufficientBalance),
    ):
        assert chain.do(ALICE, "multi_send", (*good, bad)).status == error.code
    assert chain.balance(people[99], denom) == 100
    assert chain.problems() == []


# -- money -------------------------------------------------------------------------------------------


@given(data=st.data())
def test_random_histories_conserve_every_token_and_obey_every_rule(data: st.DataObject) -> None:
    chain = TokenChain()
    controls = [
        NONE,
        FREEZABLE,
        Controls(True, True, 100, DAVE.address),
        NONE._replace(transfer_fee_bps=1_000, fee_recipient=DAVE.address),
    ]
    denoms = [chain.create(f"T{n}", 10_000, 20_000, chosen) for n, chosen in enumerate(controls)]
    people = [ALICE, BOB, CAROL, DAVE]
    person = st.sampled_from(people)
    for _ in range(data.draw(st.integers(1, 12))):
        actor, other = data.draw(person), data.draw(person)
        denom, amount = data.draw(st.sampled_from(denoms)), data.draw(st.integers(1, 3_000))
        name, args = data.draw(
            st.sampled_from(
                [
                    ("bank.send", (other.address, (denom, amount))),
                    ("tokens.mint", (denom, other.address, amount)),
                    ("tokens.burn", (denom, amount)),
                    ("tokens.set_frozen", (denom, other.address, amount % 2 == 0)),
                    ("tokens.set_listed", (denom, other.address, amount % 3 != 0)),
                    ("tokens.multi_send", (((other.address, (denom, amount)),) * 2,)),
                    ("tokens.renounce_authority", (denom,)),
                    ("tokens.open_escrow", (other.address, (denom, amount), None, 2 * 10**9)),
                    ("tokens.release_escrow", (1 + amount % 3,)),
                ]
            )
        )
        frozen = {p.address: chain.query("tokens.get_holder", denom, p.address).frozen for p in people}
        held = {p.address: chain.balance(p.address, denom) for p in people}
        chain.send_block(actor, (name, args))
        for p in people:
            if frozen[p.address] and p is not DAVE and name != "tokens.renounce_authority":
                assert chain.balance(p.address, denom) == held[p.address]
    assert chain.problems() == []
    exported = chain.machine.export_genesis(chain.base)
    again = Chain(Tokens, actors=[], data=exported["modules"], parameters=exported["parameters"])
    assert again.machine.export_genesis(again.base) == exported


# -- genesis -----------------------------------------------------------------------------------------


def token_json(**changes: Any) -> dict[str, Any]:
    controls = {"freezable": False, "allow_list": False, "transfer_fee_bps": 0, "fee_recipient": None}
    return {
        "creator": encode_address(ALICE.address),
        "symbol": "GOLD",
        "name": "",
        "decimals": 6,
        "uri": "",
        "supply_cap": None,
        "authority": None,
        "offered_to": None,
        "controls": controls,
        **changes,
    }


def test_genesis_tokens_begin_with_their_rules() -> None:
    denom = token_denom(ALICE.address, "GOLD")
    controls = {"freezable": True, "allow_list": False, "transfer_fee_bps": 0, "fee_recipient": None}
    mark = {"denom": denom, "address": encode_address(BOB.address), "flags": 1}
    data = {"tokens": {"tokens": [token_json(controls=controls)], "marks": [mark]}}
    chain = TokenChain(data=data, balances=[(BOB.address, denom, 5)])
    assert chain.pay(BOB, CAROL.address, 1, denom).status == AccountFrozen.code


@pytest.mark.parametrize(
    "data",
    [
        {"coins": []},
        {"tokens": {}},
        {"tokens": [token_json(), token_json()]},
        {"tokens": [token_json(symbol="gold")]},
        {"tokens": [token_json(decimals=31)]},
        {"tokens": [token_json(extra=1)]},
        {"tokens": [5]},
        {"marks": [{"denom": "tokens/x", "address": encode_address(BOB.address), "flags": 1}]},
        {"locks": []},
        {"locks": {"last_escrow": -1}},
        {"locks": {"schedules": [{}]}},
    ],
)
def test_genesis_is_checked(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidGenesis):
        TokenChain(data={"tokens": data})
