"""bech32m against the vectors of BIP-350."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.crypto import bech32m
from tests.qenex.crypto.support import load

VECTORS = load("bech32m.json")


@pytest.mark.parametrize("text", VECTORS["valid"])
def test_valid_strings_of_bip_350(text: str) -> None:
    prefix, values = bech32m.decode_values(text)
    assert bech32m.encode_values(prefix, values) == text.lower()


@pytest.mark.parametrize("text", VECTORS["invalid"], ids=ascii)
def test_invalid_strings_of_bip_350(text: str) -> None:
    with pytest.raises(ValueError):
        bech32m.decode_values(text)


@pytest.mark.parametrize(("text", "version", "program"), VECTORS["witness"])
def test_witness_programs_of_bip_350(text: str, version: int, program: str) -> None:
    """Segwit puts a 5-bit version before the regrouped bytes; the rest is our `decode`."""
    prefix, values = bech32m.decode_values(text)
    assert values[0] == version
    payload = bech32m.decode(bech32m.encode_values(prefix, values[1:]))[1]
    assert payload.hex() == program
    assert bech32m.encode(prefix, payload) == bech32m.encode_values(prefix, values[1:])


@pytest.mark.parametrize("text", VECTORS["bad_padding"])
def test_padding_that_is_not_canonical_is_refused(text: str) -> None:
    prefix, values = bech32m.decode_values(text)
    with pytest.raises(ValueError, match="padding"):
        bech32m.decode(bech32m.encode_values(prefix, values[1:]))


@given(payload=st.binary(max_size=45), prefix=st.sampled_from(["qx", "tqx", "a", "x1y"]))
def test_every_payload_comes_back(payload: bytes, prefix: str) -> None:
    assert bech32m.decode(bech32m.encode(prefix, payload)) == (prefix, payload)


@given(text=st.text(max_size=120))
def test_decoding_any_text_is_a_result_or_a_value_error(text: str) -> None:
    try:
        prefix, payload = bech32m.decode(text)
    except ValueError:
        return
    assert bech32m.encode(prefix, payload) == text.lower()
