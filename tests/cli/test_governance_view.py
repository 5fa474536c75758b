"""Proposals as a person reads them: words for numbers, power as a part of all, times as times."""

from __future__ import annotations

from typing import Any

import pytest

from cli.governance_view import STATUS, _proposal, _proposals, content_text
from cli.layout import PLAIN, at_second, of_json
from qenex.errors import RecipientClosed

CONTENT = {"kind": 3, "module": "", "changes": "", "recipient": "qx1" + "q" * 59 + " (dave)",
           "amount": "10000000000", "height": 0, "version": 0}  # fmt: skip


def record(**changes: Any) -> dict[str, Any]:
    told = {
        "proposer": "qx1p (alice)", "title": "a gift", "content": CONTENT, "expedited": False, "deposit": "1000000000000",
        "total_power": "300000000000", "voting_end_s": 1_700_000_000, "execution_s": 1_700_000_050, "status": 1,
        "tally": {"yes": "100000000000", "no": "0", "abstain": "0", "veto": "1000000000"}, "objections": "0", "code": 0,
        **changes,
    }  # fmt: skip
    return {"id": 7, "proposal": told}


def test_a_proposal_is_told_in_words() -> None:
    text = _proposal(record(), PLAIN)
    for part in ("7: a gift", "pays 10QXC", "open for votes", "1000QXC", "2023-11-14 22:13:20 UTC",
                 "100QXC, 33.33% of all", "1QXC, 0.33% of all", "101QXC, 33.66% of all"):  # fmt: skip
        assert part in text
    assert "objections" not in text
    failed = _proposal(record(status=4, code=RecipientClosed.code, objections="3000000000"), PLAIN)
    assert "recipient_closed" in failed
    assert "3QXC, 1.00% of all" in failed
    assert set(STATUS) == set(range(1, 9))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": 1}, "executes nothing"),
        ({"kind": 2, "module": "amm", "changes": '{"a": 1}'}, 'changes parameters of amm: {"a": 1}'),
        ({"kind": 4, "module": "amm"}, "pauses amm"),
        ({"kind": 5, "module": "amm"}, "resumes amm"),
        (
            {"kind": 6, "module": "two", "height": 9, "version": 2},
            "from height 9 on protocol version 2 (two)",
        ),
        ({"kind": 99}, "kind 99"),
        ({"kind": 4, "module": "a\x1b[2Jb"}, "pauses a\\x1b[2Jb"),
    ],
)
def test_what_a_proposal_does_is_one_line(changes: dict[str, Any], words: str) -> None:
    assert words in content_text({**CONTENT, **changes})


def test_a_list_has_a_line_each_and_says_when_there_is_none() -> None:
    page = {"items": [record(), record(status=6)], "next_cursor": 7}
    text = _proposals(page, PLAIN)
    assert "pays 10QXC to dave" in text
    assert "yes 100QXC, veto 1QXC" in text
    assert "vetoed" in text
    assert text.endswith("more: --cursor 7")
    assert _proposals({"items": [], "next_cursor": None}, PLAIN) == "There is no proposal."


def test_times_are_told_beside_their_seconds_and_durations_are_not_times() -> None:
    shown = of_json({"until_s": 1_700_000_000, "window_s": 60}, PLAIN)
    assert "1700000000 (2023-11-14 22:13:20 UTC)" in shown
    assert shown.endswith("window_s  60")
    assert at_second(1 << 60) == str(1 << 60)
