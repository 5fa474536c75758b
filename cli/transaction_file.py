"""Transaction files: what goes from signer to signer, in words and in bytes that must say the same.

A multisig signer has a list of signatures, one place for each member; the file carries the signers' keys and
descriptors, because whoever signs offline cannot ask the chain for them. A wrong one does no harm: what is signed is
the body. With a key at hand each signature in a file is verified when it is read, so nobody passes on what is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from cli.app import App
from cli.chain import form_of
from cli.exit_codes import ExitCode, Stopped
from cli.home import write_whole
from qenex.crypto.multisig import (
    MULTISIG_TAG,
    Descriptor,
    MemberSignatures,
    decode_descriptor,
    weight_of,
    without_surplus,
)
from qenex.crypto.schemes import SCHEMES_BY_TAG
from qenex.errors import (
    AlreadySigned,
    CopiesDiffer,
    InvalidSignature,
    MalformedBytes,
    QenexError,
    ThresholdNotMet,
    UsageError,
    WrongSignatureCount,
)
from qenex.transaction import Signature, Transaction, decode_body, decode_transaction

FILE_KIND: Final = "qenex-transaction"
FILE_SCHEMA: Final = 1
MAX_FILE_SIZE: Final = 1 << 20


class TransactionFile(NamedTuple):
    """A body, a signature for each signer (None: missing), and the signers' keys (tag + key; None: not known)."""

    body: Transaction
    signatures: list[Signature | None]
    keys: list[bytes | None]

    @property
    def descriptors(self) -> list[Descriptor | None]:
        """Descriptors of the multisig signers, None for the others."""
        return [decode_descriptor(key) if key and key[0] == MULTISIG_TAG else None for key in self.keys]

    def missing(self) -> int:
        """Signers whose signature is not there, or not heavy enough."""
        return sum(not self._enough(place) for place in range(len(self.signatures)))

    def _enough(self, place: int) -> bool:
        signature, descriptor = self.signatures[place], self.descriptors[place]
        if descriptor is None:
            return signature is not None
        return weight_of(descriptor, members_of(signature, descriptor)) >= descriptor.threshold

    def weights(self) -> list[tuple[int, int]]:
        """Weight that has signed, and threshold, of each multisig signer."""
        return [
            (weight_of(descriptor, members_of(signature, descriptor)), descriptor.threshold)
            for signature, descriptor in zip(self.signatures, self.descriptors, strict=True)
            if descriptor is not None
        ]

    def complete(self) -> list[Signature]:
        """The signatures as the chain takes them, without superfluous ones.

        Raises WrongSignatureCount, or ThresholdNotMet where the members who signed do not weigh enough.
        """
        found: list[Signature] = []
        for signature, descriptor in zip(self.signatures, self.descriptors, strict=True):
            if descriptor is not None:
                members = members_of(signature, descriptor)
                weight = weight_of(descriptor, members)
                if weight < descriptor.threshold:
                    raise ThresholdNotMet(
                        f"signatures weigh {weight}, the threshold is {descriptor.threshold}"
                    )
                found.append(without_surplus(descriptor, members))
            elif signature is not None:
                found.append(signature)
        if len(found) != len(self.signatures):
            missing = len(self.signatures) - len(found)
            raise WrongSignatureCount(
                f"{missing} of {len(self.signatures)} signatures are missing", hint="sign it: qenex tx sign"
            )
        return found


def members_of(signature: Signature | None, descriptor: Descriptor) -> MemberSignatures:
    """Return the members' signatures, one place for each."""
    return signature if isinstance(signature, tuple) else (None,) * len(descriptor.members)


def make_file(
    body: Transaction, keys: Sequence[bytes | None] = (), signatures: Sequence[Signature | None] = ()
) -> TransactionFile:
    """Return a file of `body`. `keys` are the signers' (tag + key), as far as they are known.

    Raises WrongSignatureCount for multisig signatures that do not fit their descriptor.
    """
    told = list(keys) or [None] * len(body.signers)
    given = list(signatures) or [None] * len(body.signers)
    if not len(given) == len(told) == len(body.signers):
        raise WrongSignatureCount(f"{len(given)} signatures for {len(body.signers)} signers")
    own_keys: list[bytes | None] = []
    for signer, key, signature in zip(body.signers, told, given, strict=True):
        own = signer.public_key or key  # what is in the body is what counts
        descriptor = decode_descriptor(own) if own and own[0] == MULTISIG_TAG else None
        fits = descriptor is None or signature is None
        if descriptor is not None and isinstance(signature, tuple):
            fits = len(signature) == len(descriptor.members)
        if not fits:
            raise WrongSignatureCount("a multisig signer has one place for each member's signature")
        own_keys.append(own)
        _check_signature(body.body_bytes, own, signature)
    return TransactionFile(body, given, own_keys)


def _check_signature(message: bytes, key: bytes | None, signature: Signature | None) -> None:
    """Whether each signature is one, as far as its key is known. Raises InvalidSignature."""
    if not key or signature is None:
        return
    if isinstance(signature, tuple):
        for number, (member, part) in enumerate(
            zip(decode_descriptor(key).members, signature, strict=True), start=1
        ):
            if part is not None and not verify_signature(member.key, message, part):
                raise InvalidSignature(
                    f"what stands in the place of member {number} (0x{member.key[:9].hex()}...) is not its signature",
                    hint="a signature by another key, or of another transaction; do not pass it on",
                )
    elif not verify_signature(key, message, signature):
        raise InvalidSignature(
            f"the signature is not one by the key 0x{key[:9].hex()}...",
            hint="a signature by another key, or of another transaction; do not pass it on",
        )


def verify_signature(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a key (tag + key) of any scheme signed `message`."""
    scheme = SCHEMES_BY_TAG.get(key[0])
    return scheme is not None and scheme.verify(key[1:], message, signature)


def merge_files(copies: Sequence[tuple[Path, TransactionFile]]) -> TransactionFile:
    """Return one file with the signatures of all copies.

    Raises CopiesDiffer for a copy of another transaction, AlreadySigned for one that adds nothing.
    """
    (first, merged), *others = copies
    for path, copy in others:
        if copy.body.tx_id != merged.body.tx_id:
            raise CopiesDiffer(
                f"{path} has transaction 0x{copy.body.tx_id.hex()}, {first} has 0x{merged.body.tx_id.hex()}"
            )
        keys = [mine or its for mine, its in zip(merged.keys, copy.keys, strict=True)]
        if keys != [its or mine for mine, its in zip(merged.keys, copy.keys, strict=True)]:
            raise CopiesDiffer(f"{path} and {first} name different keys for one signer")
        signatures = [_union(mine, its) for mine, its in zip(merged.signatures, copy.signatures, strict=True)]
        if signatures == merged.signatures:
            raise AlreadySigned(f"{path} has no signature that is not in the others", hint="leave it out")
        merged = make_file(merged.body, keys, signatures)
    return merged


def _union(mine: Signature | None, its: Signature | None) -> Signature | None:
    if isinstance(mine, tuple) and isinstance(its, tuple) and len(mine) == len(its):
        return tuple([part or other for part, other in zip(mine, its, strict=True)])
    return mine if mine is not None else its


def read_transaction_file(app: App, path: Path) -> TransactionFile:
    """Return what a file holds. What it says in words must be what its bytes say.

    Raises UsageError, and Stopped with exit code 2 and the typed error of what is wrong in the file: no node refused it.
    """
    try:
        return _read(app, path)
    except QenexError as error:
        raise Stopped(error, ExitCode.USAGE) from None


def _read(app: App, path: Path) -> TransactionFile:
    shown = "stdin" if str(path) == "-" else str(path)
    try:
        with click.open_file(str(path), "rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_SIZE:
        raise MalformedBytes(f"{shown} has more than {MAX_FILE_SIZE} bytes")
    text = data.strip()
    if text.startswith(b"0x"):
        return _from_hex(text)
    try:
        content = json.loads(text)
        if content["kind"] != FILE_KIND or content["schema_version"] != FILE_SCHEMA:
            raise ValueError
        body = decode_body(_bytes(content["body"]))
        signatures = [_signature(item) for item in content["signatures"]]
        keys = [None if item is None else _bytes(item) for item in content.get("keys", ())]
        words, told = content["transaction"], content["hash"]
    except QenexError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MalformedBytes(f"{shown} is no transaction file", hint="`--unsigned FILE` writes one") from None
    if len(signatures) != len(body.signers):
        raise WrongSignatureCount(f"{shown}: {len(signatures)} signatures for {len(body.signers)} signers")
    if told != "0x" + body.tx_id.hex() or words != {**form_of(app, body), "signatures": []}:
        raise MalformedBytes(
            f"{shown}: its words do not say what its bytes do", hint="do not sign it; ask who changed it"
        )
    return make_file(body, keys, signatures)


def _bytes(item: str) -> bytes:
    return bytes.fromhex(item.removeprefix("0x"))


def _signature(item: Any) -> Signature | None:
    if isinstance(item, list):
        return tuple([None if part is None else _bytes(part) for part in item])
    return None if item is None else _bytes(item)


def _from_hex(text: bytes) -> TransactionFile:
    try:
        data = bytes.fromhex(text[2:].decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        raise MalformedBytes("not hex") from None
    if data[:1] != b"\x92":  # raw bytes are an array of two
        return make_file(decode_body(data))
    signed = decode_transaction(data)
    return make_file(decode_body(signed.body_bytes), (), signed.signatures)


def write_transaction_file(app: App, path: Path, file: TransactionFile) -> dict[str, Any]:
    """Write a transaction to a new file, with the signatures there are; returns what was written.

    Raises UsageError if the file exists or cannot be written.
    """
    if path.exists():
        raise UsageError(f"{path} exists already; choose another file")
    if not path.absolute().parent.is_dir():  # no folders are made from a typing error
        raise UsageError(f"{path} cannot be written: there is no folder {path.absolute().parent}")
    transaction = file.body
    content: dict[str, Any] = {
        "kind": FILE_KIND,
        "schema_version": FILE_SCHEMA,
        "chain_id": transaction.chain_id,
        "hash": "0x" + transaction.tx_id.hex(),
        "transaction": {**form_of(app, transaction), "signatures": []},
        "body": "0x" + transaction.body_bytes.hex(),
        "signatures": [_to_json(signature) for signature in file.signatures],
    }
    if any(key is not None for key in file.keys):
        content["keys"] = [None if key is None else "0x" + key.hex() for key in file.keys]
    try:
        write_whole(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n", mode=0o644)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    return {
        "file": str(path),
        "hash": content["hash"],
        "complete": not file.missing(),
        "transaction": content["transaction"],
        **weights_data(file),
    }


def weights_data(file: TransactionFile) -> Mapping[str, Any]:
    """Return the weights of multisig signers for programs; nothing where there is none."""
    weights = file.weights()
    if not weights:
        return {}
    return {"multisig": [{"weight": weight, "threshold": threshold} for weight, threshold in weights]}


def _to_json(signature: Signature | None) -> Any:
    if isinstance(signature, tuple):
        return [None if part is None else "0x" + part.hex() for part in signature]
    return None if signature is None else "0x" + signature.hex()
