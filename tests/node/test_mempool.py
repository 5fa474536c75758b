"""The pool: order, replacement, bounds, expiry; against a naive model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from node.mempool import Limits, Mempool, Remembered, outbids, price_of
from qenex.errors import (
    AlreadyKnown,
    MempoolFull,
    QenexError,
    ReplacementUnderpriced,
    TooManyPending,
    WrongSequence,
)
from qenex.transaction import (
    Fee,
    Message,
    Signer,
    Transaction,
    Transfer,
    assemble,
    decode_transaction,
    encode_body,
)
from tests.node.pool_helpers import address, make


def order(pool: Mempool) -> list[Transaction]:
    return list(pool.in_order())


def test_a_sender_is_served_by_sequence_whatever_the_tips():
    pool = Mempool()
    first, second = make((1, 0), tip=1), make((1, 1), tip=1_000)
    pool.add(first)
    pool.add(second)
    assert order(pool) == [first, second]


def test_senders_are_served_by_tip_per_gas_not_by_tip():
    pool = Mempool()
    much_gas = make((1, 0), tip=100, gas=100_000)
    little_gas = make((2, 0), tip=50, gas=1_000)
    pool.add(much_gas)
    pool.add(little_gas)
    assert order(pool) == [little_gas, much_gas]


def test_equal_prices_are_served_by_arrival():
    pool = Mempool()
    transactions = [make((n, 0), tip=7) for n in (5, 3, 9, 1)]
    for tx in transactions:
        pool.add(tx)
    assert order(pool) == transactions


def test_a_gap_is_refused_and_says_which_sequence_is_next():
    pool = Mempool()
    pool.add(make((1, 4)))
    with pytest.raises(WrongSequence, match="next one is 5"):
        pool.add(make((1, 6)))
    assert len(pool) == 1


def test_a_scoped_key_counts_its_own_sequence():
    pool = Mempool()
    own, scoped = make((1, 4)), make((1, 0), scoped=2)
    pool.add(own)
    pool.add(scoped)
    assert set(order(pool)) == {own, scoped}


def test_at_most_64_pending_of_one_sender():
    pool = Mempool()
    for sequence in range(64):
        pool.add(make((1, sequence)))
    with pytest.raises(TooManyPending):
        pool.add(make((1, 64)))
    pool.add(make((2, 0)))


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ((100, 1_000), (109, 1_000), False),
        ((100, 1_000), (110, 1_000), True),
        ((100, 1_000), (100, 1_000), False),
        ((0, 1_000), (0, 1_000), False),
        ((0, 1_000), (1, 1_000), True),
        ((100, 1_000), (110, 2_000), False),
        ((100, 1_000), (55, 500), True),
    ],
)
def test_a_replacement_offers_ten_percent_more_per_gas(
    old: tuple[int, int], new: tuple[int, int], allowed: bool
):
    pool = Mempool()
    before = make((1, 0), tip=old[0], gas=old[1], memo="old")
    after = make((1, 0), tip=new[0], gas=new[1], memo="new")
    follower = make((1, 1))
    pool.add(before)
    pool.add(follower)
    if allowed:
        added = pool.add(after)
        assert added.replaced is not None
        assert added.replaced.tx is before
        assert order(pool) == [after, follower]
        assert before.tx_id not in pool
    else:
        with pytest.raises(ReplacementUnderpriced):
            pool.add(after)
        assert order(pool) == [before, follower]


def test_a_replacement_keeps_signers_and_sequences():
    pool = Mempool()
    pool.add(make((1, 0), (2, 0), tip=1))
    with pytest.raises(ReplacementUnderpriced):
        pool.add(make((1, 0), tip=1_000))
    with pytest.raises(ReplacementUnderpriced):
        pool.add(make((1, 0), (3, 0), tip=1_000))
    pool.add(make((1, 0), (2, 0), tip=2))
    assert len(pool) == 1


def test_the_same_body_under_another_signature_is_already_known():
    pool = Mempool()
    pool.add(make((1, 0)))
    with pytest.raises(AlreadyKnown, match="pending"):
        pool.add(make((1, 0), signature=bytes([1]) * 64))


def test_an_included_transaction_is_already_known():
    pool = Mempool()
    tx = make((1, 0))
    pool.add(tx)
    pool.include([tx])
    assert len(pool) == 0
    with pytest.raises(AlreadyKnown, match="included"):
        pool.add(tx)


def test_a_full_pool_takes_what_pays_more_and_drops_the_worst():
    pool = Mempool(Limits(max_count=3))
    cheap, middle, dear = make((1, 0), tip=1), make((2, 0), tip=5), make((3, 0), tip=9)
    for tx in (middle, cheap, dear):
        pool.add(tx)
    with pytest.raises(MempoolFull):
        pool.add(make((4, 0), tip=1))
    better = make((4, 0), tip=2)
    added = pool.add(better)
    assert [entry.tx for entry in added.evicted] == [cheap]
    assert order(pool) == [dear, middle, better]


def test_eviction_never_leaves_a_gap():
    pool = Mempool(Limits(max_count=3))
    head, tail = make((1, 0), tip=1), make((1, 1), tip=1_000)
    pool.add(head)
    pool.add(tail)
    pool.add(make((2, 0), tip=5))
    pool.add(make((3, 0), tip=5))
    # The tail waits behind a cheap head, so it is worth no more than that.
    assert head.tx_id in pool
    assert tail.tx_id not in pool


def test_a_replaced_head_lifts_what_waits_behind_it():
    pool = Mempool(Limits(max_count=3))
    tail, other = make((1, 1), tip=1_000), make((2, 0), tip=5)
    pool.add(make((1, 0), tip=1, memo="cheap"))
    pool.add(tail)
    pool.add(other)
    pool.add(make((1, 0), tip=50, memo="dear"))
    pool.add(make((3, 0), tip=10))
    assert tail.tx_id in pool
    assert other.tx_id not in pool


def test_of_equal_worst_ones_the_latest_goes_and_a_replacement_keeps_its_place():
    pool = Mempool(Limits(max_count=3))
    pool.add(make((1, 0), tip=1))
    second, third = make((2, 0), tip=5, memo="kept"), make((3, 0), tip=5)
    pool.add(second)
    pool.add(third)
    raised = make((1, 0), tip=5)
    pool.add(raised)
    pool.add(make((4, 0), tip=6))
    assert raised.tx_id in pool
    assert third.tx_id not in pool


def test_the_size_bound_counts_bytes():
    small = make((1, 0), tip=1)
    pool = Mempool(Limits(max_bytes=3 * len(small.raw)))
    pool.add(small)
    pool.add(make((2, 0), tip=2))
    pool.add(make((3, 0), tip=3))
    large = make((4, 0), tip=10, memo="x" * 100)
    added = pool.add(large)
    assert len(added.evicted) == 2
    assert pool.size <= pool.limits.max_bytes
    with pytest.raises(MempoolFull):
        Mempool(Limits(max_bytes=10)).add(small)


def test_expiry_removes_what_no_later_block_can_take_and_its_followers():
    pool = Mempool()
    kept = make((2, 0), valid_until=11)
    pool.add(make((1, 0), valid_until=10))
    pool.add(make((1, 1), valid_until=1_000))
    pool.add(kept)
    assert pool.expire(10) == []
    assert len(pool.expire(11)) == 2
    assert order(pool) == [kept]


def test_a_sequence_used_elsewhere_removes_the_pending_one_and_keeps_followers():
    pool = Mempool()
    mine, follower = make((1, 0), memo="mine"), make((1, 1))
    pool.add(mine)
    pool.add(follower)
    assert pool.include([make((1, 0), memo="another")]) == [mine]
    assert order(pool) == [follower]


def test_a_transaction_of_two_signers_waits_for_both():
    pool = Mempool()
    a, b, both = make((1, 0), tip=1), make((2, 0), tip=2), make((1, 1), (2, 1), tip=100)
    after = make((2, 2), tip=100)
    for tx in (a, b, both, after):
        pool.add(tx)
    assert order(pool) == [b, a, both, after]
    pool.include([a])
    assert order(pool) == [b, both, after]
    assert pool.remove(both.witness_id) == [both, after]


def test_skipping_leaves_out_the_rest_of_the_sender_only():
    pool = Mempool()
    first, second, other = make((1, 0), tip=9), make((1, 1), tip=9), make((2, 0), tip=1)
    for tx in (first, second, other):
        pool.add(tx)
    ordering = pool.in_order()
    assert next(ordering) is first
    ordering.skip()
    assert list(ordering) == [other]


def test_reap_respects_bytes_and_gas_and_fills_with_smaller_ones():
    pool = Mempool()
    big, small, behind = make((1, 0), tip=90, gas=900), make((2, 0), tip=1, gas=100), make((1, 1), gas=1)
    for tx in (big, small, behind):
        pool.add(tx)
    assert pool.reap(10**6, 10**6) == [big, small, behind]
    assert pool.reap(10**6, 500) == [small]
    assert pool.reap(len(big.raw), 10**6) == [big]


@given(
    st.integers(0, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.integers(0, 2**128 - 1),
    st.integers(1, 2**64 - 1),
)
def test_the_price_orders_as_the_fraction_does(tip_a: int, gas_a: int, tip_b: int, gas_b: int):
    a, b = make((1, 0), tip=tip_a, gas=gas_a), make((1, 0), tip=tip_b, gas=gas_b)
    assert (price_of(a) < price_of(b)) == (Fraction(tip_a, gas_a) < Fraction(tip_b, gas_b))
    assert (price_of(a) == price_of(b)) == (Fraction(tip_a, gas_a) == Fraction(tip_b, gas_b))
    raised = Fraction(tip_b, gas_b) * 11 / 10
    assert outbids(a, b) == (Fraction(tip_a, gas_a) >= raised and price_of(a) > price_of(b))


def test_remembered_identifiers_are_bounded():
    remembered = Remembered(100)
    for number in range(1_000):
        remembered.add_all([number.to_bytes(32, "big")])
    assert len(remembered) <= 100
    assert (999).to_bytes(32, "big") in remembered
    assert (0).to_bytes(32, "big") not in remembered
    for count in (0, 3, 49, 50, 51, 260):
        items = [bytes((count >> 8, count & 255)) + number.to_bytes(30, "big") for number in range(count)]
        remembered.add_all(items)
        assert len(remembered) <= 100
        assert all(item in remembered for item in items[-50:])


def plain(sender: int, sequence: int, number: int, valid_until: int, tip: int = 0) -> Transaction:
    """A transaction of who signs alone, every other one a plain transfer; `number` makes it another."""
    body = encode_body(
        "test-1",
        [Signer(address(sender), sequence, None, None)],
        [Message("bank.send", (address(99), ("QXC" if number % 2 else "ABC", 1 + number)), 0)],
        Fee(10**12, 1_000, tip),
        valid_until,
    )
    tx = decode_transaction(assemble(body, [bytes(64)]))
    assert isinstance(tx, Transfer) == (number % 2 == 1)
    return tx


def expiring(pool: Mempool) -> dict[int, list[bytes]]:
    """What waits, by the last height that can take it."""
    alive = {last: [e.tx.raw for e in entries if e.alive] for last, entries in pool._expiry.items()}
    return {last: raws for last, raws in alive.items() if raws}


acts = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "add", "take", "expire", "ask"]), st.integers(0, 5), st.sampled_from([0] * 9 + [1])),
    max_size=40,
)  # fmt: skip


@given(acts)
def test_who_signs_alone_takes_his_place_in_short_as_in_general(steps: list[tuple[str, int, int]]):
    """Two pools, one with the short ways; equal in everything that can be asked and that is kept."""
    limits = Limits(max_count=5, per_sender=3)
    short, general = Mempool(limits), Mempool(limits)
    sequences = dict.fromkeys(range(6), 0)
    height = 1
    for number, (act, who, tip) in enumerate(steps):
        if act == "add":
            following = short.next_sequence(address(who))
            sequence = sequences[who] if following is None else following
            tx = plain(who, sequence, number, height + who, tip)
            outcomes: list[object] = []
            for pool in (short, general):
                try:
                    if pool is short and pool.welcomes(tx):
                        pool.place_alone(tx)
                    else:
                        pool.check_room(tx)
                        pool.add(tx)
                    outcomes.append(None)
                except QenexError as error:
                    outcomes.append((type(error), error.message))
            assert outcomes[0] == outcomes[1]
        elif act == "take":
            block = list(short.in_order())[: 1 + who]
            assert list(general.in_order())[: 1 + who] == block
            for tx in block:
                for sender, sequence in [(s.address, s.sequence) for s in tx.signers]:
                    sequences[int.from_bytes(sender, "big")] = sequence + 1
            assert short.include(block) == general.include(block) == []
        elif act == "ask":
            for tx in short.pending(address(who)):
                assert short.get(tx.tx_id) is short.get_witness(tx.witness_id) is tx
        else:
            height += 1
            assert short.expire(height) == general.expire(height)
        assert list(short.in_order()) == list(general.in_order())
        assert short.statistics() == general.statistics()
        assert [tx.raw for tx in short.pending(address(who))] == [
            tx.raw for tx in general.pending(address(who))
        ]
        assert sorted(short._queues) == sorted(general._queues)
        assert expiring(short) == expiring(general)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=25),
    st.sets(st.integers(0, 24)),
)
def test_without_tips_arrival_alone_gives_the_order_of_prices(
    arrivals: list[tuple[int, bool]], left_out: set[int]
):
    pool = Mempool()
    sequences: Counter[tuple[int, bool]] = Counter()
    for number, (who, scoped) in enumerate(arrivals):
        lane = who, scoped
        pool.add(make((who, sequences[lane]), memo=str(number), scoped=3 if scoped else None))
        sequences[lane] += 1

    def walk(order: Iterable[Transaction], skip: Callable[[], None]) -> list[Transaction]:
        seen = []
        for number, tx in enumerate(order):
            seen.append(tx)
            if number in left_out:
                skip()
        return seen

    by_arrival, by_price = pool.in_order(), pool.in_order()
    assert by_arrival._passed is not None
    heads = pool._heads()
    heads.sort(key=lambda entry: entry.arrival)
    by_price._passed = None
    ranked = walk(by_price._by_price(heads), by_price.skip)
    assert walk(by_arrival, by_arrival.skip) == ranked


class AgainstModel(RuleBasedStateMachine):
    """The pool beside a list of transactions in order of arrival, everything else recomputed."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Mempool(Limits(max_count=6, max_bytes=1 << 20, per_sender=4))
        self.chain = dict.fromkeys(range(4), 0)
        self.waiting: list[Transaction] = []
        self.height = 1
        self.unique = 0

    def of(self, sender: int) -> list[Transaction]:
        found = [tx for tx in self.waiting if any(s.address == address(sender) for s in tx.signers)]
        return sorted(
            found, key=lambda tx: next(s.sequence for s in tx.signers if s.address == address(sender))
        )

    def following(self, tx: Transaction) -> list[Transaction]:
        """`tx` and all that depends on it."""
        gone = [tx]
        for at in gone:
            for signer in at.signers:
                for other in self.waiting:
                    for place in other.signers:
                        later = place.address == signer.address and place.sequence > signer.sequence
                        if later and other not in gone:
                            gone.append(other)
        return gone

    def effective(self, tx: Transaction) -> Fraction:
        before = [other for other in self.waiting if tx in self.following(other)]
        return min(Fraction(other.fee.tip, other.fee.gas_limit) for other in [tx, *before])

    def drop(self, tx: Transaction) -> list[Transaction]:
        gone = self.following(tx)
        self.waiting = [other for other in self.waiting if other not in gone]
        return gone

    def make(self, places: tuple[tuple[int, int], ...], tip: int, life: int) -> Transaction:
        self.unique += 1
        return make(*places, tip=tip, gas=100, valid_until=self.height + life, memo=str(self.unique))

    senders = st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True)

    @rule(senders=senders, tip=st.integers(0, 30), life=st.integers(0, 6))
    def submit(self, senders: list[int], tip: int, life: int) -> None:
        places = tuple((s, self.chain[s] + len(self.of(s))) for s in senders)
        tx = self.make(places, tip, life)
        if any(len(self.of(s)) >= 4 for s in senders):
            with pytest.raises(TooManyPending):
                self.pool.add(tx)
            return
        if len(self.waiting) == 6:
            price = min([Fraction(tip, 100), *(self.effective(o) for s in senders for o in self.of(s))])
            worst = min(self.waiting, key=lambda other: (self.effective(other), -self.waiting.index(other)))
            if price <= self.effective(worst):
                with pytest.raises(MempoolFull):
                    self.pool.add(tx)
                return
            evicted = self.pool.add(tx).evicted
            assert {entry.tx for entry in evicted} == set(self.drop(worst))
        else:
            assert self.pool.add(tx).evicted == ()
        self.waiting.append(tx)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), tip=st.integers(0, 40))
    def replace(self, data: Any, tip: int) -> None:
        old = data.draw(st.sampled_from(self.waiting))
        places = tuple((int.from_bytes(s.address, "big"), s.sequence) for s in old.signers)
        tx = self.make(places, tip, 3)
        if tip <= old.fee.tip or 10 * tip < 11 * old.fee.tip:
            with pytest.raises(ReplacementUnderpriced):
                self.pool.add(tx)
            return
        added = self.pool.add(tx)
        assert added.replaced is not None
        assert added.replaced.tx is old
        self.waiting[self.waiting.index(old)] = tx

    @rule(sender=st.integers(0, 3), gap=st.integers(1, 3))
    def gap(self, sender: int, gap: int) -> None:
        if not self.of(sender):
            return
        with pytest.raises(QenexError):
            self.pool.add(self.make(((sender, self.chain[sender] + len(self.of(sender)) + gap),), 100, 5))

    @rule(count=st.integers(0, 6))
    def block(self, count: int) -> None:
        included = list(self.pool.in_order())[:count]
        assert self.pool.include(included) == []
        for tx in included:
            for signer in tx.signers:
                assert self.chain[int.from_bytes(signer.address, "big")] == signer.sequence
                self.chain[int.from_bytes(signer.address, "big")] += 1
        self.waiting = [tx for tx in self.waiting if tx not in included]
        self.height += 1
        gone: list[Transaction] = []
        for tx in list(self.waiting):
            if tx.valid_until < self.height and tx in self.waiting:
                gone += self.drop(tx)
        assert set(self.pool.expire(self.height)) == set(gone)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        tx = data.draw(st.sampled_from(self.waiting))
        assert set(self.pool.remove(tx.witness_id)) == set(self.drop(tx))

    @rule()
    def ask(self) -> None:
        """Those that nobody asked for by transaction id before, and those that somebody did."""
        for tx in self.waiting:
            assert (
                self.pool.get(tx.tx_id)
                is self.pool.get(tx.witness_id)
                is self.pool.get_witness(tx.witness_id)
                is tx
            )
            assert self.pool.get_witness(tx.tx_id) is None
        assert set(self.pool._by_tx) == {tx.tx_id for tx in self.waiting}

    @precondition(lambda self: any(self.of(s) for s in range(4)))
    @rule(sender=st.integers(0, 3))
    def elsewhere(self, sender: int) -> None:
        if not self.of(sender):
            return
        head = self.of(sender)[0]
        gone = self.pool.include([self.make(((sender, self.chain[sender]),), 0, 5)])
        if len(head.signers) > 1:
            assert set(gone) == set(self.drop(head))
        else:
            assert gone == [head]
            self.waiting.remove(head)
        self.chain[sender] += 1

    @invariant()
    def same_order(self) -> None:
        expected: list[Transaction] = []
        left = list(self.waiting)
        done = dict(self.chain)
        while left:
            ready = [
                tx
                for tx in left
                if all(done[int.from_bytes(s.address, "big")] == s.sequence for s in tx.signers)
            ]
            best = min(
                ready, key=lambda tx: (-Fraction(tx.fee.tip, tx.fee.gas_limit), self.waiting.index(tx))
            )
            expected.append(best)
            left.remove(best)
            for signer in best.signers:
                done[int.from_bytes(signer.address, "big")] += 1
        assert list(self.pool.in_order()) == expected

    @invariant()
    def same_counts(self) -> None:
        assert len(self.pool) == len(self.waiting)
        assert self.pool.size == sum(len(tx.raw) for tx in self.waiting)
        for sender in range(4):
            assert set(self.pool.pending(address(sender))) == set(self.of(sender))


TestAgainstModel = AgainstModel.TestCase
