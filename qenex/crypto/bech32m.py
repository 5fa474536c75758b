"""bech32m (BIP-350): text with a checksum that finds every error in up to four characters.

Errors are ValueError here; `qenex.crypto.address` gives them their typed form.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import xor

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
MAX_LENGTH = 90
"""Characters for which the checksum's guarantee holds (BIP-173)."""

_CONSTANT = 0x2BC830A3
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
# What the five bits shifted out add, for each of their 32 values: a fifth of the time of a loop.
_REDUCTION = tuple(
    reduce(xor, (term for bit, term in enumerate(_GENERATOR) if top >> bit & 1), 0) for top in range(32)
)
_VALUES = {character: value for value, character in enumerate(CHARSET)}
_CHECKSUM_SIZE = 6


def _polymod(values: Iterable[int]) -> int:
    """Return the BCH remainder over GF(32), as BIP-173 defines it."""
    remainder = 1
    for value in values:
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value ^ _REDUCTION[remainder >> 25]
    return remainder


def _expand(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _regroup(values: Iterable[int], from_bits: int, to_bits: int, *, pad: bool) -> list[int]:
    """Repack a stream of `from_bits`-wide numbers, most significant bit first.

    Raises ValueError without `pad` when the last group is incomplete and not zero,
    or as long as an input group: then two texts would mean the same bytes.
    """
    accumulator = bits = 0
    result = []
    mask = (1 << to_bits) - 1
    for value in values:
        accumulator = (accumulator << from_bits | value) & 0xFFFF
        bits += from_bits
        while bits >= to_bits:
            bits -= to_bits
            result.append(accumulator >> bits & mask)
    rest = accumulator & ((1 << bits) - 1)
    if pad:
        if bits:
            result.append(rest << (to_bits - bits) & mask)
    elif bits >= from_bits or rest:
        raise ValueError("its padding is not canonical")
    return result


def encode_values(prefix: str, values: list[int]) -> str:
    """Return the text of 5-bit `values`. `prefix` is lower-case ASCII."""
    head = _expand(prefix) + values
    checksum = _polymod(head + [0] * _CHECKSUM_SIZE) ^ _CONSTANT
    tail = [checksum >> 5 * (_CHECKSUM_SIZE - 1 - i) & 31 for i in range(_CHECKSUM_SIZE)]
    return prefix + "1" + "".join(CHARSET[value] for value in values + tail)


def decode_values(text: str) -> tuple[str, list[int]]:
    """Return `(prefix, 5-bit values)`. Raises ValueError; looks at no more than 90 characters."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it is longer than {MAX_LENGTH} characters")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("it contains characters outside printable ASCII")
    if text != text.lower() and text != text.upper():
        raise ValueError("it mixes upper and lower case")
    text = text.lower()
    prefix, separator, data = text.rpartition("1")
    if not separator or not prefix:
        raise ValueError("it has no prefix")
    if len(data) < _CHECKSUM_SIZE:
        raise ValueError("it is too short")
    try:
        values = [_VALUES[character] for character in data]
    except KeyError as error:
        raise ValueError(f"it contains {error.args[0]!r}, which is not in the alphabet") from None
    if _polymod(_expand(prefix) + values) != _CONSTANT:
        raise ValueError("its checksum does not match; a character is wrong or missing")
    return prefix, values[:-_CHECKSUM_SIZE]


def encode(prefix: str, payload: bytes) -> str:
    """Return the bech32m text of `payload`."""
    return encode_values(prefix, _regroup(payload, 8, 5, pad=True))


def decode(text: str) -> tuple[str, bytes]:
    """Return `(prefix, payload)`. Raises ValueError with a clause that says what is wrong."""
    prefix, values = decode_values(text)
    return prefix, bytes(_regroup(values, 5, 8, pad=False))
