"""Wallets: one key, its address, signatures over bodies only, and a secret that stays inside."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from qenex.crypto.address import Address, address_of, encode_address
from qenex.crypto.keystore import Keyring
from qenex.crypto.schemes import SCHEMES, SCHEMES_BY_TAG
from qenex.errors import (
    InvalidAddress,
    InvalidArguments,
    InvalidKeyName,
    InvalidMnemonic,
    InvalidSecretKey,
    InvalidSignature,
    KeyNotFound,
    MalformedBytes,
    UnknownScheme,
    UnusedSigner,
    WrongSignatureCount,
)
from qenex.transaction import Fee, Message, Signer, encode_body
from qenex.wallet import Wallet, message_bytes, verify_message

PHRASE = "abandon " * 11 + "about"
FAST = [name for name in SCHEMES if name != "slh-dsa-sha2-128s"]


def body_for(*wallets: Wallet) -> bytes:
    return encode_body(
        "chain-1",
        [Signer(wallet.address, 0, wallet.public_key, None) for wallet in wallets],
        [Message("bank.send", (wallets[0].address, ("QXC", 1)), len(wallets) - 1)],
        Fee(1, 1, 0),
        10,
    )


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_one_phrase_gives_the_same_wallet_again_in_every_scheme(scheme: str) -> None:
    wallet = Wallet.from_mnemonic(PHRASE, scheme)
    assert wallet == Wallet.from_mnemonic(PHRASE.split(), scheme)
    assert wallet.public_key[0] == SCHEMES[scheme].tag
    assert wallet.address == address_of(wallet.public_key[0], wallet.public_key[1:])
    assert wallet != Wallet.from_mnemonic(PHRASE, scheme, index=1)
    assert wallet != Wallet.from_mnemonic(PHRASE, scheme, account=1)
    assert wallet != Wallet.from_mnemonic(PHRASE, scheme, passphrase="x")


def test_no_two_schemes_share_an_address() -> None:
    assert len({Wallet.from_mnemonic(PHRASE, scheme).address for scheme in SCHEMES}) == len(SCHEMES)


@pytest.mark.parametrize("scheme", FAST)
def test_signed_transactions_verify_under_the_wallet_s_key(scheme: str) -> None:
    wallet = Wallet.from_mnemonic(PHRASE, scheme)
    tx = wallet.sign_transaction(body_for(wallet))
    (signature,) = tx.signatures
    assert isinstance(signature, bytes)
    assert SCHEMES_BY_TAG[wallet.public_key[0]].verify(wallet.public_key[1:], tx.body_bytes, signature)
    assert wallet.sign_transaction(tx).body_bytes == tx.body_bytes


def test_several_signers_sign_in_their_order() -> None:
    a, b = Wallet.from_mnemonic(PHRASE), Wallet.from_mnemonic(PHRASE, index=1)
    body = body_for(a, b)
    assert a.sign_transaction(body, b).signatures == b.sign_transaction(body, a).signatures
    with pytest.raises(WrongSignatureCount):
        a.sign_transaction(body)
    with pytest.raises(UnusedSigner):
        a.sign_transaction(body, b, Wallet.from_mnemonic(PHRASE, index=2))


@pytest.mark.parametrize("data", [b"", b"hello", b"\x92\xa4vote\xa1c", bytes(100)])
def test_only_a_transaction_s_body_is_signed_as_one(data: bytes) -> None:
    with pytest.raises(MalformedBytes):
        Wallet.from_mnemonic(PHRASE).sign_transaction(data)


def test_messages_are_signed_as_messages() -> None:
    wallet = Wallet.from_mnemonic(PHRASE)
    signature = wallet.sign_message("chain-1", "I am here")
    verify_message("chain-1", wallet.address, "I am here", wallet.public_key, signature)
    assert message_bytes("chain-1", wallet.address, "x")[1:9] == b"\xa7message"
    for chain, text, key in (
        ("chain-2", "I am here", wallet.public_key),
        ("chain-1", "I am there", wallet.public_key),
        ("chain-1", "I am here", b"\xfe" + wallet.public_key[1:]),
        ("chain-1", "I am here", b""),
    ):
        with pytest.raises(InvalidSignature):
            verify_message(chain, wallet.address, text, key, signature)


def test_a_new_wallet_comes_with_the_phrase_that_restores_it() -> None:
    wallet, phrase = Wallet.generate()
    assert len(phrase.split()) == 24
    assert Wallet.from_mnemonic(phrase) == wallet
    assert len(Wallet.generate(words=12)[1].split()) == 12
    assert Wallet.generate()[0] != wallet


def test_a_keyring_opens_into_a_wallet(tmp_path: Any) -> None:
    keyring = Keyring(tmp_path / "keys", development=True)
    wallet = Wallet.from_mnemonic(PHRASE)
    keyring.create("alice", "ed25519", SCHEMES["ed25519"].generate(bytes(32))[1])
    opened = Wallet.from_keyring(keyring, "alice")
    assert opened.address == keyring.get_public("alice").address
    assert opened != wallet
    with pytest.raises(KeyNotFound):
        Wallet.from_keyring(keyring, "bob")


def test_a_keyring_may_be_given_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keyring = Keyring(folder, development=True)
    keyring.create("alice", "ed25519", SCHEMES["ed25519"].generate(bytes(32))[1])
    for given in (folder, str(folder)):
        assert Wallet.from_keyring(given, "alice") == Wallet.from_keyring(keyring, "alice")
        with pytest.raises(InvalidKeyName):
            Wallet.from_keyring(given, "../alice")
    for empty in (tmp_path, tmp_path / "missing"):
        with pytest.raises(KeyNotFound) as raised:
            Wallet.from_keyring(empty, "alice")
        assert str(empty) in raised.value.message
        assert "keyring" in raised.value.hint
    wrong: Any = 7
    with pytest.raises(InvalidArguments) as refused:
        Wallet.from_keyring(wrong, "alice")
    assert "Keyring" in refused.value.hint


def test_a_wallet_prints_as_its_address() -> None:
    wallet = Wallet.from_mnemonic(PHRASE)
    assert str(wallet) == wallet.address_text() == encode_address(wallet.address)
    assert repr(wallet) == f"Wallet(ed25519, {wallet})"


def test_after_a_rotation_the_address_is_given() -> None:
    first = Wallet.from_mnemonic(PHRASE)
    _, secret = SCHEMES["ml-dsa-44"].generate(bytes(32))
    rotated = Wallet.from_secret("ml-dsa-44", secret, first.address)
    assert rotated.address == first.address
    assert rotated.public_key != first.public_key
    with pytest.raises(InvalidAddress):
        Wallet.from_secret("ml-dsa-44", secret, Address(b"short"))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Wallet.from_mnemonic("abandon " * 12), InvalidMnemonic),
        (lambda: Wallet.from_mnemonic("one two three"), InvalidMnemonic),
        (lambda: Wallet.generate(words=13), InvalidMnemonic),
        (lambda: Wallet.from_mnemonic(PHRASE, "rsa"), UnknownScheme),
        (lambda: Wallet.from_secret("ed25519", b"short"), InvalidSecretKey),
    ],
)
def test_bad_input_is_a_typed_error(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_the_secret_is_in_no_text_copy_or_pickle() -> None:
    _, secret = SCHEMES["ed25519"].generate(bytes(range(32)))
    wallet = Wallet.from_secret("ed25519", secret)
    shown = f"{wallet!r} {wallet} {wallet!s}"
    for part in (secret, secret[:32], bytes(range(32))):
        assert part.hex() not in shown
        assert repr(part) not in shown
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(wallet)
    assert not hasattr(wallet, "__dict__")
    with pytest.raises(AttributeError):
        wallet.address = Address(bytes(32))  # type: ignore[misc]  # that is what is tried
    with pytest.raises(AttributeError):
        del wallet.address
