"""A multisig key has one form, and no set of members below the threshold ever signs for it."""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qenex.crypto import SCHEMES, account_key, address_of, key_bytes
from qenex.crypto.multisig import (
    MAX_DESCRIPTOR_SIZE,
    MAX_MEMBERS,
    MULTISIG_TAG,
    Descriptor,
    Member,
    combine,
    decode_descriptor,
    encode_descriptor,
    make_descriptor,
    signing_members,
    verify,
    without_surplus,
)
from qenex.errors import (
    DuplicateMember,
    InvalidDescriptor,
    QenexError,
    SurplusSignature,
    ThresholdNotMet,
    ThresholdUnreachable,
    TooManyMembers,
    UnknownMember,
    UnknownScheme,
    WrongSignatureCount,
)

MESSAGE = b"a body"
PAIRS = [SCHEMES["ed25519"].generate(bytes([seed]) * 32) for seed in range(1, 18)]
KEYS = [key_bytes(1, public) for public, _ in PAIRS]
SIGNATURES = {key_bytes(1, p): SCHEMES["ed25519"].sign(s, MESSAGE) for p, s in PAIRS}
TWO_OF_THREE = make_descriptor(2, [(1, key) for key in KEYS[:3]])


def signed(descriptor: Descriptor, places: set[int]) -> tuple[bytes | None, ...]:
    return tuple(
        SIGNATURES[member.key] if place in places else None for place, member in enumerate(descriptor.members)
    )


@st.composite
def descriptors(draw: st.DrawFn) -> Descriptor:
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=2, max_size=5, unique=True))
    weights = draw(st.lists(st.integers(1, 4), min_size=len(keys), max_size=len(keys)))
    threshold = draw(st.integers(1, sum(weights)))
    return make_descriptor(threshold, zip(weights, keys, strict=True))


@settings(max_examples=40, deadline=None)
@given(descriptors())
def test_exactly_the_sets_that_just_reach_the_threshold_verify(descriptor: Descriptor) -> None:
    members = descriptor.members
    for size in range(len(members) + 1):
        for places in combinations(range(len(members)), size):
            weights = [members[place].weight for place in places]
            enough = sum(weights) >= descriptor.threshold
            minimal = all(sum(weights) - weight < descriptor.threshold for weight in weights)
            signatures = signed(descriptor, set(places))
            assert verify(descriptor.key, MESSAGE, signatures) is (enough and minimal)
            kept = without_surplus(descriptor, signatures)
            assert verify(descriptor.key, MESSAGE, kept) is enough
            assert all(new in (old, None) for new, old in zip(kept, signatures, strict=True))


@settings(max_examples=40, deadline=None)
@given(descriptors(), st.data())
def test_a_foreign_signature_or_another_place_or_message_verifies_nothing(
    descriptor: Descriptor, data: st.DataObject
) -> None:
    good = without_surplus(descriptor, signed(descriptor, set(range(len(descriptor.members)))))
    assert verify(descriptor.key, MESSAGE, good)
    assert not verify(descriptor.key, MESSAGE + b".", good)
    places = [place for place, part in enumerate(good) if part is not None]
    place = data.draw(st.sampled_from(places))
    outsider = next(key for key in KEYS if all(key != member.key for member in descriptor.members))
    for wrong in (SIGNATURES[outsider], good[place - 1] if len(places) > 1 else b"", b"\0" * 64):
        if wrong != good[place]:
            assert not verify(descriptor.key, MESSAGE, (*good[:place], wrong, *good[place + 1 :]))
    assert not verify(descriptor.key, MESSAGE, (*good, None))
    assert not verify(descriptor.key, MESSAGE, good[:-1])
    assert not verify(descriptor.key, MESSAGE, list(good))
    assert not verify(descriptor.key, MESSAGE, good[places[0]])


@given(descriptors(), st.randoms(use_true_random=False))
def test_one_form_and_one_address_in_whatever_order_members_are_named(
    descriptor: Descriptor, random: object
) -> None:
    members = list(descriptor.members)
    random.shuffle(members)  # type: ignore[attr-defined]  # Hypothesis's Random
    again = make_descriptor(descriptor.threshold, members)
    assert again == descriptor
    assert again.address == address_of(MULTISIG_TAG, descriptor.key[1:])
    assert decode_descriptor(descriptor.key) == descriptor
    assert len(account_key(MULTISIG_TAG, descriptor.key[1:])) == 33, "always by its hash"


@given(descriptors(), st.data())
def test_bytes_that_decode_are_the_only_ones_of_their_descriptor(
    descriptor: Descriptor, data: st.DataObject
) -> None:
    key = bytearray(descriptor.key)
    kind = data.draw(st.sampled_from(["flip", "cut", "append", "swap"]))
    if kind == "flip":
        key[data.draw(st.integers(0, len(key) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del key[data.draw(st.integers(0, len(key) - 1)) :]
    elif kind == "append":
        key += data.draw(st.binary(min_size=1, max_size=40))
    else:
        key[6:41], key[41:76] = key[41:76], key[6:41]
    try:
        found = decode_descriptor(bytes(key))
    except QenexError:
        return
    assert encode_descriptor(found) == bytes(key)


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused_by_name(data: bytes) -> None:
    for key in (data, bytes((MULTISIG_TAG,)) + data):
        with suppress(
            InvalidDescriptor, DuplicateMember, TooManyMembers, ThresholdUnreachable, UnknownScheme
        ):
            assert encode_descriptor(decode_descriptor(key)) == key
        assert not verify(key, MESSAGE, (None, None))


def test_what_is_wrong_with_a_descriptor_is_told_by_name() -> None:
    one = [(1, key) for key in KEYS]
    cases: list[tuple[type[QenexError], int, list[tuple[int, bytes]]]] = [
        (ThresholdUnreachable, 4, one[:3]),
        (InvalidDescriptor, 0, one[:3]),
        (DuplicateMember, 1, [one[0], (2, KEYS[0])]),
        (TooManyMembers, 1, one[: MAX_MEMBERS + 1]),
        (InvalidDescriptor, 1, one[:1]),
        (InvalidDescriptor, 1, [(0, KEYS[0]), (1, KEYS[1])]),
        (InvalidDescriptor, 1, [(1 << 16, KEYS[0]), (1, KEYS[1])]),
        (InvalidDescriptor, 1, [(1, KEYS[0][:-1]), (1, KEYS[1])]),
        (UnknownScheme, 1, [(1, TWO_OF_THREE.key), (1, KEYS[1])]),  # no nesting
        (UnknownScheme, 1, [(1, b""), (1, KEYS[1])]),
    ]
    for error, threshold, members in cases:
        with pytest.raises(error):
            make_descriptor(threshold, members)
        with pytest.raises(QenexError):
            encode_descriptor(Descriptor(threshold, tuple(Member(*member) for member in members)))
    backwards = Descriptor(1, TWO_OF_THREE.members[::-1])
    with pytest.raises(InvalidDescriptor):
        encode_descriptor(backwards)


def test_what_is_wrong_with_the_signatures_is_told_by_name() -> None:
    with pytest.raises(ThresholdNotMet, match="weigh 1, the threshold is 2"):
        signing_members(TWO_OF_THREE, signed(TWO_OF_THREE, {0}))
    with pytest.raises(ThresholdNotMet):
        signing_members(TWO_OF_THREE, (None, None, None))
    with pytest.raises(SurplusSignature):
        signing_members(TWO_OF_THREE, signed(TWO_OF_THREE, {0, 1, 2}))
    for shape in ((None, None), b"x" * 64, None, [None] * 3):
        with pytest.raises(WrongSignatureCount):
            signing_members(TWO_OF_THREE, shape)
    with pytest.raises(UnknownMember):
        combine(TWO_OF_THREE, {KEYS[5]: SIGNATURES[KEYS[5]]})
    with pytest.raises(ThresholdNotMet):
        combine(TWO_OF_THREE, {KEYS[0]: SIGNATURES[KEYS[0]]})
    everybody = {key: SIGNATURES[key] for key in KEYS[:3]}
    assert verify(TWO_OF_THREE.key, MESSAGE, combine(TWO_OF_THREE, everybody))


def test_members_may_have_different_schemes_and_sixteen_of_the_longest_fit() -> None:
    pairs = {name: SCHEMES[name].generate(bytes([7]) * SCHEMES[name].seed_size) for name in SCHEMES}
    keys = {name: key_bytes(SCHEMES[name].tag, public) for name, (public, _) in pairs.items()}
    mixed = make_descriptor(len(keys), [(1, key) for key in keys.values()])
    by_key = {keys[name]: SCHEMES[name].sign(secret, MESSAGE) for name, (_, secret) in pairs.items()}
    assert verify(mixed.key, MESSAGE, combine(mixed, by_key))
    longest = max(SCHEMES.values(), key=lambda scheme: scheme.public_key_size)
    whole = make_descriptor(
        1, [(1, bytes((longest.tag, n)) + bytes(longest.public_key_size - 1)) for n in range(MAX_MEMBERS)]
    )
    assert len(whole.key) <= MAX_DESCRIPTOR_SIZE
