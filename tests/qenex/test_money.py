"""Amounts as people write them: every digit counts or is refused, and the refusal says what to write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qenex.errors import InvalidAmount, UnknownDenomination
from qenex.money import decimals_of, format_amount, format_coin, parse_amount, parse_coin
from qenex.types import MAX_AMOUNT, Coin

amounts = st.integers(1, MAX_AMOUNT - 1)


@given(amounts)
def test_what_is_formatted_is_read_back(amount: int) -> None:
    assert parse_coin(format_coin(Coin("QXC", amount))) == Coin("QXC", amount)
    assert parse_amount(format_amount(amount)) == amount


@given(amounts, st.integers(0, 38), st.sampled_from(["amm/3", "tokens/ab12", "lending/QXC", "USD"]))
def test_other_denominations_have_the_decimals_of_their_lookup(
    amount: int, decimals: int, denom: str
) -> None:
    def lookup(name: str) -> int | None:
        return decimals if name == denom else None

    assert parse_coin(format_coin(Coin(denom, amount), lookup), lookup) == Coin(denom, amount)


@pytest.mark.parametrize(
    ("text", "denom", "amount"),
    [
        ("1.5QXC", "QXC", 1_500_000_000),
        ("1QXC", "QXC", 1_000_000_000),
        ("0.000000001QXC", "QXC", 1),
        ("1.500000000000QXC", "QXC", 1_500_000_000),
        ("007QXC", "QXC", 7_000_000_000),
        ("15amm/3", "amm/3", 15),
        ("340282366920938463463374607431.768211455QXC", "QXC", 2**128 - 1),
    ],
)
def test_examples(text: str, denom: str, amount: int) -> None:
    assert parse_coin(text) == Coin(denom, amount)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("1", "write 1QXC"),
        ("1.5", "write 1.5QXC"),
        ("1.", "write 1QXC"),
        ("QXC", "no amount"),
        ("0QXC", "zero"),
        ("0.000QXC", "zero"),
        ("-1QXC", "sign"),
        ("+1QXC", "sign"),
        ("1e9QXC", "exponent"),
        ("1E9", "exponent"),
        ("1.5e-3QXC", "exponent"),
        (" 1QXC", "spaces"),
        ("1QXC\n", "spaces"),
        ("1 QXC", "spaces"),
        ("1\u00a0QXC", "ASCII"),
        ("1,5QXC", "separators"),
        ("1_000QXC", "separators"),
        (".5QXC", "both sides"),
        ("1.QXC", "both sides"),
        ("1.2.3QXC", "no amount"),
        ("\u0661QXC", "ASCII"),
        ("\uff11QXC", "ASCII"),
        ("1.0000000001QXC", "9 decimals"),
        ("1.5amm/3", "whole units"),
        ("340282366920938463463374607431.768211456QXC", "2\\^128"),
        ("9" * 130 + "QXC", "too long"),
        ("0x10QXC", "hexadecimal"),
        ("1\x00QXC", "no amount"),
        ("infQXC", "no amount"),
    ],
)
def test_each_wrong_form_is_told_what_to_write(text: str, told: str) -> None:
    with pytest.raises((InvalidAmount, UnknownDenomination), match=told):
        parse_coin(text)


@pytest.mark.parametrize("value", [1, 1.5, None, True, b"1QXC", Coin("QXC", 1)])
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(InvalidAmount):
        parse_coin(value)


@given(st.text(max_size=130) | st.from_regex(r"[0-9.eE+-]{1,20}[A-Za-z/]{0,6}", fullmatch=True))
def test_any_text_is_a_coin_or_a_typed_error(text: str) -> None:
    try:
        coin = parse_coin(text)
    except (InvalidAmount, UnknownDenomination) as error:
        told = error.message
    else:
        assert text.isascii()
        assert 0 < coin.amount < MAX_AMOUNT
        assume(coin.denom[0] not in "eE")
        assert parse_coin(format_coin(coin)) == coin
        return
    assert told
    assert told.isprintable()


def test_an_amount_in_another_denomination_is_refused() -> None:
    with pytest.raises(InvalidAmount, match="amm/1"):
        parse_amount("1amm/1")
    with pytest.raises(UnknownDenomination):
        parse_coin("12ab")


@pytest.mark.parametrize("decimals", [-1, 39])
def test_a_lookup_cannot_claim_impossible_decimals(decimals: int) -> None:
    with pytest.raises(InvalidAmount):
        parse_coin("1USD", lambda denom: decimals)


def test_differences_are_shown_with_their_sign() -> None:
    assert format_amount(-1_500_000_000) == "-1.5QXC"
    assert format_amount(0) == "0QXC"
    assert decimals_of("QXC", lambda denom: 3) == 9
