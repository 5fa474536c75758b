"""Transactions from peers on their way into the pool: many at a time, each signature verified once.

One batch is verified and admitted at a time, in the order in which its transactions came; what comes meanwhile is the
next batch. So the busier the node, the larger the batches, and nothing here is done for a single transaction
that could be done for all.

A transaction whose sequence does not join on, or whose sender's key is not known yet, may have overtaken the one before
it on another way: it is tried again a few times.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from node.admission import Admission
from p2p.offences import Offence
from qenex.errors import (
    AlreadyKnown,
    DuplicateSigner,
    InvalidSignature,
    LimitExceeded,
    MalformedBytes,
    ProcessFailed,
    PublicKeyMissing,
    QenexError,
    TooLarge,
    UnusedSigner,
    WrongChainId,
    WrongSequence,
    WrongSignatureCount,
)

log = logging.getLogger("qenex.mempool")

BATCH: Final = 1_024
MAX_COUNT: Final = 16_384
MAX_BYTES: Final = 16 << 20
MAX_LATER: Final = 2_048
"""Transactions that are to be tried again; further ones come in blocks."""
TRIES: Final = 4
FIRST_SECONDS: Final = 0.05
"""Until the second try; each further one waits twice as long."""

TRANSIENT: Final = (LimitExceeded, ProcessFailed)
"""The node could not judge."""
OVERTAKEN: Final = (WrongSequence, PublicKeyMissing)
MALFORMED: Final = (MalformedBytes, TooLarge, DuplicateSigner, UnusedSigner, WrongSignatureCount)
INVALID: Final = (InvalidSignature, WrongChainId)
"""What no honest node has admitted, but for an account whose key was changed meanwhile. So it counts once for a peer
and batch: else somebody who sends sixty transactions and changes the key would have honest nodes ban each other."""


class _Item(NamedTuple):
    peer: str
    witness_id: bytes
    raw: bytes
    tries: int


class Outcome(NamedTuple):
    """Who is told what became of a batch."""

    admitted: Callable[[Sequence[bytes]], None]
    forget: Callable[[Sequence[bytes]], None]
    """These could not be judged now."""
    punish: Callable[[str, Offence, str], None]


class Intake:
    """See the module. `run` is the node's task; everything else returns at once."""

    def __init__(self, admission: Admission, outcome: Outcome) -> None:
        self._admission = admission
        self._outcome = outcome
        self._queue: deque[_Item] = deque()
        self._raws: dict[bytes, bytes] = {}
        """What waits or is being verified, by witness id: a block may need it already."""
        self._later: dict[bytes, None] = {}
        self._size = 0
        self._wake = asyncio.Event()
        self.refused = 0
        self.retried = 0

    def __len__(self) -> int:
        return len(self._raws)

    def __contains__(self, witness_id: bytes) -> bool:
        return witness_id in self._raws

    def raw_of(self, witness_id: bytes) -> bytes | None:
        """Raw bytes of a transaction that waits here."""
        return self._raws.get(witness_id)

    @property
    def has_room(self) -> bool:
        """Whether more may be asked for."""
        return len(self._raws) < MAX_COUNT // 2 and self._size < MAX_BYTES // 2

    def put(self, peer: str, ids: Sequence[bytes], raws: Sequence[bytes]) -> None:
        """Take transactions that are new here; beyond the bounds they are forgotten, to be fetched again."""
        if len(self._raws) + len(ids) > MAX_COUNT or self._size > MAX_BYTES:
            self._outcome.forget(ids)
            return
        self._queue.extend(
            [_Item(peer, witness_id, raw, 0) for witness_id, raw in zip(ids, raws, strict=True)]
        )
        self._raws.update(zip(ids, raws, strict=True))
        self._size += sum(map(len, raws))
        self._wake.set()

    async def run(self) -> None:
        """Admit batch after batch, for ever."""
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            queue = self._queue
            batch = [queue.popleft() for _ in range(min(BATCH, len(queue)))]
            try:
                answers: Sequence[object] = await self._admission.submit_many([item.raw for item in batch])
            except QenexError as error:  # the verifier failed: nobody is to blame, and nothing was judged
                answers = [error] * len(batch)
            self._judge(batch, answers)

    def _judge(self, batch: Sequence[_Item], answers: Sequence[object]) -> None:
        admitted: list[bytes] = []
        unjudged: list[bytes] = []
        invalid: dict[str, str] = {}
        for item, answer in zip(batch, answers, strict=True):
            if not isinstance(answer, QenexError):
                admitted.append(item.witness_id)
            elif isinstance(answer, OVERTAKEN) and self._try_later(item):
                continue
            elif isinstance(answer, AlreadyKnown):
                pass  # a block, or the sender itself, was faster
            else:
                self.refused += 1
                if isinstance(answer, TRANSIENT):
                    unjudged.append(item.witness_id)
                elif isinstance(answer, MALFORMED):
                    detail = f"a transaction: {answer.message}"
                    self._outcome.punish(item.peer, Offence.MALFORMED, detail)
                elif isinstance(answer, INVALID):
                    invalid.setdefault(item.peer, answer.name)
            self._leave(item)
        for peer, name in invalid.items():
            self._outcome.punish(peer, Offence.INVALID_TRANSACTION, name)
        if admitted:
            self._outcome.admitted(admitted)
        if unjudged:
            self._outcome.forget(unjudged)

    def _leave(self, item: _Item) -> None:
        if self._raws.pop(item.witness_id, None) is not None:
            self._size -= len(item.raw)

    def _try_later(self, item: _Item) -> bool:
        """Put an overtaken transaction aside; False if it has had its tries, or too many wait."""
        if item.tries + 1 >= TRIES or len(self._later) >= MAX_LATER:
            return False
        self.retried += 1
        self._later[item.witness_id] = None
        seconds = FIRST_SECONDS * (1 << item.tries)
        asyncio.get_running_loop().call_later(seconds, self._again, item._replace(tries=item.tries + 1))
        return True

    def _again(self, item: _Item) -> None:
        self._later.pop(item.witness_id, None)
        self._queue.append(item)
        self._wake.set()
