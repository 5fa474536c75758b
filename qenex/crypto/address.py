"""Addresses: 32 bytes that name an account, and their text form.

An account's address is the hash of its FIRST public key with its scheme; keys rotate,
the address stays. Modules and their objects (pools, markets) have addresses in a domain
of their own, so no key can ever own one.

Text is bech32m (BIP-350) of version byte 01 + 32 bytes: prefix `qx` on the public
network and devnets, `tqx` on shared test networks. It also names the account's record:
what state stores as its key is `account_key`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NewType

from qenex.crypto import bech32m
from qenex.errors import InvalidAddress
from qenex.hashing import hasher

Address = NewType("Address", bytes)
"""32 bytes."""

ADDRESS_SIZE = 32
PREFIX = "qx"
"""Prefix on the public network and on devnets."""
TEST_PREFIX = "tqx"
"""Prefix on shared test networks."""
VERSION = 1
MAX_INLINE_KEY_SIZE = 64
"""Bytes of the longest public key that an account record holds itself, not by hash."""

_hash_address = hasher("qx.address")
_hash_module = hasher("qx.module")
_hash_key = hasher("qx.key")


def key_bytes(scheme_tag: int, public_key: bytes) -> bytes:
    """Return tag byte + public key, the form in which keys are hashed and travel."""
    return bytes((scheme_tag,)) + public_key


def account_key(scheme_tag: int, public_key: bytes) -> bytes:
    """Return what an account record stores as its key.

    Tag + key, or above 64 bytes of public key tag + `H("qx.key", tag + key)`; the key
    itself is then stored once under that hash.
    """
    whole = key_bytes(scheme_tag, public_key)
    if len(public_key) <= MAX_INLINE_KEY_SIZE:
        return whole
    return whole[:1] + _hash_key(whole)


def key_hash(scheme_tag: int, public_key: bytes) -> bytes:
    """Return `H("qx.key", tag + key)`, as validator leaves and stored keys use it."""
    return _hash_key(key_bytes(scheme_tag, public_key))


def address_of(scheme_tag: int, public_key: bytes) -> Address:
    """Return the address of the account whose first key this is."""
    return Address(_hash_address(key_bytes(scheme_tag, public_key)))


def module_address(name: str, object_key: bytes = b"") -> Address:
    """Return the address of a module's account, or of one of its objects' accounts.

    `name` is ASCII without zero bytes, so the 00 between the parts is unambiguous.
    Raises ValueError for any other name.
    """
    raw = name.encode("ascii")
    if not raw or b"\0" in raw:
        raise ValueError(f"module name {name!r} must be ASCII, not empty and without zero bytes")
    return Address(_hash_module(raw + b"\0" + object_key))


def encode_address(address: bytes, prefix: str = PREFIX) -> str:
    """Return the text form. Raises InvalidAddress if `address` does not have 32 bytes."""
    if len(address) != ADDRESS_SIZE:
        raise InvalidAddress(f"an address has {ADDRESS_SIZE} bytes, not {len(address)}")
    return bech32m.encode(prefix, bytes((VERSION,)) + address)


def decode_address(text: str, prefixes: Sequence[str] = (PREFIX, TEST_PREFIX)) -> Address:
    """Return the 32 bytes of a text address whose prefix is among `prefixes`.

    Raises InvalidAddress saying what is wrong: length, characters, mixed case,
    checksum, prefix of another network, version. At most 90 characters are looked at.
    """
    if not isinstance(text, str):
        raise InvalidAddress("an address is text")
    try:
        prefix, payload = bech32m.decode(text)
    except ValueError as error:
        raise InvalidAddress(f"{_shortened(text)} is no address: {error}") from None
    if prefix not in prefixes:
        known = {PREFIX: "the public network or a devnet", TEST_PREFIX: "a shared test network"}
        whose = f"is for {known[prefix]}" if prefix in known else f"has the prefix {_shortened(prefix)}"
        expected = " or ".join(f"{wanted}1..." for wanted in prefixes)
        raise InvalidAddress(f"{_shortened(text)} {whose}; here addresses look like {expected}")
    if len(payload) != 1 + ADDRESS_SIZE:
        raise InvalidAddress(
            f"{_shortened(text)} holds {len(payload)} bytes; an address holds {1 + ADDRESS_SIZE}"
        )
    if payload[0] != VERSION:
        raise InvalidAddress(
            f"{_shortened(text)} has address version {payload[0]}; this program knows version {VERSION}",
            hint="a newer version of QENEX may know this kind of address",
        )
    return Address(payload[1:])


def describe_address(address: bytes, prefix: str = PREFIX) -> str:
    """Return a shortened text for people, like `qx1q9f3...k7m2xw`. Never parse it."""
    text = encode_address(address, prefix)
    return f"{text[: len(prefix) + 7]}...{text[-6:]}"


def _shortened(text: str) -> str:
    """Quote foreign text for an error message: bounded and printable."""
    return ascii(text if len(text) <= 40 else text[:30] + "..." + text[-6:])
