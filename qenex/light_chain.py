"""A light client's memory and its walk from one trusted header to another, without any input or output.

`LightChain.verify` is a generator: it yields what it must be told (`Ask`) and is sent the answer, or has the typed
error thrown into it with which the source failed. So the blocking client, the asynchronous one and a node that
asks its peers run the same walk. Source 0 is the primary; 1, 2, ... are witnesses, asked about every height
that was newly verified. A witness with another header that verifies as well means that validators signed two
histories: `HeaderConflict` then carries both. A witness whose header does not verify is not asked again.

Downwards from the oldest trusted header, parent hashes prove each header; that needs no signatures and never expires,
as far as the upper one is within its trusting period.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from qenex.block import FLAG_COMMIT, PRECOMMIT, Evidence, Header, SignedVote, Validator, block_hash
from qenex.errors import (
    HeaderConflict,
    NodeUnreachable,
    NotEnoughTrust,
    NotFound,
    NoWitness,
    ProofInvalid,
    Pruned,
    QenexError,
    TrustExpired,
)
from qenex.light import verify_commit, verify_header, verify_validators
from qenex.light_rules import (
    MAX_BACKWARDS,
    Checkpoint,
    LightBlock,
    LightOptions,
    Trusted,
    check_fresh,
    verify_next,
    verify_parent,
)

PRIMARY = 0


class Ask(NamedTuple):
    """Wanted: the header of a height from a source; `whole`: with its commit and validators (a LightBlock)."""

    source: int
    height: int
    whole: bool


Answer: TypeAlias = LightBlock | Header
Steps: TypeAlias = Generator[Ask, Answer, LightBlock]
HeaderSteps: TypeAlias = Generator[Ask, Answer, Header]


class LightChain:
    """Trusted headers of one chain; see the module. `clock` tells nanoseconds since 1970.

    `chain_id` is compared with the checkpoint's header where it is known.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        clock: Callable[[], int],
        *,
        witnesses: int = 0,
        options: LightOptions | None = None,
        chain_id: str | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.options = options or LightOptions()
        self.chain_id = chain_id
        self.faulty: dict[int, QenexError] = {}
        """Witnesses that told a header which does not verify, and what was wrong with it."""
        self._clock = clock
        self._witnesses = witnesses
        self._trusted: dict[int, Trusted] = {}
        self._below: dict[int, Header] = {}
        """Headers proved by parent hashes."""

    # -- what is known ---------------------------------------------------------------------

    @property
    def latest(self) -> Trusted | None:
        """The highest trusted header; None before the checkpoint was fetched."""
        return self._trusted[max(self._trusted)] if self._trusted else None

    def known_validators(self, root: bytes) -> tuple[Validator, ...] | None:
        """A validator set by its hash, if a trusted header has it: it need not be fetched again."""
        for trusted in self._trusted.values():
            if trusted.header.validators_hash == root:
                return trusted.validators
        return None

    def header(self, height: int) -> Header | None:
        """A verified header that is remembered."""
        trusted = self._trusted.get(height)
        return self._below.get(height) if trusted is None else trusted.header

    def take_over(self, other: LightChain) -> None:
        """Trust what another walk from the same checkpoint has verified. Raises ValueError for another checkpoint."""
        if other.checkpoint != self.checkpoint:
            raise ValueError("trust comes from the same checkpoint, or from none")
        self._trusted.update(other._trusted)
        self._below.update(other._below)

    # -- the walk --------------------------------------------------------------------------

    def verify(self, height: int) -> HeaderSteps:
        """Verify the header of a height; the generator returns it.

        Raises TrustExpired, ProofInvalid, NoWitness, HeaderConflict, and what the primary fails with.
        """
        if not self._trusted:
            yield from self._begin()
        known = self.header(height)
        if known is not None:
            return known
        below = max((at for at in self._trusted if at < height), default=None)
        if below is None or not self._is_fresh(self._trusted[below]):
            above = min((at for at in self._trusted if at > height), default=None)
            if above is not None:
                return (yield from self._downwards(self._trusted[above].header, height))
            latest = self.latest
            assert latest is not None  # `_begin` has put one there
            check_fresh(latest.header, self._clock(), self.options)
            assert below is not None
        start = self._trusted[below]
        target = yield from self._whole(PRIMARY, height)
        trace = yield from self._upwards(PRIMARY, start, target)
        yield from self._compare(start, trace)
        for block in trace:
            self._trusted[block.header.height] = Trusted(block.header, block.validators)
        self._forget()
        return target.header

    def verify_whole(self, height: int) -> Steps:
        """Verify a height as `verify`; return the header with a verified commit and validator set."""
        header = yield from self.verify(height)
        block = yield from self._whole(PRIMARY, height)
        verify_header(block.header, block_hash(header))
        verify_commit(header, block.commit, block.validators)
        return block

    def _begin(self) -> Generator[Ask, Answer, None]:
        """Fetch the checkpoint's block: its hash is what is trusted."""
        block = yield from self._whole_of_any(self.checkpoint.height)
        verify_header(block.header, self.checkpoint.hash)
        if self.chain_id is not None and block.header.chain_id != self.chain_id:
            raise ProofInvalid(
                f"the checkpoint is of chain {block.header.chain_id[:64]!a}, not {self.chain_id!a}"
            )
        check_fresh(block.header, self._clock(), self.options)
        verify_validators(block.header.validators_hash, block.validators)
        self._trusted[self.checkpoint.height] = Trusted(block.header, block.validators)

    def _upwards(
        self, source: int, start: Trusted, target: LightBlock
    ) -> Generator[Ask, Answer, list[LightBlock]]:
        """Verify `target` from `start`, with heights between where trust does not reach (bisection).

        Returns the blocks that were verified, ascending. At most 64 wait at a time.
        """
        trusted, trace, waiting = start, [], [target]
        while waiting:
            block = waiting[-1]
            try:
                verify_next(trusted, block, self._clock(), self.options)
            except NotEnoughTrust:
                middle = (trusted.header.height + block.header.height) // 2
                fetch = self._whole_of_any(middle) if source == PRIMARY else self._whole(source, middle)
                waiting.append((yield from fetch))
                continue
            trusted = Trusted(block.header, block.validators)
            trace.append(waiting.pop())
        return trace

    def _downwards(self, child: Header, height: int) -> HeaderSteps:
        check_fresh(child, self._clock(), self.options)
        while child.height > height and (known := self._below.get(child.height - 1)) is not None:
            child = known
        if child.height - height > MAX_BACKWARDS:
            raise TrustExpired(
                f"height {height} lies more than {MAX_BACKWARDS} below what is trusted",
                hint="give a checkpoint nearer to that height",
            )
        while child.height > height:
            parent = yield from self._header(PRIMARY, child.height - 1)
            verify_parent(child, parent)
            child = parent
        self._below[height] = child
        while len(self._below) > self.options.kept:
            del self._below[next(iter(self._below))]
        return child

    # -- witnesses -------------------------------------------------------------------------

    def _compare(self, start: Trusted, trace: list[LightBlock]) -> Generator[Ask, Answer, None]:
        """Ask every witness for the newly verified header. Raises NoWitness, HeaderConflict."""
        agreed, silence = 0, ""
        target = trace[-1]
        for number in range(1, self._witnesses + 1):
            if number in self.faulty:
                continue
            try:
                theirs = yield from self._header(number, target.header.height)
                if block_hash(theirs) == block_hash(target.header):
                    agreed += 1
                else:
                    yield from self._diverged(number, start, trace)
            except HeaderConflict:
                raise
            except ProofInvalid as error:
                self.faulty[number] = error
            except (
                QenexError
            ) as error:  # away, behind, or no longer keeping that height: no word against anybody
                silence = error.message
        if self._witnesses and not agreed:
            why = f": {silence[:200]}" if silence else ""
            raise NoWitness(f"no witness confirms the header of height {target.header.height}{why}")

    def _diverged(self, number: int, start: Trusted, trace: list[LightBlock]) -> Generator[Ask, Answer, None]:
        """Find where a witness parts from the primary, and whether what it says verifies as well."""
        common = start
        for block in trace:
            theirs = yield from self._whole(number, block.header.height)
            if block_hash(theirs.header) == block_hash(block.header):
                common = Trusted(block.header, block.validators)
                continue
            yield from self._upwards(number, common, theirs)
            raise conflict_of(common.header, block, theirs)

    # -- inside ----------------------------------------------------------------------------

    def _is_fresh(self, trusted: Trusted) -> bool:
        try:
            check_fresh(trusted.header, self._clock(), self.options)
        except TrustExpired:
            return False
        return True

    def _whole(self, source: int, height: int) -> Generator[Ask, Answer, LightBlock]:
        answer = yield Ask(source, height, True)
        if not isinstance(answer, LightBlock) or answer.header.height != height:
            raise ProofInvalid(f"asked for height {height}, told of another")
        return answer

    def _whole_of_any(self, height: int) -> Generator[Ask, Answer, LightBlock]:
        """A block on the way, from the primary or, where that began later, from a witness: it proves itself."""
        try:
            return (yield from self._whole(PRIMARY, height))
        except (NotFound, Pruned) as error:
            for number in range(1, self._witnesses + 1):
                if number not in self.faulty:
                    with suppress(NotFound, Pruned, NodeUnreachable):
                        return (yield from self._whole(number, height))
            raise error from None

    def _header(self, source: int, height: int) -> HeaderSteps:
        answer = yield Ask(source, height, False)
        if not isinstance(answer, Header) or answer.height != height:
            raise ProofInvalid(f"asked for height {height}, told of another")
        return answer

    def _forget(self) -> None:
        for height in sorted(self._trusted)[: max(len(self._trusted) - self.options.kept, 0)]:
            del self._trusted[height]


def conflict_of(common: Header, primary: LightBlock, witness: LightBlock) -> HeaderConflict:
    """The error that tells of two verified headers of one height, with what proves who signed both.

    Where both commits are of one round, whoever signed both has voted twice: `evidence` has those votes, as any
    node takes them. `kind` is `lunatic` where a header says what no execution gives, `equivocation` where both
    were signed in one round, else `amnesia`: validators forgot what they were locked on.
    """
    evidence = _double_votes(primary, witness) if primary.commit.round == witness.commit.round else ()
    own, other = primary.header, witness.header
    dictated = ("validators_hash", "next_validators_hash", "parameters_hash", "state_root", "results_root")
    if any(getattr(own, name) != getattr(other, name) for name in dictated):
        kind = "lunatic"
    else:
        kind = "equivocation" if primary.commit.round == witness.commit.round else "amnesia"
    error = HeaderConflict(
        f"two headers of height {own.height} are both signed by the validators: 0x{block_hash(own).hex()} and "
        f"0x{block_hash(other).hex()} ({kind}); the last common height is {common.height}"
    )
    error.kind, error.common, error.primary, error.witness = kind, common, primary, witness
    error.evidence = evidence
    return error


def _double_votes(primary: LightBlock, witness: LightBlock) -> tuple[Evidence, ...]:
    first, second = sorted((primary.commit, witness.commit), key=lambda commit: commit.block_hash)
    others = {entry.address: entry for entry in second.signatures if entry.flag == FLAG_COMMIT}
    found = []
    for entry in first.signatures:
        other = others.get(entry.address)
        if entry.flag == FLAG_COMMIT and other is not None:
            votes = [
                SignedVote(
                    each.address, PRECOMMIT, commit.height, commit.round, commit.block_hash, each.signature
                )
                for each, commit in ((entry, first), (other, second))
            ]
            found.append(Evidence("duplicate_vote", votes[0], votes[1]))
    return tuple(found)
