"""Tokens, module 3: coins that anybody can create, and what may be done with them.

A token's denomination is bound to its creator and symbol, so nobody can take another's. Its controls are chosen at
creation, shown to everybody, and never change; `vm.money` enforces them on every path on which coins move.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, NamedTuple

from defi_modules.tokens.locks import Locks
from defi_modules.tokens.types import (
    AuthorityChanged,
    AuthorityOffered,
    Burned,
    Controls,
    Created,
    Decimals,
    EscrowClosed,
    EscrowOpened,
    FreezeChanged,
    Holder,
    ListingChanged,
    MetadataChanged,
    Minted,
    PageLimit,
    Paid,
    Payment,
    Symbol,
    Token,
    TokenCreated,
    TokenInfo,
    TokenName,
    TokenPage,
    Uri,
    VestingClaimed,
    VestingCreated,
    VestingRevoked,
)
from ledger.collections import Map, OrderedMap
from qenex.codec import Codec, codec_for
from qenex.crypto.address import Address
from qenex.errors import (
    AmountNotPositive,
    ControlNotChosen,
    InvalidGenesis,
    InvalidToken,
    InvariantViolated,
    NotTokenAuthority,
    RecipientClosed,
    SupplyCapExceeded,
    TokenExists,
    UnknownToken,
)
from qenex.hashing import hasher
from qenex.state_keys import (
    MARK_FROZEN,
    MARK_LISTED,
    RULE_ALLOW_LIST,
    RULE_FREEZABLE,
    ModuleId,
    TokenRule,
)
from qenex.types import U8, Amount, Denom, Length
from vm.context import Context
from vm.module import Module, invariant, message, query
from vm.registry import check_record

PREFIX: Final = "tokens/"
MAX_PAYMENTS: Final = 500
_new = tuple.__new__
_SYMBOL = re.compile(r"[A-Z0-9]{1,16}")
_denom_hash = hasher("qx.token")

Payments = Annotated[tuple[Payment, ...], Length(1, MAX_PAYMENTS)]


def token_denom(creator: Address, symbol: str) -> str:
    """The denomination of a creator's token: `tokens/` and the first 32 hex digits of H("qx.token", creator + symbol)."""
    return PREFIX + _denom_hash(bytes(creator) + symbol.encode("ascii")).hex()[:32]


class GenesisMark(NamedTuple):
    """What is noted of one account and token at genesis."""

    denom: Denom
    address: Address
    flags: U8


class Tokens(Locks, Module):
    """Tokens: create, mint, burn, controls; payments to many; vesting and escrow."""

    id = ModuleId.TOKENS
    name = "tokens"
    events = (
        TokenCreated, Paid, Minted, Burned, MetadataChanged, AuthorityOffered, AuthorityChanged, FreezeChanged,
        ListingChanged, VestingCreated, VestingClaimed, VestingRevoked, EscrowOpened, EscrowClosed,
    )  # fmt: skip

    tokens = OrderedMap[str, Token](1, key=Denom, value=Token)
    rules = Map[str, TokenRule](2, key=Denom, value=TokenRule)
    marks = Map[tuple[str, Address], int](3, key=(Denom, Address), value=U8)

    # -- the factory -----------------------------------------------------------------------------

    @message(gas=650)
    def create(
        self,
        ctx: Context,
        symbol: Symbol,
        name: TokenName,
        decimals: Decimals,
        uri: Uri,
        supply: Amount,
        supply_cap: Amount | None,
        controls: Controls | None,
    ) -> Created:
        """Create a token; this account gets its first coins and the authority over it.

        Args:
            symbol: 1 to 16 characters of A-Z and 0-9; no second one of this account.
            name: what people read.
            decimals: digits after the point in what people read.
            uri: where more is told.
            supply: base units that are minted to this account at once.
            supply_cap: most base units there may ever be; no cap unless given.
            controls: what the authority can do to holders, for ever; nothing unless given.
        """
        chosen = controls or Controls(False, False, 0, None)
        if not _SYMBOL.fullmatch(symbol):
            raise InvalidToken(f"symbol {symbol!r}")
        self._check_controls(ctx, chosen)
        denom = token_denom(ctx.actor, symbol)
        if self.tokens.get(denom) is not None:
            raise TokenExists(f"{denom} exists")
        token = Token(ctx.actor, symbol, name, decimals, uri, supply_cap, ctx.actor, None, chosen)
        self.tokens.set(denom, token)
        self.rules.set(denom, _rule_of(chosen))
        if chosen.allow_list:
            self.marks.set((denom, ctx.actor), MARK_LISTED)
        ctx.emit(TokenCreated(denom, ctx.actor, symbol, decimals))
        if supply:
            self._mint(ctx, denom, token, ctx.actor, supply)
        return Created(denom)

    @staticmethod
    def _check_controls(ctx: Context, controls: Controls) -> None:
        if bool(controls.transfer_fee_bps) != (controls.fee_recipient is not None):
            raise InvalidToken("a transfer fee and its recipient go together")
        if controls.fee_recipient is not None and ctx.money.is_closed(controls.fee_recipient):
            raise RecipientClosed("a module's account cannot receive a token's fee")

    @message(gas=350, hands_over=True)
    def mint(self, ctx: Context, denom: Denom, to: Address, amount: Amount) -> None:
        """Create coins of a token; its authority alone can.

        Args:
            denom: the token.
            to: who receives them.
            amount: base units.
        """
        token = self._with_authority(ctx, denom)
        if ctx.money.is_closed(to):
            raise RecipientClosed
        self._mint(ctx, denom, token, to, amount)

    def _mint(self, ctx: Context, denom: str, token: Token, to: Address, amount: int) -> None:
        if amount <= 0:
            raise AmountNotPositive(f"minting {amount} {denom}")
        if token.supply_cap is not None and ctx.money.supply(denom) + amount > token.supply_cap:
            raise SupplyCapExceeded(
                f"{ctx.money.supply(denom)} base units exist, {amount} more are beyond the cap {token.supply_cap}"
            )
        ctx.money.mint(ctx, to, denom, amount)
        ctx.emit(Minted(denom, to, amount))

    @message(gas=400)
    def burn(self, ctx: Context, denom: Denom, amount: Amount) -> None:
        """Destroy coins of a token that this account holds.

        Args:
            denom: the token.
            amount: base units.
        """
        self._token(denom)
        if amount <= 0:
            raise AmountNotPositive(f"burning {amount} {denom}")
        ctx.money.burn(ctx, ctx.actor, denom, amount)
        ctx.emit(Burned(denom, ctx.actor, amount))

    @message(gas=250)
    def set_metadata(self, ctx: Context, denom: Denom, name: TokenName, uri: Uri) -> None:
        """Change what people read of a token; its authority alone can. Symbol and decimals never change.

        Args:
            denom: the token.
            name: what people read.
            uri: where more is told.
        """
        token = self._with_authority(ctx, denom)
        self.tokens.set(denom, token._replace(name=name, uri=uri))
        ctx.emit(MetadataChanged(denom))

    # -- authority -------------------------------------------------------------------------------

    @message(gas=300, hands_over=True)
    def offer_authority(self, ctx: Context, denom: Denom, to: Address | None) -> None:
        """Offer the authority over a token to an account, which has to accept: a mistyped one loses nothing.

        Args:
            denom: the token.
            to: to whom; nobody takes an open offer back.
        """
        token = self._with_authority(ctx, denom)
        self.tokens.set(denom, token._replace(offered_to=to))
        ctx.emit(AuthorityOffered(denom, to))

    @message(gas=300)
    def accept_authority(self, ctx: Context, denom: Denom) -> None:
        """Accept the authority over a token that was offered to this account.

        Args:
            denom: the token.
        """
        token = self._token(denom)
        if token.offered_to != ctx.actor:
            raise NotTokenAuthority(f"the authority over {denom} was not offered to this account")
        self.tokens.set(denom, token._replace(authority=ctx.actor, offered_to=None))
        ctx.emit(AuthorityChanged(denom, ctx.actor))

    @message(gas=450, hands_over=True)
    def renounce_authority(self, ctx: Context, denom: Denom) -> None:
        """Give up the authority over a token, for ever: nobody mints, and nothing is frozen any more; a list stays as it is.

        Args:
            denom: the token.
        """
        token = self._with_authority(ctx, denom)
        controls = token.controls._replace(freezable=False)
        self.tokens.set(denom, token._replace(authority=None, offered_to=None, controls=controls))
        self.rules.set(denom, _rule_of(controls))
        ctx.emit(AuthorityChanged(denom, None))

    # -- controls --------------------------------------------------------------------------------

    @message(gas=200)
    def set_frozen(self, ctx: Context, denom: Denom, account: Address, frozen: bool) -> None:
        """Freeze an account's coins of a freezable token, or set them free; the token's authority alone can.

        Args:
            denom: the token.
            account: whose coins.
            frozen: whether they can move.
        """
        token = self._with_authority(ctx, denom)
        if not token.controls.freezable:
            raise ControlNotChosen(f"{denom} was created without the control to freeze")
        if ctx.money.owner(account):
            raise RecipientClosed("a module's account is never frozen: the money in it is other people's")
        self._mark(denom, account, MARK_FROZEN, frozen)
        ctx.emit(FreezeChanged(denom, account, frozen))

    @message(gas=200)
    def set_listed(self, ctx: Context, denom: Denom, account: Address, listed: bool) -> None:
        """Put an account on a token's allow-list, or take it off; the token's authority alone can.

        Args:
            denom: the token.
            account: who; also a module's account, such as a pool's.
            listed: whether it may receive the token. What it holds already can leave.
        """
        token = self._with_authority(ctx, denom)
        if not token.controls.allow_list:
            raise ControlNotChosen(f"{denom} was created without an allow-list")
        self._mark(denom, account, MARK_LISTED, listed)
        ctx.emit(ListingChanged(denom, account, listed))

    def _mark(self, denom: str, account: Address, bit: int, on: bool) -> None:
        flags = self.marks.get((denom, account)) or 0
        self.marks.set((denom, account), (flags | bit if on else flags & ~bit) or None)

    def _token(self, denom: str) -> Token:
        token = self.tokens.get(denom)
        if token is None:
            raise UnknownToken(f"{denom} is no token of this chain")
        return token

    def _with_authority(self, ctx: Context, denom: str) -> Token:
        token = self._token(denom)
        if token.authority != ctx.actor:
            raise NotTokenAuthority(f"this account has no authority over {denom}")
        return token

    # -- payments to many -------------------------------------------------------------------------

    @message(gas=100)
    def multi_send(self, ctx: Context, payments: Payments) -> None:
        """Pay many accounts at once: all or none.

        Args:
            payments: up to 500, each with its recipient and coins.
        """
        ctx.gas.use(100 * len(payments))
        emit, payer = ctx.emit, ctx.actor
        for (to, (denom, _)), received in zip(payments, ctx.money.pay_each(ctx, payments), strict=True):
            emit(_new(Paid, (payer, to, denom, received)))

    # -- reading -----------------------------------------------------------------------------------

    @query
    def get_token(self, ctx: Context, denom: Denom) -> TokenInfo:
        """A token: metadata, supply, cap, authority and controls.

        Args:
            denom: the token.
        """
        return TokenInfo(denom, ctx.money.supply(denom), self._token(denom))

    @query
    def list_tokens(self, ctx: Context, limit: PageLimit | None, cursor: Denom | None) -> TokenPage:
        """All tokens, by denomination.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        found, more = self.tokens.page_and_more(after=cursor, limit=limit or 100)
        items = tuple([TokenInfo(denom, ctx.money.supply(denom), token) for denom, token in found])
        return TokenPage(items, items[-1].denom if more else None)

    @query
    def get_holder(self, ctx: Context, denom: Denom, address: Address) -> Holder:
        """What a token's controls say of an account.

        Args:
            denom: the token.
            address: the account.
        """
        self._token(denom)
        flags = self.marks.get((denom, address)) or 0
        return Holder(
            bool(flags & MARK_FROZEN), bool(flags & MARK_LISTED), ctx.money.may_hold(denom, address)
        )

    # -- rules that always hold ---------------------------------------------------------------------

    @invariant()
    def rules_are_those_of_the_controls_and_caps_hold(self, ctx: Context) -> None:
        """What the machine enforces is what the token shows, and no supply is beyond its cap."""
        rules = dict(self.rules.scan())
        for denom, token in self.tokens.scan():
            if rules.pop(denom, None) != _rule_of(token.controls):
                raise InvariantViolated(f"the rule of {denom} is not that of its controls")
            if denom != token_denom(token.creator, token.symbol):
                raise InvariantViolated(f"{denom} is not its creator's")
            if token.supply_cap is not None and ctx.money.supply(denom) > token.supply_cap:
                raise InvariantViolated(
                    f"{ctx.money.supply(denom)} of {denom} exist, its cap is {token.supply_cap}"
                )
        if rules:
            raise InvariantViolated(f"a rule without a token: {min(rules)}")

    # -- genesis -------------------------------------------------------------------------------------

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """`{"tokens": [...], "marks": [...], "locks": {...}}` (see `import_locks`); their coins stand in the bank's part."""
        if set(data) - {"tokens", "marks", "locks"} or not all(
            isinstance(data.get(name, []), list) for name in ("tokens", "marks")
        ):
            raise InvalidGenesis('modules.tokens is {"tokens": [...], "marks": [...], "locks": {...}}')
        for token in _records(data, "tokens", codec_for(Token)):
            denom = token_denom(token.creator, token.symbol) if _SYMBOL.fullmatch(token.symbol) else ""
            if not denom or self.tokens.get(denom) is not None:
                raise InvalidGenesis(f"modules.tokens: symbol {token.symbol!a} is malformed or there twice")
            self._check_controls(ctx, token.controls)
            self.tokens.set(denom, token)
            self.rules.set(denom, _rule_of(token.controls))
        for denom, address, flags in _records(data, "marks", codec_for(GenesisMark)):
            if self.tokens.get(denom) is None or not 0 < flags <= MARK_FROZEN | MARK_LISTED:
                raise InvalidGenesis(f"modules.tokens.marks: {denom} is no token, or the flags mean nothing")
            self.marks.set((denom, address), flags)
        self.import_locks(data.get("locks", {}))

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`."""
        marks = [GenesisMark(denom, address, flags) for (denom, address), flags in self.marks.scan()]
        lists: dict[str, list[Any]] = {
            "tokens": [codec_for(Token).to_json(token, "qx") for _, token in self.tokens.scan()],
            "marks": [codec_for(GenesisMark).to_json(mark, "qx") for mark in marks],
        }
        found: dict[str, Any] = {name: items for name, items in lists.items() if items}
        locks = self.export_locks()
        return found | ({"locks": locks} if locks else {})


def _records(data: dict[str, Any], name: str, codec: Codec[Any]) -> list[Any]:
    return [
        check_record(codec, item, InvalidGenesis, f"modules.tokens.{name}[{index}]")
        for index, item in enumerate(data.get(name, []))
    ]


def _rule_of(controls: Controls) -> TokenRule | None:
    """What the machine enforces for these controls; None where there is nothing to enforce."""
    flags = controls.freezable * RULE_FREEZABLE | controls.allow_list * RULE_ALLOW_LIST
    if not flags and not controls.transfer_fee_bps:
        return None
    return TokenRule(flags, controls.transfer_fee_bps, controls.fee_recipient)
