"""Blocks that others made: their transactions are decoded once, and verified in the worker processes before they are executed.

For a block its transactions are what they are in the pool: decoded, with the keys noted under which their signatures were good. So plain
transfers of a foreign block go the short way as well, and nothing is decoded or verified where the block is executed.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.admission import READ_AT_ONCE, Admission
from node.floor import Work
from node.steps import EACH, Slice
from qenex.block import Block
from qenex.errors import QenexError
from qenex.transaction import Transaction, Transfer, decode_transaction

Pairs = Sequence[tuple[Transaction, tuple[bytes, ...]]]


async def verify_transactions(
    block: Block, admission: Admission, *, remember: bool = True
) -> Sequence[Transaction] | None:
    """Return the block's transactions for the execution of this very block; None where one is malformed.

    The execution says which, and judges what cannot be verified with the keys known now. With `remember` signatures are
    also noted by witness id, for an execution that is not given these objects. Raises LimitExceeded or ProcessFailed where
    the verifier could not judge, StorageFault.
    """
    decoded = await decode_transactions(block, admission)
    if decoded is None:
        return None
    transactions, pairs = decoded
    await admission.verifier.verify_all(pairs, remember=remember)
    return transactions


async def decode_transactions(
    block: Block, admission: Admission
) -> tuple[Sequence[Transaction], Pairs] | None:
    """Return the block's transactions, and those whose signatures are to be verified, with their keys; None where one is malformed.

    The accounts of who signs alone, and of who receives plain transfers, are in memory then. Raises StorageFault.
    """
    pool, check = admission.mempool, admission.check
    transactions: list[Transaction] = []
    turn = Slice()
    try:
        for number, raw in enumerate(block.transactions):
            known = pool.get_raw(raw) if len(pool) else None
            transactions.append(decode_transaction(raw) if known is None else known)
            if number % EACH == 0 and turn.over():
                await turn.pause(Work.BLOCKS)
    except QenexError:
        return None
    # The execution asks for accounts one by one; those of what waits in the pool were read before.
    new = [tx for tx in transactions if tx.verified is None]
    wanted = [tx.sender for tx in new if tx.sender]
    wanted = sorted(wanted + [tx.recipient for tx in new if type(tx) is Transfer and tx.recipient])
    for at in range(0, len(wanted), READ_AT_ONCE):
        admission.load(wanted[at : at + READ_AT_ONCE])
        await turn.pause(Work.BLOCKS)
    pairs: list[tuple[Transaction, tuple[bytes, ...]]] = []
    for number, tx in enumerate(new):
        key = check.inline_key(tx.sender) if tx.sender else None
        try:
            pairs.append((tx, (key,) if key is not None else check.signing_keys(tx)))
        except QenexError:
            continue
        if number % EACH == 0 and turn.over():
            await turn.pause(Work.BLOCKS)
    return transactions, pairs
