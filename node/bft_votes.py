"""Signatures of consensus messages: each verified once, many together, before the pool's transactions.

A composite signature (Ed25519 + ML-DSA-44) takes about 0.13 ms. What arrives in one turn of the loop is gathered:
a few are verified at once (a round trip to a worker process takes longer), more go to the workers in front
of the transactions that wait there. What was found good is remembered by its bytes, so that the precommits of a
height are not verified again where the next block carries them as a commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgpack

from consensus.events import Message
from node.validation import Rejected, check_commit
from node.verifier import Verifier
from node.verifier_worker import Item
from qenex.block import (
    PRECOMMIT,
    PREVOTE,
    Commit,
    SignedVote,
    Validator,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from qenex.errors import QenexError
from qenex.hashing import hasher

INLINE: Final = 8
"""So many are verified in the loop's own thread: about a millisecond."""
REMEMBERED: Final = 4_096
"""Signatures remembered, by a hash of all that was verified: some rounds of 150 validators."""

_name = hasher("qx.verified")


def vote_item(chain_id: str, message: SignedVote, key: bytes) -> Item:
    """What is to verify for a vote."""
    signed = vote_sign_bytes(chain_id, message.type, message.height, message.round, message.block_hash)
    return signed, (key,), (message.signature,)


class VoteVerifier:
    """See the module. One for each node; `check` gathers, `verify_known` is the application's."""

    def __init__(self, verifier: Verifier, chain_id: str) -> None:
        self._verifier = verifier
        self._chain_id = chain_id
        self._young: dict[bytes, None] = {}
        self._old: dict[bytes, None] = {}
        self._waiting: list[tuple[Item, asyncio.Future[bool]]] = []
        self._tasks: dict[asyncio.Task[None], None] = {}
        self.hits = 0
        """Signatures that were known already."""

    # -- what is known ------------------------------------------------------------------------

    def remember(self, item: Item) -> None:
        """These bytes are a good signature."""
        if len(self._young) >= REMEMBERED // 2:
            self._old, self._young = self._young, {}
        self._young[_name(msgpack.packb(item))] = None

    def knows(self, item: Item) -> bool:
        """Whether they are known to be."""
        name = _name(msgpack.packb(item))
        if name in self._young or name in self._old:
            self.hits += 1
            return True
        return False

    def verify_known(self, items: Sequence[Item]) -> list[bool]:
        """Verify here and now what is not known: for the commit and the evidence inside a block."""
        answer = []
        for item in items:
            good = self.knows(item) or self._verifier.verify_now([item])[0]
            if good:
                self.remember(item)
            answer.append(good)
        return answer

    # -- messages ------------------------------------------------------------------------------

    async def check(self, message: Message, validators: Mapping[bytes, Validator]) -> bool:
        """Whether the signature is that of the validator it names; for a commit, whether it decides its height.

        `validators` are those of the message's height, by address, in canonical order.
        """
        if isinstance(message, Commit):
            return await self._check_commit(message, validators)
        validator = validators.get(message.address)
        if validator is None:
            return False
        if isinstance(message, SignedVote):
            if message.type not in (PREVOTE, PRECOMMIT):
                return False
            return await self._verify(vote_item(self._chain_id, message, validator.key))
        signed = proposal_sign_bytes(
            self._chain_id, message.height, message.round, message.pol_round, message.block_hash
        )
        return await self._verify((signed, (validator.key,), (message.signature,)))

    async def _check_commit(self, commit: Commit, validators: Mapping[bytes, Validator]) -> bool:
        """The whole commit, as in a block; its signatures are verified together and remembered first."""
        missing: list[Item] = []

        def gather(items: Sequence[Item]) -> list[bool]:
            missing.extend([item for item in items if not self.knows(item)])
            return [True] * len(items)

        try:
            check_commit(
                commit,
                chain_id=self._chain_id,
                height=commit.height,
                block_hash=commit.block_hash,
                validators=tuple(validators.values()),
                verify=gather,
            )
        except Rejected:
            return False
        return all(await asyncio.gather(*[self._verify(item) for item in missing]))

    def _verify(self, item: Item) -> asyncio.Future[bool]:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.knows(item):
            future.set_result(True)
            return future
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append((item, future))
        return future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if len(waiting) <= INLINE:
            self._answer(waiting, self._verifier.verify_now([item for item, _ in waiting]))
            return
        task = asyncio.get_running_loop().create_task(self._verify_apart(waiting))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _verify_apart(self, waiting: list[tuple[Item, asyncio.Future[bool]]]) -> None:
        items = [item for item, _ in waiting]
        try:
            verdicts = await self._verifier.verify_urgent(items)
        except (QenexError, OSError):  # the workers fail: slowly is better than not at all
            verdicts = []
            for item in items:
                verdicts += self._verifier.verify_now([item])
                await asyncio.sleep(0)
        self._answer(waiting, verdicts)

    def _answer(self, waiting: Sequence[tuple[Item, asyncio.Future[bool]]], verdicts: Sequence[bool]) -> None:
        for (item, future), good in zip(waiting, verdicts, strict=True):
            if good:
                self.remember(item)
            if not future.done():
                future.set_result(good)
