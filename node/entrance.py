"""Where transactions submitted at this node come in: past the gate, through admission, on to the peers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from node.application import Application
from node.gate import Gate
from qenex.errors import QenexError
from qenex.transaction import Transaction

Spread = Callable[[Sequence[Transaction]], None]
"""Tells the peers of transactions that were admitted."""


def _nobody(transactions: Sequence[Transaction]) -> None:
    """There are no peers."""


class Entrance:
    """See the module. `caller` names who submits: those who send little are not kept out by those who send much."""

    def __init__(self, application: Application, spread: Spread = _nobody, gate: Gate | None = None) -> None:
        self._application = application
        self._spread = spread
        self.gate = Gate(time.monotonic) if gate is None else gate

    async def submit(self, raw: bytes, caller: str = "") -> Transaction:
        """Verify, admit and spread a transaction. Raises NodeBusy or what `Admission.submit` does; then nothing was kept."""
        gate = self.gate
        if not gate.ask(caller, 1):
            raise gate.refusal()
        try:
            tx = await self._application.admission.submit(raw)
        except BaseException:
            gate.left(caller)
            raise
        gate.entered(caller, tx.tx_id)
        self._spread((tx,))
        return tx

    async def submit_many(self, raws: Sequence[bytes], caller: str = "") -> list[Transaction | QenexError]:
        """The same for a batch in its order, verified together; per item the transaction or the error.

        Where there is not room for all, the first ones are taken.
        """
        gate = self.gate
        granted = gate.ask(caller, len(raws))
        answers: list[Transaction | QenexError] = []
        try:
            if granted:
                answers = await self._application.admission.submit_in_order(raws[:granted])
        finally:
            admitted = [answer for answer in answers if isinstance(answer, Transaction)]
            for tx in admitted:
                gate.entered(caller, tx.tx_id)
            if granted > len(admitted):
                gate.left(caller, granted - len(admitted))
        if admitted:
            self._spread(admitted)
        if granted < len(raws):
            answers += [gate.refusal()] * (len(raws) - granted)
        return answers

    def committed(self, tx_ids: Iterable[bytes]) -> None:
        """A block took these."""
        self.gate.committed(tx_ids)
