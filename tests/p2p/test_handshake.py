"""The handshake: what it gives, and that nothing but the two nodes' own bytes gives it."""

from __future__ import annotations

import contextlib
import json
from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p import handshake
from p2p.handshake import (
    ABOUT_SIZE,
    ACCEPT_SIZE,
    FINISH_SIZE,
    HEAD_SIZE,
    HELLO_SIZE,
    NETWORK_SIZE,
    REFUSE_SIZE,
    About,
    Initiator,
    Network,
    Responder,
    Session,
    decode_about,
    decode_network,
    encode_about,
    encode_network,
    refusal,
)
from p2p.identity import SCHEME, NodeIdentity, node_id_of
from qenex.errors import HandshakeFailed, QenexError, SelfConnection, WrongNetwork, WrongPeer
from tests.p2p import handshake_vector
from tests.p2p.world import CHAIN, identity

A, B, M = identity(1), identity(2), identity(3)
ABOUT_A = About("0.1.0", "a", "198.51.100.4:7400", 7400, 7, 1)
ABOUT_B = About("0.1.0", "b", "", 0, 9, 0)


def initiator(own: NodeIdentity = A, expected: str | None = B.node_id, chain: Network = CHAIN) -> Initiator:
    return Initiator(own, chain, ABOUT_A, expected)


def responder(own: NodeIdentity = B, chain: Network = CHAIN) -> Responder:
    return Responder(own, chain, ABOUT_B)


def talk(left: Initiator, right: Responder) -> tuple[Session, Session]:
    session = right.finish(left.finish(right.accept(left.hello())))
    assert left.session is not None
    return left.session, session


def test_both_sides_end_with_the_same_keys_and_know_each_other() -> None:
    left, right = talk(initiator(), responder())
    assert left.keys == right.keys
    assert len(set(left.keys)) == 3
    assert (left.peer_id, left.peer_key, left.about) == (B.node_id, B.public_key, ABOUT_B)
    assert (right.peer_id, right.peer_key, right.about) == (A.node_id, A.public_key, ABOUT_A)
    assert (left.initiator, right.initiator) == (True, False)


def test_two_handshakes_of_the_same_nodes_share_no_key() -> None:
    (first, _), (second, _) = talk(initiator(), responder()), talk(initiator(), responder())
    assert not set(first.keys) & set(second.keys)


def test_messages_have_their_exact_lengths_and_show_no_identity() -> None:
    left, right = initiator(), responder()
    hello = left.hello()
    accept = right.accept(hello)
    finish = left.finish(accept)
    assert (len(hello), len(accept), len(finish)) == (HELLO_SIZE, ACCEPT_SIZE, FINISH_SIZE)
    said = hello + accept + finish
    for own in (A, B):
        for secret in (
            own.public_key[:32],
            own.public_key[-32:],
            bytes.fromhex(own.node_id),
            b"198.51.100.4",
        ):
            assert secret not in said


def test_every_tampered_byte_of_the_first_message_is_noticed() -> None:
    left, right = initiator(), responder()
    hello = left.hello()
    for place in range(HELLO_SIZE):
        changed = hello[:place] + bytes([hello[place] ^ 1 << place % 8]) + hello[place + 1 :]
        with pytest.raises(QenexError) as caught:
            copy(left).finish(copy(right).accept(changed))
        assert type(caught.value) in (HandshakeFailed, WrongNetwork)


def test_every_tampered_byte_of_the_second_message_is_noticed() -> None:
    left, right = initiator(), responder()
    accept = right.accept(left.hello())
    for place in range(ACCEPT_SIZE):
        changed = accept[:place] + bytes([accept[place] ^ 1 << place % 8]) + accept[place + 1 :]
        with pytest.raises(HandshakeFailed):
            left.finish(changed)
    assert left.session is None
    assert right.finish(left.finish(accept)).peer_id == A.node_id


def test_every_tampered_byte_of_the_third_message_is_noticed() -> None:
    left, right = initiator(), responder()
    finish = left.finish(right.accept(left.hello()))
    for place in range(FINISH_SIZE):
        changed = finish[:place] + bytes([finish[place] ^ 1 << place % 8]) + finish[place + 1 :]
        with pytest.raises(HandshakeFailed):
            copy(right).finish(changed)
    assert right.finish(finish).peer_id == A.node_id


@pytest.mark.parametrize(
    ("other", "both"),
    [
        (CHAIN._replace(chain_id="qenex-other"), ("qenex-test", "qenex-other")),
        (CHAIN._replace(genesis_hash=b"\x08" * 32), ("07" * 32, "08" * 32)),
        (CHAIN._replace(protocol_version=2), ("1", "2")),
    ],
)
def test_another_network_is_refused_on_both_sides_with_both_values(
    other: Network, both: tuple[str, str]
) -> None:
    left, right = initiator(), responder(chain=other)
    with pytest.raises(WrongNetwork) as caught:
        right.accept(left.hello())
    assert all(value in caught.value.message for value in both)
    with pytest.raises(WrongNetwork) as caught:
        left.finish(refusal(other))
    assert all(value in caught.value.message for value in both)


def test_a_refusal_of_the_same_network_is_no_refusal() -> None:
    left = initiator()
    left.hello()
    with pytest.raises(HandshakeFailed, match="names the same"):
        left.finish(refusal(CHAIN))


def test_a_replayed_third_message_opens_no_second_session() -> None:
    left, right = initiator(), responder()
    hello = left.hello()
    finish = left.finish(right.accept(hello))
    right.finish(finish)
    again = responder()
    again.accept(hello)
    with pytest.raises(HandshakeFailed):
        again.finish(finish)


def test_a_replayed_second_message_convinces_no_other_initiator() -> None:
    left, right = initiator(), responder()
    accept = right.accept(left.hello())
    other = initiator()
    other.hello()
    with pytest.raises(HandshakeFailed):
        other.finish(accept)


def test_the_initiator_shows_itself_to_no_other_node_than_the_one_it_expects() -> None:
    left, right = initiator(expected=B.node_id), responder(M)
    accept = right.accept(left.hello())
    with pytest.raises(WrongPeer) as caught:
        left.finish(accept)
    assert B.node_id in caught.value.message
    assert M.node_id in caught.value.message
    assert left.session is None


def test_who_shows_the_key_of_another_node_cannot_sign_for_it() -> None:
    thief = NodeIdentity(B.node_id, B.public_key, M.secret_key)
    left, right = initiator(), responder(thief)
    accept = right.accept(left.hello())
    with pytest.raises(HandshakeFailed, match="signature"):
        left.finish(accept)
    left, right = initiator(NodeIdentity(A.node_id, A.public_key, M.secret_key)), responder()
    finish = left.finish(right.accept(left.hello()))
    with pytest.raises(HandshakeFailed, match="signature"):
        right.finish(finish)


def test_one_in_the_middle_can_end_the_handshake_but_not_join_it() -> None:
    """M talks to A as if it were B, and to B as if it were A, and passes on what it can."""
    left, right = initiator(), responder()
    towards_a, towards_b = responder(M), initiator(M, expected=None)
    accept_of_b = right.accept(towards_b.hello())
    hello_of_a = left.hello()
    with pytest.raises(HandshakeFailed):
        left.finish(accept_of_b)  # B's proof belongs to the handshake with M
    with pytest.raises(WrongPeer):
        left.finish(towards_a.accept(hello_of_a))
    assert left.session is None
    session = right.finish(towards_b.finish(accept_of_b))
    assert session.peer_id == M.node_id  # B knows to whom it talks: not to A


def test_a_proof_mirrored_back_to_its_maker_is_refused() -> None:
    left, right = initiator(A, expected=None), responder(A)
    accept = right.accept(left.hello())
    with pytest.raises(SelfConnection):
        left.finish(accept)


def test_a_node_that_is_dialled_by_itself_refuses() -> None:
    unaware = NodeIdentity(B.node_id, A.public_key, A.secret_key)  # does not know its own id, so it goes on
    left, right = initiator(unaware, expected=A.node_id), responder(A)
    finish = left.finish(right.accept(left.hello()))
    with pytest.raises(SelfConnection):
        right.finish(finish)


def test_who_signs_without_knowing_the_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The MAC binds the signer to the keys: a signature that somebody else relayed is not enough."""
    derive = handshake.derive_secrets

    def other_mac(x25519: bytes, mlkem: bytes, transcript: bytes):
        return derive(x25519, mlkem, transcript)._replace(mac_responder=bytes(32), mac_initiator=bytes(32))

    left, right = initiator(), responder()
    hello = left.hello()
    with monkeypatch.context() as patched:
        patched.setattr(handshake, "derive_secrets", other_mac)
        accept = copy(right).accept(hello)
    with pytest.raises(HandshakeFailed, match="does not know the keys"):
        left.finish(accept)
    accept = right.accept(hello)
    with monkeypatch.context() as patched:
        patched.setattr(handshake, "_check_proof", lambda *_: (B.node_id, B.public_key, ABOUT_B))
        patched.setattr(handshake, "derive_secrets", other_mac)
        finish = left.finish(accept)
    with pytest.raises(HandshakeFailed, match="does not know the keys"):
        right.finish(finish)


def test_a_zero_secret_is_refused_even_if_the_library_lets_it_through() -> None:
    class Lenient:
        def exchange(self, public: object) -> bytes:
            return bytes(32)

    with pytest.raises(HandshakeFailed, match="degenerate"):
        handshake._x25519(Lenient(), b"\x09" + bytes(31))


LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
"""Points of small order of Curve25519 (D. J. Bernstein, "A state-of-the-art Diffie-Hellman function")."""


@pytest.mark.parametrize("point", LOW_ORDER)
def test_x25519_keys_whose_secret_everybody_knows_are_refused_on_both_sides(point: str) -> None:
    key, at = bytes.fromhex(point), HEAD_SIZE + NETWORK_SIZE
    left, right = initiator(), responder()
    hello = left.hello()
    with pytest.raises(HandshakeFailed, match="degenerate"):
        right.accept(hello[:at] + key + hello[at + 32 :])
    accept = responder().accept(hello)
    with pytest.raises(HandshakeFailed, match="degenerate"):
        left.finish(accept[:HEAD_SIZE] + key + accept[HEAD_SIZE + 32 :])


def test_an_ml_kem_key_with_coefficients_out_of_range_is_refused() -> None:
    left = initiator()
    hello = left.hello()
    at = HEAD_SIZE + NETWORK_SIZE + 32
    with pytest.raises(HandshakeFailed, match="ML-KEM"):
        responder().accept(hello[:at] + b"\xff" * 1_184)


def test_a_key_for_which_anyone_can_sign_is_refused() -> None:
    weak_key = A.public_key[:32] + bytes(1_280) + A.public_key[-32:]
    weak = NodeIdentity(node_id_of(weak_key), weak_key, A.secret_key)
    left, right = initiator(weak), responder()
    finish = left.finish(right.accept(left.hello()))
    with pytest.raises(HandshakeFailed, match="anyone can sign"):
        right.finish(finish)
    left, right = initiator(expected=weak.node_id), responder(weak)
    accept = right.accept(left.hello())
    with pytest.raises(HandshakeFailed, match="anyone can sign"):
        left.finish(accept)


def test_steps_are_taken_in_order_and_once() -> None:
    left, right = initiator(), responder()
    with pytest.raises(HandshakeFailed):
        left.finish(bytes(ACCEPT_SIZE))
    with pytest.raises(HandshakeFailed):
        right.finish(bytes(FINISH_SIZE))
    hello = left.hello()
    accept = right.accept(hello)
    with pytest.raises(HandshakeFailed):
        right.accept(hello)
    finish = left.finish(accept)
    with pytest.raises(HandshakeFailed):
        left.finish(accept)
    right.finish(finish)
    with pytest.raises(HandshakeFailed):
        right.finish(finish)


def test_a_wrong_length_is_refused_before_any_key_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = initiator(), responder()
    hello = left.hello()
    finish = left.finish(accept := copy(right).accept(hello))

    def touched(*_: object) -> None:
        raise AssertionError("public-key work for a message of a wrong length")

    for name in ("_x25519", "_open", "MLKEM768PublicKey", "derive_secrets"):
        monkeypatch.setattr(handshake, name, touched)
    for wrong in (hello[:-1], hello + b"\0", b"", hello[:HEAD_SIZE], accept):
        with pytest.raises(HandshakeFailed):
            responder().accept(wrong)
    fresh = copy(left)
    fresh.session = None
    for wrong in (accept[:-1], accept + b"\0", b"", finish):
        with pytest.raises(HandshakeFailed):
            fresh.finish(wrong)


def test_the_published_vector_reads_by_the_document_alone() -> None:
    left, right = handshake_vector.read(json.loads(handshake_vector.PATH.read_text()))
    assert left == ("0.1.0", "left", "203.0.113.7:7400", 7400, 12, 0)
    assert right == ("0.1.0", "right", "", 0, 34, 0)


def test_a_new_vector_reads_as_well() -> None:
    handshake_vector.read(handshake_vector.make())


@given(st.text(max_size=32), st.text(max_size=64), st.integers(0, 65_535), st.integers(0, 2**64 - 1))
def test_what_a_node_tells_of_itself_comes_back_the_same(
    version: str, moniker: str, port: int, height: int
) -> None:
    about = About(
        version.encode()[:32].decode(errors="ignore"),
        moniker.encode()[:64].decode(errors="ignore"),
        "",
        port,
        height,
        0,
    )
    data = encode_about(about)
    assert len(data) == ABOUT_SIZE
    assert decode_about(data) == about


@given(st.binary(max_size=600))
def test_any_bytes_as_what_a_node_tells_of_itself_are_read_or_refused(data: bytes) -> None:
    padded = data[:ABOUT_SIZE].ljust(ABOUT_SIZE, b"\0")
    with contextlib.suppress(HandshakeFailed):
        assert encode_about(decode_about(padded)) == padded


@given(st.binary(min_size=NETWORK_SIZE, max_size=NETWORK_SIZE))
def test_any_bytes_as_a_network_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(HandshakeFailed):
        assert encode_network(decode_network(data)) == data


@given(st.binary(max_size=100), st.sampled_from([HELLO_SIZE, ACCEPT_SIZE, FINISH_SIZE, REFUSE_SIZE]))
def test_garbage_of_the_right_length_is_refused_by_both_sides(seed: bytes, size: int) -> None:
    garbage = (seed or b"x") * (size // max(len(seed), 1) + 1)
    for head in (b"", b"qxp2p\x01\x01", b"qxp2p\x01\x02", b"qxp2p\x01\x04"):
        message = (head + garbage)[:size]
        with pytest.raises((HandshakeFailed, WrongNetwork)):
            responder().accept(message)
        left = initiator()
        left.hello()
        with pytest.raises((HandshakeFailed, WrongNetwork)):
            left.finish(message)


def test_the_scheme_is_the_composite_one() -> None:
    assert SCHEME.name == "composite-mldsa44-ed25519"
