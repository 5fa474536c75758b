"""Lock and valid value travel to a signer in a process of its own with each vote, and come back at the next start."""

from __future__ import annotations

import asyncio
from pathlib import Path

from consensus.signer import NO_LOCK, Lock, Memory
from node.remote_signer import RemoteSigner
from node.remote_signer_process import SignerServer, open_guard
from tests.node.chain_helpers import CHAIN, VALIDATOR

A, B = b"a" * 32, b"b" * 32


async def test_a_restarted_node_is_told_what_the_signer_remembers(tmp_path: Path):
    address = f"unix:{tmp_path}/signer.sock"
    guard = open_guard(VALIDATOR, tmp_path / "state.json", CHAIN, new=True)
    server = SignerServer(guard, VALIDATOR, address)
    await server.start()
    serving = asyncio.create_task(server.run())
    first, again = (RemoteSigner(address, chain_id=CHAIN) for _ in range(2))
    try:
        await asyncio.to_thread(first.describe)
        assert first.memory == Memory(0, 0, 0, NO_LOCK)
        await asyncio.to_thread(first.sign_prevote, 3, 1, A, Lock(-1, None, 0, A))
        signed = await asyncio.to_thread(first.sign_precommit, 3, 1, A, Lock(1, A, 1, A))
        assert first.memory == guard.memory == Memory(3, 1, 3, Lock(1, A, 1, A))
        assert await asyncio.to_thread(first.sign_precommit, 3, 1, A, NO_LOCK) == signed
        assert first.memory == guard.memory == Memory(3, 1, 3, Lock(1, A, 1, A)), "nothing is lowered"
        description = await asyncio.to_thread(again.describe)
        assert description.memory == again.memory == guard.memory
        await asyncio.to_thread(again.sign_proposal, 4, 0, -1, B)
        assert again.memory == guard.memory == Memory(4, 0, 1, NO_LOCK)
    finally:
        first.close()
        again.close()
        server.end()
        await serving
        guard.close()
