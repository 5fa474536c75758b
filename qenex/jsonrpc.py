"""JSON-RPC 2.0 as bytes in and bytes out, without a socket: what both clients share.

A node's answer is hostile until shown otherwise: bounded before it is parsed, its ids
must be the ones asked for, and whatever is no JSON-RPC answer is InvalidResponse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from qenex.errors import InvalidResponse, NodeBusy, NodeUnreachable, QenexError, error_from_code

Json: TypeAlias = Any
"""None, bool, int, float, str, or lists and string-keyed dicts of these: what a node sent, unchecked."""

MAX_ANSWER_SIZE: Final = 16 * 1024 * 1024
"""Bytes of the longest answer that is read; a block of 4 MiB is 8 MiB of hex."""

LONGEST_WAIT_MS: Final = 3_600_000
"""What a busy node may tell its callers to wait."""

MAX_DEPTH: Final = 64
"""Nested arrays and objects in an answer."""

MAX_TEXT: Final = 400
"""Characters kept of a remote message or hint: they end up on terminals and in logs."""

MAX_BATCH: Final = 100
"""Calls in one batch; longer ones are cut into several requests."""


class Call(NamedTuple):
    """One request: a method by name and its named parameters."""

    method: str
    params: Mapping[str, Json]


class ConnectionLost(NodeUnreachable):
    """The connection failed after the request may have reached the node."""


def encode_call(call: Call, call_id: int) -> bytes:
    """The bytes of one request."""
    return _dump(_request(call, call_id))


def encode_batch(calls: Sequence[Call], first_id: int) -> bytes:
    """The bytes of a batch; ids count up from `first_id`."""
    return _dump([_request(call, first_id + offset) for offset, call in enumerate(calls)])


def decode_answer(data: bytes, call_id: int) -> Json:
    """Return the result of one call. Raises the node's typed error, or InvalidResponse."""
    answer = _load(data)
    result = _result(answer, (call_id, None))
    if isinstance(result, QenexError):
        raise result
    return result


def decode_batch(data: bytes, first_id: int, count: int) -> list[Json | QenexError]:
    """Return results in the order asked, a typed error in the place of each call that failed.

    Raises InvalidResponse unless each call has exactly one answer, and the node's error if it
    refused the batch as a whole.
    """
    answers = _load(data)
    if isinstance(answers, dict):
        whole = _result(answers, (None,))
        raise whole if isinstance(whole, QenexError) else InvalidResponse("one answer to a batch of calls")
    if not isinstance(answers, list) or len(answers) != count:
        raise InvalidResponse(f"a batch of {count} calls has {count} answers")
    by_id: dict[int, Json | QenexError] = {}
    ids = range(first_id, first_id + count)
    for answer in answers:
        call_id = answer.get("id") if isinstance(answer, dict) else None
        if type(call_id) is not int or call_id not in ids or call_id in by_id:
            raise InvalidResponse("an answer in the batch has an id that was not asked, or asked once")
        by_id[call_id] = _result(answer, (call_id,))
    return [by_id[call_id] for call_id in ids]


def decode_notification(data: bytes) -> Json:
    """Return one WebSocket frame as a JSON object. Raises InvalidResponse."""
    frame = _load(data)
    if not isinstance(frame, dict) or frame.get("jsonrpc") != "2.0":
        raise InvalidResponse("a frame is no JSON-RPC 2.0 object")
    return frame


def error_from_json(error: Json) -> QenexError:
    """The typed error of a JSON-RPC error object, or of REST's flat one, texts bounded and printable.

    Raises InvalidResponse if it is none.
    """
    if not isinstance(error, dict) or type(error.get("code")) is not int or abs(error["code"]) >= 1 << 31:
        raise InvalidResponse("the answer's error is no JSON-RPC error")
    data = error.get("data")
    details: dict[str, Json] = data if isinstance(data, dict) else error
    typed = error_from_code(
        error["code"],
        clean_text(error.get("message")),
        name=clean_text(details.get("name")),
        hint=clean_text(details.get("hint")),
        retryable=details.get("retryable") is True,
    )
    wait = details.get("retry_after_ms")
    if isinstance(typed, NodeBusy) and type(wait) is int and 0 <= wait <= LONGEST_WAIT_MS:
        typed.retry_after_ms = wait
    return typed


def http_failure(status: int, body: bytes) -> QenexError:
    """The error of an HTTP status other than 200: the node's own if the body holds one."""
    try:
        answer = _load(body)
        if isinstance(answer, dict) and "error" in answer:
            return error_from_json(answer["error"])
    except InvalidResponse:
        pass  # a proxy's page, say: the status alone speaks
    if status in (502, 503, 504):
        return NodeUnreachable(f"HTTP {status}: the node behind this address does not answer")
    known = {401: -32011, 403: -32011, 413: -32005, 429: -32005}
    if status in known:
        return error_from_code(known[status], f"HTTP {status}")
    return InvalidResponse(
        f"HTTP {status} instead of an answer", hint="check that the URL is a QENEX node's RPC"
    )


def clean_text(value: Json) -> str:
    """Remote text for people: one line, printable, at most 400 characters; "" for what is no text."""
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in value[:MAX_TEXT])


def _request(call: Call, call_id: int) -> dict[str, Json]:
    return {"jsonrpc": "2.0", "id": call_id, "method": call.method, "params": dict(call.params)}


def _dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _result(answer: Json, ids: tuple[int | None, ...]) -> Json | QenexError:
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
        raise InvalidResponse("the answer is no JSON-RPC 2.0 object")
    answered = answer.get("id")
    if ("result" in answer) == ("error" in answer):
        raise InvalidResponse("an answer has either a result or an error")
    # The node may not know the id of a request it could not read: then, and only then, it says null.
    allowed = ids if "error" in answer else [expected for expected in ids if expected is not None]
    if type(answered) not in (int, type(None)) or answered not in allowed:
        raise InvalidResponse("the answer has the id of another request")
    return error_from_json(answer["error"]) if "error" in answer else answer["result"]


def _load(data: bytes) -> Json:
    if len(data) > MAX_ANSWER_SIZE:
        raise InvalidResponse(f"an answer of {len(data)} bytes, at most {MAX_ANSWER_SIZE} are read")
    try:
        value = _decoder.decode(data.decode())
    except (ValueError, RecursionError):  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise InvalidResponse("the answer is not JSON") from None
    if _too_deep(value):
        raise InvalidResponse(f"the answer is nested more than {MAX_DEPTH} deep")
    return value


def _too_deep(value: Json) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object names a key twice")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)
