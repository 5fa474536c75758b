"""The handshake of two nodes, without input and output: three messages in the shape of SIGMA-I, hybrid post-quantum.

    1  ->  hello: network, X25519 key, ML-KEM-768 key
    2  <-  accept: X25519 key, ML-KEM-768 ciphertext, sealed { key, about, signature, MAC } of the responder
    3  ->  finish: sealed { key, about, signature, MAC } of the initiator

The keys come from both exchanges together (HKDF, RFC 5869, SHA-256), over a hash of everything said so far; each side
signs that hash with its composite key and proves with a MAC under the new keys that it, who signs, knows
them (Krawczyk, SIGMA, 2003). A listener learns neither identity. The responder shows itself first, to
whoever asks; the initiator shows itself only to the node whose id it expects. All three messages, and the
refusal that may stand in for the second, have one exact length each, and it is looked at first.

`docs/developers/handshake.md` has the transcript byte by byte.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import Annotated, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from p2p.identity import SCHEME, NodeIdentity, node_id_of
from qenex.codec import codec_for, encode
from qenex.errors import HandshakeFailed, QenexError, SelfConnection, WrongNetwork, WrongPeer
from qenex.hashing import hasher
from qenex.types import U16, U32, U64, Length

WIRE_VERSION: Final = 1
MAGIC: Final = b"qxp2p"
HELLO, ACCEPT, FINISH, REFUSE = 1, 2, 3, 4
MAX_CHAIN_ID: Final = 32
X25519_SIZE: Final = 32
MLKEM_KEY_SIZE: Final = 1_184
MLKEM_CIPHERTEXT_SIZE: Final = 1_088
SECRET_SIZE: Final = 32
"""Bytes of each shared secret, each key, each MAC and each hash here."""
TAG_SIZE: Final = 16
ABOUT_SIZE: Final = 512
"""Bytes of what a side tells about itself, padded with zeros: the length says nothing."""

HEAD_SIZE: Final = len(MAGIC) + 2
NETWORK_SIZE: Final = 4 + 1 + MAX_CHAIN_ID + 32
PROOF_SIZE: Final = SCHEME.public_key_size + ABOUT_SIZE + SCHEME.signature_size + SECRET_SIZE
HELLO_SIZE: Final = HEAD_SIZE + NETWORK_SIZE + X25519_SIZE + MLKEM_KEY_SIZE
ACCEPT_SIZE: Final = HEAD_SIZE + X25519_SIZE + MLKEM_CIPHERTEXT_SIZE + PROOF_SIZE + TAG_SIZE
FINISH_SIZE: Final = HEAD_SIZE + PROOF_SIZE + TAG_SIZE
REFUSE_SIZE: Final = HEAD_SIZE + NETWORK_SIZE

_transcript_hash = hasher("qx.p2p")
_NONCE: Final = bytes(12)


class Network(NamedTuple):
    """What two nodes must share. `protocol_version` is of the highest rules that the node knows."""

    chain_id: str
    genesis_hash: bytes
    protocol_version: int


class About(NamedTuple):
    """What a side tells of itself, under its signature. Claims: true only as far as the node is honest.

    `address` is `host:port` under which others reach it, or empty; `port` the one it listens on, 0 for none.
    """

    version: Annotated[str, Length(0, 32)]
    moniker: Annotated[str, Length(0, 64)]
    address: Annotated[str, Length(0, 300)]
    port: U16
    height: U64
    features: U32


_ABOUT: Final = codec_for(About)


class Keys(NamedTuple):
    """Secrets of a finished handshake: one key for each direction, and an id that both sides know."""

    to_responder: bytes
    to_initiator: bytes
    session_id: bytes


class Session(NamedTuple):
    """A finished handshake, seen from one side."""

    initiator: bool
    keys: Keys
    peer_id: str
    peer_key: bytes
    about: About


# -- pieces ------------------------------------------------------------------------------------


def _head(kind: int) -> bytes:
    return MAGIC + bytes((WIRE_VERSION, kind))


def _check_form(message: bytes, kind: int, size: int, name: str) -> None:
    """Length, magic, version and kind, before anything costly. Raises HandshakeFailed."""
    if message[: len(MAGIC)] != MAGIC:
        raise HandshakeFailed(f"{name} of another protocol")
    if len(message) > len(MAGIC) and message[len(MAGIC)] != WIRE_VERSION:
        raise HandshakeFailed(f"{name} of wire version {message[len(MAGIC)]}, ours is {WIRE_VERSION}")
    if len(message) != size or message[HEAD_SIZE - 1] != kind:
        raise HandshakeFailed(f"{name} of {len(message)} bytes, expected {size} of kind {kind}")


def encode_network(network: Network) -> bytes:
    """Fixed-length form: version (4 bytes), length and text of the chain id (padded to 32), genesis hash."""
    chain_id = network.chain_id.encode("ascii")
    if len(chain_id) > MAX_CHAIN_ID or len(network.genesis_hash) != 32:
        raise ValueError("a chain id has at most 32 bytes, a genesis hash has 32")
    return (
        network.protocol_version.to_bytes(4, "big")
        + bytes((len(chain_id),))
        + chain_id.ljust(MAX_CHAIN_ID, b"\0")
        + network.genesis_hash
    )


def decode_network(data: bytes) -> Network:
    """Inverse of `encode_network`. Raises HandshakeFailed."""
    size = data[4]
    text, padding = data[5 : 5 + size], data[5 + size : 5 + MAX_CHAIN_ID]
    if size > MAX_CHAIN_ID or any(padding) or not all(0x20 < byte < 0x7F for byte in text):
        raise HandshakeFailed("a chain id that is none")
    return Network(text.decode("ascii"), data[5 + MAX_CHAIN_ID :], int.from_bytes(data[:4], "big"))


def check_network(ours: Network, theirs: Network) -> None:
    """Raises WrongNetwork with both values of the first thing that differs."""
    for what, mine, other in (
        ("chain id", ours.chain_id, theirs.chain_id),
        ("genesis hash", ours.genesis_hash.hex(), theirs.genesis_hash.hex()),
        ("protocol version", ours.protocol_version, theirs.protocol_version),
    ):
        if mine != other:
            raise WrongNetwork(f"{what}: ours is {mine}, the peer's is {other}")


def encode_about(about: About) -> bytes:
    """Length (2 bytes), canonical bytes, zeros up to `ABOUT_SIZE`. Raises MalformedBytes, ValueError if too long."""
    data = encode(_ABOUT.check(about))
    if len(data) > ABOUT_SIZE - 2:
        raise ValueError(f"{len(data)} bytes about this node, at most {ABOUT_SIZE - 2} allowed")
    return (len(data).to_bytes(2, "big") + data).ljust(ABOUT_SIZE, b"\0")


def decode_about(data: bytes) -> About:
    """Inverse of `encode_about`. Raises HandshakeFailed."""
    size = int.from_bytes(data[:2], "big")
    if len(data) != ABOUT_SIZE or size > ABOUT_SIZE - 2 or any(data[2 + size :]):
        raise HandshakeFailed("what the peer tells of itself is not padded as it must be")
    try:
        return About(*_ABOUT.decode(data[2 : 2 + size], max_size=ABOUT_SIZE, max_items=8))
    except QenexError as error:
        raise HandshakeFailed(f"what the peer tells of itself: {error.message}") from None


def hkdf_extract(salt: bytes, material: bytes) -> bytes:
    """RFC 5869 section 2.2 with SHA-256."""
    return hmac.digest(salt, material, sha256)


def hkdf_expand(key: bytes, info: bytes) -> bytes:
    """RFC 5869 section 2.3 with SHA-256, one block: 32 bytes."""
    return hmac.digest(key, info + b"\x01", sha256)


class _Secrets(NamedTuple):
    """What the two exchanges give, before identities: sealing keys and MAC keys of the handshake, root of the rest."""

    root: bytes
    seal_responder: bytes
    seal_initiator: bytes
    mac_responder: bytes
    mac_initiator: bytes


def derive_secrets(x25519_secret: bytes, mlkem_secret: bytes, transcript: bytes) -> _Secrets:
    """Handshake secrets. `transcript` is the hash of hello and of the clear part of accept."""
    root = hkdf_extract(transcript, x25519_secret + mlkem_secret)
    labels = (b"seal responder", b"seal initiator", b"mac responder", b"mac initiator")
    return _Secrets(root, *[hkdf_expand(root, b"qx p2p " + label + transcript) for label in labels])


def derive_keys(root: bytes, transcript: bytes) -> Keys:
    """Keys of the frames. `transcript` is the hash of all three messages."""
    labels = (b"frames to responder", b"frames to initiator", b"session")
    return Keys(*[hkdf_expand(root, b"qx p2p " + label + transcript) for label in labels])


def _sign_bytes(chain_id: str, role: str, transcript: bytes) -> bytes:
    return encode(("p2p", chain_id, role, transcript))


def _make_proof(
    identity: NodeIdentity, about: bytes, chain_id: str, role: str, transcript: bytes, mac_key: bytes
) -> bytes:
    """Key, about, signature over everything before it, MAC over everything before that."""
    shown = identity.public_key + about
    signature = identity.sign(_sign_bytes(chain_id, role, _transcript_hash(transcript + shown)))
    return shown + signature + hmac.digest(mac_key, transcript + shown + signature, sha256)


def _check_proof(
    proof: bytes,
    chain_id: str,
    role: str,
    transcript: bytes,
    mac_key: bytes,
    own_id: str,
    expected_id: str | None,
) -> tuple[str, bytes, About]:
    """The id, key and About of the side that made `proof`. The cheap checks come first.

    Raises HandshakeFailed, SelfConnection, WrongPeer.
    """
    key = proof[: SCHEME.public_key_size]
    shown = proof[: SCHEME.public_key_size + ABOUT_SIZE]
    signature, mac = proof[len(shown) : -SECRET_SIZE], proof[-SECRET_SIZE:]
    if not hmac.compare_digest(mac, hmac.digest(mac_key, transcript + shown + signature, sha256)):
        raise HandshakeFailed("the peer does not know the keys of this handshake")
    peer_id = node_id_of(key)
    if peer_id == own_id:
        raise SelfConnection(f"the peer is this node itself, {own_id}")
    if expected_id is not None and peer_id != expected_id:
        raise WrongPeer(f"expected node {expected_id}, found {peer_id}")
    if not SCHEME.valid_public_key(key):
        raise HandshakeFailed("the peer's key is one for which anyone can sign")
    about = decode_about(shown[SCHEME.public_key_size :])
    if not SCHEME.verify(key, _sign_bytes(chain_id, role, _transcript_hash(transcript + shown)), signature):
        raise HandshakeFailed("the peer's signature does not match its key and this handshake")
    return peer_id, key, about


def _x25519(private: X25519PrivateKey, public: bytes) -> bytes:
    """Shared secret. Raises HandshakeFailed for a key of small order, whose secret everybody knows."""
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise HandshakeFailed("a degenerate X25519 key") from None
    if not any(shared):
        raise HandshakeFailed("a degenerate X25519 key")
    return shared


def _seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    # The key seals one message and is never used again, so its nonce may be fixed.
    return ChaCha20Poly1305(key).encrypt(_NONCE, plaintext, associated)


def _open(key: bytes, sealed: bytes, associated: bytes, name: str) -> bytes:
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, sealed, associated)
    except Exception:  # the library's one answer to every tampered byte
        raise HandshakeFailed(f"{name} was tampered with, or meant for another handshake") from None


def refusal(network: Network) -> bytes:
    """The message that tells a peer of another network which one this is. Not authenticated: a hint for people."""
    return _head(REFUSE) + encode_network(network)


class Ephemeral(NamedTuple):
    """Secrets of one handshake: 32 bytes for X25519, 64 for ML-KEM-768 (used by the initiator alone)."""

    x25519: bytes
    mlkem: bytes


def new_ephemeral() -> Ephemeral:
    """From the system's random source."""
    return Ephemeral(secrets.token_bytes(32), secrets.token_bytes(64))


# -- the two sides -------------------------------------------------------------------------------


class Initiator:
    """The side that dials. `hello()`, then `finish(accept)`, which gives the third message and sets `session`.

    Each step may be taken once. Making one and both steps do public-key work (about 0.9 ms together): not for an event loop.
    """

    def __init__(
        self,
        identity: NodeIdentity,
        network: Network,
        about: About,
        expected_id: str | None,
        ephemeral: Ephemeral | None = None,
    ) -> None:
        self._identity = identity
        self._network = network
        self._about = encode_about(about)
        self._expected_id = expected_id
        secret = ephemeral or new_ephemeral()
        self._x25519 = X25519PrivateKey.from_private_bytes(secret.x25519)
        self._mlkem = MLKEM768PrivateKey.from_seed_bytes(secret.mlkem)
        self._hello = b""
        self.session: Session | None = None

    def hello(self) -> bytes:
        """The first message."""
        self._hello = (
            _head(HELLO)
            + encode_network(self._network)
            + self._x25519.public_key().public_bytes_raw()
            + self._mlkem.public_key().public_bytes_raw()
        )
        return self._hello

    def finish(self, accept: bytes) -> bytes:
        """The third message, once the second has convinced.

        Raises WrongNetwork (the peer refused), WrongPeer, SelfConnection, HandshakeFailed.
        """
        if not self._hello or self.session is not None:
            raise HandshakeFailed("the steps of a handshake come in order, each once")
        if len(accept) == REFUSE_SIZE and accept[HEAD_SIZE - 1] == REFUSE:
            _check_form(accept, REFUSE, REFUSE_SIZE, "a refusal")
            check_network(self._network, decode_network(accept[HEAD_SIZE:]))
            raise HandshakeFailed("the peer refuses this network and names the same")
        _check_form(accept, ACCEPT, ACCEPT_SIZE, "the second message")
        split = HEAD_SIZE + X25519_SIZE + MLKEM_CIPHERTEXT_SIZE
        clear, sealed = accept[:split], accept[split:]
        x25519 = _x25519(self._x25519, clear[HEAD_SIZE : HEAD_SIZE + X25519_SIZE])
        shared = self._mlkem.decapsulate(clear[HEAD_SIZE + X25519_SIZE :])
        heard = _transcript_hash(self._hello + clear)
        derived = derive_secrets(x25519, shared, heard)
        proof = _open(derived.seal_responder, sealed, heard, "the second message")
        chain_id, own = self._network.chain_id, self._identity
        peer_id, key, about = _check_proof(
            proof, chain_id, "responder", heard, derived.mac_responder, own.node_id, self._expected_id
        )
        heard = _transcript_hash(self._hello + accept)
        proof = _make_proof(own, self._about, chain_id, "initiator", heard, derived.mac_initiator)
        finish = _head(FINISH) + _seal(derived.seal_initiator, proof, heard)
        keys = derive_keys(derived.root, _transcript_hash(self._hello + accept + finish))
        self.session = Session(True, keys, peer_id, key, about)
        return finish


class Responder:
    """The side that was dialled. `accept(hello)` gives the second message, `finish(finish)` the session.

    Each step may be taken once. `accept` takes about 0.7 ms, `finish` 0.2 ms: not for an event loop.
    """

    def __init__(
        self, identity: NodeIdentity, network: Network, about: About, ephemeral: Ephemeral | None = None
    ) -> None:
        self._identity = identity
        self._network = network
        self._about = encode_about(about)
        self._ephemeral = ephemeral or new_ephemeral()
        self._said = b""
        self._secrets: _Secrets | None = None

    def accept(self, hello: bytes) -> bytes:
        """The second message. Raises WrongNetwork (tell the peer with `refusal`), HandshakeFailed."""
        if self._said:
            raise HandshakeFailed("the steps of a handshake come in order, each once")
        _check_form(hello, HELLO, HELLO_SIZE, "the first message")
        check_network(self._network, decode_network(hello[HEAD_SIZE : HEAD_SIZE + NETWORK_SIZE]))
        at = HEAD_SIZE + NETWORK_SIZE
        own = X25519PrivateKey.from_private_bytes(self._ephemeral.x25519)
        x25519 = _x25519(own, hello[at : at + X25519_SIZE])
        try:
            shared, ciphertext = MLKEM768PublicKey.from_public_bytes(hello[at + X25519_SIZE :]).encapsulate()
        except ValueError:
            raise HandshakeFailed("an ML-KEM-768 key that is none") from None
        clear = _head(ACCEPT) + own.public_key().public_bytes_raw() + ciphertext
        heard = _transcript_hash(hello + clear)
        derived = derive_secrets(x25519, shared, heard)
        proof = _make_proof(
            self._identity, self._about, self._network.chain_id, "responder", heard, derived.mac_responder
        )
        accept = clear + _seal(derived.seal_responder, proof, heard)
        self._said, self._secrets = hello + accept, derived
        return accept

    def finish(self, finish: bytes) -> Session:
        """The session, once the third message has convinced. Raises SelfConnection, HandshakeFailed."""
        derived, self._secrets = self._secrets, None
        if derived is None:
            raise HandshakeFailed("the steps of a handshake come in order, each once")
        _check_form(finish, FINISH, FINISH_SIZE, "the third message")
        heard = _transcript_hash(self._said)
        proof = _open(derived.seal_initiator, finish[HEAD_SIZE:], heard, "the third message")
        peer_id, key, about = _check_proof(
            proof,
            self._network.chain_id,
            "initiator",
            heard,
            derived.mac_initiator,
            self._identity.node_id,
            None,
        )
        keys = derive_keys(derived.root, _transcript_hash(self._said + finish))
        return Session(False, keys, peer_id, key, about)
