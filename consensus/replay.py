"""Recordings of a core: every event with the actions that came out, and a check that they come out again.

A core is deterministic, so what happened on any node, or in a simulator, can be looked at again step by step. The file
is a sequence of frames (u32 length, little-endian, then the chain's canonical encoding): a head `[name, version,
chain_id, own_address?]`, then `[event, [actions]]` for each step. It may end in the middle of a frame where a process
was killed. Recordings hold votes, proposals and validator keys, nothing secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from consensus.events import Action, Event
from consensus.forms import MAX_FORM_SIZE, decode_action, decode_event, encode_action, encode_event
from consensus.height import Core
from qenex.codec import Plain, decode, encode
from qenex.crypto.address import ADDRESS_SIZE, Address
from qenex.errors import MalformedBytes

NAME: Final = "qenex consensus recording"
VERSION: Final = 1
MAX_FRAME: Final = 4 * MAX_FORM_SIZE
MAX_ACTIONS: Final = 1_024
LENGTH_SIZE: Final = 4


class Stepped(NamedTuple):
    """One step: what went in, and the bytes of what came out."""

    event: Event
    actions: tuple[bytes, ...]


class Recording(NamedTuple):
    """A whole recording. `torn`: it ends in the middle of a frame."""

    chain_id: str
    own_address: Address | None
    steps: tuple[Stepped, ...]
    torn: bool


class Difference(NamedTuple):
    """Step `number` (from 0) gave other actions than recorded."""

    number: int
    event: Event
    recorded: tuple[Action, ...]
    replayed: tuple[Action, ...]


class Recorder:
    """A core whose steps are written down. `write` appends bytes to wherever they go; it is called after each step."""

    def __init__(self, core: Core, write: Callable[[bytes], None]) -> None:
        self.core = core
        self._write = write
        write(_frame((NAME, VERSION, core.chain_id, core.own_address)))

    def step(self, event: Event) -> list[Action]:
        """Step the core, and record it."""
        actions = self.core.step(event)
        self._write(_frame((encode_event(event), tuple([encode_action(action) for action in actions]))))
        return actions


def _frame(plain: Plain) -> bytes:
    payload = encode(plain)
    return len(payload).to_bytes(LENGTH_SIZE, "little") + payload


def _frames(data: bytes) -> Iterator[bytes | None]:
    """Payloads of the whole frames; None at last if something incomplete follows."""
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + LENGTH_SIZE], "little")
        start = place + LENGTH_SIZE
        if size > MAX_FRAME:
            raise MalformedBytes(f"a frame of {size} bytes in a recording")
        if start + size > len(data):
            yield None
            return
        yield data[start : start + size]
        place = start + size


def read_recording(data: bytes) -> Recording:
    """Read a recording. Raises MalformedBytes or TooLarge."""
    frames = _frames(data)
    chain_id, own_address = _head(next(frames, None))
    steps: list[Stepped] = []
    torn = False
    for payload in frames:
        if payload is None:
            torn = True
            break
        steps.append(_step(payload))
    return Recording(chain_id, own_address, tuple(steps), torn)


def _head(payload: bytes | None) -> tuple[str, Address | None]:
    plain = None if payload is None else decode(payload, max_size=1_024, max_items=8)
    if type(plain) is not tuple or len(plain) != 4 or plain[0] != NAME or type(plain[2]) is not str:
        raise MalformedBytes("this is no recording of consensus")
    if plain[1] != VERSION:
        raise MalformedBytes(f"a recording of version {plain[1]!a}; this program knows {VERSION}")
    own = plain[3]
    if own is not None and (type(own) is not bytes or len(own) != ADDRESS_SIZE):
        raise MalformedBytes("a recording's own address has 32 bytes")
    return plain[2], None if own is None else Address(own)


def _step(payload: bytes) -> Stepped:
    plain = decode(payload, max_size=MAX_FRAME, max_items=MAX_ACTIONS)
    if (
        type(plain) is not tuple
        or len(plain) != 2
        or type(plain[0]) is not bytes
        or type(plain[1]) is not tuple
    ):
        raise MalformedBytes("a step of a recording is [event, [actions]]")
    actions: list[bytes] = []
    for action in plain[1]:
        if type(action) is not bytes:
            raise MalformedBytes("an action of a recording is a byte string")
        decode_action(action)
        actions.append(action)
    return Stepped(decode_event(plain[0]), tuple(actions))


def replay(recording: Recording) -> list[Difference]:
    """Give a new core the recorded events: every step whose actions differ; empty if all are the same."""
    core = Core(recording.chain_id, recording.own_address)
    differences: list[Difference] = []
    for number, (event, recorded) in enumerate(recording.steps):
        actions = core.step(event)
        if tuple([encode_action(action) for action in actions]) != recorded:
            differences.append(
                Difference(number, event, tuple([decode_action(data) for data in recorded]), tuple(actions))
            )
    return differences
