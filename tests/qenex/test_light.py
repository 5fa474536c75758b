"""What a light client believes, and every way in which it must not be talked into more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.answers import ProofAnswer, ValidatorSet, read_proof
from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    FLAG_NIL,
    PRECOMMIT,
    PREVOTE,
    Commit,
    CommitSignature,
    Header,
    Validator,
    block_hash,
    order_validators,
    validators_root,
    vote_sign_bytes,
)
from qenex.codec import codec_for, encode
from qenex.crypto.address import Address, address_of, key_bytes
from qenex.crypto.schemes import SCHEMES
from qenex.errors import InvalidArguments, InvalidResponse, ProofInvalid, QenexError
from qenex.light import (
    Trust,
    account_of,
    amount_of,
    verified_account,
    verified_balance,
    verified_value,
    verify_account,
    verify_balance,
    verify_commit,
    verify_header,
    verify_state_value,
    verify_trusted,
    verify_validators,
)
from qenex.proof import proof_to_json, tree_path
from qenex.state_keys import EMPTY_ACCOUNT, Account, account_state_key, balance_state_key
from qenex.types import Coin
from tests.qenex.test_proof import leaves_of, naive, prove

CHAIN = "light-1"
ALICE, BOB, CAROL = (Address(bytes([n]) * 32) for n in (1, 2, 3))
RECORD = Account(4, 1_234, b"\x01" + bytes(32), 0, 0)
STATE = {
    account_state_key(ALICE): encode((1, *RECORD)),
    account_state_key(BOB): encode((1, *Account(0, 5, b"", 0, 0))),
    balance_state_key(ALICE, "amm/1"): encode((1, 77)),
    balance_state_key(BOB, "amm/1"): encode((1, 2**100)),
    b"\x02\x02other": encode((1, 9)),
}
KEYS = [SCHEMES[name].generate(bytes([n]) * SCHEMES[name].seed_size) for n, name in enumerate(
    ["ed25519", "ed25519", "composite-mldsa44-ed25519", "ed25519"]
)]  # fmt: skip
TAGS = [1, 1, 0x11, 1]
POWERS = [10, 10, 10, 1]
VALIDATORS = order_validators(
    Validator(address_of(tag, public), key_bytes(tag, public), power)
    for tag, (public, _), power in zip(TAGS, KEYS, POWERS)
)
SECRETS = {key_bytes(tag, public): (tag, secret) for tag, (public, secret) in zip(TAGS, KEYS)}


def header(**changes: Any) -> Header:
    zero = bytes(32)
    root = validators_root(VALIDATORS)
    made = Header(
        1, CHAIN, 8, 5, zero, ALICE, root, root, zero, naive(leaves_of(STATE)), zero, zero, zero, zero
    )
    return made._replace(**changes)


def sign(validator: Validator, statement: bytes) -> bytes:
    tag, secret = SECRETS[validator.key]
    (scheme,) = [scheme for scheme in SCHEMES.values() if scheme.tag == tag]
    return scheme.sign(secret, statement)


def commit(of: Header, flags: list[int], vote: int = PRECOMMIT, **changes: Any) -> Commit:
    digest = block_hash(of)
    entries = []
    for validator, flag in zip(VALIDATORS, flags, strict=True):
        target = digest if flag == FLAG_COMMIT else None
        statement = vote_sign_bytes(of.chain_id, vote, of.height, 3, target)
        entries.append(CommitSignature(validator.address, flag, sign(validator, statement) if flag else b""))
    return Commit(of.height, 3, digest, tuple(entries))._replace(**changes)


def answer(key: bytes, **changes: Any) -> ProofAnswer:
    proof = prove(leaves_of(STATE), tree_path(key))
    made = ProofAnswer(key, STATE.get(key), proof, header(), commit(header(), [1, 1, 1, 0]))
    return made._replace(**changes)


FULL = commit(header(), [1, 1, 1, 0])
TRUST = Trust(CHAIN, validators=VALIDATORS)


# -- state ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "denom", "amount"),
    [
        (ALICE, "QXC", 1_234),
        (BOB, "QXC", 5),
        (CAROL, "QXC", 0),
        (ALICE, "amm/1", 77),
        (BOB, "amm/1", 2**100),
        (ALICE, "amm/2", 0),
    ],
)
def test_a_balance_is_proved_against_a_header_alone(owner: Address, denom: str, amount: int) -> None:
    key = account_state_key(owner) if denom == "QXC" else balance_state_key(owner, denom)
    given_answer = answer(key)
    assert verify_balance(given_answer.header, given_answer, owner, denom) == Coin(denom, amount)
    assert verified_balance(owner, denom, given_answer, TRUST) == Coin(denom, amount)


def test_an_account_is_proved_present_or_absent() -> None:
    present, absent = answer(account_state_key(ALICE)), answer(account_state_key(CAROL))
    assert verified_account(ALICE, present, TRUST) == RECORD
    assert verified_account(CAROL, absent) == EMPTY_ACCOUNT
    verify_account(present.header, ALICE, RECORD, present.proof)
    verify_account(absent.header, CAROL, EMPTY_ACCOUNT, absent.proof)
    with pytest.raises(ProofInvalid):
        verify_account(present.header, ALICE, RECORD._replace(balance=1), present.proof)
    with pytest.raises(ProofInvalid):
        verify_account(present.header, ALICE, EMPTY_ACCOUNT, present.proof)
    with pytest.raises(ProofInvalid):
        verify_account(absent.header, CAROL, RECORD, absent.proof)


@pytest.mark.parametrize(
    "change",
    [
        {"value": encode((1, *RECORD._replace(balance=9_999)))},
        {"value": None},
        {"header": header(state_root=bytes(32))},
        {"proof": answer(account_state_key(BOB)).proof, "value": STATE[account_state_key(BOB)]},
        {"proof": answer(account_state_key(CAROL)).proof, "value": None},
    ],
)
def test_a_changed_answer_proves_nothing(change: dict[str, Any]) -> None:
    with pytest.raises(ProofInvalid):
        verified_balance(ALICE, "QXC", answer(account_state_key(ALICE), **change))


def test_an_answer_about_another_key_proves_nothing_about_this_one() -> None:
    with pytest.raises(ProofInvalid):
        verified_balance(ALICE, "QXC", answer(account_state_key(BOB))._replace(key=account_state_key(ALICE)))
    with pytest.raises(ProofInvalid):
        verified_balance(ALICE, "amm/1", answer(balance_state_key(BOB, "amm/1")))
    with pytest.raises(ProofInvalid):
        verified_value(account_state_key(ALICE), answer(account_state_key(CAROL)))


def test_a_state_value_is_checked_whole() -> None:
    given_answer = answer(b"\x02\x02other")
    assert verified_value(b"\x02\x02other", given_answer) == encode((1, 9))
    verify_state_value(given_answer.header, b"\x02\x02other", given_answer.value, given_answer.proof)
    with pytest.raises(ProofInvalid):
        verify_state_value(given_answer.header, b"\x02\x02other", encode((1, 10)), given_answer.proof)


@given(st.binary(max_size=60))
def test_any_proved_bytes_are_read_or_refused_by_type(value: bytes) -> None:
    for read in (account_of, amount_of):
        try:
            read(value)
        except QenexError as error:
            caught: QenexError = error
        else:
            continue
        assert isinstance(caught, ProofInvalid)


@pytest.mark.parametrize(
    "value",
    [encode((2, 5)), encode((1,)), encode((1, -1)), encode((1, 2**128)), encode(5), encode((1, 1, 1))],
)
def test_another_schema_or_form_of_a_balance_is_refused(value: bytes) -> None:
    with pytest.raises(ProofInvalid):
        amount_of(value)
    with pytest.raises(ProofInvalid):
        account_of(value)


# -- headers and commits ---------------------------------------------------------------------


@pytest.mark.parametrize(("flags", "enough"), [
    ([1, 1, 1, 1], True), ([1, 1, 1, 0], True), ([1, 1, 1, 2], True),
    ([1, 1, 0, 1], True), ([1, 1, 0, 0], False), ([1, 1, 2, 0], False), ([1, 0, 0, 1], False), ([0, 0, 0, 0], False), ([2, 2, 2, 2], False),
])  # fmt: skip
def test_more_than_two_thirds_of_the_power_make_a_header_final(flags: list[int], enough: bool) -> None:
    # Powers 10, 10, 10, 1: 21 of 31 is more than two thirds (63 > 62), 20 is not.
    made = commit(header(), flags)
    if enough:
        verify_commit(header(), made, VALIDATORS)
    else:
        with pytest.raises(ProofInvalid, match="two thirds"):
            verify_commit(header(), made, VALIDATORS)


def test_exactly_two_thirds_are_not_enough() -> None:
    three = order_validators([v._replace(power=10) for v in VALIDATORS if v.power == 10])
    head = header(validators_hash=validators_root(three))
    digest = block_hash(head)
    statement = vote_sign_bytes(CHAIN, PRECOMMIT, 8, 0, digest)
    entries = [
        CommitSignature(
            v.address, FLAG_COMMIT if n < 2 else FLAG_ABSENT, sign(v, statement) if n < 2 else b""
        )
        for n, v in enumerate(three)
    ]
    with pytest.raises(ProofInvalid, match="20 of 30"):
        verify_commit(head, Commit(8, 0, digest, tuple(entries)), three)


def entry_changed(index: int, **changes: Any) -> Commit:
    entries = list(FULL.signatures)
    entries[index] = entries[index]._replace(**changes)
    return FULL._replace(signatures=tuple(entries))


@pytest.mark.parametrize(
    "bad",
    [
        FULL._replace(height=9),
        FULL._replace(round=4),
        FULL._replace(block_hash=bytes(32)),
        FULL._replace(signatures=FULL.signatures[:-1]),
        FULL._replace(signatures=FULL.signatures + FULL.signatures[:1]),
        FULL._replace(signatures=(FULL.signatures[1], FULL.signatures[0], *FULL.signatures[2:])),
        FULL._replace(signatures=(FULL.signatures[0],) * 4),
        entry_changed(0, signature=bytes(64)),
        entry_changed(0, signature=b""),
        entry_changed(0, address=ALICE),
        entry_changed(3, flag=FLAG_COMMIT),
        commit(header(), [1, 1, 1, 1], vote=PREVOTE),
        commit(header(chain_id="other"), [1, 1, 1, 1]),
        commit(header(time=6), [1, 1, 1, 1]),
    ],
)
def test_a_wrong_commit_makes_nothing_final(bad: Commit) -> None:
    with pytest.raises(ProofInvalid):
        verify_commit(header(), bad, VALIDATORS)


def test_precommits_for_nil_do_not_count_as_precommits_for_the_block() -> None:
    nil = commit(header(), [FLAG_NIL] * 4)
    forged = nil._replace(signatures=tuple(entry._replace(flag=FLAG_COMMIT) for entry in nil.signatures))
    with pytest.raises(ProofInvalid):
        verify_commit(header(), forged, VALIDATORS)


@pytest.mark.parametrize(
    "validators",
    [
        (),
        VALIDATORS[:-1],
        tuple(reversed(VALIDATORS)),
        (VALIDATORS[0],) * 4,
        (VALIDATORS[0]._replace(power=99), *VALIDATORS[1:]),
        (VALIDATORS[0]._replace(key=b""), *VALIDATORS[1:]),
        VALIDATORS * 50,
    ],
)
def test_the_set_is_the_one_the_header_names(validators: tuple[Validator, ...]) -> None:
    with pytest.raises(ProofInvalid):
        verify_validators(header().validators_hash, validators)
    with pytest.raises(ProofInvalid):
        verify_commit(header(), FULL, validators)


def test_trust_is_a_hash_or_a_set_on_one_chain() -> None:
    verify_header(header(), block_hash(header()))
    verify_trusted(header(), None, Trust(CHAIN, block_hash(header())))
    verify_trusted(header(), FULL, TRUST)
    for head, made, trust in (
        (header(), FULL, Trust(CHAIN)),
        (header(), FULL, Trust("light-2", validators=VALIDATORS)),
        (header(), None, TRUST),
        (header(), FULL, Trust(CHAIN, bytes(32), VALIDATORS)),
        (header(), FULL, Trust(CHAIN, bytes(32))),
        (header(time=9), FULL, Trust(CHAIN, block_hash(header()))),
    ):
        with pytest.raises(ProofInvalid):
            verify_trusted(head, made, trust)


def test_trust_takes_what_the_client_s_own_calls_return() -> None:
    told = ValidatorSet(1, VALIDATORS)
    for known in (VALIDATORS, list(VALIDATORS), told):
        assert Trust(CHAIN, validators=known) == TRUST
        verify_trusted(header(), FULL, Trust(CHAIN, validators=known))
    hashed = block_hash(header())
    assert Trust(CHAIN, "0x" + hashed.hex()) == Trust(CHAIN, hashed)


def test_trust_says_what_it_takes_where_it_is_given_something_else() -> None:
    wrong: Any
    for wrong in ([{"address": "qx1"}], "validators", 7, VALIDATORS[0], [None], {"validators": []}):
        with pytest.raises(InvalidArguments) as raised:
            Trust(CHAIN, validators=wrong)
        assert "get_validators" in raised.value.hint
    for wrong in (b"short", "0x12", "text", 7):
        with pytest.raises(InvalidArguments):
            Trust(CHAIN, wrong)


def test_a_node_s_invented_header_is_not_believed_with_trust() -> None:
    richer = dict(STATE) | {account_state_key(ALICE): encode((1, *RECORD._replace(balance=10**15)))}
    head = header(state_root=naive(leaves_of(richer)))
    key = account_state_key(ALICE)
    lie = ProofAnswer(key, richer[key], prove(leaves_of(richer), tree_path(key)), head, FULL)
    assert verified_balance(ALICE, "QXC", lie).amount == 10**15  # the node contradicts itself nowhere
    for trust in (TRUST, Trust(CHAIN, block_hash(header()))):
        with pytest.raises(ProofInvalid):
            verified_balance(ALICE, "QXC", lie, trust)


# -- answers from the wire -------------------------------------------------------------------


def as_json(given_answer: ProofAnswer) -> dict[str, Any]:
    return {
        "height": 7,
        "key": "0x" + given_answer.key.hex(),
        "value": None if given_answer.value is None else "0x" + given_answer.value.hex(),
        "proof": proof_to_json(given_answer.proof),
        "header": codec_for(Header).to_json(given_answer.header, "qx"),
        "header_hash": "0x" + block_hash(given_answer.header).hex(),
        "commit": None
        if given_answer.commit is None
        else codec_for(Commit).to_json(given_answer.commit, "qx"),
    }


@pytest.mark.parametrize("owner", [ALICE, CAROL])
def test_a_proof_is_read_from_its_json(owner: Address) -> None:
    given_answer = answer(account_state_key(owner))
    assert read_proof(as_json(given_answer)) == given_answer


@pytest.mark.parametrize("field", ["key", "proof", "header", "value", "commit"])
@pytest.mark.parametrize("value", [5, "0x", "x", [], {}, {"height": 1}, True])
def test_a_malformed_proof_is_a_typed_error(field: str, value: Any) -> None:
    form = as_json(answer(account_state_key(ALICE))) | {field: value}
    try:
        read = read_proof(form)
    except (InvalidResponse, ProofInvalid):
        return
    assert value == "0x"
    assert field in ("key", "value")
    assert read.value in (b"", STATE[account_state_key(ALICE)])
