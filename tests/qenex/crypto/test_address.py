"""Addresses: domains, text form, every slip of a finger noticed."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.crypto import (
    account_key,
    address_of,
    bech32m,
    decode_address,
    describe_address,
    encode_address,
    key_bytes,
    key_hash,
    module_address,
)
from qenex.errors import InvalidAddress

KEY = bytes(range(32))
ADDRESS = address_of(1, KEY)
TEXT = encode_address(ADDRESS)


def _h(tag: bytes, data: bytes) -> bytes:
    return blake2b(data, digest_size=32, person=tag).digest()


def test_an_address_is_the_tagged_hash_of_scheme_and_first_key() -> None:
    assert address_of(0x11, KEY) == _h(b"qx.address", b"\x11" + KEY)
    assert address_of(1, KEY) != address_of(2, KEY)


def test_a_module_address_lies_in_a_domain_of_its_own() -> None:
    assert module_address("amm") == _h(b"qx.module", b"amm\0")
    assert module_address("amm", b"\0\0\0\1") == _h(b"qx.module", b"amm\0\0\0\0\1")
    assert len({module_address("amm"), module_address("am", b"m"), module_address("amm", b"\0")}) == 3
    for bad in ("", "a\0b"):
        with pytest.raises(ValueError):
            module_address(bad)


def test_account_records_hold_short_keys_whole_and_long_keys_by_hash() -> None:
    assert account_key(1, KEY) == b"\1" + KEY == key_bytes(1, KEY)
    assert account_key(4, bytes(64)) == b"\4" + bytes(64)
    long = bytes(1312)
    assert account_key(2, long) == b"\2" + _h(b"qx.key", b"\2" + long)
    assert key_hash(2, long) == account_key(2, long)[1:]


def test_the_text_form_is_bech32m_of_version_and_bytes() -> None:
    assert bech32m.encode("qx", b"\1" + ADDRESS) == TEXT
    assert TEXT.startswith("qx1")
    assert len(TEXT) == 62
    assert encode_address(ADDRESS, "tqx").startswith("tqx1")


@given(raw=st.binary(min_size=32, max_size=32), prefix=st.sampled_from(["qx", "tqx"]))
def test_every_address_comes_back(raw: bytes, prefix: str) -> None:
    text = encode_address(raw, prefix)
    assert decode_address(text) == raw
    assert decode_address(text.upper()) == raw


def test_every_single_character_error_is_noticed() -> None:
    for position in range(len(TEXT)):
        for character in bech32m.CHARSET + "1bio":
            if character != TEXT[position]:
                with pytest.raises(InvalidAddress):
                    decode_address(TEXT[:position] + character + TEXT[position + 1 :])


def test_missing_doubled_and_swapped_characters_are_noticed() -> None:
    for i in range(len(TEXT)):
        for changed in (TEXT[:i] + TEXT[i + 1 :], TEXT[: i + 1] + TEXT[i:], _swap(TEXT, i)):
            if changed != TEXT:
                with pytest.raises(InvalidAddress):
                    decode_address(changed)


def _swap(text: str, i: int) -> str:
    return text[:i] + text[i : i + 2][::-1] + text[i + 2 :]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT[:10] + TEXT[10:].upper(), "mixes upper and lower case"),
        (TEXT[:-1] + ("q" if TEXT[-1] != "q" else "p"), "checksum does not match"),
        (bech32m.encode("bc", b"\1" + ADDRESS), "has the prefix 'bc'"),
        (bech32m.encode("qx", b"\2" + ADDRESS), "address version 2"),
        (bech32m.encode("qx", b"\1" + ADDRESS[:-1]), "holds 32 bytes"),
        (bech32m.encode("qx", b""), "holds 0 bytes"),
        ("", "no prefix"),
        ("alice", "no prefix"),
        ("qx1" + "q" * 1_000_000, "longer than 90 characters"),
        ("0x" + ADDRESS.hex(), "is no address"),
        ("qx1é", "outside printable ASCII"),
    ],
)
def test_a_refused_address_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidAddress, match=message) as caught:
        decode_address(text)
    assert len(caught.value.message) < 250


def test_an_address_of_another_network_is_refused_by_name() -> None:
    test_text = encode_address(ADDRESS, "tqx")
    with pytest.raises(InvalidAddress, match="is for a shared test network"):
        decode_address(test_text, ("qx",))
    with pytest.raises(InvalidAddress, match="is for the public network or a devnet"):
        decode_address(TEXT, ("tqx",))


@given(text=st.text(max_size=100))
def test_any_text_is_an_address_or_a_typed_error(text: str) -> None:
    try:
        address = decode_address(text)
    except InvalidAddress:
        return
    assert text.lower() in (encode_address(address), encode_address(address, "tqx"))


def test_only_32_bytes_have_a_text_form() -> None:
    for size in (0, 20, 31, 33):
        with pytest.raises(InvalidAddress):
            encode_address(bytes(size))


def test_the_description_is_short_and_shows_both_ends() -> None:
    assert describe_address(ADDRESS) == f"{TEXT[:9]}...{TEXT[-6:]}"
