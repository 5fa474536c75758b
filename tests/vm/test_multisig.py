"""Multisig accounts on a chain: by address and by rotation, paid by signature, refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from node.verifier_worker import verify_item
from qenex.codec import encode
from qenex.crypto import SCHEMES_BY_TAG
from qenex.crypto.multisig import Descriptor, combine, make_descriptor
from qenex.errors import (
    InvalidSignature,
    PublicKeyMismatch,
    QenexError,
    RotationNotAuthorised,
    SchemeNotAllowed,
    SurplusSignature,
    ThresholdNotMet,
    ThresholdUnreachable,
    WeakPublicKey,
    WrongSignatureCount,
)
from qenex.transaction import (
    Fee,
    Message,
    Signature,
    Signer,
    Transaction,
    assemble,
    decode_body,
    decode_transaction,
    encode_body,
)
from qenex.types import QXC
from tests.vm.chain import ACTORS, CHAIN_ID, START, Actor, Chain
from vm.accounts import rotation_sign_bytes
from vm.entry import intrinsic_gas, make_rules, signed_size
from vm.fees import MachineParams
from vm.gas import gas_schedule
from vm.machine import verify_signatures

ALICE, BOB, CAROL, DAVE = ACTORS[:4]
POST_QUANTUM, COMPOSITE = Actor(21, "ml-dsa-44"), Actor(22, "composite-mldsa44-ed25519")
COUNCIL = make_descriptor(3, [(2, ALICE.key), (1, BOB.key), (1, CAROL.key), (1, POST_QUANTUM.key)])
BY_KEY = {actor.key: actor for actor in (ALICE, BOB, CAROL, DAVE, POST_QUANTUM, COMPOSITE)}


@pytest.fixture
def chain() -> Chain:
    return Chain(balances=[(COUNCIL.address, QXC, START)])


def body_of(
    chain: Chain, key: Descriptor, *, first: bool = True, sequence: int = 0, address: Any = None
) -> bytes:
    signer = Signer(address or key.address, sequence, key.key if first else None, None)
    fee = Fee(1_000_000 * chain.machine.price(chain.base), 1_000_000, 0)
    send = Message("bank.send", (DAVE.address, (QXC, 5)), 0)
    return encode_body(CHAIN_ID, [signer], [send], fee, chain.height + 100)


def by(key: Descriptor, body: bytes, *signers: Actor) -> tuple[bytes | None, ...]:
    signed = {actor.key: actor.sign(body) for actor in signers}
    return tuple(signed.get(member.key) for member in key.members)


def whole(body: bytes, signature: Signature) -> Transaction:
    return decode_transaction(assemble(body, [signature]))


def refused(chain: Chain, tx: Transaction) -> type[QenexError]:
    """The name of the refusal in a block; where it is one of form, the pool gives it before it verifies."""
    block = chain.begin()
    with pytest.raises(QenexError) as found:
        block.execute(tx)
    assert chain.machine.state.changes() == {}
    chain.block = None
    check = chain.machine.new_check(chain.base, CHAIN_ID, chain.height + 1)
    if found.type is not InvalidSignature:
        with pytest.raises(found.type):
            check.signing_keys(tx)
    else:
        assert not verify_item((tx.body_bytes, check.signing_keys(tx), tx.signatures))
    return found.type


def test_an_account_begins_with_a_descriptor_and_its_key_travels_once(chain: Chain) -> None:
    body = body_of(chain, COUNCIL)
    tx = whole(body, by(COUNCIL, body, ALICE, BOB))
    check = chain.machine.new_check(chain.base, CHAIN_ID, chain.height + 1)
    assert verify_item((tx.body_bytes, check.signing_keys(tx), tx.signatures)), "as workers verify it"
    assert chain.run(tx)[0].status == 0
    assert chain.query("accounts.get_account", COUNCIL.address).public_key == COUNCIL.key
    again = body_of(chain, COUNCIL, first=False, sequence=1)
    assert chain.run(whole(again, by(COUNCIL, again, BOB, CAROL, POST_QUANTUM)))[0].status == 0
    assert chain.balance(DAVE.address) == START + 10


def test_every_wrong_set_of_signatures_is_refused_by_name(chain: Chain) -> None:
    body = body_of(chain, COUNCIL)
    good = by(COUNCIL, body, ALICE, BOB)
    wrong: list[tuple[type[QenexError], Signature]] = [
        (ThresholdNotMet, by(COUNCIL, body, ALICE)),
        (ThresholdNotMet, by(COUNCIL, body, BOB, CAROL)),
        (SurplusSignature, by(COUNCIL, body, ALICE, BOB, CAROL)),
        (WrongSignatureCount, good[:-1]),
        (WrongSignatureCount, ALICE.sign(body)),
        (InvalidSignature, tuple(DAVE.sign(body) if part else None for part in good)),
        (InvalidSignature, tuple(part and part[::-1] for part in good)),
    ]
    for error, signature in wrong:
        assert refused(chain, whole(body, signature)) is error
    single = chain.send(ALICE, BOB.address, 1)
    assert refused(chain, whole(single.body_bytes, (ALICE.sign(single.body_bytes),))) is InvalidSignature


def test_signatures_count_for_one_body_of_one_account(chain: Chain) -> None:
    # Alice and Bob sign each for themselves, and for the council: no signature serves twice.
    body = body_of(chain, COUNCIL)
    mine = chain.send(ALICE, DAVE.address, 5)
    stolen = by(COUNCIL, mine.body_bytes, ALICE, BOB)
    assert refused(chain, whole(body, stolen)) is InvalidSignature
    other = make_descriptor(2, [(1, ALICE.key), (1, BOB.key)])
    assert other.address != COUNCIL.address
    swapped = body_of(chain, other, address=COUNCIL.address)
    assert refused(chain, whole(swapped, by(other, swapped, ALICE, BOB))) is PublicKeyMismatch


def test_each_signature_given_is_paid_for_and_an_estimate_covers_any_of_them(chain: Chain) -> None:
    rules = make_rules(CHAIN_ID, 1, 10, MachineParams(), gas_schedule(1))
    body, keys = body_of(chain, COUNCIL, first=False), (COUNCIL.key,)
    prices = dict(gas_schedule(1).signature)
    sets = [(ALICE, BOB), (ALICE, POST_QUANTUM), (BOB, CAROL, POST_QUANTUM)]
    estimate = intrinsic_gas(rules, decode_body(body), keys)
    for signers in sets:
        tx = whole(body, by(COUNCIL, body, *signers))
        paid = sum(prices[actor.scheme.tag] for actor in signers)
        assert intrinsic_gas(rules, tx, keys) == 250 + len(tx.raw) // 4 + paid
        assert intrinsic_gas(rules, tx, keys) < estimate
        assert len(tx.raw) < signed_size(decode_body(body), keys)
    single = chain.send(ALICE, BOB.address, 1)
    assert intrinsic_gas(rules, single, (ALICE.key,)) == 250 + len(single.raw) // 4 + 420


def rotate(chain: Chain, actor: Actor, key: bytes, possession: bytes) -> Any:
    return chain.run(chain.tx(actor, ("accounts.rotate_key", (key, possession))))[0]


def statement_of(chain: Chain, actor: Actor, key: bytes) -> bytes:
    return rotation_sign_bytes(CHAIN_ID, actor.address, chain.account(actor.address).sequence, key)


def possession_of(key: Descriptor, statement: bytes, signers: Sequence[Actor]) -> bytes:
    return encode(combine(key, {actor.key: actor.sign(statement) for actor in signers}))


def test_an_account_rotates_to_a_descriptor_and_back(chain: Chain) -> None:
    key = make_descriptor(2, [(1, BOB.key), (1, CAROL.key), (1, COMPOSITE.key)])
    statement = statement_of(chain, ALICE, key.key)
    assert rotate(chain, ALICE, key.key, possession_of(key, statement, [BOB, COMPOSITE])).status == 0
    body = body_of(chain, key, first=False, sequence=1, address=ALICE.address)
    assert refused(chain, whole(body, ALICE.sign(body))) is WrongSignatureCount
    assert chain.run(whole(body, by(key, body, CAROL, BOB)))[0].status == 0
    new = Actor(55)
    proof = new.sign(rotation_sign_bytes(CHAIN_ID, ALICE.address, 2, new.key))
    fee = Fee(10**9, 1_000_000, 0)
    back = encode_body(
        CHAIN_ID,
        [Signer(ALICE.address, 2, None, None)],
        [Message("accounts.rotate_key", (new.key, proof), 0)],
        fee,
        chain.height + 9,
    )
    assert chain.run(whole(back, by(key, back, CAROL, COMPOSITE)))[0].status == 0
    assert chain.account(ALICE.address).key == new.key


def test_no_rotation_to_a_key_that_could_not_sign_or_did_not_agree(chain: Chain) -> None:
    key = make_descriptor(2, [(1, BOB.key), (1, CAROL.key)])

    def status(key_bytes: bytes, possession: bytes) -> int:
        found: int = rotate(chain, ALICE, key_bytes, possession).status
        return found

    statement = statement_of(chain, ALICE, key.key)
    members = {actor.key: actor.sign(statement) for actor in (BOB, CAROL)}
    first, second = (member.key for member in key.members)
    assert status(key.key, encode((members[first], None))) == ThresholdNotMet.code
    assert status(key.key, encode((members[first], b"\0" * 64))) == RotationNotAuthorised.code
    assert status(key.key, encode((members[second], members[first]))) == RotationNotAuthorised.code
    assert status(key.key, b"\xc1") == RotationNotAuthorised.code
    assert status(key.key, encode((b"x", 5))) == RotationNotAuthorised.code
    unreachable = key.key[:2] + (3).to_bytes(4, "big") + key.key[6:]
    assert status(unreachable, b"x") == ThresholdUnreachable.code
    weak = make_descriptor(1, [(1, b"\x01" + bytes(32)), (1, BOB.key)])
    assert status(weak.key, b"x") == WeakPublicKey.code


def test_a_scheme_that_is_off_neither_enters_nor_signs_but_the_others_do() -> None:
    funded = [(COUNCIL.address, QXC, START)]
    chain = Chain(balances=funded, parameters={"machine": {"scheme_ml_dsa_44": 0}})
    body = body_of(chain, COUNCIL)
    assert refused(chain, whole(body, by(COUNCIL, body, ALICE, BOB))) is SchemeNotAllowed
    known = {"accounts": [{
        "address": "", "sequence": 1, "key": "0x" + COUNCIL.key.hex(), "fee_tier": 0, "flags": 0,
    }]}  # fmt: skip
    from qenex.crypto import encode_address

    known["accounts"][0]["address"] = encode_address(COUNCIL.address)
    chain = Chain(balances=funded, parameters={"machine": {"scheme_ml_dsa_44": 0}}, data={"accounts": known})
    body = body_of(chain, COUNCIL, first=False, sequence=1)
    assert refused(chain, whole(body, by(COUNCIL, body, ALICE, POST_QUANTUM))) is SchemeNotAllowed
    assert chain.run(whole(body, by(COUNCIL, body, ALICE, BOB)))[0].status == 0


def test_the_machine_and_the_workers_give_the_same_verdict(chain: Chain) -> None:
    body, keys = body_of(chain, COUNCIL), (COUNCIL.key,)
    for signature in (
        by(COUNCIL, body, ALICE, BOB),
        by(COUNCIL, body, ALICE),
        by(COUNCIL, body, ALICE, BOB, CAROL),
        by(COUNCIL, body + b".", ALICE, BOB),
        ALICE.sign(body),
    ):
        tx = whole(body, signature)
        assert verify_signatures(tx, keys) is verify_item((body, keys, tx.signatures))
    assert set(SCHEMES_BY_TAG) == {0x01, 0x02, 0x03, 0x04, 0x11}, "a descriptor is no scheme"
