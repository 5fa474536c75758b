"""Signing in a thread, one thing at a time and in order: the guard waits for the disk, a signer process for a socket."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from consensus.events import Event, Signed, SigningFailed, SignProposal, SignVote, Step
from consensus.signer import STEP_PRECOMMIT, STEP_PREVOTE, STEP_PROPOSAL, Lock
from node.bft_blocks import Spawn
from node.signing import Signer
from qenex.block import PREVOTE, SignedProposal, SignedVote
from qenex.crypto.address import Address
from qenex.errors import QenexError, SignerUnavailable

log = logging.getLogger("qenex.engine")

Late: TypeAlias = Callable[[SignedVote], None]
RETRY_SECONDS: Final = 0.2
"""A signer process that is away is asked again after this."""


class SigningQueue:
    """Answers each request by a `Signed` or `SigningFailed`. What the local disk raises ends the engine.

    `ready` is awaited before each signature: nothing is signed on a block that is not durable. `is_wanted` tells
    whether a request is still of its round: until it is not, a signer process that is away is asked again and
    again, since a chain whose validators all lost a moment's vote would wait for ever. `observe` is told how many
    seconds each signature took.

    A request with `late` is of a height that is decided: its vote goes there, and a refusal is nobody's trouble.
    """

    def __init__(
        self,
        signer: Signer,
        address: Address,
        post: Callable[[Event], None],
        spawn: Spawn,
        ready: Callable[[], Awaitable[None]],
        is_wanted: Callable[[SignProposal | SignVote], bool],
        observe: Callable[[float], None],
    ) -> None:
        self._signer = signer
        self._address = address
        self._post = post
        self._spawn = spawn
        self._ready = ready
        self._is_wanted = is_wanted
        self._observe = observe
        self._requests: deque[tuple[SignProposal | SignVote, Late | None]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="signer")
        self.failed = 0
        """Requests that were refused or not answered."""
        self.trouble = ""
        """Why the last request that is over or waits is not signed; empty when it was."""

    def sign(self, request: SignProposal | SignVote, *, late: Late | None = None) -> None:
        """Queue a request."""
        self._requests.append((request, late))
        if self._task is None or self._task.done():
            self._task = self._spawn(self._work())

    async def _work(self) -> None:
        while self._requests:
            request, late = self._requests.popleft()
            await self._ready()
            try:
                signature = await self._signature(request)
            except QenexError as error:
                if late is None:
                    self._refused(request, error)
            else:
                message = self._message(request, signature)
                if late is None:
                    self._post(Signed(message))
                elif isinstance(message, SignedVote):
                    late(message)

    async def _signature(self, request: SignProposal | SignVote) -> bytes:
        """Raises what the signer raises; SignerUnavailable only once the request is of no more use."""
        loop, told = asyncio.get_running_loop(), False
        while True:
            started = time.perf_counter()
            try:
                signature = await loop.run_in_executor(self._thread, self._ask, request)
            except SignerUnavailable as error:
                if not self._is_wanted(request):
                    raise
                self.trouble = error.message
                if not told:
                    log.warning("the signer does not answer", extra={"reason": error.message})
                    told = True
                await asyncio.sleep(RETRY_SECONDS)
                if not self._is_wanted(request):
                    raise
            else:
                self._observe(time.perf_counter() - started)
                self.trouble = ""
                return signature

    def _ask(self, request: SignProposal | SignVote) -> bytes:
        """In the signing thread. Raises what the signer raises."""
        signer, height, round = self._signer, request.height, request.round
        if isinstance(request, SignProposal):
            return signer.sign_proposal(height, round, request.pol_round, request.block_hash)
        sign = signer.sign_prevote if request.type == PREVOTE else signer.sign_precommit
        lock = Lock(request.locked_round, request.locked_hash, request.valid_round, request.valid_hash)
        return sign(height, round, request.block_hash, lock)

    def _message(self, request: SignProposal | SignVote, signature: bytes) -> SignedProposal | SignedVote:
        if isinstance(request, SignProposal):
            return SignedProposal(
                self._address,
                request.height,
                request.round,
                request.pol_round,
                request.block_hash,
                signature,
            )
        return SignedVote(
            self._address, request.type, request.height, request.round, request.block_hash, signature
        )

    def _refused(self, request: SignProposal | SignVote, error: QenexError) -> None:
        if isinstance(request, SignProposal):
            step = Step.PROPOSE
        else:
            step = Step.PREVOTE if request.type == PREVOTE else Step.PRECOMMIT
        self.failed += 1
        self.trouble = error.message
        log.warning(
            "not signed",
            extra={
                "height": request.height,
                "round": request.round,
                "step": step.name.lower(),
                "reason": error.message,
            },
        )
        self._post(SigningFailed(request.height, request.round, step))

    def clear(self) -> None:
        """What waits is of no use any more: the height is over."""
        self._requests.clear()

    async def close(self) -> None:
        """Wait for the signature in hand, sign nothing more."""
        self._requests.clear()
        if self._task is not None:
            await asyncio.wait([self._task])
        self._thread.shutdown(wait=False)


def place_of(
    signed: SignedProposal | SignedVote | SignProposal | SignVote,
) -> tuple[int, int, int]:
    """Height, round and step as the signer counts them."""
    if isinstance(signed, SignedProposal | SignProposal):
        step = STEP_PROPOSAL
    else:
        step = STEP_PREVOTE if signed.type == PREVOTE else STEP_PRECOMMIT
    return signed.height, signed.round, step
