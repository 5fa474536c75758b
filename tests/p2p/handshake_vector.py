"""Writes and checks `tests/vectors/p2p_handshake.json`: a handshake with every secret shown.

`python -m tests.p2p.handshake_vector` writes a new one (signatures and the KEM's ciphertext are random, so it
differs each time). `read` goes through it by the document alone, with nothing of `p2p.handshake`.
"""

from __future__ import annotations

import json
from hashlib import blake2b, sha256
from hmac import digest
from pathlib import Path

import msgpack
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from p2p.frames import FrameLimits, Sealer
from p2p.handshake import About, Ephemeral, Initiator, Network, Responder
from p2p.identity import identity_from_seed
from qenex.crypto import SCHEMES

PATH = Path(__file__).parent.parent / "vectors" / "p2p_handshake.json"


def make() -> dict[str, str]:
    """A handshake of two nodes with fixed seeds."""
    seeds = {
        "initiator_seed": bytes(range(64)),
        "responder_seed": bytes(range(64, 128)),
        "initiator_x25519": b"\x21" * 32,
        "initiator_mlkem_seed": b"\x22" * 64,
        "responder_x25519": b"\x23" * 32,
    }
    network = Network("vector-1", b"\x24" * 32, 1)
    a, b = identity_from_seed(seeds["initiator_seed"]), identity_from_seed(seeds["responder_seed"])
    left = Initiator(
        a,
        network,
        About("0.1.0", "left", "203.0.113.7:7400", 7400, 12, 0),
        b.node_id,
        Ephemeral(seeds["initiator_x25519"], seeds["initiator_mlkem_seed"]),
    )
    right = Responder(
        b, network, About("0.1.0", "right", "", 0, 34, 0), Ephemeral(seeds["responder_x25519"], b"")
    )
    hello = left.hello()
    accept = right.accept(hello)
    finish = left.finish(accept)
    session = right.finish(finish)
    frame = Sealer(session.keys.to_responder, FrameLimits()).seal(bytes.fromhex("800000020168"))
    values = {
        **seeds,
        "genesis_hash": network.genesis_hash,
        "hello": hello,
        "accept": accept,
        "finish": finish,
        "key_to_responder": session.keys.to_responder,
        "key_to_initiator": session.keys.to_initiator,
        "session_id": session.keys.session_id,
        "first_frame_to_responder": frame,
    }
    return {
        "chain_id": network.chain_id,
        "protocol_version": "1",
        "initiator_id": a.node_id,
        "responder_id": b.node_id,
        **{name: value.hex() for name, value in values.items()},
    }


def transcript_hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=32, person=b"qx.p2p").digest()


def expand(key: bytes, label: str, transcript: bytes) -> bytes:
    return digest(key, b"qx p2p " + label.encode() + transcript + b"\x01", sha256)


def read_proof(
    plain: bytes, chain_id: str, role: str, transcript: bytes, mac_key: bytes
) -> tuple[str, tuple]:
    """Check what one side seals; its node id and what it tells about itself."""
    key, about, signature, mac = plain[:1344], plain[1344:1856], plain[1856:4340], plain[4340:]
    assert len(mac) == 32
    assert mac == digest(mac_key, transcript + key + about + signature, sha256)
    body = msgpack.packb(["p2p", chain_id, role, transcript_hash(transcript + key + about)])
    assert SCHEMES["composite-mldsa44-ed25519"].verify(key, body, signature)
    size = int.from_bytes(about[:2], "big")
    assert not any(about[2 + size :])
    node_id = blake2b(b"\x11" + key, digest_size=32, person=b"qx.node-id").hexdigest()
    return node_id, tuple(msgpack.unpackb(about[2 : 2 + size]))


def read(vector: dict[str, str]) -> tuple[tuple, tuple]:
    """Check everything in the vector; what both sides tell about themselves."""
    texts = ("chain_id", "protocol_version", "initiator_id", "responder_id")
    v = {name: bytes.fromhex(text) for name, text in vector.items() if name not in texts}
    hello, accept, finish = v["hello"], v["accept"], v["finish"]
    chain_id = vector["chain_id"]
    assert (len(hello), len(accept), len(finish)) == (1292, 5515, 4395)
    network = (
        int(vector["protocol_version"]).to_bytes(4, "big")
        + bytes([len(chain_id)])
        + chain_id.encode().ljust(32, b"\0")
        + v["genesis_hash"]
    )
    x25519 = X25519PrivateKey.from_private_bytes(v["initiator_x25519"])
    mlkem = MLKEM768PrivateKey.from_seed_bytes(v["initiator_mlkem_seed"])
    assert hello == (
        b"qxp2p\x01\x01"
        + network
        + x25519.public_key().public_bytes_raw()
        + mlkem.public_key().public_bytes_raw()
    )
    assert accept[:7] == b"qxp2p\x01\x02"
    their_x25519, ciphertext, sealed = accept[7:39], accept[39:1127], accept[1127:]
    other = X25519PrivateKey.from_private_bytes(v["responder_x25519"])
    assert their_x25519 == other.public_key().public_bytes_raw()
    first = transcript_hash(hello + accept[:1127])
    shared = x25519.exchange(X25519PublicKey.from_public_bytes(their_x25519)) + mlkem.decapsulate(ciphertext)
    root = digest(first, shared, sha256)
    plain = ChaCha20Poly1305(expand(root, "seal responder", first)).decrypt(bytes(12), sealed, first)
    responder_id, right = read_proof(
        plain, chain_id, "responder", first, expand(root, "mac responder", first)
    )
    assert responder_id == vector["responder_id"]
    second = transcript_hash(hello + accept)
    assert finish[:7] == b"qxp2p\x01\x03"
    plain = ChaCha20Poly1305(expand(root, "seal initiator", first)).decrypt(bytes(12), finish[7:], second)
    initiator_id, left = read_proof(
        plain, chain_id, "initiator", second, expand(root, "mac initiator", first)
    )
    assert initiator_id == vector["initiator_id"]
    whole = transcript_hash(hello + accept + finish)
    assert v["key_to_responder"] == expand(root, "frames to responder", whole)
    assert v["key_to_initiator"] == expand(root, "frames to initiator", whole)
    assert v["session_id"] == expand(root, "session", whole)
    opened = ChaCha20Poly1305(v["key_to_responder"]).decrypt(bytes(12), v["first_frame_to_responder"], None)
    assert opened == bytes([0x80, 0, 0, 2, 0x01, 0x68])
    return left, right


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n")
