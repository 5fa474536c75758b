"""Background tasks whose failure must not pass unseen: a node that goes on without one of them is deaf or blind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


async def watched(
    work: Callable[[], Coroutine[Any, Any, None]], failed: Callable[[BaseException], None]
) -> None:
    """Run `work`; whatever ends it but a cancellation is told to `failed`, which ends the node."""
    try:
        await work()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # StorageFault too, which is no Exception
        failed(innermost(error))


def innermost(error: BaseException) -> BaseException:
    """The first fault of a group of tasks: what a node ends with decides its exit code."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
