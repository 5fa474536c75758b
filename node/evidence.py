"""Which evidence a block may have: the node's side of `consensus.evidence`, with what ledger and state know."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consensus.evidence import check_age, check_form
from consensus.evidence import check_evidence as check_piece
from ledger.store import Ledger
from node.validation import Rejected, Then, VerifyAll, check_evidence
from qenex.block import MAX_EVIDENCE_AGE_NS, Block, Evidence, Validator
from qenex.errors import EvidenceExpired, EvidenceInvalid, NotFound, Pruned
from vm.machine import Machine


class EvidenceRules:
    """Judges evidence against the chain.

    `newest` gives the validators of the last block, whose write may be under way, and the function that verifies
    signatures now.
    """

    def __init__(
        self,
        machine: Machine,
        ledger: Ledger,
        newest: Callable[[], tuple[tuple[Validator, ...], VerifyAll]],
    ) -> None:
        self._machine = machine
        self._ledger = ledger
        self._newest = newest

    def check_block(self, block: Block, *, decided: bool) -> None:
        """All evidence of a block that is to follow the last one; `decided` as in `check_evidence`. Raises Rejected."""
        if not block.evidence:
            return
        header = block.header
        for piece in block.evidence:
            if self._machine.has_evidence(self._ledger.committed, piece):
                raise Rejected("a block has this evidence already")
        if len(self.select(block.evidence)) < len(block.evidence):
            raise Rejected("there is evidence enough against a validator, or staking is paused")
        check_evidence(
            block.evidence,
            chain_id=header.chain_id,
            height=header.height,
            time=header.time,
            then=self._then,
            decided=decided,
            verify=self._newest()[1],
        )

    def select(self, pieces: Sequence[Evidence]) -> list[Evidence]:
        """Those of `pieces`, in their order, that are not more of one validator than the next block may have."""
        return self._machine.select_evidence(self._ledger.committed, pieces)

    def _then(self, height: int) -> Then | None:
        """Validators and time of an earlier height, if both are kept here. The last block's write may be under way."""
        ledger = self._ledger
        if ledger.header is not None and height == ledger.height:
            return Then(self._newest()[0], ledger.header.time)
        try:
            return Then(ledger.validators_at(height), ledger.blocks.header(height).time)
        except (NotFound, Pruned):
            return None

    def check(self, piece: Evidence, *, height: int, time: int) -> None:
        """Whether a block of this height and time (ns) may have a piece.

        Raises EvidenceInvalid, EvidenceExpired; NotFound where the accused's height is not held here.
        """
        check_form(piece)
        voted = piece.first.height
        if voted >= height:
            raise EvidenceInvalid("the votes are of no earlier height")
        then = self._then(voted)
        if then is None:
            raise NotFound(f"the validators of height {voted} are not held here")
        check_age(piece, height=height, time=time, voted_time=then.time, unbonding_ns=MAX_EVIDENCE_AGE_NS)
        if self._machine.has_evidence(self._ledger.committed, piece):
            raise EvidenceExpired("a block has this evidence already")
        if self._machine.is_told(self._ledger.committed, piece):
            raise EvidenceExpired("there is evidence enough against this validator")
        verify_all = self._newest()[1]

        def verify(key: bytes, message: bytes, signature: bytes) -> bool:
            return verify_all([(message, (key,), (signature,))])[0]

        check_piece(piece, self._ledger.chain_id, then.validators, verify)
