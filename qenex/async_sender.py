"""From messages to a receipt: sequences, fees, signing, submitting, waiting.

One transaction of a wallet is built, signed and submitted before the next: the node's pool
takes no gaps in sequences. What has been accepted is remembered, so that a hundred
transfers in a row ask for the account once. A refusal leaves the sequence unused; a lost
connection makes the outcome unknown, and that is what the caller is told.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypedDict, TypeVar

from qenex.answers import (
    AccountInfo,
    EventTypes,
    FeeEstimate,
    NodeInfo,
    NodeStatus,
    TransactionReceipt,
    read_answer,
    read_receipt,
)
from qenex.async_connection import AsyncHttpConnection, AsyncLock
from qenex.building import (
    DEFAULT_VALIDITY,
    MessageFace,
    build_transaction,
    find_face,
    read_address,
    read_amount,
    read_arguments,
)
from qenex.crypto.address import PREFIX, Address, encode_address
from qenex.errors import (
    AlreadyKnown,
    InternalError,
    InvalidArguments,
    InvalidResponse,
    LimitExceeded,
    NodeBusy,
    NodeUnreachable,
    NotFound,
    OutcomeUnknown,
    PolicyRefused,
    PublicKeyMissing,
    PublicKeyNotAllowed,
    QenexError,
    Syncing,
    TooManyPending,
    TransactionExpired,
    WrongChainId,
    WrongSequence,
)
from qenex.jsonrpc import ConnectionLost, Json, clean_text
from qenex.money import DecimalsLookup, format_amount
from qenex.transaction import Fee, Message, Signer, Transaction
from qenex.wallet import Wallet

R = TypeVar("R")

FEE_HEADROOM: Final = 2
"""The price of gas may rise this many times before a transaction is refused; the rest returns."""
MOST_ESTIMATED: Final = 10**9
"""Base units (1 QXC) that a fee estimated by a node may come to, without the tip: a node that lies about gas or
price must not have a wallet sign for its whole balance. 50,000 times what a transfer costs in quiet times."""
FRESH_SECONDS: Final = 1.0
"""How long a height that the node told is used for `valid_until`."""
FIRST_PAUSE: Final = 0.03
LONGEST_PAUSE: Final = 1.0
DEFAULT_WAIT: Final = 60.0
"""Seconds that `wait` waits where nobody says otherwise."""


class TransactionOptions(TypedDict, total=False):
    """What every sending method takes beside its message's own arguments."""

    fee: Fee | int | str
    """A whole Fee, or the most to pay: `0.01QXC` or base units. Default: estimated, with headroom."""
    gas_limit: int
    tip: int | str
    """To the proposer, on top; `0.001QXC` or base units."""
    valid_for: int
    """Blocks from now (default 200) after which it can no longer be included."""
    valid_until: int
    """The last height that may include it; instead of `valid_for`."""
    lease: bytes
    """32 bytes; while a transaction with this lease is valid, a second one cannot land."""
    memo: str
    sequence: int
    """Of the first signer, for replacing a waiting transaction. Default: the next free one."""
    scoped_key: int
    """Which scoped key of the first signer's account signs. The wallet has that key and the account's address."""


class Signatory(NamedTuple):
    """Who signs, without the secret: enough to build a transaction that is signed elsewhere.

    `public_key` (tag + key) is needed only while the account has never signed.
    """

    address: Address
    public_key: bytes | None = None


SignatoryLike: TypeAlias = Wallet | Signatory | str | bytes
"""A wallet, or an address in any form."""


class PlannedMessage(NamedTuple):
    """A message with typed arguments and who acts."""

    face: MessageFace
    args: tuple[Any, ...]
    actor: Signatory


class Prepared(NamedTuple):
    """An unsigned transaction and what was estimated for it (None where the caller gave a whole fee)."""

    transaction: Transaction
    estimate: FeeEstimate | None

    @property
    def body(self) -> bytes:
        """The bytes that are signed."""
        return self.transaction.body_bytes


def signatory(value: SignatoryLike) -> Signatory:
    """Address and, of a wallet, public key. Raises InvalidAddress."""
    if isinstance(value, Signatory):
        return value
    if isinstance(value, Wallet):
        return Signatory(value.address, value.public_key)
    return Signatory(read_address(value))


class AsyncCaller(Protocol):
    """Sends one JSON-RPC call; reads are repeated after a lost connection, `once` never."""

    async def __call__(self, method: str, params: Mapping[str, Json], *, once: bool = False) -> Json: ...


class AsyncPending(Generic[R]):
    """A submitted transaction whose outcome is not known yet."""

    def __init__(self, sender: AsyncSender, transaction: Transaction) -> None:
        self._sender = sender
        self.transaction = transaction
        self.hash = "0x" + transaction.tx_id.hex()
        self.valid_until = transaction.valid_until

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hash}, valid_until={self.valid_until})"

    async def wait(self, timeout: float = DEFAULT_WAIT, *, check: bool = True) -> TransactionReceipt[R]:  # noqa: ASYNC109  # polls
        """Return the receipt once the transaction is in a committed block, which is final.

        Raises the typed error of a failed transaction (with `receipt`; not with `check=False`),
        TransactionExpired when it can no longer be included, OutcomeUnknown after `timeout` seconds:
        then it may still land until `valid_until`; do not send it again under another sequence.
        """
        return await self._sender.wait(self, timeout, check)

    async def receipt(self) -> TransactionReceipt[R] | None:
        """The receipt if there is one by now. Asks once."""
        return await self._sender.find(self.transaction)


class AsyncSender:
    """Builds, signs and submits for one client."""

    def __init__(
        self,
        call: AsyncCaller,
        connection: AsyncHttpConnection,
        faces: Mapping[str, MessageFace],
        event_types: EventTypes,
        decimals: DecimalsLookup | None,
        chain_id: str | None = None,
    ) -> None:
        self._chain_id = chain_id
        self._call = call
        self._connection = connection
        self._faces = faces
        self._event_types = event_types
        self._decimals = decimals
        self._locks: dict[Address, AsyncLock] = {}
        self._next: dict[Address, tuple[int, bool]] = {}
        self._next_scoped: dict[tuple[Address, int], int] = {}
        self._info: NodeInfo | None = None
        self._height = 0
        self._height_at = float("-inf")

    # -- what the node knows -------------------------------------------------------------

    async def info(self) -> NodeInfo:
        """The node's chain, asked once. Raises WrongChainId if another was expected, InvalidResponse."""
        if self._info is None:
            info: NodeInfo = read_answer(NodeInfo, await self._call("node_info", {}), "node_info")
            if self._chain_id is not None and info.chain_id != self._chain_id:
                raise WrongChainId(
                    f"this node is of chain {clean_text(info.chain_id)}, not {self._chain_id}",
                    hint="ask a node of the chain you mean; nothing was signed",
                )
            self._info = info
        return self._info

    async def prefix(self) -> str:
        """The prefix of this chain's addresses."""
        return (await self.info()).address_prefix or PREFIX

    async def height(self, *, fresh: bool = False) -> int:
        """The last committed height, at most a second old."""
        if fresh or time.monotonic() - self._height_at > FRESH_SECONDS:
            status: NodeStatus = read_answer(NodeStatus, await self._call("node_status", {}), "node_status")
            self._height = status.height
            self._height_at = time.monotonic()
        return self._height

    async def account(self, address: Address) -> AccountInfo:
        """An account as the node has it. Raises AccountNotFound."""
        text = encode_address(address, await self.prefix())
        answer: AccountInfo = read_answer(
            AccountInfo, await self._call("state_getAccount", {"address": text}), "state_getAccount"
        )
        if answer.address != address:
            raise InvalidResponse("state_getAccount answered for another address")
        return answer

    # -- building ------------------------------------------------------------------------

    def plan(self, name: str, arguments: Mapping[str, Any], actor: SignatoryLike) -> PlannedMessage:
        """One message with checked arguments. Raises UnknownMessage, InvalidArguments and typed errors."""
        face = find_face(self._faces, name)
        return PlannedMessage(face, read_arguments(face, arguments, self._decimals), signatory(actor))

    async def prepare(
        self,
        payer: SignatoryLike,
        messages: Sequence[PlannedMessage],
        options: TransactionOptions,
        *,
        fresh: bool = False,
    ) -> Prepared:
        """Build without signing: sequences, fee and `valid_until` filled in where not given.

        `payer` is signer 0. A signer that is no wallet (an address) must have a registered key.
        `fresh` asks the node for each account's sequence, whatever was sent from here before.
        """
        known = set(TransactionOptions.__annotations__)
        unknown = [ascii(str(name)[:40]) for name in options if name not in known]
        if unknown or not messages:
            raise InvalidArguments(
                f"unknown options {', '.join(unknown)}" if unknown else "no message to send"
            )
        info = await self.info()
        actors: dict[Address, Signatory] = {}
        for actor in (signatory(payer), *(message.actor for message in messages)):
            if actors.get(actor.address, actor).public_key is None or actor.address not in actors:
                actors[actor.address] = actor
        if fresh:
            self._forget(list(actors.values()))
        index = {address: number for number, address in enumerate(actors)}
        first = options.get("sequence")
        scoped = options.get("scoped_key")
        signers: list[Signer] = []
        for actor in actors.values():
            if signers or scoped is None:
                signers.append(await self._signer(actor, None if signers else first))
            else:
                signers.append(await self._scoped_signer(actor.address, first, scoped))
        body = [Message(m.face.name, m.args, index[m.actor.address]) for m in messages]
        valid_until = options.get("valid_until")
        if valid_until is None:
            valid_until = await self.height() + options.get("valid_for", DEFAULT_VALIDITY)

        def built(fee: Fee) -> Transaction:
            return build_transaction(
                info.chain_id, signers, body, fee, valid_until, options.get("lease"), options.get("memo", "")
            )

        given = options.get("fee")
        if isinstance(given, Fee):
            return Prepared(built(given), None)
        tip = read_amount(options["tip"]) if "tip" in options else 0
        most = read_amount(given) if given is not None else None
        if most is not None and "gas_limit" in options:
            return Prepared(built(Fee(most, options["gas_limit"], tip)), None)
        draft = Fee(most or 0, options.get("gas_limit", 0), tip)
        estimate = await self.estimate(built(draft))
        gas_limit = options.get("gas_limit", estimate.gas_limit)
        if most is None:
            most = gas_limit * estimate.price * FEE_HEADROOM
            if most > MOST_ESTIMATED:
                raise PolicyRefused(
                    f"the node estimates a fee of up to {format_amount(most)}; without your word nothing above "
                    f"{format_amount(MOST_ESTIMATED)} is signed",
                    hint="say the most you would pay: fee=... in Python, --max-fee on the command line",
                )
            most += tip
        return Prepared(built(Fee(most, gas_limit, tip)), estimate)

    async def estimate(self, unsigned: Transaction) -> FeeEstimate:
        """Gas and price for a transaction, by running it on the node. Raises the error it would fail with."""
        answer = await self._call("tx_estimateFee", {"transaction": "0x" + unsigned.body_bytes.hex()})
        estimate: FeeEstimate = read_answer(FeeEstimate, answer, "tx_estimateFee")
        return estimate

    async def _signer(self, signatory: Signatory, sequence: int | None) -> Signer:
        address = signatory.address
        known = self._next.get(address)
        if known is None:
            account = await self.account(address)
            pending = account.next_sequence
            known = account.sequence if pending is None else pending, account.public_key is None
            self._next[address] = known
        number, without_key = known
        if sequence is not None:
            number = sequence
        # The key travels with the account's first transaction only; that one has sequence 0.
        needs_key = without_key and number == 0
        if needs_key and signatory.public_key is None:
            raise PublicKeyMissing(f"{encode_address(address)} has never signed: its public key is needed")
        return Signer(address, number, signatory.public_key if needs_key else None, None)

    async def _scoped_signer(self, address: Address, sequence: int | None, scoped_key: int) -> Signer:
        if sequence is None:
            sequence = self._next_scoped.get((address, scoped_key))
        if sequence is None:
            text = encode_address(address, await self.prefix())
            answer = await self._call("accounts_getScopedKey", {"address": text, "number": scoped_key})
            found = answer.get("sequence") if isinstance(answer, dict) else None
            if type(found) is not int or not 0 <= found < 1 << 64:
                raise InvalidResponse("accounts_getScopedKey tells no sequence")
            sequence = found
        return Signer(address, sequence, None, scoped_key)

    # -- sending -------------------------------------------------------------------------

    async def send(
        self, wallets: Sequence[Wallet], messages: Sequence[PlannedMessage], options: TransactionOptions
    ) -> AsyncPending[Any]:
        """Build, sign and submit; the first wallet pays. Returns once the node has admitted it.

        Raises the node's typed refusal (nothing was charged), or OutcomeUnknown with `pending`.
        """
        async with AsyncExitStack() as held:
            for address in sorted({wallet.address for wallet in wallets}):
                await held.enter_async_context(self._lock(address))
            try:
                return await self._send(wallets, messages, options)
            except (WrongSequence, PublicKeyMissing, PublicKeyNotAllowed):
                # Another program used the account, or what was waiting has expired: nothing was taken.
                self._forget(wallets)
                if "sequence" in options:
                    raise
            return await self._send(wallets, messages, options)

    async def _send(
        self, wallets: Sequence[Wallet], messages: Sequence[PlannedMessage], options: TransactionOptions
    ) -> AsyncPending[Any]:
        prepared = await self.prepare(wallets[0], messages, options)
        return await self.submit(wallets[0].sign_transaction(prepared.transaction, *wallets[1:]))

    async def submit(self, transaction: Transaction) -> AsyncPending[Any]:
        """Submit a signed transaction once. Raises as `send`.

        Where the sender has the allowed number of transactions waiting, or the node as many as it takes, waits for room.
        """
        pending: AsyncPending[Any] = AsyncPending(self, transaction)
        give_up = time.monotonic() + DEFAULT_WAIT
        pause = FIRST_PAUSE
        answer: Json = None
        while answer is None:
            try:
                answer = await self._call(
                    "tx_submit", {"transaction": "0x" + transaction.raw.hex()}, once=True
                )
                answer = answer if answer is not None else {}
            except AlreadyKnown:
                answer = {"hash": pending.hash}
            except (
                TooManyPending,
                LimitExceeded,
                NodeBusy,
            ) as error:  # before anything happened: wait for room
                if time.monotonic() > give_up:
                    raise
                told = error.retry_after_ms / 1_000 if isinstance(error, NodeBusy) else 0.0
                await self._connection.pause(min(max(pause, told), LONGEST_PAUSE))
                pause = min(2 * pause, LONGEST_PAUSE)
            except (ConnectionLost, InvalidResponse, InternalError) as error:
                self._forget(transaction.signers)
                raise _unknown(pending, error) from None
        if not isinstance(answer, dict) or answer.get("hash") != pending.hash:
            self._forget(transaction.signers)
            raise _unknown(pending, InvalidResponse("the node answered with another transaction's hash"))
        for signer in transaction.signers:
            if signer.scoped_key is None:
                self._next[signer.address] = signer.sequence + 1, False
            else:
                self._next_scoped[signer.address, signer.scoped_key] = signer.sequence + 1
        return pending

    def _lock(self, address: Address) -> AsyncLock:
        return self._locks.setdefault(address, AsyncLock())

    def _forget(self, signers: Sequence[Wallet] | Sequence[Signer] | Sequence[Signatory]) -> None:
        for signer in signers:
            self._next.pop(signer.address, None)
            for lane in [lane for lane in self._next_scoped if lane[0] == signer.address]:
                del self._next_scoped[lane]

    # -- waiting -------------------------------------------------------------------------

    async def wait(self, pending: AsyncPending[R], timeout: float, check: bool) -> TransactionReceipt[R]:  # noqa: ASYNC109  # polls
        """See `AsyncPending.wait`."""
        deadline = time.monotonic() + timeout
        pause = FIRST_PAUSE
        trouble: QenexError | None = None
        while True:
            try:
                # The height comes first: what was not found at a later look can no longer come.
                height = await self.height(fresh=True)
                receipt: TransactionReceipt[R] | None = await self.find(pending.transaction)
                if receipt is not None:
                    if check:
                        receipt.raise_for_status()
                    return receipt
                if height >= pending.valid_until:
                    self._forget(pending.transaction.signers)
                    raise _expired(pending, height)
                trouble = None
            except (NodeUnreachable, Syncing, LimitExceeded) as error:
                trouble = error
            left = deadline - time.monotonic()
            if left <= 0:
                raise _unknown(pending, trouble)
            await self._connection.pause(min(pause, left))
            pause = min(1.5 * pause, LONGEST_PAUSE)

    async def find(self, transaction: Transaction) -> TransactionReceipt[Any] | None:
        """The receipt of a transaction if it is in a committed block by now."""
        try:
            answer = await self._call("tx_get", {"hash": "0x" + transaction.tx_id.hex()})
        except NotFound:
            return None
        return self.read_receipt(answer, transaction.tx_id, [m.name for m in transaction.messages])

    def read_receipt(
        self, answer: Json, tx_id: bytes | None = None, names: Sequence[str] | None = None
    ) -> TransactionReceipt[Any] | None:
        """Read an answer of `tx_get`: None while it waits. Raises InvalidResponse."""
        return read_receipt(answer, self._faces, self._event_types, tx_id, names)


def _unknown(pending: AsyncPending[Any], error: QenexError | None) -> OutcomeUnknown:
    because = f" ({error.message})" if error is not None else ""
    unknown = OutcomeUnknown(
        f"the outcome of {pending.hash} is unknown{because}; it expires at height {pending.valid_until}"
    )
    unknown.pending = pending
    return unknown


def _expired(pending: AsyncPending[Any], height: int) -> TransactionExpired:
    expired = TransactionExpired(
        f"{pending.hash} was valid until height {pending.valid_until}, the chain is at {height}"
    )
    expired.pending = pending
    return expired
