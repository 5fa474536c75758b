"""The application as an engine drives it: proposals, bad blocks, restart, the ABCI face."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.options import Options
from ledger.store import Ledger
from node.application import Application
from node.modules import make_machine
from node.steps import run
from node.verifier import Verifier
from qenex.block import (
    Block,
    Commit,
    CommitSignature,
    block_hash,
    commit_hash,
    decode_block,
    encode_block,
    evidence_root,
)
from qenex.errors import MethodNotFound, NotFound, Pruned, QenexError, WrongSequence
from qenex.hashing import list_root
from qenex.transaction import Transfer, witness_hash
from tests.node.chain_helpers import (
    CHAIN,
    MONEY,
    START,
    VALIDATOR,
    Wallet,
    balance,
    commit_block,
    make_genesis,
    open_application,
    produce,
    seen_commit,
)
from vm.execution import BlockExecution

SECOND = 10**9


@pytest.fixture
def wallets() -> list[Wallet]:
    return [Wallet(number) for number in range(1, 6)]


@pytest.fixture
def application(tmp_path: Path, wallets: list[Wallet]) -> Application:
    return open_application(tmp_path / "data", make_genesis(wallets))


def other(wallets: list[Wallet]) -> Wallet:
    return wallets[1]


def test_a_transfer_lands_and_the_next_header_carries_its_root(
    application: Application, wallets: list[Wallet]
):
    tx = application.check_tx(wallets[0].transfer(wallets[1].address, 500))
    first = produce(application)
    assert first.transactions == (tx.raw,)
    assert balance(application, wallets[1].address) == MONEY + 500
    second = produce(application)
    assert second.header.state_root == application.ledger.blocks.header(2).state_root
    assert second.header.parent_hash == block_hash(first.header)
    assert second.commit == application.ledger.blocks.commit(1)
    receipts = application.ledger.blocks.receipts(1)
    assert [receipt.status for receipt in receipts] == [0]
    assert receipts[0].tx_id == tx.tx_id
    assert len(application.mempool) == 0


def test_the_supply_does_not_change_but_for_burned_fees(application: Application, wallets: list[Wallet]):
    for _ in range(5):
        for wallet in wallets:
            application.check_tx(wallet.transfer(other(wallets).address, 7))
        produce(application)
    held = sum(balance(application, w.address) for w in wallets) + balance(application, VALIDATOR.address)
    assert held == application.query("bank.get_supply", ("QXC",))
    assert held < 5 * MONEY


def test_two_applications_agree_block_by_block(tmp_path: Path, wallets: list[Wallet]):
    """The proposer's own path and the others' path end in the same state."""
    genesis = make_genesis(wallets)
    proposer = open_application(tmp_path / "a", genesis, "leveldb")
    follower = open_application(tmp_path / "b", genesis, "sqlite")
    for height in range(1, 31):
        for wallet in wallets[: height % 5]:
            proposer.check_tx(wallet.transfer(wallets[height % 5].address, height, tip=height))
        block = decode_block(encode_block(produce(proposer)))
        answer = follower.process_proposal(block)
        assert answer.accepted, answer.reason
        follower.finalize_block(block)
        follower.commit(block, seen_commit(block))
        assert follower.info() == proposer.info()
    proposer.ledger.close()
    follower.ledger.close()


async def test_a_foreign_blocks_signatures_are_verified_once_and_beforehand(
    tmp_path: Path, wallets: list[Wallet]
):
    genesis = make_genesis(wallets)
    first, second = open_application(tmp_path / "a", genesis), open_application(tmp_path / "b", genesis)
    for wallet in wallets:
        first.check_tx(wallet.transfer(wallets[0].address))
        first.check_tx(wallet.transfer(wallets[0].address))
    block = first.prepare_proposal(START + SECOND, VALIDATOR.address).block
    # The second ones wait for keys that the first ones register: those are verified where they stand.
    await second.verify_block(block)
    assert second.verifier.verified == 5
    assert second.process_proposal(block).accepted
    assert second.verifier.cache.hits == 5
    assert len(second.verifier.cache) == 10


async def test_what_was_decoded_for_its_signatures_is_what_is_executed(tmp_path: Path, wallets: list[Wallet]):
    genesis = make_genesis(wallets)
    first, second = open_application(tmp_path / "a", genesis), open_application(tmp_path / "b", genesis)
    for wallet in wallets:
        first.check_tx(wallet.transfer(wallets[0].address))
    block = first.prepare_proposal(START + SECOND, VALIDATOR.address).block
    transactions = await second.verify_block(block, remember=False)
    assert transactions is not None
    assert [tx.raw for tx in transactions] == list(block.transactions)
    assert second.verifier.verified == len(wallets)
    assert len(second.verifier.cache) == 0
    answer = run(second.process_proposal_steps(block, transactions[1:]))
    assert not answer.accepted
    assert "transactions_root" in answer.reason, "those of another block are no way round the header"
    assert run(second.process_proposal_steps(block, transactions)).accepted
    assert second.verifier.verified == len(wallets), "none is verified once more"

    malformed = block._replace(transactions=(*block.transactions[:-1], block.transactions[-1] + b"\x00"))
    assert await second.verify_block(malformed) is None
    assert "malformed" in second.process_proposal(malformed).reason


async def test_a_forged_signature_in_a_foreign_block_is_found_by_its_execution(
    tmp_path: Path, wallets: list[Wallet]
):
    genesis = make_genesis(wallets)
    first, second = open_application(tmp_path / "a", genesis), open_application(tmp_path / "b", genesis)
    for wallet in wallets:
        first.check_tx(wallet.transfer(wallet.address))
    registration = produce(first)
    commit_block(second, registration)
    good = wallets[0].transfer(wallets[1].address)
    first.check_tx(good)
    block = first.prepare_proposal(first.parent_time + SECOND, VALIDATOR.address).block
    forged = good[:-1] + bytes((good[-1] ^ 1,))
    root = list_root([witness_hash(forged)])
    block = rehash(block._replace(transactions=(forged,)), transactions_root=root)
    transactions = await second.verify_block(block, remember=False)
    assert transactions is not None
    assert transactions[0].verified is None
    answer = run(second.process_proposal_steps(block, transactions))
    assert not answer.accepted
    assert answer.reason == "transaction 0 may not stand here: invalid_signature"


def test_a_blocks_execution_goes_with_the_next_one_and_needs_no_collector(tmp_path: Path) -> None:
    """Its short way holds it; were it held by it as well, receipts of thousands of blocks would stay while a node is busy."""
    wallets = [Wallet(number) for number in range(1, 5)]
    application = open_application(tmp_path / "data", make_genesis(wallets))
    executions: list[weakref.ref[BlockExecution]] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            for wallet in wallets:
                application.check_tx(wallet.transfer(wallets[0].address))
            produce(application)
            assert application.machine.execution is not None
            executions.append(weakref.ref(application.machine.execution))
        assert [execution() is None for execution in executions] == [True, True, False]
    finally:
        gc.enable()


async def test_what_is_refused_leaves_nothing_to_the_collector(tmp_path: Path, wallets: list[Wallet]) -> None:
    """An error holds the frames it came through; those of a batch hold its list of answers, and so the error."""
    application = open_application(tmp_path / "data", make_genesis(wallets))
    for wallet in wallets:
        application.check_tx(wallet.transfer(wallet.address))
    produce(application)
    good = [wallet.transfer(wallets[0].address) for wallet in wallets]
    forged = [raw[:-1] + bytes((raw[-1] ^ 1,)) for raw in good]
    submit = application.admission.submit_in_order
    await submit(good)
    gc.collect()
    gc.disable()
    try:
        for batch in (forged, good, [b"\x94" * 50, *good, b""]):
            answers = await submit(batch)
            assert all(isinstance(answer, QenexError) for answer in answers)
            del answers
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_another_engine_may_skip_the_proposal_and_drive_decided_blocks(tmp_path: Path, wallets: list[Wallet]):
    genesis = make_genesis(wallets)
    first, second = open_application(tmp_path / "a", genesis), open_application(tmp_path / "b", genesis)
    first.check_tx(wallets[0].transfer(wallets[1].address))
    block = produce(first)
    result = second.finalize_block(block)
    assert result.state_root == first.ledger.state_root
    second.commit(block, seen_commit(block))
    assert second.info() == first.info()


def test_a_restart_continues_with_equal_roots(tmp_path: Path, wallets: list[Wallet]):
    genesis, roots = make_genesis(wallets), []
    for restart in (False, True):
        folder = tmp_path / str(restart)
        application = open_application(folder, genesis, "leveldb")
        for wallet in wallets:
            wallet.sequence = 0
        for height in range(60):
            for wallet in wallets:
                application.check_tx(wallet.transfer(wallets[height % 5].address, height + 1))
            produce(application)
            if restart and height % 7 == 0:
                application.ledger.close()
                machine = make_machine()
                ledger = Ledger.open(folder, codecs=machine.state_codecs, genesis_hash=genesis.hash)
                application = Application(machine, ledger, Verifier(0))
        roots.append((application.ledger.state_root, application.ledger.results_root))
        application.ledger.close()
    assert roots[0] == roots[1]


def test_a_chain_that_forgets_old_states_restarts_and_keeps_its_headers(
    tmp_path: Path, wallets: list[Wallet]
):
    genesis, machine = make_genesis(wallets), make_machine()
    options = Options(history=10, retain_blocks=5)
    ledger = Ledger.create(tmp_path, genesis, codecs=machine.state_codecs, options=options)
    Application.init_chain(machine, ledger)
    application = Application(machine, ledger, Verifier(0))
    for height in range(40):
        application.check_tx(wallets[height % 5].transfer(wallets[0].address))
        produce(application)
        run(application.upkeep_steps())
    info = application.info()
    assert ledger.oldest_height > 25
    assert ledger.blocks.header(1).height == 1
    with pytest.raises(Pruned):
        application.query("bank.get_supply", ("QXC",), height=5)
    ledger.close()
    machine = make_machine()
    ledger = Ledger.open(tmp_path, codecs=machine.state_codecs, options=options)
    application = Application(machine, ledger, Verifier(0))
    assert application.info() == info
    produce(application)
    ledger.close()


def rehash(block: Block, **header: Any) -> Block:
    return block._replace(header=block.header._replace(**header))


def bad_blocks(block: Block, wallets: list[Wallet]) -> dict[str, Block]:
    header = block.header
    wrong = bytes([7]) * 32
    blocks = {
        f"header.{name}": rehash(block, **{name: wrong})
        for name in (
            "parent_hash", "validators_hash", "next_validators_hash", "parameters_hash", "state_root",
            "results_root", "transactions_root", "evidence_root", "commit_hash", "proposer",
        )
    }  # fmt: skip
    blocks["header.height"] = rehash(block, height=header.height + 1)
    blocks["header.chain_id"] = rehash(block, chain_id="other-1")
    blocks["header.protocol_version"] = rehash(block, protocol_version=2)
    blocks["header.time"] = rehash(block, time=START + SECOND)
    garbage = wallets[3].transfer(wallets[0].address, step=False, garbage=True)
    gap = wallets[3].transfer(wallets[0].address, step=False, sequence=9, with_key=True)
    for name, transactions in {
        "invalid_signature": (*block.transactions, garbage),
        "wrong_sequence": (*block.transactions, gap),
        "twice": block.transactions * 2,
        "malformed": (*block.transactions, b"\x00"),
        "another order": tuple(reversed(block.transactions)),
    }.items():
        root = list_root([witness_hash(raw) for raw in transactions])
        blocks[name] = rehash(block, transactions_root=root)._replace(transactions=transactions)
    commit = block.commit
    assert commit is not None
    vote = commit.signatures[0]
    for name, changed in {
        "commit of another round": commit._replace(round=1),
        "commit of another block": commit._replace(block_hash=wrong),
        "forged commit": commit._replace(signatures=(vote._replace(signature=bytes(2_484)),)),
        "absent commit": commit._replace(signatures=(CommitSignature(vote.address, 0, b""),)),
        "commit without votes": commit._replace(signatures=()),
        "vote counted twice": commit._replace(signatures=(vote, vote)),
    }.items():
        blocks[name] = with_commit(block, changed)
    blocks["no commit"] = with_commit(block, None)
    # Contents that the header does not commit to.
    blocks["fewer transactions under the same header"] = block._replace(transactions=block.transactions[:-1])
    blocks["another commit under the same header"] = block._replace(commit=commit._replace(round=3))
    return blocks


def with_commit(block: Block, commit: Commit | None) -> Block:
    return rehash(block, commit_hash=commit_hash(commit))._replace(commit=commit)


def test_every_wrong_field_signature_and_transaction_is_rejected(tmp_path: Path, wallets: list[Wallet]):
    genesis = make_genesis(wallets)
    proposer, follower = open_application(tmp_path / "a", genesis), open_application(tmp_path / "b", genesis)
    first = produce(proposer)
    follower.finalize_block(first)
    follower.commit(first, seen_commit(first))
    for _ in range(2):
        proposer.check_tx(wallets[0].transfer(wallets[1].address))
    block = proposer.prepare_proposal(START + 5 * SECOND, VALIDATOR.address).block
    before = follower.info()
    for name, bad in bad_blocks(block, wallets).items():
        answer = follower.process_proposal(bad)
        assert not answer.accepted, name
        assert answer.reason
        # The proposer must not be fooled by its own memory of the good one either.
        assert not proposer.process_proposal(bad).accepted, name
    assert follower.info() == before
    assert follower.process_proposal(block).accepted


def test_the_first_block_has_no_commit(application: Application):
    block = application.prepare_proposal(START + SECOND, VALIDATOR.address).block
    fake = with_commit(block, Commit(0, 0, bytes(32), ()))
    assert not application.process_proposal(fake).accepted
    assert evidence_root(()) == block.header.evidence_root


def test_a_proposal_is_closed_when_its_time_is_over(
    application: Application, wallets: list[Wallet], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("node.steps.SLICE_SECONDS", 0.0)
    for _ in range(5):
        application.check_tx(wallets[0].transfer(wallets[1].address))
    time = application.parent_time + SECOND
    made = run(application.prepare_proposal_steps(time, VALIDATOR.address, enough=lambda: True))
    assert len(made.block.transactions) == 1
    assert application.process_proposal(made.block).accepted
    assert len(application.prepare_proposal(time, VALIDATOR.address).block.transactions) == 5


def test_a_proposal_leaves_out_what_cannot_stand_and_drops_it(
    application: Application, wallets: list[Wallet]
):
    application.check_tx(wallets[0].transfer(wallets[1].address, tip=5, valid_until=1))
    application.check_tx(wallets[0].transfer(wallets[1].address, valid_until=1))
    assert len(produce(application).transactions) == 2
    # Past its valid_until behind the pool's back, as after a long time without blocks.
    stale = application.check_tx(wallets[0].transfer(wallets[1].address, valid_until=2))
    follower = application.check_tx(wallets[0].transfer(wallets[1].address))
    other_sender = application.check_tx(wallets[1].transfer(wallets[0].address))
    assert isinstance(stale, Transfer)
    stale.terms = stale.terms._replace(valid_until=1)
    block = produce(application)
    assert block.transactions == (other_sender.raw,)
    assert stale.tx_id not in application.mempool
    assert follower.tx_id not in application.mempool
    assert application.admission.check.sequence(wallets[0].address) == 2


def test_a_proposal_respects_bytes(application: Application, wallets: list[Wallet]):
    for _ in range(10):
        application.check_tx(wallets[0].transfer(wallets[1].address))
    one = len(wallets[0].transfer(wallets[1].address, step=False)) + 5
    proposal = application.prepare_proposal(START + SECOND, VALIDATOR.address, max_bytes=4 * one)
    assert 2 <= len(proposal.block.transactions) <= 4


def test_a_proposal_respects_gas(tmp_path: Path, wallets: list[Wallet]):
    parameters = {"machine": {"max_block_gas": 100_000}}
    application = open_application(tmp_path, make_genesis(wallets, parameters=parameters))
    for wallet in wallets:
        for _ in range(4):
            application.check_tx(wallet.transfer(wallets[0].address, gas=99_000))
    block = produce(application)
    used = sum(receipt.gas_used for receipt in application.ledger.blocks.receipts(1))
    assert 0 < used <= 100_000
    assert len(block.transactions) < 20
    assert len(produce(application).transactions) > 0


def test_a_thrown_away_proposal_leaves_no_trace(application: Application, wallets: list[Wallet]):
    application.check_tx(wallets[0].transfer(wallets[1].address))
    before = application.info()
    for delay in range(1, 4):
        application.prepare_proposal(START + delay * SECOND, VALIDATOR.address)
    assert application.info() == before
    produce(application)
    assert balance(application, wallets[1].address) == MONEY + 1


def test_queries_and_the_snapshot_face(application: Application, wallets: list[Wallet]):
    produce(application)
    assert application.query("bank.get_balance", (wallets[0].address, "QXC"))
    assert application.query("bank.get_balance", (wallets[0].address, "QXC"), height=0)
    with pytest.raises(MethodNotFound):
        application.query("bank.nothing", ())
    with pytest.raises(QenexError):
        application.query("bank.get_balance", (b"short", "QXC"))
    with pytest.raises(NotFound):
        application.query("bank.get_balance", (wallets[0].address, "QXC"), height=99)
    assert application.list_snapshots() == []
    with pytest.raises(NotFound):
        application.apply_snapshot_chunk(0, b"x")
    with pytest.raises(NotFound):
        application.load_snapshot_chunk(1, 0)


def test_time_is_later_than_the_parents(application: Application):
    produce(application, START + SECOND)
    same = application.prepare_proposal(START + SECOND, VALIDATOR.address).block
    application._kept.clear()
    answer = application.process_proposal(same)
    assert not answer.accepted
    assert "time" in answer.reason


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 10**12), st.integers(0, 50)),
        max_size=40,
    )
)
def test_any_order_of_arrival_and_tips_makes_blocks_that_a_follower_accepts(
    tmp_path_factory: Any, sends: list[tuple[int, int, int, int]]
):
    wallets = [Wallet(number) for number in range(1, 6)]
    genesis = make_genesis(wallets)
    folder = tmp_path_factory.mktemp("chain")
    proposer, follower = open_application(folder / "a", genesis), open_application(folder / "b", genesis)
    for index, (sender, to, amount, tip) in enumerate(sends):
        proposer.check_tx(wallets[sender].transfer(wallets[to].address, amount, tip=tip, max_fee=10**8 + tip))
        if index % 6 == 5:
            block = produce(proposer)
            assert follower.process_proposal(block).accepted
            follower.finalize_block(block)
            follower.commit(block, seen_commit(block))
    while len(proposer.mempool):
        produce(proposer)
    assert proposer.info().chain_id == CHAIN
    far = wallets[0].sequence + 70
    raw = wallets[0].transfer(wallets[1].address, sequence=far, step=False, with_key=far == 70)
    with pytest.raises(WrongSequence):
        proposer.check_tx(raw)


def test_unused_gas_limits_keep_nobody_out_of_a_block(tmp_path: Path):
    """A limit is no use: 120 accounts asking for a whole block each, a tip of 1 ahead of all others."""
    greedy = [Wallet(number) for number in range(1, 121)]
    honest = Wallet(500)
    application = open_application(tmp_path, make_genesis([*greedy, honest]))
    for wallet in greedy:
        application.check_tx(wallet.transfer(honest.address, gas=5_000_000, tip=1))
    mine = application.check_tx(honest.transfer(greedy[0].address))
    assert mine.raw in produce(application).transactions


def test_a_proposal_yields_between_transactions_that_it_leaves_out(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("node.steps.SLICE_SECONDS", -1.0)
    wallets = [Wallet(number) for number in range(1, 21)]
    application = open_application(tmp_path, make_genesis(wallets))
    for wallet in wallets:
        application.check_tx(wallet.transfer(wallets[0].address, gas=5_000_000, tip=1))
    steps = application.prepare_proposal_steps(application.parent_time + SECOND, VALIDATOR.address)
    assert sum(1 for _ in steps) >= len(wallets)


def test_what_it_tells_of_itself_is_on_disk_while_a_tree_is_computed_and_written(
    application: Application, wallets: list[Wallet]
):
    application.check_tx(wallets[0].transfer(wallets[1].address))
    before = application.info()
    block = application.prepare_proposal(application.parent_time + SECOND, VALIDATOR.address).block
    application.process_proposal(block)
    decided = application.commit_values(block, seen_commit(block))
    assert application.info() == before
    pending = application.commit_tree(decided)
    assert application.info() == before
    application.ledger.write(pending.staged)
    application.commit_end(pending)
    after = application.info()
    assert after.height == before.height + 1
    assert (after.block_hash, after.state_root) == (block_hash(block.header), application.ledger.state_root)
