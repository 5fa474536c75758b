"""A transaction happens whole or not at all, pays in either case, and a block says so in one way only."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.state import State
from qenex.block import Event, results_root
from qenex.codec import decode, encode
from qenex.crypto import Address, module_address
from qenex.errors import (
    AmountNotPositive,
    ConservationViolated,
    DebtUnpaid,
    InsufficientBalance,
    InvariantViolated,
    LeaseHeld,
    ModuleFault,
    ModulePaused,
    OutOfGas,
    QenexError,
    TooManyDebts,
    TooManyEvents,
    ValueOutOfRange,
    ValueTooLarge,
)
from qenex.state_keys import ACCOUNT_RECORDS
from qenex.types import QXC
from tests.vm.chain import ACTORS, START, VALIDATOR, Actor, Chain, ref
from tests.vm.lab import ACREDITOR, DEFECTS, TOKEN, Hooked, Lab, Vault
from vm.execution import MachineFault

ALICE, BOB, CAROL, DAVE = ACTORS[:4]
NOBODY = Address(b"\x55" * 32)


@pytest.fixture
def chain() -> Chain:
    return Chain(Lab, Vault)


def only_fee_moved(chain: Chain, before: dict[bytes, bytes], payer: Actor, fee: int) -> None:
    """Nothing of a failed transaction stands but fee, sequence and key of the payer."""
    changes: dict[bytes, Any] = chain.results[-1].changes
    payer_key = ACCOUNT_RECORDS + payer.address
    own = {payer_key, ACCOUNT_RECORDS + VALIDATOR.address, b"\x02\x02QXC\x00\x00", b"\x00\x01"}
    assert set(changes) <= own, sorted(set(changes) - own)
    assert changes[payer_key].balance == START - fee
    assert changes[payer_key].sequence == 1
    assert {k: v for k, v in chain.store.values.items() if k not in own} == {
        k: v for k, v in before.items() if k not in own
    }


# -- success ----------------------------------------------------------------------------------


def test_transfer_moves_exactly_the_amount_and_the_fee(chain: Chain) -> None:
    receipt = chain.run(chain.send(ALICE, BOB.address, 12_345, tip=7))[0]
    assert (receipt.status, receipt.failed_message, receipt.results) == (0, None, ((QXC, 12_345),))
    assert receipt.events == (("bank.transferred", (ALICE.address, BOB.address, QXC, 12_345)),)
    assert chain.balance(ALICE.address) == START - 12_345 - receipt.fee
    assert chain.balance(BOB.address) == START + 12_345
    base = receipt.fee - 7
    assert base == receipt.gas_used * 10, "min_price is 10"
    assert chain.balance(VALIDATOR.address) == base - base // 2 + 7
    assert chain.supply() == len(ACTORS) * START - base // 2
    assert chain.problems() == []


def test_messages_of_several_signers_act_for_their_own(chain: Chain) -> None:
    send = ("bank.send", (CAROL.address, (QXC, 10)))
    tx = chain.tx(ALICE, send, send, send, others=[BOB, DAVE], acting=[1, 0, 2])
    receipt = chain.run(tx)[0]
    assert [event.fields[0] for event in receipt.events] == [BOB.address, ALICE.address, DAVE.address]
    assert chain.balance(BOB.address) == START - 10
    assert chain.balance(DAVE.address) == START - 10
    assert chain.balance(ALICE.address) == START - 10 - receipt.fee, "signer 0 pays"
    assert [chain.account(a.address).sequence for a in (ALICE, BOB, DAVE, CAROL)] == [1, 1, 1, 0]


def test_signer_one_may_own_nothing_while_signer_zero_pays(chain: Chain) -> None:
    newcomer = Actor(77)
    tx = chain.tx(ALICE, ("lab.make", (5,)), others=[newcomer], acting=[1])
    assert chain.run(tx)[0].status == 0
    assert chain.balance(newcomer.address, TOKEN) == 5
    assert chain.account(newcomer.address).key == newcomer.key


def test_payer_cannot_spend_what_fee_max_took(chain: Chain) -> None:
    maximum = 10**9
    for amount, status in ((START - maximum + 1, InsufficientBalance.code), (START - maximum, 0)):
        fresh = Chain(Lab, Vault)
        receipt = fresh.run(fresh.send(ALICE, BOB.address, amount, gas=10_000, maximum=maximum))[0]
        assert receipt.status == status
        kept = 0 if status == 0 else amount
        assert fresh.balance(ALICE.address) == START - (amount - kept) - receipt.fee
        assert fresh.problems() == []


def test_payer_sender_and_recipient_may_be_one(chain: Chain) -> None:
    receipt = chain.run(chain.send(ALICE, ALICE.address, 5))[0]
    assert receipt.status == 0
    assert chain.balance(ALICE.address) == START - receipt.fee
    too_much = chain.run(chain.send(ALICE, ALICE.address, START))[0]
    assert too_much.status == InsufficientBalance.code


def test_proposer_may_pay_itself_a_tip() -> None:
    chain = Chain(actors=[*ACTORS, VALIDATOR])
    receipt = chain.run(chain.send(VALIDATOR, BOB.address, 1, tip=1_000))[0]
    base = receipt.fee - 1_000
    assert chain.balance(VALIDATOR.address) == START - 1 - base // 2
    assert chain.problems() == []


def test_fee_payer_can_be_paid_by_its_own_transaction(chain: Chain) -> None:
    poor = Actor(78)
    chain.run(chain.send(ALICE, poor.address, 10**6))
    tx = chain.tx(
        poor,
        ("bank.send", (poor.address, (QXC, 5_000_000))),
        ("bank.send", (BOB.address, (QXC, 5_100_000))),
        others=[ALICE],
        acting=[1, 0],
        gas=60_000,
        maximum=10**6,
    )
    receipt = chain.run(tx)[0]
    assert receipt.status == InsufficientBalance.code, "the rest of fee.max returns after the messages"
    assert chain.balance(poor.address) == 10**6 - receipt.fee


# -- failure leaves nothing behind ------------------------------------------------------------------


@pytest.mark.parametrize("kind", range(len(DEFECTS)))
def test_defect_of_a_module_costs_the_fee_and_changes_nothing(chain: Chain, kind: int) -> None:
    before = dict(chain.store.values)
    receipt = chain.send_block(ALICE, ("lab.put", (1, b"x")), ("lab.crash", (kind,)))
    assert (receipt.status, receipt.failed_message) == (ModuleFault.code, 1)
    assert (receipt.results, receipt.events) == ((), ())
    assert receipt.fee == receipt.gas_used * 10 > 0
    only_fee_moved(chain, before, ALICE, receipt.fee)
    if kind != len(DEFECTS) - 1:
        assert chain.faults == [DEFECTS[kind]], "the node is told"
    assert chain.send_block(ALICE, ("lab.put", (1, b"x"))).status == 0, "the chain goes on"


@pytest.mark.parametrize("error", [MemoryError, RecursionError, OSError])
def test_a_process_in_trouble_stops_instead_of_blaming_the_transaction(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr("tests.vm.lab.DEFECTS", [error()])
    with pytest.raises(error):
        chain.run(chain.tx(ALICE, ("lab.crash", (0,))))


def test_a_failing_message_undoes_those_before_it(chain: Chain) -> None:
    before = dict(chain.store.values)
    receipt = chain.send_block(
        ALICE,
        ("bank.send", (BOB.address, (QXC, 5))),
        ("lab.make", (5,)),
        ("bank.send", (BOB.address, (QXC, 0))),
        ("lab.put", (1, b"x")),
    )
    assert (receipt.status, receipt.failed_message) == (AmountNotPositive.code, 2)
    only_fee_moved(chain, before, ALICE, receipt.fee)


def scenario(chain: Chain) -> list[tuple[str, tuple[object, ...]]]:
    """Messages that create, update, delete, mint, call, owe, refer and emit."""
    return [
        ("lab.make", (50,)),
        ("lab.put", (1, b"one")),
        ("lab.put", (1, b"")),
        ("bank.send", (NOBODY, ref(0, "coin"))),
        ("lab.make", (9,)),
        ("lab.owe", (BOB.address, (TOKEN, 3), 2)),
        ("lab.work", (3,)),
        ("lab.emit", (3,)),
    ]


def test_running_out_of_gas_at_any_point_is_never_half_done() -> None:
    chain = Chain(Lab, Vault)
    full = chain.machine.simulate(chain.base, chain.next_info, chain.tx(ALICE, *scenario(chain), tip=3))
    assert full.status == 0
    least = chain.machine.new_check(chain.base, "lab-1", 1).admit(chain.tx(ALICE, *scenario(chain)))
    before = dict(chain.store.values)
    limits = sorted(
        {
            *range(least.intrinsic_gas + 8, full.gas_used + 40, 23),
            *range(full.gas_used - 30, full.gas_used + 9),
        }
    )
    succeeded = 0
    for limit in limits:
        tx = chain.tx(ALICE, *scenario(chain), gas=limit, tip=3)
        block = chain.begin()
        receipt = block.execute(tx)
        result = block.end()
        chain.block = None  # thrown away, not committed
        assert receipt.fee == receipt.gas_used * 10 + 3
        if receipt.status == 0:
            succeeded += 1
            assert receipt.gas_used <= limit
            continue
        assert receipt.status == OutOfGas.code
        assert receipt.gas_used == limit, "what ran out is charged in full"
        own = {ACCOUNT_RECORDS + ALICE.address, ACCOUNT_RECORDS + VALIDATOR.address}
        assert {k for k in result.changes if k[:1] != b"\x00" and k[:2] != b"\x02\x02"} == own
        payer = result.changes[ACCOUNT_RECORDS + ALICE.address]
        assert payer is not None
        assert payer.balance == START - receipt.fee
        assert chain.store.values == before
    assert 0 < succeeded < len(limits)


def test_catching_out_of_gas_does_not_give_free_work(chain: Chain) -> None:
    receipt = chain.send_block(ALICE, ("lab.swallow", ()), gas=50_000)
    assert (receipt.status, receipt.gas_used) == (OutOfGas.code, 50_000)


# -- bounds ---------------------------------------------------------------------------------------


def test_events_are_limited_per_transaction(chain: Chain) -> None:
    assert chain.send_block(ALICE, ("lab.emit", (1_024,))).status == 0
    two = [("lab.emit", (1_000,)), ("lab.emit", (25,))]
    receipt = chain.send_block(ALICE, *two)
    assert (receipt.status, receipt.failed_message) == (TooManyEvents.code, 1)


def test_undeclared_event_is_a_defect(chain: Chain) -> None:
    assert chain.send_block(ALICE, ("lab.emit_undeclared", ())).status == ModuleFault.code


def test_result_beyond_two_to_the_256_fails_the_transaction_and_not_the_block(chain: Chain) -> None:
    assert chain.send_block(ALICE, ("lab.power", (255,))).status == 0
    before = dict(chain.store.values)
    block = chain.begin()
    receipt = block.execute(chain.tx(ALICE, ("lab.power", (256,)), lease=bytes(32)))
    assert (receipt.status, receipt.results, receipt.events) == (ModuleFault.code, (), ())
    result = chain.end()
    assert not [key for key in result.changes if key[:1] in (b"\x1e",)]
    assert before[b"\x1e\x03"] == chain.store.values[b"\x1e\x03"]
    assert chain.query("lab.get_last") == 255
    assert chain.problems() == []


@pytest.mark.parametrize("value", [-1, 2**64, 2**255])
def test_state_value_outside_its_type_is_refused_where_it_is_written(chain: Chain, value: int) -> None:
    receipt = chain.send_block(ALICE, ("lab.set_number", (1, value)))
    assert receipt.status == ValueOutOfRange.code


def test_state_value_may_have_64_kib(chain: Chain) -> None:
    assert chain.send_block(ALICE, ("lab.put", (1, bytes(60_000)))).status == 0

    class Doubling(Lab):
        id = 40
        name = "doubling"

    receipt = Chain(Lab, Vault).send_block(ALICE, ("lab.put", (1, bytes(65_000))))
    assert receipt.status == 0
    state = State(chain.base)
    notes = Doubling.notes.bind(40, state)
    with pytest.raises(ValueTooLarge):
        notes.set(1, bytes(65_536))
    with pytest.raises(ValueOutOfRange):
        notes.set(1, bytes(65_537))
    assert not state.changes()


def test_creating_state_costs_gas_by_entry_and_byte(chain: Chain) -> None:
    notes = ((1, b"x" * 10), (2, b"x" * 14), (2, b"y" * 14), (3, b"x" * 114))
    used = [chain.send_block(ALICE, ("lab.put", note)).gas_used for note in notes]
    first = 35 - 1 - 4  # it carries the key, 33 bytes and their head, instead of nil, and a shorter note
    assert used[0] - used[1] in {first // 4 - 8, first // 4 + 1 - 8}, "four bytes on the wire are one gas"
    created = used[1] - used[2]
    assert created == 2_000 + 2 * (10 + 16), "key of 10 bytes, value of 16"
    assert used[3] - used[1] == 25 + 2 * 100, "100 bytes more on the wire, and in the state"


def test_account_without_record_costs_its_creation_whoever_makes_it(chain: Chain) -> None:
    chain.run(chain.send(ALICE, BOB.address, 1))
    known = chain.run(chain.send(ALICE, BOB.address, 1))[0].gas_used
    fresh = chain.run(chain.send(ALICE, NOBODY, 1))[0].gas_used
    assert fresh - known > 2_000
    signer = chain.run(chain.tx(ALICE, ("lab.emit", (0,)), others=[Actor(500)], acting=[0]))[0].gas_used
    holder = Actor(501)
    chain.run(chain.send(ALICE, holder.address, 1))
    held = chain.run(chain.tx(ALICE, ("lab.emit", (0,)), others=[holder], acting=[0]))[0].gas_used
    assert signer - held == 2_000 + 2 * 80, "a second signer's new record is not free"


# -- debts ------------------------------------------------------------------------------------------


def test_debt_is_paid_at_the_end_from_what_came_later(chain: Chain) -> None:
    receipt = chain.send_block(ALICE, ("lab.owe", (BOB.address, (TOKEN, 10), 1)), ("lab.make", (10,)))
    assert receipt.status == 0
    assert chain.balance(BOB.address, TOKEN) == 10
    assert chain.balance(ALICE.address, TOKEN) == 0


def test_unpaid_debt_fails_everything(chain: Chain) -> None:
    before = dict(chain.store.values)
    receipt = chain.send_block(ALICE, ("lab.make", (10,)), ("lab.owe", (BOB.address, (TOKEN, 11), 1)))
    assert (receipt.status, receipt.failed_message) == (DebtUnpaid.code, None)
    only_fee_moved(chain, before, ALICE, receipt.fee)


def test_debts_are_paid_in_order_of_opening(chain: Chain) -> None:
    tx = chain.tx(
        ALICE,
        ("lab.owe", (BOB.address, (TOKEN, 10), 1)),
        ("lab.owe", (CAROL.address, (TOKEN, 10), 1)),
        ("lab.make", (10,)),
        others=[BOB],
        acting=[0, 1, 0],
    )
    assert chain.run(tx)[0].status == 0, "bob pays carol with what alice paid him"
    assert [chain.balance(a.address, TOKEN) for a in (ALICE, BOB, CAROL)] == [0, 0, 10]
    wrong_order = chain.tx(
        ALICE,
        ("lab.owe", (CAROL.address, (TOKEN, 10), 1)),
        ("lab.owe", (BOB.address, (TOKEN, 10), 1)),
        ("lab.make", (10,)),
        others=[BOB],
        acting=[1, 0, 0],
    )
    assert chain.run(wrong_order)[0].status == DebtUnpaid.code


@pytest.mark.parametrize(
    ("times", "amount", "status"),
    [(16, 1, 0), (17, 1, TooManyDebts.code), (1, 0, AmountNotPositive.code)],
)
def test_debts_are_at_most_sixteen_and_positive(chain: Chain, times: int, amount: int, status: int) -> None:
    receipt = chain.send_block(
        ALICE, ("lab.make", (100,)), ("lab.owe", (BOB.address, (TOKEN, amount), times))
    )
    assert receipt.status == status


def test_debt_of_an_unknown_denomination_is_unpaid(chain: Chain) -> None:
    receipt = chain.send_block(ALICE, ("lab.owe", (BOB.address, ("lab/never", 1), 1)))
    assert receipt.status == DebtUnpaid.code


# -- references -------------------------------------------------------------------------------------


def test_reference_takes_an_earlier_result(chain: Chain) -> None:
    receipt = chain.send_block(
        ALICE,
        ("lab.make", (10,)),
        ("bank.send", (BOB.address, ref(0, "coin"))),
        ("lab.make", (ref(0, "amount"),)),
        ("bank.send", (ref(2, "who"), ref(2, "coin"))),
        ("lab.put", (ref(0, "number"), b"x")),
    )
    assert receipt.status == 0
    assert chain.balance(BOB.address, TOKEN) == 10
    assert chain.balance(ALICE.address, TOKEN) == 10
    assert chain.query("lab.get_note", 7) == b"x"


# -- invariants, conservation -------------------------------------------------------------------------


def test_touched_invariant_fails_the_transaction(chain: Chain) -> None:
    receipt = chain.send_block(ALICE, ("lab.put", (1, b"ok")), ("lab.put", (2, b"bad")))
    assert (receipt.status, receipt.failed_message) == (InvariantViolated.code, None)
    passed = chain.send_block(ALICE, ("lab.put", (2, b"bad")), ("lab.put", (2, b"good")))
    assert passed.status == 0, "checked at the end, not in between"
    doubled = chain.send_block(ALICE, ("lab.put", (2, b"goodgood")))
    assert doubled.status == InvariantViolated.code, "it sees the old image"


@pytest.mark.parametrize("kind", range(6))
def test_money_written_past_the_machine_fails_the_transaction(chain: Chain, kind: int) -> None:
    before = dict(chain.store.values)
    receipt = chain.send_block(ALICE, ("lab.forge", (kind, BOB.address)))
    assert receipt.status == ConservationViolated.code
    assert receipt.failed_message is None
    only_fee_moved(chain, before, ALICE, receipt.fee)
    assert chain.problems() == []


def test_discount_beyond_the_whole_fee_pays_nobody(chain: Chain) -> None:
    chain.send_block(ALICE, ("lab.set_tier", (60_000,)))
    balance = chain.balance(ALICE.address)
    receipt = chain.send_block(ALICE, ("lab.emit", (0,)), tip=4)
    assert receipt.fee == 4
    assert chain.balance(ALICE.address) == balance - 4
    chain.send_block(ALICE, ("lab.set_tier", (2_500,)))
    receipt = chain.send_block(ALICE, ("lab.emit", (1,)))
    assert receipt.fee == -(-receipt.gas_used * 10 * 7_500 // 10_000)
    assert chain.problems() == []


# -- leases ------------------------------------------------------------------------------------------


def test_lease_is_taken_by_success_only_and_free_after_valid_until(chain: Chain) -> None:
    lease = b"\x01" * 32
    failed = chain.run(chain.send(ALICE, BOB.address, 0, lease=lease, valid_until=5))[0]
    assert failed.status == AmountNotPositive.code
    assert chain.run(chain.send(ALICE, BOB.address, 1, lease=lease, valid_until=5))[0].status == 0
    assert chain.run(chain.send(BOB, ALICE.address, 1, lease=lease, valid_until=5))[0].status == 0, (
        "another payer's lease of the same name"
    )
    while chain.height < 5:
        block = chain.begin()
        with pytest.raises(LeaseHeld):
            block.execute(chain.send(ALICE, BOB.address, 1, lease=lease, valid_until=50))
        assert not block.receipts
        chain.end()
    assert chain.run(chain.send(ALICE, BOB.address, 1, lease=lease, valid_until=9))[0].status == 0
    while chain.height < 11:
        chain.begin()
        chain.end()
    assert not [key for key in chain.store.values if key[:2] in (b"\x00\x02", b"\x00\x03")], "swept"


def test_lease_taken_again_before_the_sweep_survives_it() -> None:
    chain = Chain(parameters={"machine": {"hook_items": 1}})
    names = [bytes([n]) * 32 for n in range(3)]
    chain.run(
        *[chain.send(ALICE, BOB.address, 1, lease=n, valid_until=2, later=i) for i, n in enumerate(names)]
    )
    chain.begin()
    chain.end()
    retaken = [
        chain.send(ALICE, BOB.address, 1, lease=n, valid_until=9, later=i) for i, n in enumerate(names)
    ]
    assert [r.status for r in chain.run(*retaken)] == [0, 0, 0], "one swept a block, all free"
    for _ in range(4):
        chain.begin()
        chain.end()
    assert len([key for key in chain.store.values if key[:2] == b"\x00\x02"]) == 3
    assert len([key for key in chain.store.values if key[:2] == b"\x00\x03"]) == 3


# -- hooks --------------------------------------------------------------------------------------------


def hooked(**moods: int) -> Chain:
    return Chain(Hooked, parameters={"oracle": moods, "machine": {"max_block_gas": 10**9}})


@pytest.mark.parametrize("where", ["begin", "end"])
def test_hook_acts_and_its_events_are_in_the_results(where: str) -> None:
    chain = hooked(**{where: 1})
    chain.begin()
    result = chain.end()
    assert chain.query("oracle.get_count") == 1
    events = result.begin_events if where == "begin" else result.end_events
    assert Event("oracle.heard", (1,)) in events
    other = result.end_events if where == "begin" else result.begin_events
    assert Event("oracle.heard", (1,)) not in other


@pytest.mark.parametrize("where", ["begin", "end"])
@pytest.mark.parametrize(
    ("mood", "code"),
    [
        (2, ModuleFault.code),
        (4, ConservationViolated.code),
        (7, InvariantViolated.code),
        (9, ModuleFault.code),
    ],
)
def test_defective_hook_is_undone_and_its_module_paused_with_exits_open(
    where: str, mood: int, code: int
) -> None:
    chain = hooked(**{where: mood})
    chain.begin()
    result = chain.end()
    failed = Event("machine.hook_failed", ("oracle", f"{where}_block", code))
    assert failed in (*result.begin_events, *result.end_events)
    assert not [e for e in (*result.begin_events, *result.end_events) if e.name == "oracle.heard"]
    assert chain.query("oracle.get_count") == 0
    assert chain.query("machine.get_pause", 6) == (1, code)
    assert chain.send_block(ALICE, ("oracle.act", (1,))).status == ModulePaused.code
    assert chain.send_block(ALICE, ("oracle.withdraw", ())).status == 0
    assert chain.run(chain.send(ALICE, BOB.address, 1))[0].status == 0
    chain.begin()
    later = chain.end()
    assert not later.begin_events, "a paused module's hook rests"
    assert chain.query("machine.get_pause", 6).height == 1
    assert chain.problems() == []


@pytest.mark.parametrize("mood", [3, 6])
def test_hook_that_is_refused_is_undone_but_not_paused(mood: int) -> None:
    chain = hooked(end=mood)
    chain.begin()
    result = chain.end()
    assert [event.name for event in result.end_events] == ["machine.hook_failed"]
    assert chain.query("oracle.get_count") == 0
    assert chain.query("machine.get_pause", 6) is None
    assert chain.send_block(ALICE, ("oracle.act", (1,))).status == 0


def test_debts_of_a_hook_are_paid() -> None:
    chain = hooked(end=5)
    chain.begin()
    chain.end()
    assert chain.balance(ACREDITOR, "oracle/x") == 4
    assert chain.balance(module_address("oracle"), "oracle/x") == 6
    assert chain.problems() == []


def test_hook_may_tell_more_than_a_transaction() -> None:
    chain = hooked(end=8)
    chain.begin()
    assert len(chain.end().end_events) == 2_001


# -- the block ----------------------------------------------------------------------------------------


def test_empty_block_writes_nothing_but_the_fee_excess() -> None:
    chain = Chain(Lab, Vault, Hooked, parameters={"machine": {"target_gas_per_second": 10_000}})
    chain.run(chain.send(ALICE, BOB.address, 1), chain.send(BOB, ALICE.address, 1))
    assert chain.query("machine.get_fee_market").excess > 0
    seen = set()
    for _ in range(8):
        chain.begin()
        seen |= set(chain.end().changes)
    assert seen == {b"\x00\x01"}
    chain.begin()
    assert chain.end().changes == {}


def test_receipts_and_root_say_what_happened(chain: Chain) -> None:
    txs = [chain.send(ALICE, BOB.address, 1), chain.send(BOB, CAROL.address, 0), chain.send(CAROL, NOBODY, 3)]
    receipts = chain.run(*txs)
    result = chain.results[-1]
    assert [r.tx_id for r in receipts] == [tx.tx_id for tx in txs]
    assert result.receipts == receipts
    assert result.encoded_receipts == [encode(receipt) for receipt in receipts]
    for encoded, receipt in zip(result.encoded_receipts, receipts, strict=True):
        assert decode(encoded, max_size=10**6) == receipt
    assert result.results_root == results_root(
        result.encoded_receipts, result.begin_events, result.end_events
    )
    assert result.gas_used == sum(receipt.gas_used for receipt in receipts)


def test_refused_transaction_changes_nothing_and_the_block_goes_on(chain: Chain) -> None:
    good = chain.send(ALICE, BOB.address, 1)
    alone = chain.begin()
    alone.execute(good)
    expected = alone.end()
    block = chain.begin()
    for bad in (
        chain.send(ALICE, BOB.address, 1, later=1),
        chain.send(Actor(600), BOB.address, 1),
        chain.send(ALICE, BOB.address, 1, chain_id="other-1"),
        chain.tx(ALICE, ("bank.send", (BOB.address, (QXC, 1))), keys=[BOB]),
    ):
        with pytest.raises(QenexError) as found:
            block.execute(bad)
        assert 1_000 <= found.value.code < 2_000
    block.execute(good)
    with pytest.raises(QenexError):
        block.execute(good)
    again = block.end()
    assert again == expected


def test_an_older_execution_cannot_go_on(chain: Chain) -> None:
    old = chain.begin()
    new = chain.begin()
    with pytest.raises(MachineFault):
        old.execute(chain.send(ALICE, BOB.address, 1))
    with pytest.raises(MachineFault):
        old.end()
    new.execute(chain.send(ALICE, BOB.address, 1))
    assert len(new.end().receipts) == 1


def test_money_from_outside_any_transaction_stops_the_block(chain: Chain) -> None:
    block = chain.begin()
    block.execute(chain.send(ALICE, BOB.address, 1))
    key = ACCOUNT_RECORDS + BOB.address
    record: Any = block.state.get(key)
    block.state.set(key, record._replace(balance=record.balance + 1))
    with pytest.raises(MachineFault, match="1 base units of QXC from nowhere"):
        block.end()


def test_block_is_filled_up_to_its_gas_and_bytes() -> None:
    chain = Chain(parameters={"machine": {"max_block_gas": 100_000}})
    block = chain.begin()
    assert block.fits(chain.send(ALICE, BOB.address, 1, gas=100_000))
    assert not block.fits(chain.send(ALICE, BOB.address, 1, gas=100_001))
    receipt = block.execute(chain.send(ALICE, BOB.address, 1, gas=100_000))
    left = 100_000 - receipt.gas_used
    assert block.fits(chain.send(BOB, ALICE.address, 1, gas=left))
    assert not block.fits(chain.send(BOB, ALICE.address, 1, gas=left + 1))
    block.size = 4_194_304 - len(chain.send(BOB, ALICE.address, 1, gas=left).raw) - 5
    assert block.fits(chain.send(BOB, ALICE.address, 1, gas=left))
    block.size += 1
    assert not block.fits(chain.send(BOB, ALICE.address, 1, gas=left))


def test_base_fees_go_to_validators_by_power_and_the_rest_to_the_proposer() -> None:
    others = [Actor(700), Actor(701)]
    powers = [(VALIDATOR, 10), (others[0], 5), (others[1], 2)]
    chain = Chain(validators=[(a.address, a.key, power) for a, power in powers])
    receipt = chain.run(chain.send(ALICE, BOB.address, 1, tip=11))[0]
    base = receipt.fee - 11
    rest = base - base // 2
    shares = [rest * power // 17 for _, power in powers]
    got = [chain.balance(actor.address) for actor, _ in powers]
    assert got == [shares[0] + rest - sum(shares) + 11, shares[1], shares[2]]
    assert chain.results[-1].end_events == (Event("machine.fees_settled", (base // 2, rest, 11)),)
    assert chain.problems() == []
