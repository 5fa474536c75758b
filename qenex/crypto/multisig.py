"""Weighted k-of-n keys: a descriptor of member keys, which stands where a public key does (tag 0x20).

Descriptor: u8 members, u32 threshold, and per member u16 weight and tag + public key; big-endian. The sizes of
keys follow from their tags, members stand ascending by tag + key, and nothing may follow: one key, one form, so
that the same people with the same weights always have the same address. Two to sixteen members, each a key of a
scheme (no descriptor inside a descriptor), each once.

Signatures are one tuple in member order, None for whoever did not sign. None of them may be superfluous: else
anybody on the way could take one out, and the transaction would go by another witness id and cost other gas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from qenex.crypto.address import Address, address_of
from qenex.crypto.schemes import SCHEMES_BY_TAG
from qenex.errors import (
    DuplicateMember,
    InvalidDescriptor,
    SurplusSignature,
    ThresholdNotMet,
    ThresholdUnreachable,
    TooManyMembers,
    UnknownMember,
    UnknownScheme,
    WrongSignatureCount,
)

MULTISIG_TAG: Final = 0x20
"""The tag of a descriptor. No scheme of its own: members sign with theirs."""
MIN_MEMBERS: Final = 2
MAX_MEMBERS: Final = 16
MAX_WEIGHT: Final = (1 << 16) - 1
MAX_DESCRIPTOR_SIZE: Final = 32 * 1024
"""Bytes with the tag: sixteen of the longest keys have 31,286."""

_HEAD: Final = 5

MemberSignatures: TypeAlias = tuple[bytes | None, ...]


class Member(NamedTuple):
    """`key` is tag + public key; `weight` counts towards the threshold."""

    weight: int
    key: bytes


class Descriptor(NamedTuple):
    """Members ascending by key; what they sign together counts from a weight of `threshold` on."""

    threshold: int
    members: tuple[Member, ...]

    @property
    def key(self) -> bytes:
        """Tag + descriptor, the form in which keys are sent and hashed."""
        return encode_descriptor(self)

    @property
    def address(self) -> Address:
        """Address of the account whose first key this is."""
        return address_of(MULTISIG_TAG, self.key[1:])

    def index_of(self, key: bytes) -> int:
        """Place of a member's key (tag + key). Raises UnknownMember."""
        for index, member in enumerate(self.members):
            if member.key == key:
                return index
        raise UnknownMember


def make_descriptor(threshold: int, members: Iterable[tuple[int, bytes]]) -> Descriptor:
    """The descriptor of these `(weight, tag + key)` pairs, in whatever order they come.

    Raises TooManyMembers, DuplicateMember, ThresholdUnreachable, UnknownScheme or InvalidDescriptor.
    """
    ordered = sorted((Member(*member) for member in members), key=lambda member: member.key)
    descriptor = Descriptor(threshold, tuple(ordered))
    _check(descriptor)
    return descriptor


def _check(descriptor: Descriptor) -> None:
    threshold, members = descriptor
    if len(members) > MAX_MEMBERS:
        raise TooManyMembers(f"{len(members)} members, at most {MAX_MEMBERS} allowed")
    if len(members) < MIN_MEMBERS:
        raise InvalidDescriptor(f"{len(members)} members, at least {MIN_MEMBERS} needed")
    before = b""
    total = 0
    for weight, key in members:
        scheme = SCHEMES_BY_TAG.get(key[0]) if key else None
        if scheme is None:
            raise UnknownScheme("a member's key starts with no tag of a signature scheme")
        if len(key) != 1 + scheme.public_key_size:
            raise InvalidDescriptor(f"a {scheme.name} key has {scheme.public_key_size} bytes")
        if not 1 <= weight <= MAX_WEIGHT:
            raise InvalidDescriptor(f"a weight of {weight}, from 1 to {MAX_WEIGHT} allowed")
        if key == before:
            raise DuplicateMember
        if key < before:
            raise InvalidDescriptor("the members do not stand in ascending order of their keys")
        before = key
        total += weight
    if threshold < 1:
        raise InvalidDescriptor("the threshold is at least 1")
    if threshold > total:
        raise ThresholdUnreachable(f"a threshold of {threshold}, all members together weigh {total}")


def encode_descriptor(descriptor: Descriptor) -> bytes:
    """Tag + descriptor. Raises as `make_descriptor` for what has no such form."""
    _check(descriptor)
    parts = [bytes((MULTISIG_TAG, len(descriptor.members))), descriptor.threshold.to_bytes(4, "big")]
    for weight, key in descriptor.members:
        parts += weight.to_bytes(2, "big"), key
    return b"".join(parts)


@lru_cache(maxsize=256)
def decode_descriptor(key: bytes) -> Descriptor:
    """Read tag + descriptor strictly.

    Raises TooManyMembers, DuplicateMember, ThresholdUnreachable, UnknownScheme or InvalidDescriptor.
    """
    if len(key) > MAX_DESCRIPTOR_SIZE or len(key) < 1 + _HEAD or key[0] != MULTISIG_TAG:
        raise InvalidDescriptor("not a multisig descriptor")
    count, at = key[1], 1 + _HEAD
    if count > MAX_MEMBERS:
        raise TooManyMembers(f"{count} members, at most {MAX_MEMBERS} allowed")
    members = []
    for _ in range(count):
        scheme = SCHEMES_BY_TAG.get(key[at + 2]) if at + 2 < len(key) else None
        if scheme is None:
            raise UnknownScheme("a member's key starts with no tag of a signature scheme")
        end = at + 3 + scheme.public_key_size
        if end > len(key):
            raise InvalidDescriptor("the descriptor ends inside a member's key")
        members.append(Member(int.from_bytes(key[at : at + 2], "big"), key[at + 2 : end]))
        at = end
    if at != len(key):
        raise InvalidDescriptor("bytes follow the last member")
    descriptor = Descriptor(int.from_bytes(key[2 : 1 + _HEAD], "big"), tuple(members))
    _check(descriptor)
    return descriptor


def weight_of(descriptor: Descriptor, signatures: Sequence[bytes | None]) -> int:
    """Weight of those who signed. The signatures are not verified here."""
    return sum(
        member.weight
        for member, signature in zip(descriptor.members, signatures, strict=True)
        if signature is not None
    )


def signing_members(descriptor: Descriptor, signatures: object) -> list[Member]:
    """The members that signed, after checking the form of the signatures and that they weigh just enough.

    Raises WrongSignatureCount, ThresholdNotMet or SurplusSignature. Nothing is verified here.
    """
    members = descriptor.members
    if type(signatures) is not tuple or len(signatures) != len(members):
        raise WrongSignatureCount(
            f"a multisig account signs with an array of {len(members)}, one place for each member"
        )
    signed = [member for member, part in zip(members, signatures, strict=True) if part is not None]
    weight = sum(member.weight for member in signed)
    if weight < descriptor.threshold:
        raise ThresholdNotMet(f"signatures weigh {weight}, the threshold is {descriptor.threshold}")
    lightest = min(member.weight for member in signed)
    if weight - lightest >= descriptor.threshold:
        raise SurplusSignature(
            f"signatures weigh {weight}, without one of weight {lightest} the threshold of "
            f"{descriptor.threshold} is met as well"
        )
    return signed


def without_surplus(descriptor: Descriptor, signatures: Sequence[bytes | None]) -> MemberSignatures:
    """The signatures without those that are not needed, the lightest left out first.

    What is below the threshold stays as it is.
    """
    kept = list(signatures)
    spare = weight_of(descriptor, kept) - descriptor.threshold
    for index in sorted(range(len(kept)), key=lambda place: descriptor.members[place].weight):
        weight = descriptor.members[index].weight
        if kept[index] is not None and weight <= spare:
            kept[index] = None
            spare -= weight
    return tuple(kept)


def combine(descriptor: Descriptor, by_key: Mapping[bytes, bytes]) -> MemberSignatures:
    """Signatures in member order from those of some members, by tag + key; surplus ones are left out.

    Raises UnknownMember, or ThresholdNotMet if they do not weigh enough.
    """
    signatures: list[bytes | None] = [None] * len(descriptor.members)
    for key, signature in by_key.items():
        signatures[descriptor.index_of(key)] = signature
    kept = without_surplus(descriptor, signatures)
    signing_members(descriptor, kept)
    return kept


def verify(key: bytes, message: bytes, signatures: object) -> bool:
    """Whether members of just enough weight signed `message`. `key` is tag + descriptor. Total on anything."""
    try:
        descriptor = decode_descriptor(key)
        signing_members(descriptor, signatures)
    except (
        InvalidDescriptor,
        DuplicateMember,
        TooManyMembers,
        ThresholdUnreachable,
        UnknownScheme,
        WrongSignatureCount,
        ThresholdNotMet,
        SurplusSignature,
    ):
        return False
    assert isinstance(signatures, tuple)
    for member, signature in zip(descriptor.members, signatures, strict=True):
        if signature is None:
            continue
        if type(signature) is not bytes:
            return False
        if not SCHEMES_BY_TAG[member.key[0]].verify(member.key[1:], message, signature):
            return False
    return True
