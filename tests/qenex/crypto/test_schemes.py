"""Rules that hold for every signature scheme."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.crypto import SCHEMES, SCHEMES_BY_TAG, scheme_by_name, scheme_by_tag
from qenex.crypto.scheme import ED25519_GAS
from qenex.errors import InvalidContext, InvalidSecretKey, UnknownScheme
from tests.qenex.crypto.support import FAST, NAMES, pair, signed


def test_names_tags_and_sizes_are_those_of_the_design() -> None:
    table = {
        s.name: (s.tag, s.public_key_size, s.secret_key_size, s.signature_size) for s in SCHEMES.values()
    }
    assert table == {
        "ed25519": (0x01, 32, 64, 64),
        "ml-dsa-44": (0x02, 1312, 32, 2420),
        "ml-dsa-65": (0x03, 1952, 32, 3309),
        "slh-dsa-sha2-128s": (0x04, 32, 64, 7856),
        "composite-mldsa44-ed25519": (0x11, 1344, 64, 2484),
    }
    assert {tag: scheme.name for tag, scheme in SCHEMES_BY_TAG.items()} == {
        scheme.tag: name for name, scheme in SCHEMES.items()
    }


def test_gas_of_verification_keeps_the_ratio_of_the_design() -> None:
    ratio = {name: scheme.verify_gas / ED25519_GAS for name, scheme in SCHEMES.items()}
    assert ED25519_GAS == 420
    assert (ratio["ed25519"], ratio["ml-dsa-44"], ratio["composite-mldsa44-ed25519"]) == (1, 2, 3)
    assert 6 <= ratio["slh-dsa-sha2-128s"] <= 10


def test_unknown_schemes_are_a_typed_error() -> None:
    with pytest.raises(UnknownScheme):
        scheme_by_name("rsa")
    with pytest.raises(UnknownScheme):
        scheme_by_tag(0x20)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_pair_is_a_function_of_its_seed(name: str) -> None:
    scheme, public_key, secret_key = pair(name)
    assert scheme.generate(bytes(range(scheme.seed_size))) == (public_key, secret_key)
    other = scheme.generate(bytes(scheme.seed_size))
    assert other[0] != public_key
    assert (len(public_key), len(secret_key)) == (scheme.public_key_size, scheme.secret_key_size)
    assert scheme.public_key_of(secret_key) == public_key
    assert scheme.valid_public_key(public_key)


@pytest.mark.parametrize("name", NAMES)
def test_seeds_and_secret_keys_of_wrong_length_are_refused(name: str) -> None:
    scheme, _, secret_key = pair(name)
    for bad in (b"", secret_key[:-1], secret_key + b"\0"):
        with pytest.raises(InvalidSecretKey):
            scheme.sign(bad, b"")
        with pytest.raises(InvalidSecretKey):
            scheme.public_key_of(bad)
    for size in (0, scheme.seed_size - 1, scheme.seed_size + 1):
        with pytest.raises(InvalidSecretKey):
            scheme.generate(bytes(size))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_signed_verifies_and_nothing_else(name: str) -> None:
    scheme, public_key, _ = pair(name)
    message, signature = signed(name)
    assert len(signature) == scheme.signature_size
    assert scheme.verify(public_key, message, signature)
    assert not scheme.verify(public_key, message + b"\0", signature)
    assert not scheme.verify(public_key, message[:-1], signature)
    assert not scheme.verify(public_key, b"", signature)
    assert not scheme.verify(scheme.generate(bytes(scheme.seed_size))[0], message, signature)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ed25519"])
def test_a_signature_is_bound_to_its_context_of_at_most_255_bytes(name: str) -> None:
    scheme, public_key, secret_key = pair(name)
    for context in (b"c", bytes(255)):
        signature = scheme.sign(secret_key, b"m", context)
        assert scheme.verify(public_key, b"m", signature, context)
        assert not scheme.verify(public_key, b"m", signature)
        assert not scheme.verify(public_key, b"m", signature, context[:-1] + b"\1")
    with pytest.raises(InvalidContext):
        scheme.sign(secret_key, b"m", bytes(256))
    assert scheme.verify(public_key, b"m", signature, bytes(256)) is False


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_changed_bit_of_signature_key_or_message_is_refused(name: str, data: st.DataObject) -> None:
    scheme, public_key, _ = pair(name)
    message, signature = signed(name)
    parts = [public_key, message, signature]
    which = data.draw(st.integers(0, 2))
    bit = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(changed)
    assert scheme.verify(*parts) is False


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_verify_and_valid_public_key_are_total_on_bytes(name: str, data: st.DataObject) -> None:
    scheme, public_key, _ = pair(name)
    sizes = st.sampled_from(
        [0, 1, 31, 32, 33, 63, 64, 65, 128, scheme.public_key_size, scheme.signature_size]
    )
    anything = sizes.flatmap(lambda size: st.binary(min_size=size, max_size=size)) | st.binary(max_size=100)
    key = data.draw(anything | st.just(public_key))
    message, signature = data.draw(st.binary(max_size=100)), data.draw(anything)
    context = data.draw(st.just(b"") | st.binary(max_size=300))
    assert scheme.verify(key, message, signature, context) is False
    assert scheme.valid_public_key(key) in (True, False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("moved", [1, 10, 32])
def test_bytes_cannot_move_between_message_and_signature(name: str, moved: int) -> None:
    scheme, public_key, _ = pair(name)
    message, signature = signed(name)
    longer = message + bytes(32)
    assert not scheme.verify(public_key, longer[moved:], signature + longer[:moved])
    assert not scheme.verify(public_key, signature[-moved:] + message, signature[:-moved])


@pytest.mark.parametrize("name", [name for name in FAST if name != "ed25519"])
def test_signing_is_randomised_except_for_ed25519(name: str) -> None:
    scheme, _, secret_key = pair(name)
    assert scheme.sign(secret_key, b"m") != scheme.sign(secret_key, b"m")


@pytest.mark.parametrize("name", NAMES)
def test_an_exception_of_the_library_means_invalid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme, public_key, _ = pair(name)
    _, signature = signed(name)
    assert scheme.verify(public_key, None, signature) is False  # type: ignore[arg-type]  # what a caller's bug hands over
    assert scheme.verify(None, b"", signature) is False  # type: ignore[arg-type]  # the same


def test_importing_the_package_loads_no_cryptographic_library() -> None:
    code = (
        "import sys, qenex.crypto, qenex.crypto.keystore;"
        "heavy = {'nacl', 'cryptography', 'pqcrypto'} & {name.split('.')[0] for name in sys.modules};"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_missing_library_is_an_error_and_no_verdict() -> None:
    code = (
        "import sys; sys.modules['pqcrypto'] = None\n"
        "from qenex.crypto import SCHEMES\n"
        "scheme = SCHEMES['slh-dsa-sha2-128s']\n"
        "try:\n"
        "    scheme.verify(bytes(32), b'', bytes(7856))\n"
        "except ImportError:\n"
        "    sys.exit(0)\n"
        "sys.exit('a verdict without a library')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
