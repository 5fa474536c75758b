"""Receipts are kept as bytes and read as what they were, whatever stands beside what."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from defi_modules.amm import Amm
from defi_modules.amm.types import Swapped
from defi_modules.bank import Bank
from defi_modules.bank.types import Sent, Transferred
from qenex.block import Event, Receipt
from qenex.codec import encode
from qenex.types import Coin
from vm.machine import Machine
from vm.receipts import Receipts

REGISTRY = Machine([Bank, Amm]).registry
SEND, SWAP = REGISTRY.messages["bank.send"], REGISTRY.messages["amm.swap_exact_in"]
MOVED = Event("bank.transferred", Transferred(bytes(32), bytes(32), "QXC", 5))
KINDS: dict[str, tuple[Any, tuple[Any, ...], tuple[Event, ...], int]] = {
    "transfer": (None, (Sent("QXC", 5),), (MOVED,), 0),
    "two transfers": (None, (Sent("QXC", 5), Sent("QXC", 6)), (MOVED, MOVED), 0),
    "send": ([SEND], (Sent("QXC", 5),), (MOVED,), 0),
    "swap": ([SWAP], (Swapped(5, 4, Coin("QXC", 4)),), (MOVED,), 0),
    "both": ([SEND, SWAP], (Sent("QXC", 5), Swapped(5, 4, Coin("QXC", 4))), (), 0),
    "failed": ([SWAP], (), (), 2_001),
    "untyped": ([SWAP], ((5, "four"),), (), 0),
}


def types(value: Any) -> Any:
    return (type(value), [types(item) for item in value]) if isinstance(value, tuple) else type(value)


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=12))
def test_they_are_read_with_the_types_of_their_own_messages(kinds: list[str]) -> None:
    receipts = Receipts(REGISTRY)
    expected = []
    for number, kind in enumerate(kinds):
        messages, results, events, status = KINDS[kind]
        receipt = Receipt(bytes(31) + bytes((number,)), status, 0 if status else None, 9, 90, results, events)
        expected.append(receipt)
        if messages is None:
            receipts.encoded.append(encode(receipt))
        else:
            receipts.add(encode(receipt), status, list(messages))
    assert list(receipts) == expected
    assert [types(receipt) for receipt in receipts] == [types(receipt) for receipt in expected]
    assert receipts.failed == kinds.count("failed")
    assert len(receipts) == len(kinds)
    if kinds:
        assert receipts[-1] is receipts[len(kinds) - 1]
        assert receipts[1:] == expected[1:]
