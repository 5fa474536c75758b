"""The core namespaces of the client: `client.node`, `chain`, `tx`, `state`, `mempool`, `events`.

Methods are named as the RPC's: `chain_getHeader` is `client.chain.get_header`. What has a
record in the SDK comes back as that; the rest is plain JSON as the node sent it.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from qenex.answers import (
    AccountInfo,
    BlockAnswer,
    EventPage,
    EventTypes,
    FeeEstimate,
    NodeInfo,
    NodeStatus,
    ProofAnswer,
    SignedHeader,
    TransactionInfo,
    TransactionReceipt,
    ValidatorSet,
    read_answer,
    read_block,
    read_event_page,
    read_proof,
    unknown_events,
)
from qenex.async_light_client import AsyncLightNamespace
from qenex.async_sender import AsyncPending, AsyncSender
from qenex.async_subscription import AsyncSubscription
from qenex.block import Commit
from qenex.building import AddressLike, read_address, read_bytes
from qenex.crypto.address import encode_address
from qenex.errors import InvalidResponse
from qenex.jsonrpc import Json
from qenex.light import Trust, verified_account, verified_balance, verified_value
from qenex.state_keys import Account, account_state_key, balance_state_key
from qenex.transaction import Transaction, decode_body, decode_transaction
from qenex.types import QXC, Coin

At: TypeAlias = int | str
"""A height, `"latest"` or `"earliest"`."""


class AsyncCoreAccess(Protocol):
    """The part of the client that the core namespaces use."""

    @property
    def url(self) -> str: ...

    @property
    def sender(self) -> AsyncSender: ...

    @property
    def light(self) -> AsyncLightNamespace: ...

    async def call(self, method: str, /, **params: Json) -> Json: ...


class AsyncNamespace:
    """Base of the namespaces."""

    def __init__(self, client: AsyncCoreAccess) -> None:
        self._client = client

    async def _call(self, method: str, **params: Json) -> Json:
        """Call with what is not None."""
        return await self._client.call(method, **{n: v for n, v in params.items() if v is not None})

    async def _read(self, hint: Any, method: str, **params: Json) -> Any:
        return read_answer(hint, await self._call(method, **params), method)

    async def _text(self, address: AddressLike) -> str:
        return encode_address(read_address(address), await self._client.sender.prefix())


class AsyncNodeNamespace(AsyncNamespace):
    """The node itself."""

    async def info(self) -> NodeInfo:
        """Chain, versions, address prefix."""
        return await self._client.sender.info()

    async def status(self) -> NodeStatus:
        """Height and progress."""
        answer: NodeStatus = await self._read(NodeStatus, "node_status")
        return answer

    async def peers(self) -> Json:
        """Connected peers."""
        return await self._call("node_peers")

    async def health(self) -> Json:
        """Whether the node is ready, and why not."""
        return await self._call("node_health")


class AsyncChainNamespace(AsyncNamespace):
    """Blocks, headers, commits, validators."""

    async def get_block(self, height: At = "latest") -> BlockAnswer:
        """A block; the hash of its header is recomputed here. Raises NotFound, Pruned, InvalidResponse."""
        return read_block(await self._call("chain_getBlock", height=height))

    async def get_header(self, height: At = "latest") -> SignedHeader:
        """A header with its hash, which is recomputed here. Raises NotFound, InvalidResponse."""
        answer: SignedHeader = await self._read(SignedHeader, "chain_getHeader", height=height)
        return answer.checked()

    async def get_commit(self, height: At = "latest") -> Commit:
        """The precommits that made a block final; `qenex.light.verify_commit` checks them."""
        answer: Commit = await self._read(Commit, "chain_getCommit", height=height)
        return answer

    async def get_validators(self, height: At = "latest") -> ValidatorSet:
        """The validators of a height, in canonical order."""
        answer: ValidatorSet = await self._read(ValidatorSet, "chain_getValidators", height=height)
        return answer

    async def get_genesis(self) -> Json:
        """The genesis, as plain JSON."""
        return await self._call("chain_getGenesis")


class AsyncTxNamespace(AsyncNamespace):
    """Transactions by their bytes and hashes."""

    async def submit(self, transaction: Transaction | bytes) -> AsyncPending[Any]:
        """Submit a signed transaction (also one signed offline) once.

        Raises the node's typed refusal, or OutcomeUnknown with `pending`.
        """
        tx = decode_transaction(transaction) if isinstance(transaction, bytes) else transaction
        return await self._client.sender.submit(tx)

    async def get(self, tx_hash: str | bytes) -> TransactionInfo:
        """A transaction by its hash: waiting, or included with its receipt. Raises NotFound."""
        wanted = read_bytes(tx_hash)
        answer = await self._call("tx_get", hash="0x" + wanted.hex())
        receipt = self._client.sender.read_receipt(answer, wanted)
        height = None if receipt is None else receipt.height
        return TransactionInfo("0x" + wanted.hex(), height, receipt, answer)

    async def simulate(self, transaction: Transaction | bytes) -> TransactionReceipt[Any]:
        """The receipt that an unsigned transaction (or its body's bytes) would get now; `height` is 0.

        Nothing is changed. Raises the error with which no block may take it at all.
        """
        tx = decode_body(transaction if isinstance(transaction, bytes) else transaction.body_bytes)
        answer = await self._call("tx_simulate", transaction="0x" + tx.body_bytes.hex())
        names = [message.name for message in tx.messages]
        receipt = self._client.sender.read_receipt({"height": 0, "receipt": answer}, None, names)
        if receipt is None:
            raise InvalidResponse("tx_simulate answered without a receipt")
        return receipt

    async def estimate_fee(self, transaction: Transaction | bytes) -> FeeEstimate:
        """Gas and price of a transaction (or its body's bytes). Raises the error it would fail with."""
        return await self._client.sender.estimate(
            decode_body(transaction) if isinstance(transaction, bytes) else transaction
        )


class AsyncStateNamespace(AsyncNamespace):
    """Accounts, and values with proofs that are checked here."""

    async def get_account(self, address: AddressLike) -> AccountInfo:
        """Sequence, native balance and key, as the node says. Raises AccountNotFound."""
        return await self._client.sender.account(read_address(address))

    async def get_proof(self, key: bytes, at: At | None = None) -> ProofAnswer:
        """A state value or its absence with its proof and header, unchecked: see `verified_value`."""
        return read_proof(await self._call("state_getProof", key="0x" + key.hex(), at=at))

    async def verified_value(
        self, key: bytes, at: At | None = None, trust: Trust | None = None
    ) -> bytes | None:
        """The encoded value under a state key (None: absent), proved against a header.

        With `trust`, the header must be the trusted one or carry a commit of more than 2/3 of the trusted
        validators. Without it, the header is verified from the client's checkpoint (`QenexClient(trusted=...)`); a
        client that has none takes the node's own word for it. Raises ProofInvalid, and what `client.light` raises.
        """
        return verified_value(key, await self._believed(key, at, trust), trust)

    async def verified_account(
        self, address: AddressLike, at: At | None = None, trust: Trust | None = None
    ) -> Account:
        """An account's record (empty if there is none), proved as in `verified_value`."""
        own = read_address(address)
        return verified_account(own, await self._believed(account_state_key(own), at, trust), trust)

    async def verified_balance(
        self, address: AddressLike, denom: str = QXC, at: At | None = None, trust: Trust | None = None
    ) -> Coin:
        """A balance (zero if there is none), proved as in `verified_value`."""
        own = read_address(address)
        key = account_state_key(own) if denom == QXC else balance_state_key(own, denom)
        return verified_balance(own, denom, await self._believed(key, at, trust), trust)

    async def _believed(self, key: bytes, at: At | None, trust: Trust | None) -> ProofAnswer:
        """The answer; without `trust` its header must be one that the client's checkpoint, if any, vouches for."""
        answer = await self.get_proof(key, at)
        if trust is None:
            await self._client.light.believe(answer.header)
        return answer


class AsyncMempoolNamespace(AsyncNamespace):
    """Transactions that wait."""

    async def status(self) -> Json:
        """Counts and bytes of what waits."""
        return await self._call("mempool_status")


class AsyncEventsNamespace(AsyncNamespace):
    """What happened: past events by query, coming ones by subscription."""

    def __init__(
        self, client: AsyncCoreAccess, token: str | None = None, event_types: EventTypes = unknown_events
    ) -> None:
        super().__init__(client)
        self._token = token
        self._event_types = event_types

    async def query(
        self,
        event: str | None = None,
        *,
        address: AddressLike | None = None,
        from_height: int | None = None,
        to_height: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> EventPage:
        """Past events, a page of them. `event` is a name or a prefix such as `bank.`.

        A page may be short or empty and still have a next one.
        """
        account = None if address is None else await self._text(address)
        answer = await self._call(
            "events_query",
            event=event,
            address=account,
            from_height=from_height,
            to_height=to_height,
            limit=limit,
            cursor=cursor,
        )
        return read_event_page(answer, self._event_types)

    def subscribe(
        self,
        topic: str = "events",
        *,
        event: str | None = None,
        address: str | None = None,
        from_cursor: str | None = None,
    ) -> AsyncSubscription:
        """Iterate over what happens from now, or from a cursor kept earlier; close it, or use `with`.

        `topic` is `blocks`, `transactions` or `events`; `event` is a name or a prefix such as `bank.`;
        `address` keeps what names it. After a lost connection it goes on where it was. Iterating
        raises SubscriptionLagged when the reader is too slow for the node.
        """
        filters = {
            name: value for name, value in (("event", event), ("address", address)) if value is not None
        }
        return AsyncSubscription(
            self._client.url, topic, filters, from_cursor, token=self._token, event_types=self._event_types
        )
