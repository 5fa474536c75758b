"""An address stays while keys come and go, of any scheme; nobody is locked out by a typo."""

from __future__ import annotations

from typing import Any

import pytest

from qenex.codec import encode
from qenex.crypto import SCHEMES, account_key, encode_address, module_address
from qenex.errors import (
    AccountHasNoKey,
    AccountNotFound,
    InvalidGenesis,
    InvalidSignature,
    OutOfGas,
    PublicKeyNotAllowed,
    QenexError,
    RotationNotAuthorised,
    SameKey,
    SchemeNotAllowed,
    UnknownScheme,
    WeakPublicKey,
)
from qenex.state_keys import ACCOUNT_PUBLIC_KEYS
from qenex.types import QXC
from tests.vm.chain import ACTORS, CHAIN_ID, START, Actor, Chain
from vm.accounts import rotation_sign_bytes
from vm.guard_types import KeyRotated

ALICE, BOB, CAROL = ACTORS[:3]
SEND = ("bank.send", (BOB.address, (QXC, 1)))
FAST = ("ed25519", "ml-dsa-44", "ml-dsa-65", "composite-mldsa44-ed25519")


def rotate(
    chain: Chain, owner: Actor, new: Actor, sequence: int | None = None
) -> tuple[str, tuple[Any, ...]]:
    at = chain.account(owner.address).sequence if sequence is None else sequence
    statement = rotation_sign_bytes(CHAIN_ID, owner.address, at, new.key)
    return ("accounts.rotate_key", (new.key, new.sign(statement)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_signs_from_its_first_transaction(scheme: str) -> None:
    actor = Actor(7, scheme)
    chain = Chain(actors=[*ACTORS, actor])
    assert chain.run(chain.tx(actor, SEND))[0].status == 0
    account = chain.query("accounts.get_account", actor.address)
    assert (account.scheme, account.public_key, account.sequence) == (actor.scheme.tag, actor.key, 1)
    assert chain.account(actor.address).key == account_key(actor.scheme.tag, actor.public_key)
    assert len(chain.account(actor.address).key) <= 65
    tx = chain.tx(actor, SEND)
    assert tx.signers[0].public_key is None, "a long key travels once"
    assert chain.run(tx)[0].status == 0


@pytest.mark.parametrize("scheme", FAST)
def test_rotation_to_another_scheme_keeps_address_and_money(scheme: str) -> None:
    chain = Chain()
    new = Actor(1000, scheme)
    receipt = chain.run(chain.tx(ALICE, rotate(chain, ALICE, new)))[0]
    assert receipt.status == 0
    short = account_key(new.scheme.tag, new.public_key)
    assert receipt.events == (("accounts.key_rotated", KeyRotated(ALICE.address, short)),)
    block = chain.begin()
    with pytest.raises(InvalidSignature):
        block.execute(chain.tx(ALICE, SEND))
    chain.block = None
    assert chain.run(chain.tx(ALICE, SEND, keys=[new]))[0].status == 0
    account = chain.query("accounts.get_account", ALICE.address)
    assert (account.public_key, account.sequence) == (new.key, 2)
    assert chain.problems() == []


def test_rotation_counts_within_the_block() -> None:
    chain = Chain()
    block = chain.begin()
    new = Actor(1001)
    block.execute(chain.tx(ALICE, rotate(chain, ALICE, new)))
    with pytest.raises(InvalidSignature):
        block.execute(chain.tx(ALICE, SEND))
    block.execute(chain.tx(ALICE, SEND, keys=[new]))
    signers = [chain.signer(ALICE, public_key=ALICE.key)]
    with pytest.raises(PublicKeyNotAllowed):
        block.execute(chain.tx(ALICE, SEND, signers=signers))


def test_rotation_back_and_forth_costs_no_second_copy_of_a_long_key() -> None:
    chain = Chain()
    long = Actor(1002, "ml-dsa-44")
    first = chain.run(chain.tx(ALICE, rotate(chain, ALICE, long)))[0]
    chain.run(chain.tx(ALICE, rotate(chain, ALICE, ALICE), keys=[long]))
    again = chain.run(chain.tx(ALICE, rotate(chain, ALICE, long)))[0]
    assert first.gas_used - again.gas_used > 2_000 + 2 * 1_312, "creation is paid by the byte"
    assert len([key for key in chain.store.values if key[:2] == ACCOUNT_PUBLIC_KEYS]) == 1


def bad_rotations(chain: Chain) -> list[tuple[str, type[QenexError], tuple[Any, ...]]]:
    new = Actor(1003)
    right = rotation_sign_bytes(CHAIN_ID, ALICE.address, 0, new.key)
    return [
        ("signed by the old key", RotationNotAuthorised, (new.key, ALICE.sign(right))),
        ("other chain", RotationNotAuthorised, (
            new.key, new.sign(rotation_sign_bytes("lab-2", ALICE.address, 0, new.key)))),
        ("other account", RotationNotAuthorised, (
            new.key, new.sign(rotation_sign_bytes(CHAIN_ID, BOB.address, 0, new.key)))),
        ("other sequence", RotationNotAuthorised, (
            new.key, new.sign(rotation_sign_bytes(CHAIN_ID, ALICE.address, 1, new.key)))),
        ("other key", RotationNotAuthorised, (
            new.key, new.sign(rotation_sign_bytes(CHAIN_ID, ALICE.address, 0, BOB.key)))),
        ("one byte", RotationNotAuthorised, (new.key, b"\x00")),
        ("of a length of no signature", RotationNotAuthorised, (new.key, bytes(16_384))),
        ("same key", SameKey, (ALICE.key, ALICE.sign(right))),
        ("weak key", WeakPublicKey, (b"\x01\x01" + bytes(31), bytes(64))),
        ("short key", WeakPublicKey, (b"\x01\x01", bytes(64))),
        ("long key of the wrong length", WeakPublicKey, (b"\x02" + bytes(1_311), bytes(64))),
        ("unknown scheme", UnknownScheme, (b"\x63" + bytes(32), bytes(64))),
    ]  # fmt: skip


@pytest.mark.parametrize("index", range(12))
def test_rotation_refused_by_name(index: int) -> None:
    chain = Chain()
    what, error, args = bad_rotations(chain)[index]
    receipt = chain.send_block(ALICE, ("accounts.rotate_key", args))
    assert receipt.status == error.code, what
    assert chain.account(ALICE.address).key == ALICE.key


def test_rotation_to_a_scheme_that_is_not_on() -> None:
    for status in (0, 1):
        chain = Chain(parameters={"machine": {"scheme_ml_dsa_44": status}})
        receipt = chain.run(chain.tx(ALICE, rotate(chain, ALICE, Actor(1004, "ml-dsa-44")), gas=100_000))[0]
        assert receipt.status == SchemeNotAllowed.code


def test_verification_of_the_new_key_is_charged_before_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    message = rotate(chain, ALICE, Actor(1005, "ml-dsa-65"))
    probe = chain.tx(ALICE, message)
    used = chain.machine.simulate(chain.base, chain.next_info, probe).gas_used
    intrinsic = chain.machine.new_check(chain.base, CHAIN_ID, 1).admit(probe).intrinsic_gas
    stored = 2_000 + 2 * (34 + len(encode(message[1][0])))
    assert used == intrinsic + 700 + 1_260 + stored + 10, "message, verification, key in the state, event"
    tx = chain.tx(ALICE, message, gas=intrinsic + 700 + 1_250)
    monkeypatch.setattr(type(SCHEMES["ml-dsa-65"]), "verify", lambda *_: pytest.fail("verified for nothing"))
    assert chain.run(tx)[0].status == OutOfGas.code


def test_account_without_a_key_cannot_rotate_through_a_module() -> None:
    chain = Chain()
    accounts: Any = chain.machine.modules["accounts"]
    ctx = chain.machine.context
    chain.begin()
    ctx.actor = module_address("bank")
    with pytest.raises(AccountHasNoKey):
        accounts.rotate_key(ctx, BOB.key, bytes(64))


def test_query_of_an_account_tells_what_it_is() -> None:
    chain = Chain()
    with pytest.raises(AccountNotFound, match=encode_address(module_address("nobody"))):
        chain.query("accounts.get_account", module_address("nobody"))
    account = chain.query("accounts.get_account", ALICE.address)
    assert account == (ALICE.address, 0, START, 0, None, 0, False)


# -- genesis ------------------------------------------------------------------------------------------------


def entry(actor: Actor, **changes: Any) -> dict[str, Any]:
    return {
        "address": encode_address(actor.address),
        "sequence": 3,
        "key": "0x" + actor.key.hex(),
        "fee_tier": 0,
        "flags": 0,
        **changes,
    }


@pytest.mark.parametrize(
    "accounts",
    [
        {"x": []},
        {"accounts": {}},
        {"accounts": [1]},
        {"accounts": [{"address": "qx1"}]},
        {"accounts": [entry(ALICE), entry(ALICE)]},
        {"accounts": [entry(ALICE, key="0x01" + "00" * 32)]},
        {"accounts": [entry(ALICE, key="0x77" + "00" * 32)]},
        {"accounts": [entry(ALICE, key=None, sequence=0)]},
        {"accounts": [entry(ALICE, fee_tier=10_001)]},
        {"accounts": [entry(ALICE, sequence=-1)]},
        {"accounts": [entry(ALICE, extra=1)]},
    ],
)
def test_genesis_accounts_are_checked(accounts: dict[str, Any]) -> None:
    with pytest.raises(InvalidGenesis):
        Chain(data={"accounts": accounts})


def test_exported_accounts_sign_on_with_their_present_keys() -> None:
    quantum = Actor(9, "ml-dsa-44")
    chain = Chain(actors=[*ACTORS, quantum])
    new = Actor(1006, "ml-dsa-65")
    chain.run(chain.tx(ALICE, rotate(chain, ALICE, new)), chain.tx(quantum, SEND), chain.tx(CAROL, SEND))
    chain.run(chain.tx(CAROL, SEND))
    exported = chain.machine.export_genesis(chain.base)
    after = Chain(actors=[], data=exported["modules"], parameters=exported["parameters"])
    assert after.machine.export_genesis(after.base) == exported
    for actor in [*ACTORS, quantum]:
        assert after.account(actor.address) == chain.account(actor.address)
    block = after.begin()
    signers = [after.signer(ALICE, public_key=ALICE.key)]
    with pytest.raises(PublicKeyNotAllowed):
        block.execute(after.tx(ALICE, SEND, signers=signers))
    after.block = None
    assert [r.status for r in after.run(after.tx(ALICE, SEND, keys=[new]), after.tx(quantum, SEND))] == [0, 0]
