"""What a node tells its operator: why it makes no blocks, where it stands; and that nobody waits at its end."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node import node as node_module
from node.home import init_home
from node.node import Node
from tests.node.chain_helpers import VALIDATOR, Wallet, make_genesis, until

SETTINGS: dict[str, Any] = {"rpc": {"port": 0}, "p2p": {"port": 0}, "verifier": {"workers": 0}}


async def test_a_node_without_a_key_says_that_it_makes_no_blocks(
    short_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = init_home(short_path / "full", make_genesis([Wallet(1)]), settings=SETTINGS)
    caplog.set_level(logging.INFO, "qenex")
    node = Node(config)
    await node.start()
    try:
        assert "no validator key" in node.not_ready()
        told = [record for record in caplog.records if "makes no blocks" in record.getMessage()]
        assert [record.levelname for record in told] == ["WARNING"]
        assert told[0].__dict__["key_file"] == str(config.validator_key_path)
    finally:
        await node.stop()


async def test_the_log_says_at_intervals_where_the_node_stands(
    short_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "REPORT_SECONDS", 0.05)
    config = init_home(short_path / "home", make_genesis([Wallet(1)]), validator=VALIDATOR, settings=SETTINGS)
    caplog.set_level(logging.INFO, "qenex")
    node = Node(config)
    await node.start()
    try:
        await until(lambda: any(r.getMessage() == "status" and r.__dict__["height"] for r in caplog.records))
    finally:
        await node.stop()
    assert not [record for record in caplog.records if "makes no blocks" in record.getMessage()]
    lines = [record.__dict__ for record in caplog.records if record.getMessage() == "status"]
    assert lines[-1]["makes_blocks"] is True
    assert sum(line["new_blocks"] for line in lines) == lines[-1]["height"]


async def test_a_stopping_node_answers_those_who_wait_at_once(short_path: Path) -> None:
    wallets = [Wallet(1), Wallet(2)]
    config = init_home(
        short_path / "full", make_genesis(wallets), settings=SETTINGS
    )  # no key: no block comes
    node = Node(config)
    await node.start()
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tx_submitAndWait",
        "params": {"transaction": "0x" + wallets[0].transfer(wallets[1].address, 5).hex()},
    }
    async with aiohttp.ClientSession() as session:

        async def ask() -> dict[str, Any]:
            async with session.post(f"http://127.0.0.1:{node.port}/rpc", json=call) as answer:
                return dict(await answer.json())

        asked = asyncio.create_task(ask())
        await until(lambda: node.service._waiting == 1)
        begun = time.monotonic()
        await node.stop()
        assert time.monotonic() - begun < 1.5
        error = (await asked)["error"]
    assert error["data"]["name"] == "outcome_unknown"
    assert "the node stops" in error["message"]
    assert error["data"]["valid_until"] > 0
