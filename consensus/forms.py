"""Canonical bytes of the core's events and actions: for the write-ahead log and for recordings.

`[name, fields...]` in the chain's encoding; a message inside is `[kind, fields...]` of its own. Reading is strict: what
does not come out as the same bytes again is refused.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from consensus import events
from consensus.events import Action, Event, Message, Step
from consensus.validators import ValidatorSet
from qenex.block import EVIDENCE, Commit, SignedProposal, SignedVote, Validator
from qenex.codec import Codec, Plain, codec_for, decode, encode
from qenex.errors import MalformedBytes
from qenex.types import U8, U32, U64, Bytes32

MAX_FORM_SIZE: Final = 4 << 20
"""Bytes of one event or action: a `NewHeight` with 150 validators has 210 KB, a commit at most 600 KB."""
MAX_TEXT: Final = 256

T = TypeVar("T")

_MESSAGES: Final[tuple[type, ...]] = (SignedProposal, SignedVote, Commit)
_MESSAGE_CODECS: Final[dict[int, Codec[Any]]] = {n: codec_for(kind) for n, kind in enumerate(_MESSAGES)}
_VALIDATORS: Final = codec_for(tuple[Validator, ...])
_PRIORITIES: Final = codec_for(tuple[int, ...])

_EVENTS: Final[dict[str, type]] = {
    kind.__name__: kind
    for kind in (
        events.NewHeight,
        events.Recalled,
        events.Received,
        events.Verified,
        events.Refused,
        events.BlockBuilt,
        events.BlockChecked,
        events.Signed,
        events.SigningFailed,
        events.TimedOut,
    )
}
_ACTIONS: Final[dict[str, type]] = {
    kind.__name__: kind
    for kind in (
        events.Verify,
        events.BuildBlock,
        events.CheckBlock,
        events.SignProposal,
        events.SignVote,
        events.KeepBody,
        events.Flush,
        events.Send,
        events.StartTimeout,
        events.Decide,
        events.ReportEvidence,
        events.Punish,
        events.Stepped,
    )
}
_CODECS: Final[dict[str, Codec[Any]]] = {
    "height": codec_for(U64),
    "round": codec_for(U32),
    "type": codec_for(U8),
    "pol_round": codec_for(int),
    "locked_round": codec_for(int),
    "valid_round": codec_for(int),
    "locked_hash": codec_for(Bytes32 | None),
    "valid_hash": codec_for(Bytes32 | None),
    "peer": codec_for(str),
    "reason": codec_for(str),
    "valid": codec_for(bool),
    "timely": codec_for(bool),
    "fresh": codec_for(bool),
    "own": codec_for(bool),
    "may_sign": codec_for(bool),
}


def encode_event(event: Event) -> bytes:
    """Bytes of an event."""
    return encode(_plain(event))


def encode_action(action: Action) -> bytes:
    """Bytes of an action."""
    return encode(_plain(action))


def decode_event(data: bytes) -> Event:
    """Inverse of `encode_event`. Raises MalformedBytes or TooLarge."""
    event: Event = _read(data, _EVENTS)
    return event


def decode_action(data: bytes) -> Action:
    """Inverse of `encode_action`. Raises MalformedBytes or TooLarge."""
    action: Action = _read(data, _ACTIONS)
    return action


def _plain(record: Event | Action) -> Plain:
    fields: list[Plain] = [type(record).__name__]
    for value in record:
        if isinstance(value, SignedProposal | SignedVote | Commit):
            fields.append((_MESSAGES.index(type(value)), *value))
        else:
            fields.append(int(value) if isinstance(value, Step) else value)
    return tuple(fields)


def _read(data: bytes, kinds: dict[str, type[Any]]) -> Any:
    plain = decode(data, max_size=MAX_FORM_SIZE, max_items=1_024)
    if type(plain) is not tuple or not plain or type(plain[0]) is not str or plain[0] not in kinds:
        raise MalformedBytes("no event or action begins so")
    kind = kinds[plain[0]]
    names = kind._fields
    if len(plain) != len(names) + 1:
        raise MalformedBytes(f"{plain[0]} has {len(names)} fields")
    return kind(*[_field(kind, name, value) for name, value in zip(names, plain[1:], strict=True)])


def _field(kind: type, name: str, value: Plain) -> Any:
    codec = _CODECS.get(name)
    if codec is not None:
        return codec.check(value)
    if name == "block_hash":
        if value is None and kind is not events.SignVote:
            raise MalformedBytes("a block hash has 32 bytes")
        return None if value is None else _HASH.check(value)
    if name == "step":
        if type(value) is not int or not 0 <= value <= Step.PRECOMMIT:
            raise MalformedBytes("a step is 0 to 3")
        return Step(value)
    if name == "message":
        return _message(value, kind)
    if name == "commit":
        return _commit(value)
    if name == "evidence":
        return EVIDENCE.check(value)
    return _validators(value)


_HASH: Final[Codec[bytes]] = codec_for(Bytes32)


def _message(value: Plain, kind: type) -> Message:
    if type(value) is not tuple or not value or type(value[0]) is not int or value[0] not in _MESSAGE_CODECS:
        raise MalformedBytes("a message is [kind, fields...]")
    if value[0] == 2 and kind in (events.Signed, events.Send):
        raise MalformedBytes("nobody signs or sends a commit")
    message: Message = _MESSAGE_CODECS[value[0]].check(value[1:])
    return message


def _commit(value: Plain) -> Commit:
    if type(value) is not tuple or value[:1] != (2,):
        raise MalformedBytes("a decision has a commit")
    commit: Commit = _MESSAGE_CODECS[2].check(value[1:])
    return commit


def _validators(value: Plain) -> ValidatorSet:
    if type(value) is not tuple or len(value) != 2:
        raise MalformedBytes("a validator set is [validators, priorities]")
    found = ValidatorSet(_VALIDATORS.check(value[0]), _PRIORITIES.check(value[1]))
    if len(found.validators) != len(found.priorities) or not found.validators:
        raise MalformedBytes("a validator set has a priority for each of its validators")
    return found
