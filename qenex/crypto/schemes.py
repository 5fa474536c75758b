"""The signature schemes by name and by tag.

Gas follows measured verification time on the reference core (1 gas = 100 ns) in the
ratio Ed25519 : ML-DSA-44 : ML-DSA-65, composite : SLH-DSA = 1 : 2 : 3 : 8, and is consensus:
a measurement on another machine changes nothing here.
Measured: Ed25519 39 us, ML-DSA-44 87, ML-DSA-65 134, composite 130, SLH-DSA 200-230 us
(it holds the GIL and its signature is 7,856 bytes, hence 8).

Tag 0x05 is reserved for FN-DSA-512 until FIPS 206 is final; 0x20 is a k-of-n descriptor
of member keys, which is no scheme of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from qenex.crypto.composite import CompositeMlDsa44Ed25519
from qenex.crypto.ed25519 import Ed25519
from qenex.crypto.ml_dsa import MlDsa
from qenex.crypto.scheme import ED25519_GAS, Scheme
from qenex.crypto.slh_dsa import SlhDsaSha2128s
from qenex.errors import UnknownScheme

ED25519 = Ed25519()
ML_DSA_44 = MlDsa("ml-dsa-44", 0x02, public_key_size=1312, signature_size=2420, verify_gas=2 * ED25519_GAS)
ML_DSA_65 = MlDsa("ml-dsa-65", 0x03, public_key_size=1952, signature_size=3309, verify_gas=3 * ED25519_GAS)
SLH_DSA_SHA2_128S = SlhDsaSha2128s()
COMPOSITE_MLDSA44_ED25519 = CompositeMlDsa44Ed25519(ML_DSA_44, ED25519)

_ALL: tuple[Scheme, ...] = (ED25519, ML_DSA_44, ML_DSA_65, SLH_DSA_SHA2_128S, COMPOSITE_MLDSA44_ED25519)

SCHEMES: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _ALL})
"""Scheme by name."""

SCHEMES_BY_TAG: Mapping[int, Scheme] = MappingProxyType({scheme.tag: scheme for scheme in _ALL})
"""Scheme by tag byte."""


def scheme_by_name(name: str) -> Scheme:
    """Return the scheme of that name. Raises UnknownScheme."""
    try:
        return SCHEMES[name]
    except KeyError:
        raise UnknownScheme(f"unknown scheme {name[:40]!r}; known: {', '.join(SCHEMES)}") from None


def scheme_by_tag(tag: int) -> Scheme:
    """Return the scheme with that tag byte. Raises UnknownScheme."""
    try:
        return SCHEMES_BY_TAG[tag]
    except KeyError:
        raise UnknownScheme(f"unknown scheme tag {tag}") from None
