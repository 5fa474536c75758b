"""The engine's parts by themselves: votes verified once, evidence kept over restarts, the log beside the loop."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

import pytest

from consensus.events import Step, TimedOut, Verified
from consensus.evidence import make_evidence
from consensus.wal import FileStorage, MemoryStorage, log_name
from node.bft_alone import Alone
from node.bft_evidence import MAX_PER_VALIDATOR, EvidencePool
from node.bft_log import EventLog
from node.bft_votes import INLINE, VoteVerifier
from node.verifier import Verifier
from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    PRECOMMIT,
    PREVOTE,
    Commit,
    CommitSignature,
    Evidence,
    SignedVote,
    Validator,
    vote_sign_bytes,
)
from qenex.errors import EvidenceExpired
from tests.node.bft_network import make_keys
from tests.node.chain_helpers import CHAIN, Wallet, make_genesis, open_application, produce

KEYS = make_keys(12)
VALIDATORS = {key.address: Validator(key.address, key.key, 1) for key in KEYS}
A, B = b"a" * 32, b"b" * 32


@functools.cache  # signing anew gives other bytes
def vote(
    number: int, block: bytes | None, *, type: int = PRECOMMIT, round: int = 0, height: int = 5
) -> SignedVote:
    key = KEYS[number]
    message = vote_sign_bytes(CHAIN, type, height, round, block)
    return SignedVote(key.address, type, height, round, block, key.sign(message))


def commit_of(count: int) -> Commit:
    entries = [
        CommitSignature(v.address, FLAG_COMMIT, v.signature)
        if number < count
        else CommitSignature(v.address, FLAG_ABSENT, b"")
        for number, v in enumerate([vote(n, A) for n in range(len(KEYS))])
    ]
    return Commit(5, 0, A, tuple(entries))


@pytest.fixture
async def verifier():
    made = Verifier(1)
    await made.start()
    yield made
    await made.stop()


# -- votes -------------------------------------------------------------------------------------


async def test_many_votes_at_once_are_verified_by_workers_and_known_in_the_commit(verifier: Verifier):
    votes = VoteVerifier(verifier, CHAIN)
    cast = [vote(number, A) for number in range(len(KEYS))]
    assert len(cast) > INLINE
    assert await asyncio.gather(*[votes.check(one, VALIDATORS) for one in cast]) == [True] * len(cast)
    verified, hits = verifier.verified, votes.hits
    assert await votes.check(commit_of(len(KEYS)), VALIDATORS)
    assert verifier.verified == verified, "nothing was verified again"
    assert votes.hits == hits + len(KEYS)


async def test_a_bad_vote_among_good_ones_is_the_only_one_refused(verifier: Verifier):
    votes = VoteVerifier(verifier, CHAIN)
    cast = [vote(number, A, type=PREVOTE) for number in range(len(KEYS))]
    cast[7] = cast[7]._replace(block_hash=B)
    answers = await asyncio.gather(*[votes.check(one, VALIDATORS) for one in cast])
    assert [number for number, good in enumerate(answers) if not good] == [7]
    stranger = vote(3, A)._replace(address=Wallet(77).address)
    assert not await votes.check(stranger, VALIDATORS)


async def test_a_commit_needs_two_thirds_and_every_signature_good():
    votes = VoteVerifier(Verifier(0), CHAIN)
    assert await votes.check(commit_of(9), VALIDATORS)
    assert not await votes.check(commit_of(8), VALIDATORS)
    good = commit_of(10)
    bad = [*good.signatures]
    bad[2] = bad[2]._replace(signature=bad[3].signature)
    assert not await votes.check(good._replace(signatures=tuple(bad)), VALIDATORS)


# -- evidence ----------------------------------------------------------------------------------


class Pool:
    """A pool on one folder; `expired` are rounds that no block may have any more."""

    def __init__(self, folder: Path) -> None:
        self.expired: set[int] = set()
        self.checked = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.pool = EvidencePool(folder / "evidence", self._check, Alone(), self._spawn)

    def _check(self, piece: Evidence) -> None:
        self.checked += 1
        if piece.first.round in self.expired:
            raise EvidenceExpired("too old")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task


def double_vote(number: int, round: int = 0, height: int = 5) -> Evidence:
    return make_evidence(*[vote(number, block, round=round, height=height) for block in (A, B)])


async def test_evidence_outlives_a_restart_and_leaves_with_a_block_or_with_time(tmp_path: Path):
    first = Pool(tmp_path)
    pieces = [double_vote(1), double_vote(2), double_vote(3, round=4)]
    assert all(first.pool.add(piece) for piece in pieces)
    assert not first.pool.add(make_evidence(vote(1, A), vote(1, None))), "the same deed"
    await first.pool.close()
    again = Pool(tmp_path)
    again.pool.load()
    assert again.pool.pending() == pieces
    assert again.pool.pending(5) == [], "a deed of height 5 is for the block after it"
    assert again.pool.pending(6) == pieces
    again.expired = {4}
    again.pool.block_committed(7, [pieces[0]])
    assert again.pool.pending() == [pieces[1]]
    assert again.pool.committed == 1
    await again.pool.close()
    third = Pool(tmp_path)
    third.pool.load()
    assert third.pool.pending() == [pieces[1]]


async def test_one_validators_evidence_fills_no_pool_and_a_damaged_file_is_no_end(tmp_path: Path):
    made = Pool(tmp_path)
    taken = [made.pool.add(double_vote(1, round=n)) for n in range(MAX_PER_VALIDATOR + 2)]
    assert taken == [True] * MAX_PER_VALIDATOR + [False] * 2
    assert made.checked == MAX_PER_VALIDATOR, "signatures beyond the bound are not even verified"
    await made.pool.close()
    data = bytearray((tmp_path / "evidence").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "evidence").write_bytes(data)
    again = Pool(tmp_path)
    again.pool.load()
    assert len(again.pool) == 0


async def test_evidence_of_an_earlier_offence_takes_the_place_of_later_ones(tmp_path: Path):
    """Whoever votes twice could fill his places in the pool before the offence comes to light for which most stake answers."""
    made = Pool(tmp_path)
    later = [double_vote(1, height=6, round=n) for n in range(MAX_PER_VALIDATOR)]
    assert all(made.pool.add(piece) for piece in later)
    earlier = double_vote(1, height=5)
    assert made.pool.add(earlier)
    assert made.pool.pending(7) == [earlier, *later[:-1]], "the earliest first"
    assert not made.pool.add(later[-1])
    assert not made.pool.add(double_vote(1, height=5, round=1)), "no earlier one"
    made.pool.block_committed(7, [earlier, *later[:-1]])
    assert made.pool.add(double_vote(1, height=4)), "the chain's rules say whether a block may have it"
    await made.pool.close()


async def test_who_has_nothing_to_lose_makes_no_blocks_of_evidence_for_ever(tmp_path: Path):
    made = Pool(tmp_path)
    for n in range(MAX_PER_VALIDATOR):
        assert made.pool.add(double_vote(1, round=n))
        made.pool.block_committed(7 + n, [double_vote(1, round=n)])
    assert not made.pool.add(double_vote(1, round=100))
    assert made.pool.add(double_vote(2, round=100)), "the others' is taken"
    await made.pool.close()


# -- the log -----------------------------------------------------------------------------------


class SlowStorage(MemoryStorage):
    """A disk whose sync lasts until it is let go; counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0
        self.durable: dict[str, bytes] = {}

    def sync(self, name: str) -> None:
        self.syncs += 1
        self.durable[name] = self.files.get(name, b"")


async def test_what_is_appended_during_a_sync_is_in_the_next_one(tmp_path: Path):
    storage = SlowStorage()
    log = EventLog(storage)
    await log.begin(5)
    told = [Verified("peer", vote(number, A)) for number in range(6)]
    for event in told[:3]:
        log.append(event)
    flushing = asyncio.create_task(log.flush())
    await asyncio.sleep(0)
    for event in told[3:]:
        log.append(event)
    await flushing
    assert log.is_dirty
    await asyncio.gather(log.flush(), log.flush())
    assert not log.is_dirty
    assert storage.syncs == 2, "those who wait at the same time share a sync"
    storage.files = dict(storage.durable)
    again = EventLog(storage)
    assert list((await again.begin(5)).events) == told
    await log.close()
    await again.close()


async def test_old_logs_go_in_the_thread_and_a_disk_that_refuses_ends_the_next_height(tmp_path: Path):
    class Refusing(FileStorage):
        threads: ClassVar[set[threading.Thread]] = set()
        refuses = False

        def remove(self, name: str) -> None:
            self.threads.add(threading.current_thread())
            if self.refuses:
                raise OSError("read-only file system")
            super().remove(name)

    storage = Refusing(tmp_path / "wal")
    log = EventLog(storage)
    for height in range(1, 5):
        await log.begin(height)
        log.append(TimedOut(height, 0, Step.PROPOSE))
        await log.flush()
    assert storage.names() == [log_name(3), log_name(4)]
    assert storage.threads
    assert threading.main_thread() not in storage.threads
    storage.refuses = True
    await log.begin(5)
    log.append(TimedOut(5, 0, Step.PROPOSE))
    await log.flush()
    with pytest.raises(OSError, match="read-only"):
        await log.begin(6)
    await log.begin(6)
    with pytest.raises(OSError, match="read-only"):
        await log.close()


async def test_a_block_is_kept_once_and_comes_back_whole(tmp_path: Path):
    block = produce(open_application(tmp_path / "data", make_genesis([Wallet(1)])))
    storage = FileStorage(tmp_path / "wal")
    log = EventLog(storage)
    await log.begin(1)
    assert log.keep_body(A, block)
    assert not log.keep_body(A, block)
    log.append(TimedOut(1, 0, Step.PROPOSE))
    await log.flush()
    await log.close()
    again = EventLog(FileStorage(tmp_path / "wal"))
    recovered = await again.begin(1)
    assert recovered.bodies == {A: block}
    assert recovered.events == (TimedOut(1, 0, Step.PROPOSE),)
    assert recovered.intact
    assert again.has_body(A)
    assert (await again.begin(2)).bodies == {}
    await again.close()
