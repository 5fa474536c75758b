"""Multisig and scoped keys through admission, proposal, commit and a restart from disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.store import Ledger
from node.application import Application
from node.modules import make_machine
from node.verifier import Verifier
from qenex.crypto import encode_address, key_bytes
from qenex.crypto.multisig import combine, make_descriptor
from qenex.errors import (
    AlreadyKnown,
    GuardedAccountFrozen,
    InvalidSignature,
    QenexError,
    ScopedKeyExpired,
    ScopedKeyNotFound,
    ThresholdNotMet,
    WrongSequence,
)
from qenex.transaction import Fee, Message, Signature, Signer, assemble, encode_body
from qenex.types import Coin
from tests.node.chain_helpers import (
    CHAIN,
    MONEY,
    VALIDATOR,
    Wallet,
    balance,
    commit_block,
    make_genesis,
    open_application,
    produce,
)
from vm.scoped import scoped_state_key

ALICE, BOB, CAROL, BOT = (Wallet(number) for number in range(1, 5))
KEYS = {wallet: key_bytes(wallet.scheme.tag, wallet.public) for wallet in (ALICE, BOB, CAROL, BOT)}
COUNCIL = make_descriptor(2, [(1, KEYS[ALICE]), (1, KEYS[BOB]), (1, KEYS[CAROL])])
DAY = 86_400


def raw(
    signers: list[Signer],
    signed: list[tuple[Wallet, ...]],
    messages: list[Message],
    until: int = 500,
    tip: int = 0,
) -> bytes:
    body = encode_body(CHAIN, signers, messages, Fee(10**6, 50_000, tip), until)
    signatures: list[Signature] = []
    for wallets in signed:
        made = {KEYS[wallet]: wallet.scheme.sign(wallet.secret, body) for wallet in wallets}
        signatures.append(combine(COUNCIL, made) if len(made) > 1 else next(iter(made.values())))
    return assemble(body, signatures)


def pay(signer: int = 0, amount: int = 5) -> Message:
    return Message("bank.send", (BOB.address, Coin("QXC", amount)), signer)


def own(name: str, *args: object, sequence: int, first: bool = False) -> bytes:
    """A message of accounts by Alice's own key."""
    signer = Signer(ALICE.address, sequence, KEYS[ALICE] if first else None, None)
    return raw([signer], [(ALICE,)], [Message(name, args, 0)])  # type: ignore[arg-type]  # plain values


def by_bot(sequence: int, number: int = 0, wallet: Wallet = BOT) -> bytes:
    return raw([Signer(ALICE.address, sequence, None, number)], [(wallet,)], [pay()])


def open_chain(folder: Path) -> Application:
    genesis = make_genesis([ALICE, BOB, CAROL])
    listed = genesis.modules["bank"]["balances"]
    listed.append({"address": encode_address(COUNCIL.address), "denom": "QXC", "amount": str(MONEY)})
    return open_application(folder, genesis, backend="sqlite")


@pytest.fixture
def application(tmp_path: Path) -> Application:
    application = open_chain(tmp_path / "chain")
    scope = (KEYS[BOT], ("bank.send",), (("QXC", 10**8, DAY),), 40)
    application.check_tx(own("accounts.add_scoped_key", *scope, sequence=0, first=True))
    produce(application)
    return application


async def test_a_multisig_transaction_passes_the_workers(application: Application) -> None:
    application.admission.verifier = verifier = Verifier(1)
    await verifier.start()
    first = Signer(COUNCIL.address, 0, COUNCIL.key, None)
    try:
        await application.submit(raw([first], [(ALICE, CAROL)], [pay()]))
        again = first._replace(sequence=1, public_key=None)
        await application.submit(raw([again], [(BOB, CAROL)], [pay()]))
        body = encode_body(CHAIN, [again._replace(sequence=2)], [pay()], Fee(10**6, 50_000, 0), 500)
        lone = tuple(
            ALICE.scheme.sign(ALICE.secret, body) if member.key == KEYS[ALICE] else None
            for member in COUNCIL.members
        )
        with pytest.raises(ThresholdNotMet):
            await application.submit(assemble(body, [lone]))
        garbage = tuple(part and bytes(64) for part in lone[:-1])
        with pytest.raises(QenexError):
            await application.submit(assemble(body, [(*garbage, None)]))
        with pytest.raises(InvalidSignature):
            await application.submit(assemble(body, [(bytes(64), bytes(64), None)]))
    finally:
        await verifier.stop()
    assert len(produce(application).transactions) == 2
    assert balance(application, BOB.address) == MONEY + 10


def test_an_account_and_its_scoped_keys_are_lanes_of_their_own(application: Application) -> None:
    for sequence in range(3):
        application.check_tx(by_bot(sequence))
        application.check_tx(ALICE.transfer(BOB.address, 5, sequence=sequence + 1, with_key=False))
    with pytest.raises(WrongSequence):
        application.check_tx(by_bot(4))
    assert len(produce(application).transactions) == 6
    application.check_tx(by_bot(3))
    with pytest.raises(WrongSequence):
        application.check_tx(raw([Signer(ALICE.address, 2, None, 0)], [(BOT,)], [pay(0, 6)]))
    assert len(produce(application).transactions) == 1


@pytest.mark.parametrize("own_first", [False, True])
def test_an_account_has_paid_for_its_own_and_for_its_scoped_keys_transactions(
    application: Application, own_first: bool
) -> None:
    """Its own one is a plain transfer that waits alone in its lane, for which nothing is written of itself."""
    check = application.admission.check
    before = check.account(ALICE.address)
    assert before is not None
    mine = ALICE.transfer(BOB.address, 5, sequence=1, with_key=False, max_fee=10**7)
    for raw in (mine, by_bot(0)) if own_first else (by_bot(0), mine):
        application.check_tx(raw)
    assert check.account(ALICE.address) == before._replace(sequence=2, balance=before.balance - 10**7 - 10**6)


def test_what_a_revoked_key_left_in_the_pool_goes(application: Application) -> None:
    application.check_tx(own("accounts.revoke_scoped_key", 0, sequence=1))
    application.check_tx(by_bot(0))
    produce(application)
    for _ in application.admission.recheck_steps():
        pass
    assert len(application.mempool) == 0
    with pytest.raises(ScopedKeyNotFound):
        application.check_tx(by_bot(1))


def test_a_key_that_others_pay_for_follows_its_own_record(application: Application) -> None:
    def paid_by(payer: Wallet, sequence: int, scoped: int, first: bool) -> bytes:
        signers = [
            Signer(payer.address, sequence, KEYS[payer] if first else None, None),
            Signer(ALICE.address, scoped, None, 0),
        ]
        return raw(signers, [(payer,), (BOT,)], [pay(1)])

    application.check_tx(paid_by(CAROL, 0, 0, True))
    application.check_tx(by_bot(1))
    produce(application)
    assert len(application.mempool) == 0
    application.check_tx(by_bot(2))
    application.check_tx(paid_by(CAROL, 1, 3, False))
    assert len(produce(application).transactions) == 2
    record = application.ledger.committed.get(scoped_state_key(ALICE.address, 0))
    assert record is not None
    assert record.sequence == 4


def test_an_expired_key_is_refused_and_its_waiting_transactions_make_no_bad_block(
    application: Application,
) -> None:
    application.check_tx(by_bot(0))
    while application.ledger.height < 40:
        produce(application)
    with pytest.raises(ScopedKeyExpired):
        application.check_tx(by_bot(1))
    assert len(produce(application).transactions) == 0


def test_after_a_restart_everything_stands(application: Application, tmp_path: Path) -> None:
    first = Signer(COUNCIL.address, 0, COUNCIL.key, None)
    application.check_tx(raw([first], [(ALICE, CAROL)], [pay()]))
    application.check_tx(by_bot(0))
    produce(application)
    root = application.ledger.state_root
    application.ledger.close()
    machine = make_machine()
    ledger = Ledger.open(tmp_path / "chain", codecs=machine.state_codecs, backend="sqlite")
    again = Application(machine, ledger, Verifier(0))
    assert ledger.state_root == root
    with pytest.raises(QenexError):
        again.check_tx(by_bot(0))
    again.check_tx(by_bot(1))
    again.check_tx(raw([first._replace(sequence=1, public_key=None)], [(BOB, CAROL)], [pay()]))
    assert len(produce(again).transactions) == 2
    ledger.close()


def test_what_no_period_has_room_for_is_left_out_of_blocks_and_leaves_the_pool(
    application: Application,
) -> None:
    scope = (KEYS[BOT], ("bank.send",), (("QXC", 10**6, DAY),), 400)
    application.check_tx(own("accounts.add_scoped_key", *scope, sequence=1))
    produce(application)
    before = balance(application, ALICE.address)
    for sequence in range(3):  # the pool knows no time, so it lets them in
        application.check_tx(by_bot(sequence, number=1))
    assert len(produce(application).transactions) == 1
    assert len(produce(application).transactions) == 0
    assert len(application.mempool) == 0
    assert 0 < before - balance(application, ALICE.address) < 10**6


def test_a_thiefs_waiting_transactions_leave_the_pool_when_the_account_is_frozen(
    application: Application,
) -> None:
    """Else their sequences would keep out, for as long as they are valid, what takes the key from him."""

    def by_carol(seconds: int, sequence: int) -> bytes:
        signer = Signer(CAROL.address, sequence, None if sequence else KEYS[CAROL], None)
        return raw([signer], [(CAROL,)], [Message("accounts.freeze", (ALICE.address, seconds), 0)], tip=9)

    guard = ("accounts.set_guard", CAROL.address, DAY, 10**9, (("QXC", 10**6),))
    application.check_tx(own(*guard, sequence=1))
    produce(application)
    thief = [own("accounts.remove_guard", sequence=sequence) for sequence in (2, 3, 4)]
    for transaction in thief:
        application.check_tx(transaction)
    freeze = by_carol(1_000, 0)
    application.check_tx(freeze)
    time = application.parent_time + 10**9
    block = application.prepare_proposal(time, VALIDATOR.address, max_bytes=len(freeze) + 10).block
    assert block.transactions == (freeze,)
    commit_block(application, block)
    for transaction in (thief[0], own("bank.send", BOB.address, Coin("QXC", 1), sequence=2)):
        with pytest.raises((GuardedAccountFrozen, AlreadyKnown)):
            application.check_tx(transaction)
    assert len(produce(application).transactions) == 0
    assert len(application.mempool) == 0
    signers = [Signer(CAROL.address, 1, None, None), Signer(ALICE.address, 2, None, None)]
    messages = [Message("accounts.freeze", (ALICE.address, 0), 0), pay(1)]
    application.check_tx(raw(signers, [(CAROL,), (ALICE,)], messages))
    assert len(produce(application).transactions) == 1, "both keys together, with the sequence that stood"
    assert balance(application, BOB.address) == MONEY + 5
