"""Recovery phrases (BIP-39, English list): 12 to 24 words for 128 to 256 bits and a checksum.

Own code because it is sixty lines of hashing around a word list, and a recovery phrase
is the last place for a third party's code. Text is normalised (NFKD, lower case, single
spaces) before use; error messages name positions, never words.
"""

from __future__ import annotations

import secrets
import unicodedata
from hashlib import pbkdf2_hmac, sha256

from qenex.crypto.bip39_words import WORDS
from qenex.errors import InvalidMnemonic

WORD_COUNTS = (12, 15, 18, 21, 24)
DEFAULT_WORD_COUNT = 24
SEED_SIZE = 64
"""Bytes of the seed that a phrase stands for."""

_BITS_PER_WORD = 11
_ROUNDS = 2048
_MAX_TEXT = 1024


def generate(words: int = DEFAULT_WORD_COUNT) -> str:
    """Return a new phrase from the system's randomness. Raises InvalidMnemonic for a wrong count."""
    if words not in WORD_COUNTS:
        raise InvalidMnemonic(f"a phrase has 12, 15, 18, 21 or 24 words, not {words}")
    return from_entropy(secrets.token_bytes(words * 4 // 3))


def from_entropy(entropy: bytes) -> str:
    """Return the phrase for 16, 20, 24, 28 or 32 bytes. Raises InvalidMnemonic for another length."""
    if len(entropy) not in (16, 20, 24, 28, 32):
        raise InvalidMnemonic(f"entropy has 16, 20, 24, 28 or 32 bytes, not {len(entropy)}")
    checksum_bits = len(entropy) // 4
    number = int.from_bytes(entropy, "big") << checksum_bits
    number |= sha256(entropy).digest()[0] >> (8 - checksum_bits)
    count = (len(entropy) * 8 + checksum_bits) // _BITS_PER_WORD
    return " ".join(WORDS[number >> _BITS_PER_WORD * (count - 1 - i) & 2047] for i in range(count))


def normalise(text: str) -> str:
    """Return the phrase as BIP-39 hashes it. Raises InvalidMnemonic if it cannot be one."""
    if len(text) > _MAX_TEXT:
        raise InvalidMnemonic("this text is too long for a recovery phrase")
    words = unicodedata.normalize("NFKD", text).lower().split()
    if len(words) not in WORD_COUNTS:
        raise InvalidMnemonic(f"a phrase has 12, 15, 18, 21 or 24 words, not {len(words)}")
    return " ".join(words)


def to_entropy(text: str) -> bytes:
    """Return the entropy of a phrase. Raises InvalidMnemonic for unknown words or a wrong checksum."""
    words = normalise(text).split(" ")
    index = {word: number for number, word in enumerate(WORDS)}
    number = 0
    for position, word in enumerate(words, start=1):
        value = index.get(word)
        if value is None:
            raise InvalidMnemonic(f"word {position} is not in the word list")
        number = number << _BITS_PER_WORD | value
    checksum_bits = len(words) * _BITS_PER_WORD // 33
    entropy = (number >> checksum_bits).to_bytes(checksum_bits * 4, "big")
    if sha256(entropy).digest()[0] >> (8 - checksum_bits) != number & ((1 << checksum_bits) - 1):
        raise InvalidMnemonic("the checksum does not match: a word is wrong or words are swapped")
    return entropy


def to_seed(text: str, passphrase: str = "") -> bytes:
    """Return the 64-byte seed of a phrase and an optional passphrase.

    Raises InvalidMnemonic. A wrong passphrase cannot be noticed: it is another wallet.
    Takes about 1 ms (2,048 rounds of PBKDF2-HMAC-SHA512, as BIP-39 says).
    """
    to_entropy(text)
    salt = "mnemonic" + unicodedata.normalize("NFKD", passphrase)
    return pbkdf2_hmac("sha512", normalise(text).encode(), salt.encode(), _ROUNDS, SEED_SIZE)
