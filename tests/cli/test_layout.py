"""What people see: aligned, and safe to show whatever a chain contains."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cli.layout import PLAIN, Style, ago, coin_text, fields, inline, of_json, printable, table, width_of

HOSTILE = "\x1b[2J\x1b]0;title\x07\r\x9b31m\u202e\u200b\u2028"


@given(st.text())
def test_printable_text_is_one_line_without_control_characters(text: str) -> None:
    shown = printable(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u200b\u2028\ufeff" for c in shown)


def test_foreign_text_cannot_steer_the_terminal_through_any_layout() -> None:
    for shown in (
        fields([("memo", HOSTILE)], PLAIN),
        table(["memo"], [[HOSTILE]], PLAIN),
        of_json({"memo": HOSTILE, "list": [HOSTILE], "rows": [{"a": HOSTILE}], HOSTILE: 1}, PLAIN),
        coin_text({"denom": HOSTILE, "amount": "1"}),
    ):
        for character in HOSTILE:
            if not character.isprintable():
                assert character not in shown


def test_colours_of_our_own_survive_and_count_no_columns() -> None:
    style = Style(True)
    text = table(["name", "n"], [[style.green("ok"), "1"], ["longer", "20"]], style, right=[1])
    first, second = text.split("\n")[1:]
    assert "\x1b[32mok\x1b[0m" in first
    assert width_of(first) == width_of(second)


def test_a_table_lines_up_numbers_to_the_right() -> None:
    assert (
        table(["name", "n"], [["a", "1"], ["bb", "200"]], PLAIN, right=[1])
        == "NAME    N\na       1\nbb    200"
    )


def test_an_empty_table_shows_its_heads() -> None:
    assert table(["name"], [], PLAIN) == "NAME"


def test_coins_are_shown_in_units_and_nonsense_as_it_is() -> None:
    assert coin_text({"denom": "QXC", "amount": "1500000000"}) == "1.5QXC"
    assert coin_text({"denom": "QXC", "amount": "x"}) == "{'denom': 'QXC', 'amount': 'x'}"
    assert of_json([{"denom": "QXC", "amount": "1"}], PLAIN) == "0.000000001QXC"


def test_times_are_told_in_the_largest_unit() -> None:
    assert [ago(n) for n in (-1, 1, 119, 120, 7_200, 200_000)] == [
        "0 s",
        "1 s",
        "119 s",
        "2 min",
        "2 h",
        "2 d",
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_any_json_value_can_be_shown(value: object) -> None:
    assert isinstance(of_json(value, PLAIN), str)


def test_long_hex_is_shortened_for_people_and_hashes_are_not() -> None:
    from cli.layout import short_hex

    whole = "0x" + "ab" * 32
    assert short_hex(whole) == whole
    assert short_hex("0x" + "ab" * 1312).endswith("abab (1312 bytes)")
    assert len(of_json({"key": "0x" + "ab" * 1312}, PLAIN)) < 100


def test_nothing_is_shown_as_none() -> None:
    assert of_json([], PLAIN) == of_json({}, PLAIN) == "none"


def test_data_on_one_line_is_no_code() -> None:
    path = [{"pool": 3, "denom": "gold"}, {"pool": 1, "denom": None}]
    assert inline(path) == "(pool 3, denom gold), (pool 1, denom -)"
    assert inline([{"denom": "QXC", "amount": "1500000000"}, []]) == "1.5QXC, none"
    assert inline({"a\x1b": True}) == "(a\\x1b yes)"


def test_amounts_of_events_and_fees_of_receipts_are_shown_in_units(home: object) -> None:
    from cli.app import App
    from cli.chain import for_people

    event = {"sender": "x", "denom": "QXC", "amount": "1500000000"}
    receipt = {"gas_used": 5, "fee": "10", "events": [{"name": "bank.transferred", "fields": event}]}
    shown = of_json(for_people(App(), receipt), PLAIN)
    assert "1.5QXC" in shown
    assert "0.00000001QXC" in shown
