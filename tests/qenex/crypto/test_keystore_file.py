"""The primitives behind keystore files, against published vectors."""

from __future__ import annotations

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)

from qenex.crypto.keystore_file import KdfParameters, _stretch, normalise_password


def test_argon2id_equals_the_reference_program() -> None:
    """`printf password | argon2 pycasaltpycasalt -id -t T -k K -p 1 -l 32`, computed by OpenSSL here.

    The published vectors of RFC 9106 have four lanes; libsodium has one. So the check
    is a second implementation: that of `cryptography`, which itself passes RFC 9106.
    """
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    for time_cost, memory_kib in ((1, 64), (3, 64), (2, 1024)):
        expected = Argon2id(
            salt=b"pycasaltpycasalt", length=32, iterations=time_cost, lanes=1, memory_cost=memory_kib
        ).derive(b"password")
        assert _stretch(b"password", b"pycasaltpycasalt", KdfParameters(time_cost, memory_kib)) == expected


def test_xchacha20_poly1305_of_the_internet_draft() -> None:
    """draft-irtf-cfrg-xchacha-03, appendix A.3.1."""
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    associated = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    key = bytes(range(0x80, 0xA0))
    nonce = bytes(range(0x40, 0x58))
    sealed = bytes.fromhex(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
        "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
        "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52e"
        "c0875924c1c7987947deafd8780acf49"
    )
    assert crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key) == sealed
    assert crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, associated, nonce, key) == plaintext


def test_passwords_are_normalised() -> None:
    assert normalise_password("\u00e9") == normalise_password("e\u0301") == b"e\xcc\x81"
