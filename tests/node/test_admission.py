"""Admission: what is refused by which error, what a replacement or an eviction leaves, recheck after blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.admission import Admission
from node.application import Application
from node.mempool import Limits, Mempool
from node.verifier import Verifier
from qenex.crypto import encode_address, key_bytes
from qenex.errors import (
    AccountNotFound,
    AlreadyKnown,
    Expired,
    GasLimitTooHigh,
    GasLimitTooLow,
    InsufficientFee,
    InsufficientFunds,
    InvalidArguments,
    InvalidSignature,
    InvalidValidUntil,
    MalformedBytes,
    MempoolFull,
    PublicKeyMissing,
    PublicKeyNotAllowed,
    QenexError,
    ReplacementUnderpriced,
    TooLarge,
    TooManyPending,
    WrongChainId,
    WrongSequence,
)
from qenex.transaction import Fee, Message, Signer, Transfer, assemble, encode_body
from qenex.types import Coin
from tests.node.chain_helpers import (
    MONEY,
    VALIDATOR,
    Wallet,
    balance,
    make_genesis,
    open_application,
    produce,
    seen_commit,
)


@pytest.fixture
def wallets() -> list[Wallet]:
    return [Wallet(number) for number in range(1, 4)]


@pytest.fixture
def application(tmp_path: Path, wallets: list[Wallet]) -> Application:
    return open_application(tmp_path, make_genesis(wallets))


REFUSED: dict[type[QenexError], dict[str, Any]] = {
    WrongChainId: {"chain_id": "test-2"},
    InvalidValidUntil: {"valid_until": 10_002},
    Expired: {"valid_until": 0},
    WrongSequence: {"sequence": 1, "with_key": True},
    PublicKeyMissing: {"with_key": False},
    InsufficientFee: {"max_fee": 10},
    InsufficientFunds: {"max_fee": 2 * MONEY},
    GasLimitTooLow: {"gas": 10},
    GasLimitTooHigh: {"gas": 10**9, "max_fee": MONEY},
    InvalidSignature: {"garbage": True},
    InvalidArguments: {"amount": -(2**70)},
}


@pytest.mark.parametrize("error", REFUSED)
async def test_bad_transactions_are_refused_by_name(
    application: Application, wallets: list[Wallet], error: type[QenexError]
):
    options = dict(REFUSED[error])
    amount = options.pop("amount", 1)
    raw = wallets[0].transfer(wallets[1].address, amount, step=False, **options)
    with pytest.raises(error):
        application.check_tx(raw)
    with pytest.raises(error):
        await application.submit(raw)
    assert len(application.mempool) == 0
    application.check_tx(wallets[0].transfer(wallets[1].address))


def test_hostile_bytes_and_strangers_are_refused(application: Application, wallets: list[Wallet]):
    for raw, error in (
        (b"", MalformedBytes),
        (b"\xc1", MalformedBytes),
        (bytes(65_537), TooLarge),
        (Wallet(99).transfer(wallets[0].address), AccountNotFound),
    ):
        with pytest.raises(error):
            application.check_tx(raw)
    with pytest.raises(AccountNotFound, match=encode_address(Wallet(99).address)):
        application.check_tx(Wallet(99).transfer(wallets[0].address))


def test_a_replayed_transaction_is_already_known_and_a_used_sequence_wrong(
    application: Application, wallets: list[Wallet]
):
    raw = wallets[0].transfer(wallets[1].address)
    application.check_tx(raw)
    with pytest.raises(AlreadyKnown):
        application.check_tx(raw)
    produce(application)
    with pytest.raises(AlreadyKnown):
        application.check_tx(raw)
    with pytest.raises(WrongSequence):
        application.check_tx(wallets[0].transfer(wallets[1].address, 2, sequence=0, with_key=False))
    with pytest.raises(PublicKeyNotAllowed):
        application.check_tx(wallets[0].transfer(wallets[1].address, 3, sequence=1, with_key=True))


def test_a_plain_transfer_that_was_included_while_it_was_verified_again_is_already_known(
    application: Application, wallets: list[Wallet]
):
    """Nobody looks among what was included before its sequence has turned out to be used."""
    for wallet in wallets[:2]:
        application.check_tx(wallet.transfer(wallets[2].address))
    produce(application)
    raw = wallets[0].transfer(wallets[1].address)
    admission = application.admission
    screened = admission._screen(raw)
    assert isinstance(screened[0], Transfer)
    application.check_tx(raw)
    with pytest.raises(AlreadyKnown, match="pending"):
        admission._admit(*screened)
    produce(application)
    with pytest.raises(AlreadyKnown, match="included"):
        admission._admit(*screened)
    with pytest.raises(AlreadyKnown, match="included"):
        application.check_tx(raw)
    assert not len(application.mempool)


async def test_a_volley_of_one_sender_lands_whole(tmp_path: Path, wallets: list[Wallet]):
    application = open_application(tmp_path, make_genesis(wallets))
    application.admission.verifier = verifier = Verifier(2)
    await verifier.start()
    raws = [wallets[0].transfer(wallets[1].address, n + 1) for n in range(64)]
    await asyncio.gather(*[application.submit(raw) for raw in raws])
    assert len(application.mempool) == 64
    with pytest.raises(TooManyPending):
        await application.submit(wallets[0].transfer(wallets[1].address))
    assert len(produce(application).transactions) == 64
    await verifier.stop()


async def test_garbage_in_somebodys_name_does_not_hold_his_sequence(tmp_path: Path, wallets: list[Wallet]):
    application = open_application(tmp_path, make_genesis(wallets))
    application.admission.verifier = verifier = Verifier(1)
    await verifier.start()
    garbage = [wallets[0].transfer(wallets[2].address, n + 1, step=False, garbage=True) for n in range(20)]
    good = wallets[0].transfer(wallets[1].address)
    answers = await asyncio.gather(
        *[application.submit(raw) for raw in (*garbage, good, *garbage)], return_exceptions=True
    )
    assert sum(isinstance(answer, QenexError) for answer in answers) == 40
    assert [tx.raw for tx in application.mempool.in_order()] == [good]
    await verifier.stop()


async def test_the_same_bytes_twice_at_once_are_admitted_once(
    application: Application, wallets: list[Wallet]
):
    raw = wallets[0].transfer(wallets[1].address)
    answers = await asyncio.gather(application.submit(raw), application.submit(raw), return_exceptions=True)
    assert sum(isinstance(answer, AlreadyKnown) for answer in answers) == 1


async def test_a_batch_is_admitted_in_its_order_with_an_answer_for_each(
    application: Application, wallets: list[Wallet]
):
    application.check_tx(wallets[0].transfer(wallets[1].address))
    batch = [wallets[0].transfer(wallets[1].address, n + 1) for n in range(5)]
    batch.insert(2, b"junk")
    batch.insert(4, wallets[1].transfer(wallets[0].address, garbage=True, step=False))
    answers = await application.admission.submit_many(batch)
    assert [type(answer).__name__ if isinstance(answer, QenexError) else "" for answer in answers] == [
        "", "", "MalformedBytes", "", "InvalidSignature", "", ""
    ]  # fmt: skip


async def test_a_batch_may_hold_a_senders_first_transaction_and_those_after_it(
    application: Application, wallets: list[Wallet]
):
    batch = [wallet.transfer(wallets[0].address) for _ in range(4) for wallet in wallets]
    answers = await application.admission.submit_many(batch)
    assert not [answer for answer in answers if isinstance(answer, QenexError)]


def test_a_replacement_pays_more_and_what_it_replaced_costs_nothing(
    application: Application, wallets: list[Wallet]
):
    application.check_tx(wallets[0].transfer(wallets[1].address, 1, tip=100))
    application.check_tx(wallets[0].transfer(wallets[1].address, 10, tip=100))
    with pytest.raises(ReplacementUnderpriced):
        application.check_tx(wallets[0].transfer(wallets[1].address, 100, tip=109, sequence=0, step=False))
    application.check_tx(wallets[0].transfer(wallets[1].address, 100, tip=110, sequence=0, step=False))
    raw = wallets[0].transfer(wallets[1].address, 5, tip=990, sequence=1, step=False, garbage=True)
    with pytest.raises(InvalidSignature):
        application.check_tx(raw)
    produce(application)
    assert balance(application, wallets[1].address) == MONEY + 110


def test_a_replacement_that_cannot_be_paid_leaves_the_old_one(
    application: Application, wallets: list[Wallet]
):
    old = application.check_tx(wallets[0].transfer(wallets[1].address, tip=1))
    raw = wallets[0].transfer(wallets[1].address, tip=10**6, max_fee=2 * MONEY, sequence=0, step=False)
    with pytest.raises(InsufficientFunds):
        application.check_tx(raw)
    assert list(application.mempool.in_order()) == [old]
    application.check_tx(wallets[0].transfer(wallets[1].address))
    assert len(produce(application).transactions) == 2


def test_a_dear_replacement_drops_what_can_no_longer_be_paid(application: Application, wallets: list[Wallet]):
    third = MONEY * 4 // 10
    application.check_tx(wallets[0].transfer(wallets[1].address, max_fee=third, tip=1))
    application.check_tx(wallets[0].transfer(wallets[1].address, max_fee=third))
    dear = wallets[0].transfer(wallets[1].address, max_fee=2 * third, tip=100, sequence=0, step=False)
    tx = application.check_tx(dear)
    assert list(application.mempool.in_order()) == [tx]
    assert application.admission.check.sequence(wallets[0].address) == 1


def test_eviction_frees_what_the_evicted_had_set_aside(tmp_path: Path, wallets: list[Wallet]):
    application = open_application(tmp_path, make_genesis(wallets))
    pool = Mempool(Limits(max_count=2))
    application.mempool = pool
    application.admission = Admission(application.admission.check, pool, application.verifier)
    application.check_tx(wallets[0].transfer(wallets[1].address, tip=1))
    application.check_tx(wallets[0].transfer(wallets[1].address, tip=1))
    with pytest.raises(MempoolFull):
        application.check_tx(wallets[1].transfer(wallets[0].address, tip=1, step=False))
    application.check_tx(wallets[1].transfer(wallets[0].address, tip=5))
    assert application.admission.check.sequence(wallets[0].address) == 1
    # Behind a cheap one it is worth no more than that, and its refusal sets nothing aside.
    with pytest.raises(MempoolFull):
        application.check_tx(wallets[0].transfer(wallets[2].address, tip=9, sequence=1, step=False))
    assert application.admission.check.sequence(wallets[0].address) == 1


def test_an_application_keeps_the_pool_it_was_given_though_nothing_waits_in_it(tmp_path: Path):
    given = open_application(tmp_path, make_genesis([]))
    pool = Mempool(Limits(max_count=2))
    kept = Application(given.machine, given.ledger, given.verifier, mempool=pool)
    assert kept.mempool is kept.admission.mempool is pool


def test_what_a_lone_transfer_took_counts_for_what_comes_after_it(
    application: Application, wallets: list[Wallet]
):
    """Nothing is written for it until another transaction of its account comes."""
    payer, check = wallets[0], application.admission.check
    application.check_tx(payer.transfer(payer.address))
    produce(application)
    held = check.account(payer.address)
    assert held is not None
    application.check_tx(payer.transfer(wallets[1].address, max_fee=MONEY * 6 // 10))
    taken = held._replace(sequence=2, balance=held.balance - MONEY * 6 // 10)
    assert check.account(payer.address) == taken
    assert check.sequence(payer.address) == 2
    with pytest.raises(InsufficientFunds):
        application.check_tx(payer.transfer(wallets[1].address, max_fee=MONEY * 6 // 10, step=False))
    assert check.account(payer.address) == taken
    application.check_tx(payer.transfer(wallets[1].address, max_fee=MONEY // 10))
    assert check.account(payer.address) == taken._replace(sequence=3, balance=held.balance - MONEY * 7 // 10)
    assert len(produce(application).transactions) == 2
    assert check.account(payer.address) == application.ledger.committed.get(b"\x01\x01" + payer.address)
    assert not check._values


def test_a_lone_transfer_is_replaced_and_checked_again_as_if_nothing_had_been_taken(
    application: Application, wallets: list[Wallet]
):
    payer, payee, check = wallets[0], wallets[1], application.admission.check
    for wallet in (payer, payee):
        application.check_tx(wallet.transfer(wallet.address))
    produce(application)
    application.check_tx(payee.transfer(payer.address, step=False))
    tx = application.check_tx(payee.transfer(payer.address, tip=1_000))
    assert list(application.mempool.in_order()) == [tx]
    application.check_tx(payer.transfer(payee.address, sequence=1, step=False))
    block = application.prepare_proposal(
        application.parent_time + 1, VALIDATOR.address, max_bytes=len(tx.raw) + 10
    ).block
    assert block.transactions == (tx.raw,)
    assert check.sequence(payer.address) == 2
    pending = application.commit_begin(block, seen_commit(block))
    assert check.account(payer.address) == application.ledger.committed.get(b"\x01\x01" + payer.address)
    application.ledger.write(pending.staged)
    application.commit_end(pending)
    for _ in application.admission.recheck_steps():
        pass
    assert check.sequence(payer.address) == 2


def test_expired_transactions_leave_with_the_block(application: Application, wallets: list[Wallet]):
    application.check_tx(wallets[0].transfer(wallets[1].address, valid_until=1, gas=4_999_999, max_fee=10**9))
    application.check_tx(wallets[0].transfer(wallets[1].address, valid_until=1, gas=4_999_999, max_fee=10**9))
    produce(application)
    assert len(application.mempool) == 0
    assert application.admission.check.sequence(wallets[0].address) == 1


def test_what_a_block_leaves_is_checked_again_on_the_new_state(
    application: Application, wallets: list[Wallet]
):
    """A payment in the block empties the account, so what it left pending can no longer be paid."""
    fee = MONEY // 4
    application.check_tx(wallets[0].transfer(wallets[1].address, MONEY * 9 // 10, max_fee=10**6))
    for _ in range(3):
        application.check_tx(wallets[0].transfer(wallets[1].address, max_fee=fee))
    application.check_tx(wallets[1].transfer(wallets[0].address, max_fee=fee))
    application.check_tx(wallets[1].transfer(wallets[0].address, max_fee=fee))
    size = len(next(application.mempool.in_order()).raw) + 5
    block = application.prepare_proposal(
        application.parent_time + 1, VALIDATOR.address, max_bytes=size + 10
    ).block
    assert len(block.transactions) == 1
    application.finalize_block(block)
    application.commit(block, seen_commit(block))
    assert application.mempool.pending(wallets[0].address) == []
    assert len(application.mempool.pending(wallets[1].address)) == 2
    assert application.admission.check.sequence(wallets[0].address) == 1
    assert application.admission.check.sequence(wallets[1].address) == 2


@pytest.mark.parametrize("many", [False, True], ids=["when a block begins", "when there are many"])
def test_a_batch_reads_its_senders_together_and_later_who_receives_from_valid_transfers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, many: bool
) -> None:
    monkeypatch.setattr("node.admission.READ_AT_ONCE", 2)
    if many:
        monkeypatch.setattr("node.admission.RECIPIENTS_TOGETHER", 3)
    wallets = [Wallet(number) for number in range(1, 7)]
    application = open_application(tmp_path, make_genesis(wallets))
    for wallet in wallets:
        application.check_tx(wallet.transfer(wallets[0].address, 1, with_key=True))
    produce(application)
    asked: list[set[bytes]] = []
    load = application.admission.load

    def note(keys: Iterable[bytes]) -> None:
        found = list(keys)
        asked.append({key[2:] for key in found})
        load(found)

    application.admission.load = note
    good, bad = wallets[:3], wallets[3:5]
    raws = [wallet.transfer(wallets[n + 1].address, 1) for n, wallet in enumerate(good)]
    raws += [wallet.transfer(wallets[5].address, 1, garbage=True) for wallet in bad]
    answers = asyncio.run(application.admission.submit_many([*raws, b"no transaction"]))
    assert [type(answer) for answer in answers[3:]] == [InvalidSignature, InvalidSignature, MalformedBytes]
    expected = [{wallet.address for wallet in good + bad}]
    received = sorted(wallet.address for wallet in wallets[1:4])
    if many:
        expected += [set(received[:2]), {received[2]}]
    assert asked == expected, "a bad signature makes the node read no more than its sender"
    asked.clear()
    produce(application)
    assert asked == ([] if many else [set(received[:2]), {received[2]}])
    produce(application)
    assert len(asked) == (0 if many else 2), "once"


class PoolAndCheckState(RuleBasedStateMachine):
    """Whatever happens, the check state is the committed state with exactly the pending transactions taken."""

    def __init__(self) -> None:
        super().__init__()
        self.wallets = [Wallet(number) for number in range(1, 4)]
        self.application = open_application(Path(), make_genesis(self.wallets))
        pool = Mempool(Limits(max_count=8, per_sender=5))
        self.application.mempool = pool
        self.application.admission = Admission(
            self.application.admission.check, pool, self.application.verifier
        )

    @rule(
        who=st.integers(0, 2),
        offset=st.sampled_from([0, 0, 0, 0, -1, -2, 1]),
        tip=st.integers(0, 200),
        share=st.integers(1, 6),
        life=st.integers(0, 3),
        amount=st.sampled_from([1, MONEY // 3]),
    )
    def submit(self, who: int, offset: int, tip: int, share: int, life: int, amount: int) -> None:
        wallet, application = self.wallets[who], self.application
        sequence = max(0, application.admission.check.sequence(wallet.address) + offset)
        raw = wallet.transfer(
            self.wallets[(who + 1) % 3].address, amount, step=False, sequence=sequence, tip=tip,
            max_fee=MONEY // 12 * share, valid_until=application.ledger.height + 1 + life,
        )  # fmt: skip
        before = list(application.mempool.in_order())
        try:
            application.check_tx(raw)
        except QenexError:
            assert set(application.mempool.in_order()) == set(before)

    @rule(room=st.sampled_from([400, 1_000, 10_000]))
    def block(self, room: int) -> None:
        application = self.application
        block = application.prepare_proposal(
            application.parent_time + 10**9, VALIDATOR.address, max_bytes=room
        ).block
        application.finalize_block(block)
        application.commit(block, seen_commit(block))

    @invariant()
    def in_step(self) -> None:
        application = self.application
        check = application.admission.check
        for wallet in self.wallets:
            committed = application.ledger.committed.get(b"\x01\x01" + wallet.address)
            pending = application.mempool.pending(wallet.address)
            record = check.account(wallet.address)
            assert record is not None
            assert committed is not None
            assert record.sequence == committed.sequence + len(pending)
            assert record.balance == committed.balance - sum(tx.fee.max for tx in pending)


TestPoolAndCheckState = PoolAndCheckState.TestCase
TestPoolAndCheckState.settings = settings(max_examples=30, stateful_step_count=30)


def jointly(first: Wallet, second: Wallet) -> bytes:
    """A transfer that both sign, the first pays."""
    signers = [
        Signer(w.address, w.sequence, None if w.sequence else key_bytes(w.scheme.tag, w.public), None)
        for w in (first, second)
    ]
    messages = [Message("bank.send", (first.address, Coin("QXC", 1)), index) for index in (0, 1)]
    body = encode_body("test-1", signers, messages, Fee(10**9, 10_000, 0), 5_000)
    first.sequence += 1
    second.sequence += 1
    return assemble(body, [w.scheme.sign(w.secret, body) for w in (first, second)])


def test_common_signers_tie_a_bounded_part_of_the_pool_together(tmp_path: Path, monkeypatch):
    """A chain of accounts through the whole pool would be checked again at every replacement in it."""
    monkeypatch.setattr("node.admission.MAX_CONNECTED", 10)
    wallets = [Wallet(number) for number in range(1, 30)]
    application = open_application(tmp_path, make_genesis(wallets))
    for first, second in pairwise(wallets[:11]):
        application.check_tx(jointly(first, second))
    with pytest.raises(TooManyPending):
        application.check_tx(jointly(wallets[10], wallets[11]))
    with pytest.raises(TooManyPending):
        application.check_tx(wallets[10].transfer(wallets[0].address, step=False))
    wallets[11].sequence = 0
    application.check_tx(wallets[11].transfer(wallets[0].address))  # alone: no concern of theirs
    produce(application)
    assert len(application.mempool) == 0
    assert not any(application.mempool.shares(wallet.address) for wallet in wallets)
    wallets[10].sequence = 1
    application.check_tx(jointly(wallets[10], wallets[12]))
