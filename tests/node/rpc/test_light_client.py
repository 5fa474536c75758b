"""`client.light` over real sockets, against the RPC of a chain that really runs, and against one that lies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.rpc.app import AdminMethods, build_server
from node.rpc.limits import Limits
from node.rpc.server import ServerSettings
from qenex.async_client import AsyncQenexClient
from qenex.block import block_hash
from qenex.client import QenexClient
from qenex.errors import HeaderConflict, InvalidArguments, NoWitness, ProofInvalid, TrustExpired
from qenex.light_rules import Checkpoint, LightOptions
from tests.node.rpc.chain_helpers import ALICE, BOB, CHAIN_ID, QXC_EACH, TestChain

AGES = LightOptions(trusting_period=100 * 365 * 24 * 3_600 * 10**9)
"""The test's chain says it is of 2023."""


async def serve(chain: TestChain) -> Any:
    settings = ServerSettings(port=0, limits=Limits(rate=0))
    server = build_server(chain.service, settings, AdminMethods(lambda: None, lambda level: None))
    await server.start()
    return server


@pytest.fixture
async def chain():
    chain = TestChain()
    chain.mine(12)
    return chain


@pytest.fixture
async def url(chain):
    server = await serve(chain)
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


def checkpoint(chain: TestChain, height: int) -> Checkpoint:
    return Checkpoint(height, chain.ledger.blocks.hash(height))


async def test_headers_and_balances_are_verified_from_a_checkpoint(chain, url):
    async with AsyncQenexClient(url, trusted=checkpoint(chain, 3), light=AGES, chain_id=CHAIN_ID) as client:
        assert client.light.configured
        assert await client.light.verify() == chain.ledger.blocks.header(12)
        assert await client.light.verify(7) == chain.ledger.blocks.header(7)
        assert await client.light.verify(1) == chain.ledger.blocks.header(1)
        block = await client.light.verify_block(5)
        assert block.commit == chain.ledger.blocks.commit(5)
        assert (await client.state.verified_balance(ALICE.address)).amount == QXC_EACH
        assert (await client.state.verified_account(BOB.address)).balance == QXC_EACH
        latest = client.light.chain.latest
        assert latest is not None
        assert latest.header.height == 12


async def test_the_blocking_client_does_the_same(chain, url):
    def read() -> int:
        with QenexClient(url, trusted=str(checkpoint(chain, 3)), light=AGES, witnesses=[url]) as client:
            return client.state.verified_balance(ALICE.address).amount

    assert await asyncio.to_thread(read) == QXC_EACH


async def test_a_wrong_checkpoint_or_chain_id_believes_nothing(chain, url):
    async with AsyncQenexClient(url, trusted=Checkpoint(3, bytes(32)), light=AGES) as client:
        with pytest.raises(ProofInvalid):
            await client.state.verified_balance(ALICE.address)
    async with AsyncQenexClient(url, trusted=checkpoint(chain, 3), light=AGES, chain_id="other") as client:
        with pytest.raises(ProofInvalid):
            await client.light.verify()


async def test_an_old_checkpoint_is_expired(chain, url):
    async with AsyncQenexClient(url, trusted=checkpoint(chain, 3)) as client:
        with pytest.raises(TrustExpired):
            await client.state.verified_balance(ALICE.address)


async def test_a_client_without_a_checkpoint_takes_the_nodes_word_and_has_no_light(chain, url):
    async with AsyncQenexClient(url) as client:
        assert not client.light.configured
        assert (await client.state.verified_balance(ALICE.address)).amount == QXC_EACH
        with pytest.raises(InvalidArguments, match="no trusted checkpoint"):
            await client.light.verify()
    with pytest.raises(InvalidArguments):
        AsyncQenexClient(url, witnesses=[url])
    with pytest.raises(InvalidArguments):
        AsyncQenexClient(url, trusted="nothing")


async def test_a_witness_of_a_forked_chain_is_a_conflict_with_both_headers(chain, url):
    """The same validator made two histories after height 0: his keys signed both."""
    other = TestChain()
    other.mine(3)
    assert other.ledger.blocks.hash(3) == chain.ledger.blocks.hash(3)
    await other.send()
    other.mine(9)
    server = await serve(other)
    witness = f"http://127.0.0.1:{server.port}"
    try:
        async with AsyncQenexClient(
            url, trusted=checkpoint(chain, 3), light=AGES, witnesses=[witness]
        ) as client:
            with pytest.raises(HeaderConflict) as caught:
                await client.state.verified_balance(ALICE.address)
        error = caught.value
        assert block_hash(error.primary.header) != block_hash(error.witness.header)
        assert error.common == chain.ledger.blocks.header(3)
    finally:
        await server.stop()


async def test_an_unreachable_witness_is_none(chain, url):
    async with AsyncQenexClient(
        url, trusted=checkpoint(chain, 3), light=AGES, witnesses=["http://127.0.0.1:9"]
    ) as client:
        with pytest.raises(NoWitness):
            await client.light.verify()


async def test_validators_of_every_height_are_served_though_old_state_is_gone():
    chain = TestChain(history=10)
    chain.mine(40)
    for _ in chain.app.upkeep_steps():
        pass
    for height in (1, 5, 40):
        answer = await chain.call("chain_getValidators", height=height)
        assert [entry["power"] for entry in answer["validators"]] == [10]
