"""Recovery phrases against Trezor's vectors of BIP-39."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.crypto import mnemonic
from qenex.crypto.bip39_words import WORDS
from qenex.errors import InvalidMnemonic
from tests.qenex.crypto.support import load

PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow"


@pytest.mark.parametrize("case", load("bip39.json")["cases"])
def test_vectors_of_bip_39(case: dict[str, str]) -> None:
    entropy = bytes.fromhex(case["entropy"])
    assert mnemonic.from_entropy(entropy) == case["mnemonic"]
    assert mnemonic.to_entropy(case["mnemonic"]) == entropy
    assert mnemonic.to_seed(case["mnemonic"], "TREZOR").hex() == case["seed"]


def test_the_word_list_is_the_published_file() -> None:
    digest = hashlib.sha256(("\n".join(WORDS) + "\n").encode()).hexdigest()
    assert digest == "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"


@given(size=st.sampled_from([16, 20, 24, 28, 32]), data=st.data())
def test_every_entropy_comes_back(size: int, data: st.DataObject) -> None:
    entropy = data.draw(st.binary(min_size=size, max_size=size))
    phrase = mnemonic.from_entropy(entropy)
    assert len(phrase.split()) == size * 3 // 4
    assert mnemonic.to_entropy(phrase) == entropy


def test_a_new_phrase_has_24_words_and_is_new() -> None:
    assert len(mnemonic.generate().split()) == 24
    assert mnemonic.generate() != mnemonic.generate()
    assert len(mnemonic.generate(12).split()) == 12
    with pytest.raises(InvalidMnemonic):
        mnemonic.generate(13)


def test_case_and_spacing_do_not_matter() -> None:
    loose = "  " + PHRASE.upper().replace(" ", " \n\t ")
    assert mnemonic.to_seed(loose) == mnemonic.to_seed(PHRASE)


def test_the_passphrase_is_normalised_and_makes_another_wallet() -> None:
    assert mnemonic.to_seed(PHRASE, "\u00e9") == mnemonic.to_seed(PHRASE, "e\u0301")
    assert mnemonic.to_seed(PHRASE, "x") != mnemonic.to_seed(PHRASE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PHRASE.rsplit(" ", 1)[0] + " zoo", "checksum"),
        (PHRASE.replace("year", "yeat"), "word 4 "),
        (" ".join(PHRASE.split()[::-1]), "checksum"),
        (PHRASE + " legal", "not 13"),
        ("", "not 0"),
        ("legal " * 100_000, "too long"),
    ],
)
def test_a_wrong_phrase_says_what_is_wrong_without_repeating_words(text: str, message: str) -> None:
    with pytest.raises(InvalidMnemonic, match=message) as caught:
        mnemonic.to_seed(text)
    assert "yeat" not in caught.value.message


@given(text=st.text(max_size=200) | st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join))
def test_any_text_is_a_phrase_or_a_typed_error(text: str) -> None:
    try:
        entropy = mnemonic.to_entropy(text)
    except InvalidMnemonic:
        return
    assert mnemonic.from_entropy(entropy) == mnemonic.normalise(text)
