"""Bytes of other nodes: handshakes, frames, peer exchange, addresses, and the files kept about them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p import pex
from p2p.address_book import AddressBook
from p2p.addresses import PeerAddress, parse_address
from p2p.frames import Assembler, Budget, FrameLimits, Opener, Sealer
from p2p.handshake import (
    About,
    Initiator,
    Network,
    Responder,
    decode_about,
    decode_network,
    encode_about,
    refusal,
)
from p2p.identity import identity_from_seed, load_identity, save_identity
from p2p.scoring import Scores
from qenex.errors import (
    FrameInvalid,
    HandshakeFailed,
    LimitExceeded,
    MalformedBytes,
    PeerMisbehaved,
    QenexError,
    TooLarge,
    WrongNetwork,
)
from tests.fuzz.mutation import damaged_bytes, damaged_text
from tests.fuzz.rule import effort, keeps_the_rule

KEY = bytes(32)
ABOUT = About("0.1.0", "node", "203.0.113.7:7400", 7400, 12, 0)
CHAIN = Network("fuzz-1", b"\x24" * 32, 1)
A, B = identity_from_seed(b"\x01" * 64), identity_from_seed(b"\x02" * 64)


def initiator() -> Initiator:
    return Initiator(A, CHAIN, ABOUT, B.node_id)


@cache
def handshake() -> tuple[Initiator, Responder, list[bytes]]:
    """A handshake with its three messages; both sides as they were before the last."""
    left, right = initiator(), Responder(B, CHAIN, ABOUT)
    hello = left.hello()
    accept = right.accept(hello)
    return left, right, [hello, accept, left.finish(accept), refusal(CHAIN._replace(chain_id="other"))]


def refused_or_fresh(read: Callable[[], object], *allowed: type[QenexError]) -> None:
    """Damage is refused with one of `allowed`, or what was read is no longer damaged."""
    found = keeps_the_rule(read)
    if isinstance(found, QenexError):
        assert isinstance(found, allowed), found


@effort(60)
@given(st.data())
def test_handshake_messages(data: st.DataObject) -> None:
    _, right, messages = handshake()
    message = data.draw(damaged_bytes(messages))
    refused_or_fresh(lambda: Responder(B, CHAIN, ABOUT).accept(message), HandshakeFailed, WrongNetwork)
    left = initiator()
    left.hello()
    if message not in messages:
        refused_or_fresh(lambda: left.finish(message), HandshakeFailed, WrongNetwork)
        fresh = Responder(B, CHAIN, ABOUT)
        fresh.__dict__.update(right.__dict__)
        refused_or_fresh(lambda: fresh.finish(message), HandshakeFailed)


@effort(150)
@given(damaged_bytes([encode_about(ABOUT), refusal(CHAIN)[7:]]))
def test_what_nodes_tell_of_themselves(data: bytes) -> None:
    refused_or_fresh(lambda: decode_about(data[:512].ljust(512, b"\0")), HandshakeFailed)
    refused_or_fresh(lambda: decode_network(data[:69].ljust(69, b"\0")), HandshakeFailed)


@cache
def contents() -> list[bytes]:
    def piece(channel: int, payload: bytes) -> bytes:
        return bytes((channel,)) + len(payload).to_bytes(3, "big") + payload

    return [
        piece(0x80, b"\x01vote"),
        piece(0x80, b"\x02summary") + piece(0x84, b"\x70" + bytes(300)),
        piece(0x02, b"\x30" + bytes(900)) + piece(0xFF, b"\x02" + bytes(8)),
        piece(0x03, b"\x50" + bytes(2_000)),
        piece(0x85, pex.GET_ADDRESSES),
    ]


@effort(200)
@given(st.lists(damaged_bytes(contents()), min_size=1, max_size=8))
def test_contents_of_frames(damaged: list[bytes]) -> None:
    budget = Budget(4_000)
    taker = Assembler(budget, 3_000)
    for content in damaged:
        found = keeps_the_rule(partial(taker.add, content))
        assert taker.held == budget.used <= 3_000
        if isinstance(found, QenexError):
            assert isinstance(found, FrameInvalid | LimitExceeded | PeerMisbehaved | TooLarge)
            break
    taker.close()
    assert budget.used == 0


@effort(100)
@given(st.data())
def test_sealed_frames(data: st.DataObject) -> None:
    sealed = Sealer(KEY, FrameLimits()).seal(contents()[1])
    damaged = data.draw(damaged_bytes([sealed]))
    found = keeps_the_rule(lambda: Opener(KEY, FrameLimits()).open(damaged))
    assert isinstance(found, FrameInvalid) or damaged == sealed


ADDRESS = PeerAddress(A.node_id, "31.7.1.1", 7400)


@effort(200)
@given(damaged_bytes([pex.GET_ADDRESSES, pex.encode_addresses([ADDRESS] * 40), pex.encode_addresses([])]))
def test_peer_exchange(payload: bytes) -> None:
    refused_or_fresh(lambda: pex.decode_pex(payload), MalformedBytes, TooLarge)


@effort(100)
@given(damaged_text([str(ADDRESS), f"{B.node_id}@[2001:db8::1]:7400", f"{B.node_id}@node.example.org:1"]))
def test_addresses(text: str) -> None:
    found = keeps_the_rule(lambda: parse_address(text))
    if isinstance(found, PeerAddress):
        assert parse_address(str(found)) == found


@effort(60)
@given(st.data())
def test_files_about_peers(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("files")
    good = _files(folder)
    for name, content in good.items():
        (folder / name).write_bytes(data.draw(damaged_bytes([content])))
    keeps_the_rule(lambda: len(AddressBook(lambda: 1.8e9, folder / "book")))
    keeps_the_rule(lambda: Scores(lambda: 1.8e9, folder / "bans").bans())
    found = keeps_the_rule(lambda: load_identity(folder / "key"))
    assert found == A or isinstance(found, QenexError)


def _files(folder: Path) -> dict[str, bytes]:
    book, bans = AddressBook(lambda: 1.8e9, folder / "book"), Scores(lambda: 1.8e9, folder / "bans")
    book.add(ADDRESS, "32.1.1.1")
    book.succeeded(ADDRESS._replace(node_id=B.node_id))
    bans.ban(A.node_id, "x")
    save_identity(folder / "key", A)
    return {
        "book": book.take_dirty() or b"",
        "bans": bans.take_dirty() or b"",
        "key": (folder / "key").read_bytes(),
    }
