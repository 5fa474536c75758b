"""Records that tokens keeps, returns and announces."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from qenex.crypto.address import Address
from qenex.types import U64, Amount, Between, Coin, Denom, Length

Symbol = Annotated[str, Length(1, 16)]
TokenName = Annotated[str, Length(0, 64)]
Uri = Annotated[str, Length(0, 256)]
Decimals = Annotated[int, Between(0, 30)]
FeeBps = Annotated[int, Between(0, 1_000)]
"""A transfer fee in basis points, at most 10%."""
Seconds = Annotated[int, Between(0, (1 << 40) - 1)]
"""Seconds, of a duration or since 1970-01-01T00:00:00Z."""
PageLimit = Annotated[int, Between(1, 1_000)]


class Controls(NamedTuple):
    """What whoever has authority over a token can do to its holders. Chosen at creation, the same for ever.

    `freezable`: an account's coins can be frozen. `allow_list`: only listed accounts can receive. Of each transfer
    between accounts `transfer_fee_bps` basis points go to `fee_recipient`.
    """

    freezable: bool
    allow_list: bool
    transfer_fee_bps: FeeBps
    fee_recipient: Address | None


class Token(NamedTuple):
    """A token's own record. `supply_cap` None: no cap. `authority` None: renounced, for ever."""

    creator: Address
    symbol: Symbol
    name: TokenName
    decimals: Decimals
    uri: Uri
    supply_cap: Amount | None
    authority: Address | None
    offered_to: Address | None
    controls: Controls


class TokenInfo(NamedTuple):
    """A token as `get_token` shows it."""

    denom: Denom
    supply: Amount
    token: Token


class TokenPage(NamedTuple):
    """Part of all tokens, in order of denomination."""

    items: tuple[TokenInfo, ...]
    next_cursor: str | None


class Holder(NamedTuple):
    """What the controls say of one account. `may_receive` takes everything together."""

    frozen: bool
    listed: bool
    may_receive: bool


class Payment(NamedTuple):
    """One recipient of `multi_send`."""

    to: Address
    amount: Coin


class Schedule(NamedTuple):
    """A locked amount that becomes free linearly.

    Times in seconds since 1970 and as durations; see `defi_modules.bank.math.vested`. Who made a `revocable` one can
    take back what is not free yet.
    """

    creator: Address
    recipient: Address
    denom: Denom
    total: Amount
    claimed: Amount
    start_s: Seconds
    duration_s: Seconds
    cliff_s: Seconds
    revocable: bool


class VestingInfo(NamedTuple):
    """A schedule as it stands at the block's time."""

    id: U64
    schedule: Schedule
    vested: Amount
    claimable: Amount


class VestingPage(NamedTuple):
    """Part of an account's schedules, as recipient, in order of id."""

    items: tuple[VestingInfo, ...]
    next_cursor: U64 | None


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
    expires_s: Seconds


class EscrowInfo(NamedTuple):
    """An escrow and its id."""

    id: U64
    escrow: Escrow


# -- results -----------------------------------------------------------------------------------


class Created(NamedTuple):
    """What `tokens.create` returns: the denomination of the new token."""

    denom: Denom


class Opened(NamedTuple):
    """The id of a schedule or an escrow that was made."""

    id: U64


class Moved(NamedTuple):
    """Coins that a message moved: to the recipient, or back."""

    denom: Denom
    amount: Amount


# -- events ------------------------------------------------------------------------------------


class Paid(NamedTuple):
    """One of the payments of `multi_send`: what the recipient got."""

    sender: Address
    recipient: Address
    denom: Denom
    amount: Amount


class TokenCreated(NamedTuple):
    """A token was created."""

    denom: Denom
    creator: Address
    symbol: Symbol
    decimals: Decimals


class Minted(NamedTuple):
    """`amount` base units of `denom` were created for `recipient`."""

    denom: Denom
    recipient: Address
    amount: Amount


class Burned(NamedTuple):
    """`amount` base units of `denom` were destroyed by their holder."""

    denom: Denom
    holder: Address
    amount: Amount


class MetadataChanged(NamedTuple):
    """A token's name or address of its page was changed."""

    denom: Denom


class AuthorityOffered(NamedTuple):
    """Authority over a token was offered to an account, or the offer was taken back (None)."""

    denom: Denom
    to: Address | None


class AuthorityChanged(NamedTuple):
    """Authority over a token went to `authority`; None: it was renounced, for ever."""

    denom: Denom
    authority: Address | None


class FreezeChanged(NamedTuple):
    """An account's coins of this token were frozen or set free."""

    denom: Denom
    account: Address
    frozen: bool


class ListingChanged(NamedTuple):
    """An account came onto a token's allow-list, or was taken off."""

    denom: Denom
    account: Address
    listed: bool


class VestingCreated(NamedTuple):
    """`amount` base units of `denom` were locked for `recipient`."""

    id: U64
    creator: Address
    recipient: Address
    denom: Denom
    amount: Amount


class VestingClaimed(NamedTuple):
    """The recipient of a schedule took what had become free."""

    id: U64
    recipient: Address
    denom: Denom
    amount: Amount


class VestingRevoked(NamedTuple):
    """Who made a schedule took back what was not free yet (`returned`); `paid` went to the recipient."""

    id: U64
    denom: Denom
    paid: Amount
    returned: Amount


class EscrowOpened(NamedTuple):
    """`amount` base units of `denom` wait for a word."""

    id: U64
    payer: Address
    recipient: Address
    denom: Denom
    amount: Amount


class EscrowClosed(NamedTuple):
    """An escrow's coins went to `to`: its recipient, or back to who paid."""

    id: U64
    to: Address
    denom: Denom
    amount: Amount
