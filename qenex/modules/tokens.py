# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `tokens`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, AmountLike, CoinLike, MessageFace, QueryFace
from qenex.codec import Reference
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import QXC, U64, Amount, Between, Coin, Denom, Length
from qenex.wallet import Wallet


class Moved(NamedTuple):
    """Coins that a message moved: to the recipient, or back."""

    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Controls(NamedTuple):
    """What whoever has authority over a token can do to its holders. Chosen at creation, the same for
    ever.

    `freezable`: an account's coins can be frozen. `allow_list`: only listed accounts can receive. Of
    each transfer
    between accounts `transfer_fee_bps` basis points go to `fee_recipient`.
    """

    freezable: bool
    allow_list: bool
    transfer_fee_bps: Annotated[int, Between(0, 1000)]
    fee_recipient: Address | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Created(NamedTuple):
    """What `tokens.create` returns: the denomination of the new token."""

    denom: Denom

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Opened(NamedTuple):
    """The id of a schedule or an escrow that was made."""

    id: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Payment(NamedTuple):
    """One recipient of `multi_send`."""

    to: Address
    amount: Coin

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Escrow(NamedTuple):
    """Coins that wait for a word: of who paid them in, of an arbiter, or of the time.

    Whoever paid or the arbiter can release them to the recipient; the recipient or the arbiter can give
    them back; from `expires_s` (seconds since 1970) on, who paid can take them back.
    """

    payer: Address
    recipient: Address
    arbiter: Address | None
    denom: Denom
    amount: Amount
    expires_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class EscrowInfo(NamedTuple):
    """An escrow and its id."""

    id: U64
    escrow: Escrow

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Holder(NamedTuple):
    """What the controls say of one account. `may_receive` takes everything together."""

    frozen: bool
    listed: bool
    may_receive: bool

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Token(NamedTuple):
    """A token's own record. `supply_cap` None: no cap. `authority` None: renounced, for ever."""

    creator: Address
    symbol: Annotated[str, Length(1, 16)]
    name: Annotated[str, Length(0, 64)]
    decimals: Annotated[int, Between(0, 30)]
    uri: Annotated[str, Length(0, 256)]
    supply_cap: Amount | None
    authority: Address | None
    offered_to: Address | None
    controls: Controls

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class TokenInfo(NamedTuple):
    """A token as `get_token` shows it."""

    denom: Denom
    supply: Amount
    token: Token

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Schedule(NamedTuple):
    """A locked amount that becomes free linearly.

    Times in seconds since 1970 and as durations; see `defi_modules.bank.math.vested`. Who made a
    `revocable` one can
    take back what is not free yet.
    """

    creator: Address
    recipient: Address
    denom: Denom
    total: Amount
    claimed: Amount
    start_s: Annotated[int, Between(0, 1099511627775)]
    duration_s: Annotated[int, Between(0, 1099511627775)]
    cliff_s: Annotated[int, Between(0, 1099511627775)]
    revocable: bool

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class VestingInfo(NamedTuple):
    """A schedule as it stands at the block's time."""

    id: U64
    schedule: Schedule
    vested: Amount
    claimable: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class TokenPage(NamedTuple):
    """Part of all tokens, in order of denomination."""

    items: tuple[TokenInfo, ...]
    next_cursor: str | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class VestingPage(NamedTuple):
    """Part of an account's schedules, as recipient, in order of id."""

    items: tuple[VestingInfo, ...]
    next_cursor: U64 | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class TokenCreated(NamedTuple):
    """A token was created."""

    denom: Denom
    creator: Address
    symbol: Annotated[str, Length(1, 16)]
    decimals: Annotated[int, Between(0, 30)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Paid(NamedTuple):
    """One of the payments of `multi_send`: what the recipient got."""

    sender: Address
    recipient: Address
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Minted(NamedTuple):
    """`amount` base units of `denom` were created for `recipient`."""

    denom: Denom
    recipient: Address
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Burned(NamedTuple):
    """`amount` base units of `denom` were destroyed by their holder."""

    denom: Denom
    holder: Address
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class MetadataChanged(NamedTuple):
    """A token's name or address of its page was changed."""

    denom: Denom

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class AuthorityOffered(NamedTuple):
    """Authority over a token was offered to an account, or the offer was taken back (None)."""

    denom: Denom
    to: Address | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class AuthorityChanged(NamedTuple):
    """Authority over a token went to `authority`; None: it was renounced, for ever."""

    denom: Denom
    authority: Address | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class FreezeChanged(NamedTuple):
    """An account's coins of this token were frozen or set free."""

    denom: Denom
    account: Address
    frozen: bool

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ListingChanged(NamedTuple):
    """An account came onto a token's allow-list, or was taken off."""

    denom: Denom
    account: Address
    listed: bool

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class VestingCreated(NamedTuple):
    """`amount` base units of `denom` were locked for `recipient`."""

    id: U64
    creator: Address
    recipient: Address
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class VestingClaimed(NamedTuple):
    """The recipient of a schedule took what had become free."""

    id: U64
    recipient: Address
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class VestingRevoked(NamedTuple):
    """Who made a schedule took back what was not free yet (`returned`); `paid` went to the recipient."""

    id: U64
    denom: Denom
    paid: Amount
    returned: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class EscrowOpened(NamedTuple):
    """`amount` base units of `denom` wait for a word."""

    id: U64
    payer: Address
    recipient: Address
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class EscrowClosed(NamedTuple):
    """An escrow's coins went to `to`: its recipient, or back to who paid."""

    id: U64
    to: Address
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


ACCEPT_AUTHORITY = MessageFace(
    "tokens.accept_authority",
    (("denom", Denom),),
    None,
)

BURN = MessageFace(
    "tokens.burn",
    (
        ("denom", Denom),
        ("amount", Amount),
    ),
    None,
)

CLAIM_VESTING = MessageFace(
    "tokens.claim_vesting",
    (("id", U64),),
    Moved,
)

CREATE = MessageFace(
    "tokens.create",
    (
        ("symbol", Annotated[str, Length(1, 16)]),
        ("name", Annotated[str, Length(0, 64)]),
        ("decimals", Annotated[int, Between(0, 30)]),
        ("uri", Annotated[str, Length(0, 256)]),
        ("supply", Amount),
        ("supply_cap", Amount | None),
        ("controls", Controls | None),
    ),
    Created,
)

CREATE_VESTING = MessageFace(
    "tokens.create_vesting",
    (
        ("to", Address),
        ("amount", Coin),
        ("start_s", Annotated[int, Between(0, 1099511627775)]),
        ("duration_s", Annotated[int, Between(0, 1099511627775)]),
        ("cliff_s", Annotated[int, Between(0, 1099511627775)]),
        ("revocable", bool),
    ),
    Opened,
)

MINT = MessageFace(
    "tokens.mint",
    (
        ("denom", Denom),
        ("to", Address),
        ("amount", Amount),
    ),
    None,
)

MULTI_SEND = MessageFace(
    "tokens.multi_send",
    (("payments", Annotated[tuple[Payment, ...], Length(1, 500)]),),
    None,
)

OFFER_AUTHORITY = MessageFace(
    "tokens.offer_authority",
    (
        ("denom", Denom),
        ("to", Address | None),
    ),
    None,
)

OPEN_ESCROW = MessageFace(
    "tokens.open_escrow",
    (
        ("to", Address),
        ("amount", Coin),
        ("arbiter", Address | None),
        ("expires_s", Annotated[int, Between(0, 1099511627775)]),
    ),
    Opened,
)

RELEASE_ESCROW = MessageFace(
    "tokens.release_escrow",
    (("id", U64),),
    Moved,
)

RENOUNCE_AUTHORITY = MessageFace(
    "tokens.renounce_authority",
    (("denom", Denom),),
    None,
)

RETURN_ESCROW = MessageFace(
    "tokens.return_escrow",
    (("id", U64),),
    Moved,
)

REVOKE_VESTING = MessageFace(
    "tokens.revoke_vesting",
    (("id", U64),),
    Moved,
)

SET_FROZEN = MessageFace(
    "tokens.set_frozen",
    (
        ("denom", Denom),
        ("account", Address),
        ("frozen", bool),
    ),
    None,
)

SET_LISTED = MessageFace(
    "tokens.set_listed",
    (
        ("denom", Denom),
        ("account", Address),
        ("listed", bool),
    ),
    None,
)

SET_METADATA = MessageFace(
    "tokens.set_metadata",
    (
        ("denom", Denom),
        ("name", Annotated[str, Length(0, 64)]),
        ("uri", Annotated[str, Length(0, 256)]),
    ),
    None,
)

GET_ESCROW = QueryFace(
    "tokens_getEscrow",
    (("id", U64),),
    EscrowInfo,
)

GET_HOLDER = QueryFace(
    "tokens_getHolder",
    (
        ("denom", Denom),
        ("address", Address),
    ),
    Holder,
)

GET_TOKEN = QueryFace(
    "tokens_getToken",
    (("denom", Denom),),
    TokenInfo,
)

GET_VESTING = QueryFace(
    "tokens_getVesting",
    (("id", U64),),
    VestingInfo,
)

LIST_TOKENS = QueryFace(
    "tokens_listTokens",
    (
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", Denom | None),
    ),
    TokenPage,
)

LIST_VESTINGS = QueryFace(
    "tokens_listVestings",
    (
        ("address", Address),
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", U64 | None),
    ),
    VestingPage,
)

MESSAGES: tuple[MessageFace, ...] = (
    ACCEPT_AUTHORITY,
    BURN,
    CLAIM_VESTING,
    CREATE,
    CREATE_VESTING,
    MINT,
    MULTI_SEND,
    OFFER_AUTHORITY,
    OPEN_ESCROW,
    RELEASE_ESCROW,
    RENOUNCE_AUTHORITY,
    RETURN_ESCROW,
    REVOKE_VESTING,
    SET_FROZEN,
    SET_LISTED,
    SET_METADATA,
)

QUERIES: tuple[QueryFace, ...] = (
    GET_ESCROW,
    GET_HOLDER,
    GET_TOKEN,
    GET_VESTING,
    LIST_TOKENS,
    LIST_VESTINGS,
)

EVENTS: dict[str, type] = {
    "tokens.token_created": TokenCreated,
    "tokens.paid": Paid,
    "tokens.minted": Minted,
    "tokens.burned": Burned,
    "tokens.metadata_changed": MetadataChanged,
    "tokens.authority_offered": AuthorityOffered,
    "tokens.authority_changed": AuthorityChanged,
    "tokens.freeze_changed": FreezeChanged,
    "tokens.listing_changed": ListingChanged,
    "tokens.vesting_created": VestingCreated,
    "tokens.vesting_claimed": VestingClaimed,
    "tokens.vesting_revoked": VestingRevoked,
    "tokens.escrow_opened": EscrowOpened,
    "tokens.escrow_closed": EscrowClosed,
}


class Tokens(ModuleFace):
    """Tokens: create, mint, burn, controls; payments to many; vesting and escrow."""

    def accept_authority(
        self, wallet: Wallet, *, denom: str | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[None]:
        """Accept the authority over a token that was offered to this account.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
        """
        return self._send(wallet, ACCEPT_AUTHORITY, {"denom": denom}, options)

    def burn(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Destroy coins of a token that this account holds.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            amount: base units.
        """
        return self._send(wallet, BURN, {"denom": denom, "amount": amount}, options)

    def claim_vesting(
        self, wallet: Wallet, *, id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Moved]:
        """Take what has become free of a schedule; only its recipient can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            id: the schedule's number.
        """
        return self._send(wallet, CLAIM_VESTING, {"id": id}, options)

    def create(
        self,
        wallet: Wallet,
        *,
        symbol: str | Reference,
        name: str | Reference,
        decimals: int | Reference,
        uri: str | Reference,
        supply: AmountLike,
        supply_cap: AmountLike | None = None,
        controls: Controls | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Created]:
        """Create a token; this account gets its first coins and the authority over it.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            symbol: 1 to 16 characters of A-Z and 0-9; no second one of this account.
            name: what people read.
            decimals: digits after the point in what people read.
            uri: where more is told.
            supply: base units that are minted to this account at once.
            supply_cap: most base units there may ever be; no cap unless given.
            controls: what the authority can do to holders, for ever; nothing unless given.
        """
        return self._send(
            wallet,
            CREATE,
            {
                "symbol": symbol,
                "name": name,
                "decimals": decimals,
                "uri": uri,
                "supply": supply,
                "supply_cap": supply_cap,
                "controls": controls,
            },
            options,
        )

    def create_vesting(
        self,
        wallet: Wallet,
        *,
        to: AddressLike | Reference,
        amount: CoinLike,
        start_s: int | Reference,
        duration_s: int | Reference,
        cliff_s: int | Reference,
        revocable: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Opened]:
        """Lock coins that become free for somebody linearly.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            to: who receives.
            amount: how much of which denomination.
            start_s: when it begins, in seconds since 1970.
            duration_s: seconds until all is free.
            cliff_s: seconds before which nothing is free; what became free until then comes at once.
            revocable: whether who locks it may take back what is not free yet.
        """
        return self._send(
            wallet,
            CREATE_VESTING,
            {
                "to": to,
                "amount": amount,
                "start_s": start_s,
                "duration_s": duration_s,
                "cliff_s": cliff_s,
                "revocable": revocable,
            },
            options,
        )

    def mint(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        to: AddressLike | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Create coins of a token; its authority alone can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            to: who receives them.
            amount: base units.
        """
        return self._send(wallet, MINT, {"denom": denom, "to": to, "amount": amount}, options)

    def multi_send(
        self,
        wallet: Wallet,
        *,
        payments: tuple[Payment, ...] | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Pay many accounts at once: all or none.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            payments: up to 500, each with its recipient and coins.
        """
        return self._send(wallet, MULTI_SEND, {"payments": payments}, options)

    def offer_authority(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        to: AddressLike | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Offer the authority over a token to an account, which has to accept: a mistyped one loses
        nothing.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            to: to whom; nobody takes an open offer back.
        """
        return self._send(wallet, OFFER_AUTHORITY, {"denom": denom, "to": to}, options)

    def open_escrow(
        self,
        wallet: Wallet,
        *,
        to: AddressLike | Reference,
        amount: CoinLike,
        arbiter: AddressLike | Reference | None = None,
        expires_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Opened]:
        """Lay coins down for somebody until a word is given.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            to: who receives on release.
            amount: how much of which denomination.
            arbiter: who besides the two can decide; nobody unless given.
            expires_s: from when on this account can take them back, in seconds since 1970.
        """
        return self._send(
            wallet,
            OPEN_ESCROW,
            {"to": to, "amount": amount, "arbiter": arbiter, "expires_s": expires_s},
            options,
        )

    def release_escrow(
        self, wallet: Wallet, *, id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Moved]:
        """Give an escrow's coins to its recipient; who paid, or the arbiter, can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            id: the escrow's number.
        """
        return self._send(wallet, RELEASE_ESCROW, {"id": id}, options)

    def renounce_authority(
        self, wallet: Wallet, *, denom: str | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[None]:
        """Give up the authority over a token, for ever: nobody mints, and nothing is frozen any more; a
        list stays as it is.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
        """
        return self._send(wallet, RENOUNCE_AUTHORITY, {"denom": denom}, options)

    def return_escrow(
        self, wallet: Wallet, *, id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Moved]:
        """Give an escrow's coins back: its recipient or the arbiter at any time, who paid after the
        expiry.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            id: the escrow's number.
        """
        return self._send(wallet, RETURN_ESCROW, {"id": id}, options)

    def revoke_vesting(
        self, wallet: Wallet, *, id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Moved]:
        """End a revocable schedule: what is free goes to its recipient, the rest back to who made it, who
        alone can do this.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            id: the schedule's number.
        """
        return self._send(wallet, REVOKE_VESTING, {"id": id}, options)

    def set_frozen(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        account: AddressLike | Reference,
        frozen: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Freeze an account's coins of a freezable token, or set them free; the token's authority alone
        can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            account: whose coins.
            frozen: whether they can move.
        """
        return self._send(wallet, SET_FROZEN, {"denom": denom, "account": account, "frozen": frozen}, options)

    def set_listed(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        account: AddressLike | Reference,
        listed: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Put an account on a token's allow-list, or take it off; the token's authority alone can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            account: who; also a module's account, such as a pool's.
            listed: whether it may receive the token. What it holds already can leave.
        """
        return self._send(wallet, SET_LISTED, {"denom": denom, "account": account, "listed": listed}, options)

    def set_metadata(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        name: str | Reference,
        uri: str | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Change what people read of a token; its authority alone can. Symbol and decimals never change.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            name: what people read.
            uri: where more is told.
        """
        return self._send(wallet, SET_METADATA, {"denom": denom, "name": name, "uri": uri}, options)

    def get_escrow(self, id: int, *, at: At | None = None) -> EscrowInfo:
        """An escrow that waits.

        `at` is a height, the latest one unless given.

        Args:
            id: the escrow's number.
        """
        answer: EscrowInfo = self._query(GET_ESCROW, {"id": id}, at)
        return answer

    def get_holder(self, denom: str, address: AddressLike, *, at: At | None = None) -> Holder:
        """What a token's controls say of an account.

        `at` is a height, the latest one unless given.

        Args:
            denom: the token.
            address: the account.
        """
        answer: Holder = self._query(GET_HOLDER, {"denom": denom, "address": address}, at)
        return answer

    def get_token(self, denom: str = QXC, *, at: At | None = None) -> TokenInfo:
        """A token: metadata, supply, cap, authority and controls.

        `at` is a height, the latest one unless given.

        Args:
            denom: the token.
        """
        answer: TokenInfo = self._query(GET_TOKEN, {"denom": denom}, at)
        return answer

    def get_vesting(self, id: int, *, at: At | None = None) -> VestingInfo:
        """A schedule with what is free of it now.

        `at` is a height, the latest one unless given.

        Args:
            id: the schedule's number.
        """
        answer: VestingInfo = self._query(GET_VESTING, {"id": id}, at)
        return answer

    def list_tokens(
        self, limit: int | None = None, cursor: str | None = None, *, at: At | None = None
    ) -> TokenPage:
        """All tokens, by denomination.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: TokenPage = self._query(LIST_TOKENS, {"limit": limit, "cursor": cursor}, at)
        return answer

    def list_vestings(
        self,
        address: AddressLike,
        limit: int | None = None,
        cursor: int | None = None,
        *,
        at: At | None = None,
    ) -> VestingPage:
        """Schedules whose recipient an account is, oldest first; those that are paid out are not among
        them.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: VestingPage = self._query(
            LIST_VESTINGS, {"address": address, "limit": limit, "cursor": cursor}, at
        )
        return answer
