"""Bytes of the wire: transactions, bodies, blocks, headers, commits, evidence, proofs, plain values."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.transaction_methods import _is_raw
from node.validation import Rejected
from qenex.block import (
    COMMIT,
    EVIDENCE,
    HEADER,
    MAX_COMMIT_SIZE,
    MAX_HEADER_SIZE,
    MAX_VALIDATORS,
    Block,
    Evidence,
    SignedVote,
    decode_block,
    encode_block,
)
from qenex.codec import Reference, decode, encode
from qenex.errors import QenexError
from qenex.light import account_of, amount_of, verify_commit, verify_header
from qenex.proof import (
    TreeProof,
    decode_proof,
    encode_proof,
    list_proof,
    verify_absence,
    verify_list_proof,
    verify_membership,
)
from qenex.transaction import Transaction, decode_body, decode_transaction
from tests.fuzz.mutation import LIES, NESTS, damaged_bytes
from tests.fuzz.rule import effort, keeps_the_rule
from tests.scenario import Told, make_application, make_genesis, make_machine, make_people, story, tell


class World:
    """Valid examples of everything, from a chain that was really made."""

    def __init__(self) -> None:
        people = make_people()
        self.genesis = make_genesis(people)
        self.application = make_application(None, self.genesis)
        self.told: list[Told] = tell(self.application, story(people)[:9])
        self.raws = [raw for told in self.told for raw in told.block.transactions]
        self.bodies = [decode_transaction(raw).body_bytes for raw in self.raws]
        vote = SignedVote(people[0].address, 2, 5, 0, bytes(32), bytes(64))
        self.evidence = Evidence("duplicate_vote", vote, vote._replace(block_hash=b"\x01" * 32))
        blocks = [told.block for told in self.told]
        blocks.append(Block(blocks[1].header, (), (self.evidence,) * 2, blocks[1].commit))
        self.blocks = [encode_block(block) for block in blocks]
        self.headers = [encode(block.header) for block in blocks]
        self.commits = [COMMIT.encode(told.commit) for told in self.told]
        ledger = self.application.ledger
        keys = [b"\x01\x01" + person.address for person in people] + [
            b"\x01\x01" + bytes(32),
            b"\x02\x02QXC\0\0",
        ]
        self.proved = [(key, *ledger.prove(key)) for key in keys]
        self.proofs = [encode_proof(proof) for _, _, proof in self.proved]
        self.values = [value for _, value, _ in self.proved if value is not None]


@cache
def world() -> World:
    return World()


def plan(raw: bytes) -> Transaction:
    tx = decode_transaction(raw)
    registry = make_registry()
    form = registry.transaction_to_json(tx)
    assert registry.body_from_json(form) == tx.body_bytes, "JSON and back is the same body"
    return tx


@cache
def make_registry() -> Any:
    return make_machine().registry


@given(st.data())
@effort(150)
def test_raw_transactions(data: st.DataObject) -> None:
    raw = data.draw(damaged_bytes(world().raws))
    found = keeps_the_rule(lambda: plan(raw))
    if isinstance(found, Transaction):
        assert found.raw == raw
    keeps_the_rule(lambda: decode_transaction(raw) if _is_raw(raw) else decode_body(raw))


@given(st.data())
@effort(60)
def test_raw_transactions_at_the_pools_door(data: st.DataObject) -> None:
    raw = data.draw(damaged_bytes(world().raws))
    application = world().application
    root = application.ledger.state_root
    keeps_the_rule(lambda: application.check_tx(raw))
    assert application.ledger.state_root == root


@given(st.data())
@effort(100)
def test_bodies(data: st.DataObject) -> None:
    body = data.draw(damaged_bytes(world().bodies))
    found = keeps_the_rule(lambda: decode_body(body))
    if isinstance(found, Transaction):
        application = world().application
        info = application._block_info(application.parent_time + 1, found.signers[0].address, ())
        keeps_the_rule(lambda: application.machine.simulate(application.ledger.committed, info, found))


@given(st.data())
@effort(80)
def test_blocks(data: st.DataObject) -> None:
    raw = data.draw(damaged_bytes(world().blocks))
    found = keeps_the_rule(lambda: decode_block(raw))
    if isinstance(found, Block):
        assert encode_block(found) == raw
        answer = keeps_the_rule(lambda: world().application.process_proposal(found))
        assert not answer.accepted, "no damaged block is accepted"


def wire(codec: Any, size: int, items: int) -> Callable[[bytes], Any]:
    return lambda data: codec.decode(data, max_size=size, max_items=items)


@pytest.mark.parametrize("kind", ["header", "commit", "evidence", "plain"])
@given(data=st.data())
@effort(80)
def test_records(kind: str, data: st.DataObject) -> None:
    everything = world()
    examples, read = {
        "header": (everything.headers, wire(HEADER, MAX_HEADER_SIZE, 32)),
        "commit": (everything.commits, wire(COMMIT, MAX_COMMIT_SIZE, MAX_VALIDATORS)),
        "evidence": ([EVIDENCE.encode(everything.evidence)], wire(EVIDENCE, MAX_COMMIT_SIZE, 16)),
        "plain": (everything.raws, lambda data: decode(data, max_size=1 << 16)),
    }[kind]
    raw = data.draw(damaged_bytes(examples))
    found = keeps_the_rule(lambda: read(raw))
    if not isinstance(found, QenexError):
        assert encode(found) == raw


@given(st.data())
@effort(60)
def test_commits_that_parse_convince_nobody(data: st.DataObject) -> None:
    everything = world()
    raw = data.draw(damaged_bytes(everything.commits))
    header = everything.told[2].block.header
    valid = COMMIT.encode(everything.told[2].commit)

    def judge() -> None:
        commit = wire(COMMIT, MAX_COMMIT_SIZE, MAX_VALIDATORS)(raw)
        verify_commit(header, commit, everything.application.validators)

    found = keeps_the_rule(judge)
    if found is None and raw != valid:
        # ML-DSA and Ed25519 signatures of other bytes are not valid; an absent or nil entry has no power.
        raise AssertionError("a damaged commit was accepted")
    keeps_the_rule(lambda: verify_header(header, raw[:32]))


@given(st.data())
@effort(100)
def test_tree_proofs(data: st.DataObject) -> None:
    everything = world()
    raw = data.draw(damaged_bytes(everything.proofs))
    key, value, _ = data.draw(st.sampled_from(everything.proved))
    root = everything.application.ledger.tree_root

    def judge() -> tuple[TreeProof, bool]:
        proof = decode_proof(raw)
        assert encode_proof(proof) == raw
        try:
            verify_membership(root, key, (value or b"") + b"\x00", proof)
        except QenexError:
            pass
        else:
            raise AssertionError("a wrong value was proved")
        verify_absence(root, key, proof)
        return proof, True

    found = keeps_the_rule(judge)
    assert isinstance(found, QenexError) or value is None, "the absence of a present entry was proved"


@given(st.data())
@effort(100)
def test_list_proofs(data: st.DataObject) -> None:
    items = [bytes([n]) * 3 for n in range(data.draw(st.integers(1, 9)))]
    index = data.draw(st.integers(0, len(items) - 1))
    proof = list(list_proof(items, index))
    damage = data.draw(st.lists(st.tuples(st.integers(0, 8), st.binary(max_size=33)), max_size=3))
    for at, part in damage:
        proof[at:at] = [part]
    root = data.draw(st.binary(min_size=32, max_size=32))
    keeps_the_rule(
        lambda: verify_list_proof(
            root,
            data.draw(st.binary(max_size=10)),
            data.draw(st.integers(-(2**70), 2**70)),
            data.draw(st.integers(-(2**70), 2**70)),
            proof,
        )
    )


@given(st.data())
@effort(80)
def test_state_values_from_a_node(data: st.DataObject) -> None:
    raw = data.draw(damaged_bytes(world().values))
    keeps_the_rule(lambda: account_of(raw))
    keeps_the_rule(lambda: amount_of(raw))


@pytest.mark.parametrize(
    "data", [*NESTS, *LIES, *[lie * 500 for lie in LIES]], ids=range(len(NESTS) + 2 * len(LIES))
)
def test_claims_inside_claims_allocate_little(data: bytes) -> None:
    everything = world()
    block = everything.blocks[1]
    readers: list[Callable[[bytes], Any]] = [
        decode_transaction,
        decode_body,
        decode_block,
        decode_proof,
        account_of,
        wire(COMMIT, MAX_COMMIT_SIZE, MAX_VALIDATORS),
        wire(HEADER, MAX_HEADER_SIZE, 32),
        lambda value: decode(value, max_size=1 << 20),
    ]
    for read in readers:
        for whole in (
            data,
            b"\x94" + data,
            b"\x92\xc4\x05abcde" + data,
            block[:500] + data,
            block[:-200] + data,
        ):
            keeps_the_rule(lambda read=read, whole=whole: read(whole))  # type: ignore[misc]  # bound at once


def test_references_and_rejections_are_what_these_tests_think() -> None:
    """The rule would be empty if valid examples were refused."""
    for raw in world().raws:
        assert isinstance(keeps_the_rule(lambda raw=raw: plan(raw)), Transaction)  # type: ignore[misc]  # bound at once
    for raw in world().blocks:
        assert isinstance(keeps_the_rule(lambda raw=raw: decode_block(raw)), Block)  # type: ignore[misc]  # bound at once
    assert any(Reference(0, "coin") in message.args for raw in world().raws for message in plan(raw).messages)
    with pytest.raises(Rejected):
        keeps_the_rule(lambda: (_ for _ in ()).throw(Rejected("not typed")))
