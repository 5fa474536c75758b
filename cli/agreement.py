"""`qenex accounts propose-rotation`, `agree`, `rotate`: a new key agrees where it lies, by a file that goes round.

A key enters the chain only after it has signed the rotation statement, a multisig key by members of enough weight. Here
each signs in a keyring of its own, one after the other or a copy each, without a network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from cli.app import App, pass_app
from cli.chain import connected, with_name
from cli.exit_codes import ExitCode, Stopped
from cli.guards import with_canceller
from cli.home import client_settings, keyring_of, pinned_chain_id, write_whole
from cli.keys import open_password
from cli.layout import Style, fields, table
from cli.lazy import Command
from cli.output import Result
from cli.passwords import PasswordSource, password_options
from cli.signers import read_public_key, signing_account
from cli.submit import Choices, carry_out, sending_options, waiting_number
from cli.transaction_file import MAX_FILE_SIZE, verify_signature
from qenex.answers import TransactionReceipt
from qenex.codec import encode
from qenex.crypto.address import Address, decode_address, encode_address, key_bytes
from qenex.crypto.multisig import MULTISIG_TAG, Member, combine, decode_descriptor
from qenex.errors import (
    AccountHasNoKey,
    AlreadySigned,
    CopiesDiffer,
    InvalidSignature,
    MalformedBytes,
    QenexError,
    ThresholdNotMet,
    UnknownMember,
    UsageError,
    WrongChainId,
    WrongSequence,
)
from vm.accounts import rotation_sign_bytes

FILE_KIND: Final = "qenex-rotation"
FILE_SCHEMA: Final = 1


class Proposal(NamedTuple):
    """An account's new key (tag + key), and who of its members agrees; a single key is its only member."""

    chain_id: str
    address: Address
    sequence: int
    new_key: bytes
    signatures: tuple[bytes | None, ...]

    @property
    def statement(self) -> bytes:
        """What each of them signs."""
        return rotation_sign_bytes(self.chain_id, self.address, self.sequence, self.new_key)

    @property
    def members(self) -> tuple[Member, ...]:
        """The new key's members with their weights."""
        return _members(self.new_key)

    @property
    def threshold(self) -> int:
        """Weight that has to agree."""
        return decode_descriptor(self.new_key).threshold if self.new_key[0] == MULTISIG_TAG else 1

    @property
    def weight(self) -> int:
        """Weight that agrees."""
        return sum(m.weight for m, s in zip(self.members, self.signatures, strict=True) if s is not None)

    def possession(self) -> bytes:
        """What the chain takes as the new key's word. Raises ThresholdNotMet."""
        if self.weight < self.threshold:
            raise ThresholdNotMet(
                f"those who agree weigh {self.weight}, the threshold is {self.threshold}",
                hint="qenex accounts agree FILE, by each of them",
            )
        if self.new_key[0] != MULTISIG_TAG:
            return self.signatures[0] or b""
        signed = zip(self.members, self.signatures, strict=True)
        by_key = {member.key: signature for member, signature in signed if signature is not None}
        return encode(combine(decode_descriptor(self.new_key), by_key))


def _members(key: bytes) -> tuple[Member, ...]:
    return decode_descriptor(key).members if key[0] == MULTISIG_TAG else (Member(1, key),)


# -- files -------------------------------------------------------------------------------------------


def _read(path: Path) -> Proposal:
    """Return what a file holds, every signature in it verified. Raises Stopped with exit code 2."""
    try:
        return _checked(path)
    except QenexError as error:
        raise Stopped(error, ExitCode.USAGE) from None


def _checked(path: Path) -> Proposal:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_SIZE:
        raise MalformedBytes(f"{path} has more than {MAX_FILE_SIZE} bytes")
    try:
        content = json.loads(data)
        chain_id, sequence = content["chain_id"], content["sequence"]
        signatures = tuple(
            [None if s is None else bytes.fromhex(s.removeprefix("0x")) for s in content["signatures"]]
        )
        address, new_key = decode_address(content["address"]), content["new_key"]
        right = content["kind"] == FILE_KIND and content["schema_version"] == FILE_SCHEMA
        if not (right and isinstance(chain_id, str) and isinstance(new_key, str) and type(sequence) is int):
            raise ValueError
    except QenexError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MalformedBytes(
            f"{path} is no file of a rotation", hint="`qenex accounts propose-rotation` writes one"
        ) from None
    key = read_public_key(new_key, f"{path}: new_key")
    if len(signatures) != len(_members(key)) or not 0 <= sequence < 1 << 64:
        raise MalformedBytes(f"{path} has no place for each of the new key's members")
    proposal = Proposal(chain_id, address, sequence, key, signatures)
    for member, signature in zip(proposal.members, signatures, strict=True):
        if signature is not None and not verify_signature(member.key, proposal.statement, signature):
            raise InvalidSignature(
                f"{path}: 0x{member.key[:9].hex()}... has not signed this rotation",
                hint="a signature by another key, or the file was changed; ask for a new one",
            )
    return proposal


def _write(app: App, path: Path, proposal: Proposal) -> dict[str, Any]:
    if path.exists():
        raise UsageError(f"{path} exists already; choose another file")
    prefix = client_settings(app).address_prefix
    content = {
        "kind": FILE_KIND,
        "schema_version": FILE_SCHEMA,
        "chain_id": proposal.chain_id,
        "address": encode_address(proposal.address, prefix),
        "sequence": proposal.sequence,
        "new_key": "0x" + proposal.new_key.hex(),
        "signatures": [None if part is None else "0x" + part.hex() for part in proposal.signatures],
    }
    try:
        write_whole(path, json.dumps(content, indent=2).encode() + b"\n", mode=0o644)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    return {
        "file": str(path),
        **{name: content[name] for name in ("chain_id", "address", "sequence", "new_key")},
        "weight": proposal.weight,
        "threshold": proposal.threshold,
        "complete": proposal.weight >= proposal.threshold,
    }


def _merged(paths: tuple[Path, ...]) -> Proposal:
    """Return one proposal with the signatures of all copies. Raises Stopped."""
    first = _read(paths[0])
    for path in paths[1:]:
        copy = _read(path)
        if copy._replace(signatures=()) != first._replace(signatures=()):
            error = CopiesDiffer(f"{path} is about another rotation than {paths[0]}")
            raise Stopped(error, ExitCode.USAGE)
        together = tuple([a or b for a, b in zip(first.signatures, copy.signatures, strict=True)])
        if together == first.signatures:
            none_new = AlreadySigned(
                f"{path} has no signature that is not in the others", hint="leave it out"
            )
            raise Stopped(none_new, ExitCode.USAGE)
        first = first._replace(signatures=together)
    return first


def _told(proposal: Proposal) -> str:
    left = proposal.threshold - proposal.weight
    return f"weight {proposal.weight} of {proposal.threshold}, " + (
        f"{left} more needed" if left > 0 else "enough; go on with `qenex accounts rotate`"
    )


# -- commands ----------------------------------------------------------------------------------------


@click.command("propose-rotation", cls=Command)
@click.argument("key", metavar="PUBLIC_KEY")
@click.option("--from", "account", required=True, metavar="NAME", help="The account; also an address.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Where to write it."
)
@pass_app
def propose_rotation(app: App, *, key: str, account: str, out: Path) -> Result:
    """Write a file in which the owners of PUBLIC_KEY agree that it signs for the account of --from.

    PUBLIC_KEY is one key or a multisig key, in hex. Nothing is signed here. The file holds for the account's next
    transaction: what it sends in the meantime makes it void.

    \b
    qenex accounts propose-rotation 0x20... --from alice --out rotation.json
    qenex accounts agree rotation.json --from bob --out by-bob.json        # where bob's key lies
    qenex accounts agree rotation.json --from carol --out by-carol.json    # where carol's lies
    qenex accounts rotate by-bob.json by-carol.json --from alice
    """
    new_key = read_public_key(key, "PUBLIC_KEY")
    address = signing_account(app, account).address
    with connected(app) as client:
        found = client.sender.account(address)
        chain_id = client.node.info().chain_id
    sequence = found.sequence if found.next_sequence is None else found.next_sequence
    if found.public_key is None and not sequence:
        raise AccountHasNoKey(
            f"{with_name(app, address)} has never signed: its key is not on the chain yet",
            hint="send any transaction from it first, for example to yourself",
        )
    proposal = Proposal(chain_id, address, sequence, new_key, (None,) * len(_members(new_key)))
    return Result(_write(app, out, proposal), f"Wrote the rotation to {out}: {_told(proposal)}.")


@click.command("agree", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "signer", required=True, metavar="NAME", help="Key that agrees.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Where to write it."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@password_options(meaning="Password of the key")
@pass_app
def agree(app: App, *, file: Path, signer: str, out: Path, yes: bool, password: PasswordSource) -> Result:
    """Agree, without a network, that a key signs for the account in FILE from its rotation on: as the key, or a member."""
    proposal = _read(file)
    pinned = pinned_chain_id(app)
    if pinned and proposal.chain_id != pinned:
        raise WrongChainId(f"the rotation is for {proposal.chain_id}; this home is for {pinned}")
    keyring = keyring_of(app)
    info = keyring.get_public(signer)
    key = key_bytes(info.tag, info.public_key)
    places = [place for place, member in enumerate(proposal.members) if member.key == key]
    if not places:
        raise Stopped(UnknownMember(f"{signer} is no member of the new key"), ExitCode.USAGE)
    if proposal.signatures[places[0]] is not None:
        raise Stopped(AlreadySigned(f"{signer} has agreed already"), ExitCode.USAGE)
    if out.exists():
        raise UsageError(f"{out} exists already; choose another file")
    app.note(_text(app, proposal, app.style) + "\n")
    app.confirm(f"Agree as {signer}?", yes=yes)
    signature = keyring.open(signer, open_password(app, keyring, signer, password)).sign(proposal.statement)
    signatures = [*proposal.signatures]
    signatures[places[0]] = signature
    proposal = proposal._replace(signatures=tuple(signatures))
    return Result(_write(app, out, proposal), f"{signer} agrees, written to {out}: {_told(proposal)}.")


def _text(app: App, proposal: Proposal, style: Style) -> str:
    rows = [
        ("chain", proposal.chain_id),
        ("account", style.bold(with_name(app, proposal.address))),
        ("sequence", str(proposal.sequence)),
        ("agreed", _told(proposal)),
    ]
    readable, _ = keyring_of(app).scan()
    names = {key_bytes(info.tag, info.public_key): info.name for info in readable}
    members = [
        [
            names.get(member.key, ""),
            str(member.weight),
            "0x" + member.key.hex()[:40] + "...",
            "yes" if part else "no",
        ]
        for member, part in zip(proposal.members, proposal.signatures, strict=True)
    ]
    listed = table(["name", "weight", "key", "agrees"], members, style)
    return f"From now on these sign for the account:\n{fields(rows, style)}\n\n{listed}\n"


@click.command("rotate", cls=Command)
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--account",
    "owner",
    metavar="NAME",
    help="A guarded account, of which --from is the canceller: nothing waits.",
)
@sending_options
@pass_app
def rotate(
    app: App, *, files: tuple[Path, ...], owner: str | None, choices: Choices, password: PasswordSource
) -> Result:
    """Let the key in FILE sign for the account of --from from now on, once those who own it agree in FILE, or in copies.

    --from is the account's present key, or with --unsigned its address. From then on the old key signs no more.

    Where a guarded account's key was stolen, its canceller pays and both sign, so that nothing waits and the thief comes
    between no two steps: all that waits is cancelled, a freeze ended, the rotation queued and approved.

    \b
    qenex accounts rotate agreed.json --account alice --from guardian --unsigned rescue.json
    qenex tx sign rescue.json --from alice --out by-alice.json
    qenex tx sign rescue.json --from guardian --out by-guardian.json
    qenex tx merge by-alice.json by-guardian.json --out rescue-signed.json
    qenex tx broadcast rescue-signed.json
    """
    proposal = _merged(files)
    account = signing_account(app, choices.signer if owner is None else owner)
    if account.address != proposal.address:
        raise UsageError(
            f"{files[0]} is about {with_name(app, proposal.address)}, not about {owner or choices.signer}"
        )
    try:
        possession = proposal.possession()
    except QenexError as error:
        raise Stopped(error, ExitCode.USAGE) from None
    with connected(app) as client:
        found = client.sender.account(account.address)
        if client.node.info().chain_id != proposal.chain_id:
            raise WrongChainId(f"the rotation is for {proposal.chain_id}")
    sequence = found.sequence if found.next_sequence is None else found.next_sequence
    if sequence != proposal.sequence:
        stale = WrongSequence(
            f"they agreed for sequence {proposal.sequence}, the account's is {sequence}",
            hint="it has sent something in the meantime: propose the rotation anew",
        )
        raise Stopped(stale, ExitCode.REFUSED_BEFORE_SIGNING)
    shown = encode_address(account.address, client_settings(app).address_prefix)

    def done(receipt: TransactionReceipt[Any]) -> str:
        number = waiting_number(receipt.to_dict())
        if number:
            return f"{shown} has a guard: the change of key waits under number {number}."
        if proposal.new_key[0] == MULTISIG_TAG:
            return f"Members with a weight of {proposal.threshold} sign for {shown} now."
        return f"The new key signs for {shown} now; where it lies: qenex keys set-account NAME {shown}"

    arguments: dict[str, Any] = {"new_key": proposal.new_key, "possession": possession}
    if owner is None:
        return carry_out(
            app, [("accounts.rotate_key", arguments)], choices, password, done, sequence=sequence
        )
    messages = with_canceller(proposal.address, ("accounts.rotate_key", arguments))
    return carry_out(app, messages, choices, password, done, acting=(None, None, account, None))
