"""JSON-RPC 2.0: bytes in, bytes out, whatever the transport.

`Dispatcher.handle` answers single requests, batches and notifications. It raises nothing that a caller
can cause: every refusal is an error object from the one table of `qenex.errors`, with
`data = {name, hint, retryable}`. Only a defect of the node answers -32603, and its log has the trace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, Final, NamedTuple, Protocol

from ledger.backend import StorageFault
from node.floor import Work, floor
from node.rpc.declare import Access, Method, Registry, Several
from node.rpc.strict_json import Json, dumps, loads
from node.steps import Slice
from qenex.errors import (
    Forbidden,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    MethodNotFound,
    QenexError,
)

logger = logging.getLogger(__name__)

MAX_ID_SIZE: Final = 256
"""Characters of a text id: it is echoed into every answer."""
BYTES_PER_UNIT: Final = 8_192
"""Bytes of a request that cost one unit of the caller's rate to read, at the worst about 100 us."""
LONG_BYTES: Final = 8_192
"""A request of so many waits for the floor (`node.floor`) before it is read: several that come together would hold the loop for
as long as all of them take."""
LONG_COST: Final = 10
"""So does a call of a method of this cost."""

UNKNOWN: Final = "unknown"
"""Stands in the counts for whatever names no method, so that no caller can make new ones."""
OK, REFUSED, LIMITED, INTERNAL = OUTCOMES = ("ok", "refused", "limited", "internal")

_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params"})
_ABSENT: Final = object()


class Session(Protocol):
    """What a method of a connection (a subscription) needs of it."""

    async def subscribe(self, topic: str, chosen: Any, from_cursor: str | None) -> Json:
        """Open a subscription; its id and first cursor."""

    async def unsubscribe(self, subscription: int) -> bool:
        """Close one; whether it was open."""


def _nothing(cost: int) -> None:
    """For a caller without a rate."""


@dataclass(slots=True)
class Caller:
    """Who calls: the rate's key, whether admin methods are open, the connection if it lasts.

    `charge(cost)` takes from the caller's rate before the work and raises LimitExceeded; `owe(cost)` takes
    for work whose amount shows only afterwards. One unit stands for about 100 us of a core.
    """

    charge: Callable[[int], None]
    privileged: bool = False
    session: Session | None = None
    owe: Callable[[int], None] = _nothing
    key: str = ""
    """Tells callers apart: a network address, or one connection of this machine."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one request may cost. Sizes in bytes."""

    max_request_size: int = 1024 * 1024
    max_batch: int = 100
    max_answer_size: int = 16 * 1024 * 1024


def error_object(error: QenexError) -> dict[str, Json]:
    """The JSON-RPC error object of a typed error; `details` of the error, if any, join its data."""
    data: dict[str, Json] = {"name": error.name, "hint": error.hint, "retryable": error.retryable}
    details = error.__dict__.get("details")
    if isinstance(details, dict):
        data.update(details)
    return {"code": error.code, "message": error.message, "data": data}


def rest_error_object(error: QenexError) -> dict[str, Json]:
    """A typed error as REST tells it: `{code, name, message, hint, retryable}`, and its `details`, if any."""
    details = error.__dict__.get("details")
    return error.to_dict() | (details if isinstance(details, dict) else {})


def _bare(error: QenexError) -> QenexError:
    """An error that is answered and not raised again, without the frames that it came through.

    They hold it, and it them, and with them all that was read: a refused request would stay in memory until the collector
    comes, which then walks hundreds of thousands of objects at once (100 ms after 0.25 s of refused simulations).
    """
    error.__traceback__ = error.__context__ = None
    return error


def _error(request_id: Json, error: QenexError) -> str:
    return dumps({"jsonrpc": "2.0", "id": request_id, "error": error_object(error)})


class _Together(NamedTuple):
    """Calls of a batch that follow each other, of a method that answers several at once."""

    method: Method
    answer: Several
    length: int


class Dispatcher:
    """Answers JSON-RPC from a registry of methods."""

    def __init__(
        self,
        registry: Registry,
        bounds: Bounds | None = None,
        on_fault: Callable[[StorageFault], None] | None = None,
    ) -> None:
        self.on_fault = on_fault
        self.registry = registry
        self.bounds = bounds or Bounds()
        self.counts: dict[tuple[str, ...], float] = {}
        """Requests answered by method and outcome, over all transports: for the metrics."""
        self._methods = registry.methods

    async def handle(self, data: bytes, caller: Caller) -> bytes | None:
        """Answer one message; None for what consists of notifications only."""
        try:
            if len(data) >= BYTES_PER_UNIT:
                caller.charge(len(data) // BYTES_PER_UNIT)  # reading it is work, whatever it turns out to be
                if len(data) >= LONG_BYTES:
                    await floor().enter(Work.READS)
            message = loads(data, max_size=self.bounds.max_request_size)
            if type(message) is list:
                answers = await self._batch(message, caller)
                return None if answers is None else answers.encode()
        except QenexError as error:
            self._count(UNKNOWN, outcome_of(error))
            return _error(None, error).encode()
        answer = await self._single(message, caller)
        if answer is None:
            return None
        if len(answer) > self.bounds.max_answer_size:
            return self._too_long(message).encode()
        return answer.encode()

    async def _batch(self, messages: list[Json], caller: Caller) -> str | None:
        if not messages:
            raise InvalidRequest("an empty batch")
        if len(messages) > self.bounds.max_batch:
            raise LimitExceeded(f"a batch of {len(messages)}, at most {self.bounds.max_batch} allowed")
        answers: list[str] = []
        size = at = 0
        turn = Slice()
        while at < len(messages):
            if size > self.bounds.max_answer_size:  # full: what is left is refused before it does anything
                left = [message for message in messages[at:] if type(message) is not dict or "id" in message]
                answers += [self._too_long(message) for message in left]
                break
            together = self._together(messages, at)
            if together is None:
                given = [await self._single(messages[at], caller)]
            else:
                given = await self._several(together, messages[at : at + together.length], caller)
            for message, answer in zip(messages[at:], given):
                if answer is not None:
                    if size + len(answer) > self.bounds.max_answer_size:
                        size = self.bounds.max_answer_size + 1
                        answer = self._too_long(message)
                    size += len(answer)
                    answers.append(answer)
            at += len(given)
            if at < len(messages) and turn.over():
                await turn.pause(Work.READS)
        return "[" + ",".join(answers) + "]" if answers else None

    def _together(self, messages: list[Json], at: int) -> _Together | None:
        """The calls from `at` on that are of one method which answers several at once."""
        first = messages[at]
        name = first.get("method") if type(first) is dict else None
        method = self._methods.get(name) if type(name) is str else None
        if method is None or method.together is None:
            return None
        end = at + 1
        while end < len(messages) and type(messages[end]) is dict and messages[end].get("method") == name:
            end += 1
        return None if end == at + 1 else _Together(method, method.together, end - at)

    async def _several(self, run: _Together, messages: list[Json], caller: Caller) -> list[str | None]:
        """`_single` for several calls of one method, which are then worked on together."""
        method = run.method
        outcomes: list[Json | QenexError] = []
        ids: list[Json] = []
        calls: list[list[Any]] = []
        places: list[int] = []
        for message in messages:
            request_id: Json = None
            try:
                given_id = _id_of(message)
                request_id = None if given_id is _ABSENT else given_id
                _check_form(message)
                request_id = given_id
                caller.charge(1)
                self._open(method, message, caller)
                values = method.bind(message.get("params"))
                if method.cost > 1:
                    caller.charge(method.cost - 1)
                places.append(len(outcomes))
                calls.append(values)
                outcomes.append(None)
            except QenexError as error:
                outcomes.append(_bare(error))
            ids.append(request_id)
        try:
            for place, result in zip(places, await run.answer(caller, calls) if calls else ()):
                outcomes[place] = result
        except StorageFault as fault:
            raise self.fault(fault) from None
        except Exception as error:  # as in _single
            if not isinstance(error, QenexError):
                logger.exception("RPC method %s failed", method.name)
                error = InternalError("internal error")
            for place in places:
                outcomes[place] = _bare(error)
        return self._answered(method.name, ids, outcomes)

    def _answered(
        self, name: str, ids: Sequence[Json], outcomes: Sequence[Json | QenexError]
    ) -> list[str | None]:
        """Count calls and put their answers into words, where they want one."""
        answers: list[str | None] = []
        last: QenexError | None = None
        refusal = ""
        for request_id, outcome in zip(ids, outcomes, strict=True):
            if isinstance(outcome, QenexError):
                self._count(name, outcome_of(outcome))
                if outcome is not last:  # many may be refused for one reason
                    last, refusal = outcome, f'"error":{dumps(error_object(outcome))}'
                member = refusal
            else:
                self._count(name, OK)
                member = f'"result":{dumps(outcome)}'
            if request_id is _ABSENT:
                answers.append(None)
            else:
                text = str(request_id) if type(request_id) is int else dumps(request_id)
                answers.append(f'{{"jsonrpc":"2.0","id":{text},{member}}}')
        return answers

    def _too_long(self, message: Json) -> str:
        try:
            given_id = _id_of(message)
        except InvalidRequest:
            given_id = None
        refusal = LimitExceeded(f"the answer is longer than {self.bounds.max_answer_size} bytes")
        return _error(None if given_id is _ABSENT else given_id, refusal)

    async def _single(self, message: Json, caller: Caller) -> str | None:
        name = UNKNOWN
        request_id: Json = None
        try:
            given_id = _id_of(message)
            request_id = None if given_id is _ABSENT else given_id
            _check_form(message)
            request_id = given_id  # from here on, no id makes it a notification: never answered
            method = self._methods.get(message["method"])
            if method is not None:
                name = method.name
            caller.charge(1)
            method = self._open(method, message, caller)
            values = method.bind(message.get("params"))
            if method.cost > 1:
                caller.charge(method.cost - 1)
                if method.cost >= LONG_COST:
                    await floor().enter(Work.READS)
            result = method.handler(caller, *values) if method.takes_caller else method.handler(*values)
            if type(result) is CoroutineType:
                result = await result
            answer = None
            if request_id is not _ABSENT:
                answer = f'{{"jsonrpc":"2.0","id":{dumps(request_id)},"result":{dumps(result)}}}'
            self._count(name, OK)
            return answer
        except QenexError as error:
            refusal = _bare(error)
        except StorageFault as fault:
            raise self.fault(fault) from None
        except Exception:  # a defect of ours: the caller learns no more than that, the log has it all
            logger.exception("RPC method %s failed", name)
            refusal = InternalError("internal error")
        self._count(name, outcome_of(refusal))
        return None if request_id is _ABSENT else _error(request_id, refusal)

    def _count(self, name: str, outcome: str) -> None:
        key = (name, outcome)
        self.counts[key] = self.counts.get(key, 0) + 1

    def _open(self, method: Method | None, message: dict[str, Json], caller: Caller) -> Method:
        """The method, open to this caller. Raises MethodNotFound or Forbidden."""
        if method is None:
            raise MethodNotFound(f"no method is called {message['method'][:64]!a}")
        if method.access is not Access.PUBLIC:
            if method.access is Access.ADMIN and not caller.privileged:
                raise Forbidden(f"{method.name} needs the local socket or the token")
            if method.access is Access.SESSION and caller.session is None:
                raise Forbidden(f"{method.name} needs a WebSocket", hint="connect to /ws and call it there")
        return method

    def fault(self, fault: StorageFault) -> ConnectionAbortedError:
        """Tell the node that its store failed; what to raise so that the connection ends unanswered."""
        if self.on_fault is not None:
            self.on_fault(fault)
        return ConnectionAbortedError("the node stops")

    async def call(self, method: Method, params: Json, caller: Caller) -> Json:
        """Run one call, as REST does. Raises QenexError, InternalError for a defect."""
        try:
            caller.charge(method.cost)
            values = method.bind(params)
            if method.cost >= LONG_COST:
                await floor().enter(Work.READS)
            result = method.handler(caller, *values) if method.takes_caller else method.handler(*values)
            if type(result) is CoroutineType:
                result = await result
        except QenexError as error:
            self._count(method.name, outcome_of(error))
            raise
        except StorageFault as fault:
            raise self.fault(fault) from None
        except Exception:  # as in _single
            logger.exception("RPC method %s failed", method.name)
            self._count(method.name, INTERNAL)
            raise InternalError("internal error") from None
        self._count(method.name, OK)
        return result


def outcome_of(error: QenexError) -> str:
    """The outcome under which a refusal is counted."""
    if isinstance(error, InternalError):
        return INTERNAL
    return LIMITED if isinstance(error, LimitExceeded) else REFUSED


def _id_of(message: Json) -> Json:
    """The id of a request, _ABSENT where there is none. Raises InvalidRequest."""
    if type(message) is not dict:
        raise InvalidRequest("a request is a JSON object")
    request_id = message.get("id", _ABSENT)
    kind = type(request_id)
    if kind is str:
        if len(request_id) > MAX_ID_SIZE:
            raise InvalidRequest(f"an id has at most {MAX_ID_SIZE} characters")
    elif kind is int:
        if not -(1 << 63) <= request_id < 1 << 64:
            raise InvalidRequest("an integer id has at most 64 bits")
    elif request_id is not None and request_id is not _ABSENT:
        raise InvalidRequest("an id is text, an integer or null")
    return request_id


def _check_form(message: dict[str, Json]) -> None:
    """Raise InvalidRequest unless the members are those of JSON-RPC 2.0."""
    if message.get("jsonrpc") != "2.0":
        raise InvalidRequest('jsonrpc is not "2.0"')
    if type(message.get("method")) is not str:
        raise InvalidRequest("method is missing or no text")
    if not message.keys() <= _MEMBERS:
        unknown = [ascii(name[:40]) for name in message if name not in _MEMBERS][:5]
        raise InvalidRequest(f"unknown members {', '.join(unknown)}")
