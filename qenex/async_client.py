"""The client of a node: `AsyncQenexClient`, and by generation from this file `QenexClient`.

Reads are repeated after a lost connection, at most twice; what could move money is sent
once. Every answer is bounded, checked and typed; failures raise the errors of
`qenex.errors`, with the codes that the node used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, Unpack

from qenex.async_connection import AsyncHttpConnection
from qenex.async_light_client import AsyncLightNamespace
from qenex.async_modules import AsyncModuleFaces
from qenex.async_namespaces import (
    AsyncChainNamespace,
    AsyncEventsNamespace,
    AsyncMempoolNamespace,
    AsyncNodeNamespace,
    AsyncStateNamespace,
    AsyncTxNamespace,
)
from qenex.async_sender import (
    AsyncPending,
    AsyncSender,
    PlannedMessage,
    Prepared,
    SignatoryLike,
    TransactionOptions,
)
from qenex.errors import InvalidArguments, LimitExceeded, NodeUnreachable, QenexError
from qenex.jsonrpc import MAX_BATCH, Call, Json, decode_answer, decode_batch, encode_batch, encode_call
from qenex.light_rules import Checkpoint, LightOptions
from qenex.modules import EVENTS, MESSAGES
from qenex.money import DecimalsLookup
from qenex.wallet import Wallet

REPEAT_PAUSES: Final = (0.1, 0.4)
"""Seconds before a read is repeated after a lost connection."""

RATE_PAUSES: Final = (0.25, 0.5, 1.0)
"""Seconds before a read is repeated that was too much for the node's rate limit."""

ONCE: Final = ("tx_submit", "tx_submitAndWait", "events_subscribe")
"""Methods that are never repeated by themselves; nor are those of `admin_` and `dev_`."""


class AsyncQenexClient(AsyncModuleFaces):
    """A node's client. One per node and program is enough; close it, or use it in a `with` statement.

    `url` is `http://host:port`; `timeout` bounds each request in seconds, as a whole; `token` opens
    admin methods; `chain_id` is the only chain for which anything is signed; `decimals` tells how many decimals people write for a denomination (QXC has 9,
    others 0 unless it says otherwise). With `trusted`, a checkpoint, `client.light` and the `verified_` reads check
    what the node tells from there; `witnesses` are URLs of other nodes, asked for the same headers, and `light`
    sets trusting period and clock drift. Nothing is sent before the first call. Raises InvalidConfig, InvalidArguments.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        token: str | None = None,
        chain_id: str | None = None,
        decimals: DecimalsLookup | None = None,
        trusted: Checkpoint | str | None = None,
        witnesses: Sequence[str] = (),
        light: LightOptions | None = None,
    ) -> None:
        self.url = url
        self.decimals = decimals
        self._connection = AsyncHttpConnection(url, timeout=timeout, token=token)
        self._last_id = 0
        self.sender = AsyncSender(self._request, self._connection, MESSAGES, EVENTS.get, decimals, chain_id)
        self.node = AsyncNodeNamespace(self)
        self.chain = AsyncChainNamespace(self)
        self.tx = AsyncTxNamespace(self)
        self.state = AsyncStateNamespace(self)
        self.mempool = AsyncMempoolNamespace(self)
        self.events = AsyncEventsNamespace(self, token, EVENTS.get)
        self._witnesses = [AsyncQenexClient(witness, timeout=timeout) for witness in witnesses]
        sources = [self.chain, *[witness.chain for witness in self._witnesses]]
        self.light = AsyncLightNamespace(sources, trusted, light, chain_id)
        self._attach(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Calls after this raise NodeUnreachable."""
        await self._connection.close()
        for witness in self._witnesses:
            await witness.close()

    # -- any method ----------------------------------------------------------------------

    async def call(self, method: str, /, **params: Json) -> Json:
        """Call any RPC method by name; the result as plain JSON. Raises the node's typed error."""
        once = method in ONCE or method.startswith(("admin_", "dev_"))
        return await self._request(method, params, once=once)

    async def batch(self, calls: Sequence[tuple[str, Mapping[str, Json]]]) -> list[Json | QenexError]:
        """Call many reads in few requests; results in the order asked, errors in their places.

        Raises InvalidArguments for methods that are never repeated, and what a whole request raises.
        """
        for method, _ in calls:
            if method in ONCE or method.startswith(("admin_", "dev_")):
                raise InvalidArguments(f"{method} is not for batches: send it by itself")
        results: list[Json | QenexError] = []
        for start in range(0, len(calls), MAX_BATCH):
            part = [Call(method, params) for method, params in calls[start : start + MAX_BATCH]]
            first = self._last_id + 1
            self._last_id += len(part)
            data = await self._exchange(encode_batch(part, first), once=False)
            results += decode_batch(data, first, len(part))
        return results

    async def address_prefix(self) -> str:
        """The prefix of this chain's addresses: `qx`, or `tqx` on shared test networks."""
        return await self.sender.prefix()

    # -- transactions --------------------------------------------------------------------

    def transaction(
        self, payer: SignatoryLike, **options: Unpack[TransactionOptions]
    ) -> AsyncTransactionBuilder:
        """Begin a transaction of several messages; they run in order, all or none."""
        return AsyncTransactionBuilder(self.sender, payer, options)

    async def send_message(
        self, wallet: Wallet, name: str, arguments: Mapping[str, Any], options: TransactionOptions
    ) -> AsyncPending[Any]:
        """Send one message by its name, such as `bank.send`; see `AsyncSender.send`."""
        return await self.sender.send([wallet], [self.sender.plan(name, arguments, wallet)], options)

    # -- inside --------------------------------------------------------------------------

    async def _request(self, method: str, params: Mapping[str, Json], *, once: bool = False) -> Json:
        self._last_id += 1
        call_id = self._last_id
        body = encode_call(Call(method, params), call_id)
        for pause in () if once else RATE_PAUSES:
            try:
                return decode_answer(await self._exchange(body, once=False), call_id)
            except LimitExceeded:
                await self._connection.pause(pause)
        return decode_answer(await self._exchange(body, once=once), call_id)

    async def _exchange(self, body: bytes, *, once: bool) -> bytes:
        for pause in () if once else REPEAT_PAUSES:
            try:
                return await self._connection.post(body)
            except (NodeUnreachable, LimitExceeded):  # LimitExceeded here is HTTP 429, before any call
                await self._connection.pause(pause)
        return await self._connection.post(body)


class AsyncTransactionBuilder:
    """Messages of one transaction. The payer is the first signer and acts unless `by` says who."""

    def __init__(self, sender: AsyncSender, payer: SignatoryLike, options: TransactionOptions) -> None:
        self._sender = sender
        self._payer = payer
        self._options = options
        self._messages: list[PlannedMessage] = []
        self._wallets: dict[bytes, Wallet] = {}
        self._note(payer)

    def add(self, message: str, /, *, by: SignatoryLike | None = None, **arguments: Any) -> Self:
        """Add a message such as `bank.send` with its arguments.

        An argument may be `ref(0, "field")`: a field of exactly its type in the result of an earlier
        message, such as `received` of a swap as `amount_in` of the next. Raises UnknownMessage, InvalidArguments and the
        typed errors of arguments at once, before anything is sent.
        """
        actor = self._payer if by is None else by
        self._messages.append(self._sender.plan(message, arguments, actor))
        self._note(actor)
        return self

    async def prepare(self) -> Prepared:
        """The unsigned transaction, with sequences, fee and `valid_until` filled in. Signs nothing.

        Raises the error with which the transaction would fail now.
        """
        return await self._sender.prepare(self._payer, self._messages, self._options, fresh=True)

    async def send(self) -> AsyncPending[Any]:
        """Sign with the wallets given and submit; see `AsyncSender.send`.

        Raises WrongSignatureCount if a signer was given without its wallet.
        """
        wallets = list(self._wallets.values())
        if not isinstance(self._payer, Wallet):
            raise InvalidArguments("the payer is an address: prepare() and sign elsewhere, or pass a wallet")
        return await self._sender.send(wallets, self._messages, self._options)

    def _note(self, signatory: SignatoryLike) -> None:
        if isinstance(signatory, Wallet):
            self._wallets.setdefault(signatory.address, signatory)
