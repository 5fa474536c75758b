"""What the network benchmark sends: pre-signed transfers of many senders, each sender's in their order.

Each node gets a share of the senders, and their transfers in batches of JSON-RPC calls at a fixed rate, whatever
becomes of them: batches that are due go out on further connections while earlier ones are not answered. What is refused
stays its sender's next transfer and is offered again when it is the sender's turn, so that a refusal costs one
transfer and not all that follow.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Final

from benchmarks.network_nodes import Account

BATCH: Final = 50
"""Transactions of one HTTP request."""
LINES: Final = 8
"""Connections to one node."""


class Sender:
    """An account with its transfers, put into JSON before the clock runs. `at` is the next one."""

    __slots__ = ("at", "calls")

    def __init__(self, account: Account, count: int, chance: random.Random, to: Sequence[Account]) -> None:
        self.at = 0
        raws = [account.transfer(chance.choice(to).address) for _ in range(count)]
        self.calls = [
            b'{"jsonrpc":"2.0","id":%d,"method":"tx_submit","params":{"transaction":"0x%s"}}'
            % (number, raw.hex().encode())
            for number, raw in enumerate(raws)
        ]


class Load:
    """Transfers for each node at `rate` a second for all nodes together, over `seconds`; to any of `to`, else of the senders."""

    def __init__(
        self,
        accounts: Sequence[Account],
        nodes: int,
        rate: float,
        seconds: float,
        to: Sequence[Account] | None = None,
    ) -> None:
        chance = random.Random(1)
        self._rate = rate / nodes
        self._batches = [int(self._rate * seconds / BATCH)] * nodes
        self._senders: list[list[Sender]] = []
        for number in range(nodes):
            mine = accounts[number::nodes]
            each = -(-self._batches[number] * BATCH // len(mine)) + 1
            self._senders.append([Sender(account, each, chance, to or accounts) for account in mine])
        self._accounts = accounts
        self.accepted = self.refused = 0
        self.reasons: dict[str, int] = {}
        self.late = 0.0
        """Most seconds by which a request was sent too late."""

    async def send(self, number: int, port: int, begin: float) -> None:
        """Send one node's share. The nodes take turns, so that the load is even."""
        lines: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(LINES)]
        for line in opened:
            lines.put_nowait(line)
        senders, turn, gap = self._senders[number], 0, BATCH / self._rate
        begin += gap * number / len(self._senders)
        running: list[asyncio.Task[None]] = []
        for at in range(self._batches[number]):
            due = begin + at * gap
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            line = await lines.get()
            self.late = max(self.late, time.monotonic() - due)
            batch = [senders[(turn + step) % len(senders)] for step in range(BATCH)]
            turn += BATCH
            running.append(asyncio.create_task(self._one(batch, line, lines)))
        await asyncio.gather(*running)
        for _, writer in opened:
            writer.close()

    async def _one(
        self,
        batch: Sequence[Sender],
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        lines: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
    ) -> None:
        calls = []
        for sender in batch:
            calls.append(sender.calls[sender.at])
            sender.at += 1  # taken back below if it is refused
        reader, writer = line
        writer.write(_request(calls))
        body = await _answer(reader)
        lines.put_nowait(line)
        if b'"error"' not in body:
            self.accepted += len(batch)
            return
        for sender, item in zip(batch, json.loads(body), strict=True):
            if "error" in item:
                sender.at -= 1
                self.refused += 1
                name = str(item["error"].get("data", {}).get("name"))
                self.reasons[name] = self.reasons.get(name, 0) + 1
            else:
                self.accepted += 1

    def end(self) -> None:
        """Take back what was signed and never admitted: other loads may use the same accounts."""
        for number, senders in enumerate(self._senders):
            mine = self._accounts[number :: len(self._senders)]
            for account, sender in zip(mine, senders, strict=True):
                account.sequence -= len(sender.calls) - sender.at


def _request(calls: Sequence[bytes]) -> bytes:
    body = b"[" + b",".join(calls) + b"]"
    return (
        b"POST /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    ) + body


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return await reader.readexactly(int(value))
    raise RuntimeError(f"no length: {head!r}")
