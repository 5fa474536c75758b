"""A node for the client's tests: a real HTTP and WebSocket server in a thread, with answers as told.

It keeps sequences and receipts of a tiny chain whose height moves when a test says so, and can be told
to answer any method with an error, raw bytes, a delay or a closed connection.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from qenex.crypto.address import Address, decode_address, encode_address
from qenex.errors import AlreadyKnown, NotFound, QenexError, WrongSequence
from qenex.transaction import Transaction, decode_body, decode_transaction

CHAIN = "fake-1"


class Raw:
    """Bytes (and perhaps a status) to send instead of an answer."""

    def __init__(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.body = body
        self.status = status
        self.headers = headers


class Close:
    """Close the connection without an answer, after the request was handled by `first` if given."""

    def __init__(self, first: Callable[[dict[str, Any]], Any] | None = None) -> None:
        self.first = first


class FakeNode:
    """See the module. `tell[method]` overrides what a method answers; a list is used up in order."""

    def __init__(self) -> None:
        self.height = 10
        self.balances: dict[Address, int] = {}
        self.sequences: dict[Address, int] = {}
        self.keys: dict[Address, bytes] = {}
        self.pool: dict[bytes, Transaction] = {}
        self.included: dict[bytes, tuple[int, Transaction, int]] = {}
        self.tell: dict[str, Any] = {}
        self.calls: list[str] = []
        self.requests = 0
        self.automatic = True
        self.fails_with = 0
        self.stream: list[Any] = []
        self.subscribed: list[dict[str, Any]] = []
        self.url = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def count(self, method: str) -> int:
        return self.calls.count(method)

    def commit(self, blocks: int = 1) -> None:
        """Include what waits, then move on."""
        self.height += 1
        for tx_id, tx in list(self.pool.items()):
            self.included[tx_id] = (self.height, tx, self.fails_with)
            del self.pool[tx_id]
        self.height += blocks - 1

    # -- serving -------------------------------------------------------------------------

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_post("/rpc", self._http)
        app.router.add_get("/ws", self._websocket)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _http(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        call = json.loads(await request.read())
        if isinstance(call, list):
            return web.json_response([self._answer(one) for one in reversed(call)])
        told = self._told(call["method"])
        self.calls.append(call["method"])
        if isinstance(told, float):
            await asyncio.sleep(told)
            told = None
        if isinstance(told, Close):
            if told.first is not None:
                told.first(call["params"])
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(told, Raw):
            body = told.body.replace(b"$ID", str(call["id"]).encode())
            return web.Response(body=body, status=told.status, headers=told.headers)
        return web.json_response(self._answer(call, told))

    def _told(self, method: str) -> Any:
        told = self.tell.get(method)
        if isinstance(told, list):
            return told.pop(0) if told else None
        return told

    def _answer(self, call: dict[str, Any], told: Any = None) -> dict[str, Any]:
        answer = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            if isinstance(told, QenexError):
                raise told
            if told is not None:
                return {**answer, "result": told(call["params"]) if callable(told) else told}
            handler = getattr(self, "do_" + call["method"])
            return {**answer, "result": handler(**call["params"])}
        except QenexError as error:
            data = {"name": error.name, "hint": error.hint, "retryable": error.retryable}
            return {**answer, "error": {"code": error.code, "message": error.message, "data": data}}

    # -- methods -------------------------------------------------------------------------

    def do_node_info(self) -> Any:
        return {"chain_id": CHAIN, "genesis_hash": "0x" + "00" * 32, "address_prefix": "qx", "news": 1}

    def do_node_status(self) -> Any:
        return {"height": self.height}

    def do_state_getAccount(self, address: str, at: Any = None) -> Any:  # the RPC's name
        account = decode_address(address)
        key = self.keys.get(account)
        return {
            "address": address,
            "sequence": self.sequences.get(account, 0),
            "next_sequence": self.sequences.get(account, 0),
            "balance": str(self.balances.get(account, 0)),
            "public_key": None if key is None else "0x" + key.hex(),
        }

    def do_tx_estimateFee(self, transaction: str) -> Any:  # the RPC's name
        decode_body(bytes.fromhex(transaction[2:]))
        return {"gas_limit": 1_000, "gas_used": 800, "price": "3", "max": "6000", "tip": "0"}

    def do_tx_submit(self, transaction: str) -> Any:
        tx = decode_transaction(bytes.fromhex(transaction[2:]))
        if tx.tx_id in self.pool or tx.tx_id in self.included:
            raise AlreadyKnown
        for signer in tx.signers:
            if signer.sequence != self.sequences.get(signer.address, 0):
                raise WrongSequence(f"next is {self.sequences.get(signer.address, 0)}")
        for signer in tx.signers:
            self.sequences[signer.address] = signer.sequence + 1
            if signer.public_key is not None:
                assert signer.address not in self.keys
                self.keys[signer.address] = signer.public_key
            assert signer.address in self.keys
        self.pool[tx.tx_id] = tx
        if self.automatic:
            self.commit()
        return {"hash": "0x" + tx.tx_id.hex(), "valid_until": tx.valid_until}

    def do_tx_get(self, hash: str) -> Any:
        tx_id = bytes.fromhex(hash[2:])
        if tx_id in self.pool:
            return {"hash": hash, "state": "pending", "height": None, "receipt": None}
        if tx_id not in self.included:
            raise NotFound
        height, tx, status = self.included[tx_id]
        return {"hash": hash, "state": "included", "height": height, "receipt": self.receipt(tx, status)}

    def receipt(self, tx: Transaction, status: int) -> Any:
        results, events = [], []
        for message in tx.messages if not status else ():
            to, (denom, amount) = message.args
            results.append({"denom": denom, "amount": str(amount)})
            fields = {
                "sender": encode_address(tx.signers[message.signer].address),
                "recipient": encode_address(to),
                "denom": denom,
                "amount": str(amount),
            }
            events.append({"name": "bank.transferred", "fields": fields})
        return {
            "tx_id": "0x" + tx.tx_id.hex(),
            "status": status,
            "failed_message": 0 if status else None,
            "gas_used": 700,
            "fee": "2100",
            "results": results,
            "events": events,
        }

    def do_bank_getBalance(self, address: str, denom: str, at: Any = None) -> Any:  # the RPC's name
        return str(self.balances.get(decode_address(address), 0))

    # -- subscriptions -------------------------------------------------------------------

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            call = json.loads(message.data)
            self.subscribed.append(call["params"])
            start = int(call["params"].get("from_cursor", 0))
            result = {"subscription": 7, "cursor": str(start)}
            await socket.send_json({"jsonrpc": "2.0", "id": call["id"], "result": result})
            for item in [item for at, item in self.stream if at > start]:
                if item == "close":
                    self.stream = [pair for pair in self.stream if pair[1] != "close"]
                    await socket.close()
                    break
                if isinstance(item, str):
                    await socket.send_str(item)
                else:
                    await socket.send_json(item)
        return socket


def notification(cursor: int, data: Any, method: str = "events_notification") -> tuple[int, Any]:
    """An entry of `stream`."""
    params = {"subscription": 7, "topic": "events", "cursor": str(cursor), "data": data}
    return cursor, {"jsonrpc": "2.0", "method": method, "params": params}
