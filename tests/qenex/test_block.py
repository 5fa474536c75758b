"""Blocks and commits: strict decoding in bounded memory, hashes that cover every field, canonical order."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.block import (
    COMMIT,
    EVIDENCE,
    HEADER,
    MAX_COMMIT_SIZE,
    MAX_EVIDENCE,
    MAX_VALIDATORS,
    Block,
    Commit,
    CommitSignature,
    Event,
    Evidence,
    Header,
    Receipt,
    SignedVote,
    Validator,
    block_hash,
    commit_hash,
    decode_block,
    encode_block,
    evidence_root,
    key_hash,
    order_validators,
    proposal_sign_bytes,
    results_root,
    validators_root,
    vote_sign_bytes,
)
from qenex.codec import decode, encode
from qenex.crypto.address import Address
from qenex.errors import MalformedBytes, TooLarge
from qenex.hashing import list_root

hashes = st.binary(min_size=32, max_size=32)
addresses = hashes.map(Address)
headers = st.builds(
    Header,
    protocol_version=st.integers(0, 2**32 - 1),
    chain_id=st.text(min_size=1, max_size=20),
    height=st.integers(0, 2**64 - 1),
    time=st.integers(0, 2**63 - 1),
    parent_hash=hashes,
    proposer=addresses,
    validators_hash=hashes,
    next_validators_hash=hashes,
    parameters_hash=hashes,
    state_root=hashes,
    results_root=hashes,
    transactions_root=hashes,
    evidence_root=hashes,
    commit_hash=hashes,
)
commits = st.builds(
    Commit,
    height=st.integers(0, 2**64 - 1),
    round=st.integers(0, 2**32 - 1),
    block_hash=hashes,
    signatures=st.lists(
        st.builds(CommitSignature, addresses, st.integers(0, 2), st.binary(max_size=80)), max_size=4
    ).map(tuple),
)
votes = st.builds(
    SignedVote,
    addresses,
    st.integers(1, 2),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.none() | hashes,
    st.binary(max_size=80),
)
evidence = st.builds(Evidence, st.just("duplicate_vote"), votes, votes)
blocks = st.builds(
    Block,
    headers,
    st.lists(st.binary(max_size=300), max_size=5).map(tuple),
    st.lists(evidence, max_size=2).map(tuple),
    st.none() | commits,
)
Z = bytes(32)
EMPTY = Block(Header(1, "c", 1, 1, Z, Address(Z), Z, Z, Z, Z, Z, Z, Z, Z), (), (), None)


@given(blocks)
def test_a_block_comes_back_from_its_bytes(block: Block) -> None:
    data = encode_block(block)
    again = decode_block(data)
    assert again == block
    assert isinstance(again.header, Header)
    assert again.commit is None or isinstance(again.commit.signatures, tuple)
    assert encode_block(again) == data


@given(blocks, st.data())
def test_a_mutated_block_is_refused_by_type_or_is_another_one(block: Block, data: st.DataObject) -> None:
    good = encode_block(block)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = data.draw(
        st.sampled_from(
            [
                good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :],
                good[:at],
                good[:at] + b"\x00" + good[at:],
                good + good[at:],
            ]
        )
    )
    try:
        again = decode_block(bad)
    except (MalformedBytes, TooLarge):
        return
    assert encode_block(again) == bad


@given(
    st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"\x94" + encode(EMPTY.header) + tail)
)
def test_any_bytes_are_refused_by_type(data: bytes) -> None:
    with suppress(MalformedBytes, TooLarge):
        assert encode_block(decode_block(data)) == data


@pytest.mark.parametrize(
    "claim", [b"\xdd\xff\xff\xff\xff", b"\xdc\x80\x00", b"\xdc\x10\x00", b"\xdc\x00\x96", b"\x91"]
)
@pytest.mark.parametrize("place", ["block", "header", "transactions", "transaction", "evidence", "commit"])
def test_nested_claims_anywhere_in_a_block_allocate_little(place: str, claim: bytes) -> None:
    nest = claim * (500_000 // len(claim))
    header = encode(EMPTY.header)
    data = {
        "block": nest,
        "header": b"\x94" + nest,
        "transactions": b"\x94" + header + nest,
        "transaction": b"\x94" + header + b"\x91" + nest,
        "evidence": b"\x94" + header + b"\x90" + nest,
        "commit": b"\x94" + header + b"\x90\x90" + nest,
    }[place]
    tracemalloc.start()
    try:
        with pytest.raises((MalformedBytes, TooLarge)):
            decode_block(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20


def test_counts_beyond_the_limits_are_refused() -> None:
    vote = SignedVote(Address(bytes(32)), 1, 1, 0, None, b"")
    many = Block(EMPTY.header, (), (Evidence("duplicate_vote", vote, vote),) * (MAX_EVIDENCE + 1), None)
    entry = CommitSignature(Address(bytes(32)), 0, b"")
    wide = Block(EMPTY.header, (), (), Commit(1, 0, bytes(32), (entry,) * (MAX_VALIDATORS + 1)))
    for block in (many, wide):
        with pytest.raises(MalformedBytes):
            decode_block(encode_block(block))
    with pytest.raises(TooLarge):
        decode_block(encode_block(EMPTY), max_size=10)


def test_the_largest_commit_fits_its_bound() -> None:
    entry = CommitSignature(Address(bytes(32)), 1, bytes(3_309))
    commit = Commit(2**64 - 1, 2**32 - 1, bytes(32), (entry,) * MAX_VALIDATORS)
    data = encode(commit)
    assert len(data) <= MAX_COMMIT_SIZE
    assert COMMIT.decode(data, max_size=MAX_COMMIT_SIZE, max_items=MAX_VALIDATORS) == commit


@given(headers, st.integers(0, len(Header._fields) - 1), headers)
def test_the_hash_of_a_block_covers_each_field(header: Header, index: int, other: Header) -> None:
    field = Header._fields[index]
    changed = header._replace(**{field: getattr(other, field)})
    assert (block_hash(changed) == block_hash(header)) == (changed == header)


@given(headers, commits, evidence)
def test_headers_commits_and_evidence_come_back_from_json(
    header: Header, commit: Commit, item: Evidence
) -> None:
    for codec, value in ((HEADER, header), (COMMIT, commit), (EVIDENCE, item)):
        form = codec.to_json(value, "qx")  # type: ignore[attr-defined]  # three codecs, one loop
        assert codec.from_json(form) == value  # type: ignore[attr-defined]  # as above


@given(
    st.lists(st.builds(Validator, addresses, st.binary(max_size=40), st.integers(0, 5)), max_size=8),
    st.randoms(),
)
def test_validators_have_one_order_and_one_root(validators: list[Validator], chance: Any) -> None:
    ordered = order_validators(validators)
    shuffled = list(validators)
    chance.shuffle(shuffled)
    assert [(-v.power, v.address) for v in order_validators(shuffled)] == sorted(
        (-v.power, v.address) for v in validators
    )
    assert validators_root(ordered) == list_root(
        [encode((v.address, key_hash(v.key), v.power)) for v in ordered]
    )


def test_a_vote_a_proposal_and_a_transaction_never_sign_the_same_bytes() -> None:
    digest = bytes(32)
    assert decode(vote_sign_bytes("c", 2, 7, 1, None), max_size=99) == ("vote", "c", 2, 7, 1, None)
    assert decode(proposal_sign_bytes("c", 7, 1, -1, digest), max_size=99) == (
        "proposal",
        "c",
        7,
        1,
        -1,
        digest,
    )


def test_results_cover_receipts_and_both_lists_of_events() -> None:
    receipt = encode(Receipt(bytes(32), 0, None, 1, 1, (), ()))
    begin, end = [Event("a.b", (1,))], [Event("c.d", ())]
    roots = {
        results_root([receipt], begin, end),
        results_root([receipt], end, begin),
        results_root([], begin, end),
        results_root([receipt], [], []),
        results_root([receipt], [*begin, *end], []),
    }
    assert len(roots) == 5


@given(st.none() | commits, st.none() | commits)
def test_commits_differ_by_hash(a: Commit | None, b: Commit | None) -> None:
    assert (commit_hash(a) == commit_hash(b)) == (a == b)


@given(st.lists(evidence, max_size=3))
def test_evidence_has_a_list_root(items: list[Evidence]) -> None:
    assert evidence_root(items) == list_root([encode(item) for item in items])
