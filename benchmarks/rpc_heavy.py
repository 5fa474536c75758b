"""The dearest reads that a node answers, for `benchmarks.rpc`: each kind asked again and again by some callers."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.network_nodes import CHAIN_ID, Account, NodeProcess
from qenex.crypto import encode_address

Ask = Callable[[int], bytes]
"""The body of the call of this number."""


def call(method: str, **params: Any) -> bytes:
    """A JSON-RPC request."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def fullest(node: NodeProcess) -> tuple[int, str]:
    """Height and last transaction of the fullest of the newest blocks. Ends the process where none has transactions."""
    top = node.call("node_status")["height"]
    found, most = (0, ""), 0
    for height in range(max(1, top - 40), top + 1):
        transactions = node.call("chain_getBlock", height=height)["transactions"]
        if len(transactions) > most:
            most, found = len(transactions), (height, transactions[-1]["hash"])
    if not most:
        raise SystemExit("the node has made no block with transactions: nothing heavy can be asked")
    return found


class Heavy:
    """See the module. `askers` have money and never send; `place` is the height and a transaction of a full block."""

    def __init__(
        self,
        node: NodeProcess,
        accounts: Sequence[Account],
        askers: Sequence[Account],
        place: tuple[int, str],
    ) -> None:
        self._node = node
        self._askers = askers
        self._addresses = [encode_address(account.address) for account in accounts]
        self._place = place
        self._stopped = False
        self.refused: str | None = None
        """What the last refused call was told."""

    def _transfers(self, number: int, count: int) -> dict[str, Any]:
        """A transaction, not signed, of so many transfers by an account that has never sent one."""
        own = self._askers[number % len(self._askers)]
        to = self._addresses[number % len(self._addresses)]
        send = {"to": to, "amount": {"denom": "QXC", "amount": "1"}}
        signer = {"address": encode_address(own.address), "sequence": 0, "scoped_key": None}
        return {
            "chain_id": CHAIN_ID,
            "signers": [{**signer, "public_key": "0x" + own.key.hex()}],
            "messages": [{"name": "bank.send", "args": send, "signer": 0}] * count,
            "fee": {"max": str(10**12), "gas_limit": 1_000_000, "tip": "0"},
            "valid_until": 9_000,
            "lease": None,
            "memo": "",
            "signatures": [],
        }

    def _proved(self, number: int) -> bytes:
        addresses = self._addresses
        picked = [addresses[(number * 100 + at) % len(addresses)] for at in range(100)]
        calls = [
            {
                "jsonrpc": "2.0",
                "id": at,
                "method": "bank_getBalance",
                "params": {"address": address, "denom": "QXC", "prove": True},
            }
            for at, address in enumerate(picked)
        ]
        return json.dumps(calls).encode()

    def kinds(self) -> dict[str, Ask]:
        """Calls by the name of their kind."""
        height, tx_hash = self._place
        many = b"[" + b",".join([b"{}"] * 16_000) + b"]"
        return {
            "nothing": lambda number: call("node_health"),
            "chain_getBlock": lambda number: call("chain_getBlock", height=height),
            "chain_getBlocks": lambda number: call("chain_getBlocks", limit=100),
            "events_query, none fit": lambda number: call(
                "events_query", event="none.such", from_height=height
            ),
            "events_query, last page": lambda number: call(
                "events_query", cursor=f"{height}.{number % 500}.0", limit=100
            ),
            "tx_get, proved": lambda number: call("tx_get", hash=tx_hash, prove=True),
            "tx_simulate, 128 messages": lambda number: call(
                "tx_simulate", transaction=self._transfers(number, 128)
            ),
            "tx_estimateFee, 128 messages": lambda number: call(
                "tx_estimateFee", transaction=self._transfers(number, 128)
            ),
            "100 proved balances": self._proved,
            "chain_getGenesis": lambda number: call("chain_getGenesis"),
            "rpc.discover": lambda number: call("rpc.discover"),
            "16,000 calls, refused": lambda number: many,
            "1 MB of hex, refused": lambda number: call("tx_decode", transaction="0x" + "ab" * 500_000),
        }

    def stop(self) -> None:
        """Let `repeat` return."""
        self._stopped = True

    async def repeat(self, ask: Ask, callers: int) -> list[float]:
        """Ask until `stop`; how long each call took, in seconds."""
        self._stopped = False
        self.refused = None
        took: list[float] = []

        def one(caller: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self._node.rpc_port, timeout=60)
            number = caller
            try:
                while not self._stopped:
                    body = ask(number)
                    started = time.perf_counter()
                    connection.request("POST", "/rpc", body, {"Content-Type": "application/json"})
                    answer = connection.getresponse().read()
                    if answer.startswith(b'{"jsonrpc":"2.0","id":1,"error"'):
                        self.refused = answer.decode()
                    took.append(time.perf_counter() - started)
                    number += callers
            finally:
                connection.close()

        await asyncio.gather(*[asyncio.to_thread(one, caller) for caller in range(callers)])
        return took
