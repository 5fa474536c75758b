"""Accounts and authentication, module 1: keys, sequences, key rotation.

An account's address comes from its first key and never changes; the key rotates, also to another
scheme. Keys of more than 64 bytes with their tag are stored once, by hash, so that an account record
stays small and a 1,312-byte key does not travel twice.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

from ledger.collections import Map, OrderedMap
from ledger.state import State
from qenex.codec import codec_for, decode, encode
from qenex.crypto import SCHEMES_BY_TAG, Scheme, account_key, address_of, multisig
from qenex.crypto.address import MAX_INLINE_KEY_SIZE, Address, encode_address
from qenex.crypto.multisig import (
    MAX_DESCRIPTOR_SIZE,
    MULTISIG_TAG,
    Member,
    decode_descriptor,
    signing_members,
)
from qenex.errors import (
    AccountHasNoKey,
    AccountNotFound,
    InvalidGenesis,
    InvalidScope,
    MalformedBytes,
    PublicKeyMismatch,
    PublicKeyMissing,
    PublicKeyNotAllowed,
    QenexError,
    RotationNotAuthorised,
    SameKey,
    SchemeNotAllowed,
    ScopedKeyNotFound,
    TooManyScopedKeys,
    UnknownScheme,
    WeakPublicKey,
)
from qenex.state_keys import (
    ACCOUNT_PUBLIC_KEYS,
    EMPTY_ACCOUNT,
    FLAG_FROZEN,
    FLAG_GUARDED,
    FLAG_MODULE_ACCOUNT,
    Account,
    ModuleId,
    public_key_state_key,
)
from qenex.transaction import MAX_SIGNATURE_SIZE, Signer
from qenex.types import U8, U16, U64, Amount, Bps, Bytes32, Length
from vm.context import Context
from vm.fees import SCHEME_OFF, SCHEME_ON
from vm.gas import gas_schedule
from vm.guard import Queued, QueuedScope
from vm.guard_types import GUARD_EVENTS, KeyRotated, Waiting
from vm.guards import ROTATION, SCOPE, Guards
from vm.module import internal, message, query
from vm.registry import check_record
from vm.scoped import (
    MAX_SCOPED_KEYS,
    MessageNames,
    ScopedKey,
    ScopedKeyAdded,
    ScopedKeyCount,
    SpendingLimits,
    Spent,
    make_scope,
    scoped_key_of,
)

PublicKeyBytes = Annotated[bytes, Length(2, MAX_DESCRIPTOR_SIZE)]
PossessionBytes = Annotated[bytes, Length(1, 3 * MAX_SIGNATURE_SIZE)]
"""A signature, or of a multisig key the encoded array of its members' signatures."""


class GenesisAccount(NamedTuple):
    """An account at genesis, but for its balances; `key` is tag + public key."""

    address: Address
    sequence: U64
    key: PublicKeyBytes | None
    fee_tier: Bps
    flags: U8


class ScopedKeyRevoked(NamedTuple):
    """A scoped key acts no more; its number is never used again."""

    address: Address
    number: U16


class ScopedKeyIndex(NamedTuple):
    """Under which number an account's scoped key was registered."""

    number: U16


class ScopedKeyView(NamedTuple):
    """A scoped key as queries return it. `spent` stands beside `limits`, of periods that may have ended."""

    number: U16
    sequence: U64
    public_key: bytes
    expires: U64
    messages: MessageNames
    limits: SpendingLimits
    spent: tuple[Spent, ...]


class ScopedKeysView(NamedTuple):
    """All scoped keys of an account, by number."""

    keys: tuple[ScopedKeyView, ...]


class GenesisScopedKey(NamedTuple):
    """A scoped key at genesis; `key` is tag + public key."""

    address: Address
    number: U16
    key: PublicKeyBytes
    sequence: U64
    expires: U64
    messages: MessageNames
    limits: SpendingLimits
    spent: tuple[Spent, ...]


class GenesisScopedCount(NamedTuple):
    """The number that an account's next scoped key gets."""

    address: Address
    next: U64


class AccountView(NamedTuple):
    """An account as queries return it. `scheme` is the key's tag, 0 while it has never signed."""

    address: Address
    sequence: U64
    balance: Amount
    scheme: U8
    public_key: bytes | None
    fee_tier: U16
    is_module: bool


def rotation_sign_bytes(chain_id: str, address: Address, sequence: int, new_key: bytes) -> bytes:
    """What a new key signs to prove that its owner agrees: `["rotation", chain_id, address, sequence, key]`.

    `sequence` is that of the transaction which carries the rotation.
    """
    return encode(("rotation", chain_id, address, sequence, new_key))


def check_new_scheme(tag: int, status: dict[int, int]) -> Scheme:
    """The scheme of a key that enters state. Raises UnknownScheme or SchemeNotAllowed."""
    scheme = SCHEMES_BY_TAG.get(tag)
    if scheme is None:
        raise UnknownScheme(f"no signature scheme has tag 0x{tag:02x}")
    if status.get(tag, SCHEME_OFF) != SCHEME_ON:
        raise SchemeNotAllowed(f"{scheme.name} keys cannot be registered on this chain")
    return scheme


def check_new_key(key: bytes, status: dict[int, int]) -> None:
    """Rules for a key that enters state. Raises UnknownScheme, SchemeNotAllowed or WeakPublicKey."""
    scheme = check_new_scheme(key[0], status)
    if not scheme.valid_public_key(key[1:]):
        raise WeakPublicKey(f"not a valid {scheme.name} public key")


def check_account_key(key: bytes, status: dict[int, int]) -> None:
    """Rules for an account's new key: one key, or a multisig descriptor whose members each may enter state.

    Raises as `check_new_key`, or TooManyMembers, DuplicateMember, ThresholdUnreachable, InvalidDescriptor.
    """
    if key[0] != MULTISIG_TAG:
        check_new_key(key, status)
        return
    for member in decode_descriptor(key).members:
        check_new_key(member.key, status)


def members_signing(key: bytes, signatures: object, status: dict[int, int]) -> list[Member]:
    """Members of a multisig key (tag + descriptor, as it stands in state) with a signature among these.

    Raises WrongSignatureCount, ThresholdNotMet, SurplusSignature, or SchemeNotAllowed for a signature of a
    scheme that is switched off. Nothing is verified here.
    """
    members = signing_members(decode_descriptor(key), signatures)
    for member in members:
        if status.get(member.key[0], SCHEME_OFF) == SCHEME_OFF:
            raise SchemeNotAllowed("a member's signature scheme is switched off on this chain")
    return members


def key_of_signer(state: State, signer: Signer, account: Account, status: dict[int, int]) -> bytes:
    """Tag + public key that must verify the signer's signature.

    Raises the 1000s error that fits; see `check_new_key` for a key sent with a first transaction.
    """
    stored = account[2] if signer.scoped_key is None else scoped_key_of(state, signer).key
    if not stored:
        key = signer.public_key
        if key is None:
            raise PublicKeyMissing
        if key[0] != MULTISIG_TAG:
            check_new_scheme(key[0], status)
        if address_of(key[0], key[1:]) != signer.address:
            raise PublicKeyMismatch
        check_account_key(key, status)
        return key
    if stored[0] != MULTISIG_TAG and status.get(stored[0], SCHEME_OFF) == SCHEME_OFF:
        raise SchemeNotAllowed("the account's signature scheme is switched off on this chain")
    if signer.public_key is not None:
        raise PublicKeyNotAllowed
    if stored[0] in LONG_SCHEMES:
        full: bytes | None = state.get(ACCOUNT_PUBLIC_KEYS + stored[1:])
        if full is None:
            raise PublicKeyMissing("the account's key is not in the state")
        return full
    return stored


LONG_SCHEMES: Final = frozenset(
    (
        MULTISIG_TAG,
        *(tag for tag, scheme in SCHEMES_BY_TAG.items() if scheme.public_key_size > MAX_INLINE_KEY_SIZE),
    )
)
"""Tags of the keys that stand in state by hash: long ones, and multisig descriptors (70 bytes at least)."""


def store_key(state: State, key: bytes) -> bytes:
    """Put a key into state where it belongs; returns the account record's form of it."""
    short = account_key(key[0], key[1:])
    if key[0] in LONG_SCHEMES:
        state.set(public_key_state_key(short[1:]), key)
    return short


def _signed(ctx: Context, key: bytes, statement: bytes, signature: bytes) -> bool:
    """Verify one key's signature, or a multisig key's encoded array of them; the gas is charged first."""
    prices = dict(gas_schedule(ctx.block.protocol_version).signature)
    if key[0] != MULTISIG_TAG:
        ctx.gas.use(prices[key[0]])
        return SCHEMES_BY_TAG[key[0]].verify(key[1:], statement, signature)
    try:
        signatures = decode(signature, max_size=len(signature))
    except MalformedBytes:
        return False
    ctx.gas.use(
        sum([prices[member.key[0]] for member in members_signing(key, signatures, ctx.scheme_status)])
    )
    return multisig.verify(key, statement, signatures)


class Accounts(Guards):
    """Who may act: sequences, keys and their rotation, scoped keys, guards."""

    id = ModuleId.ACCOUNTS
    name = "accounts"
    events = (KeyRotated, ScopedKeyAdded, ScopedKeyRevoked, *GUARD_EVENTS)

    records = Map[Address, Account](1, key=Address, value=Account)
    public_keys = Map[bytes, bytes](2, key=Bytes32, value=PublicKeyBytes)

    scoped_keys = OrderedMap[tuple[Address, U16], ScopedKey](3, key=(Address, U16), value=ScopedKey)
    scoped_counts = Map[Address, ScopedKeyCount](4, key=Address, value=ScopedKeyCount)

    @message(gas=700)
    def rotate_key(self, ctx: Context, new_key: PublicKeyBytes, possession: PossessionBytes) -> Waiting:
        """Sign with another key from now on; the address stays. A guarded account's rotation waits for the delay.

        The new key may be of another scheme: that is how an Ed25519 account becomes post-quantum. It
        signs the rotation statement itself (`rotation_sign_bytes`), so nobody can be locked out by a typo.

        Args:
            new_key: scheme tag (one byte) and public key.
            possession: the new key's signature over the rotation statement; of a multisig key the encoded array
                of its members' signatures, nil for who did not sign.
        """
        account = self.records.get(ctx.actor)
        if account is None or not account.key:
            raise AccountHasNoKey
        check_account_key(new_key, ctx.scheme_status)
        short = account_key(new_key[0], new_key[1:])
        if short == account.key:
            raise SameKey
        statement = rotation_sign_bytes(ctx.block.chain_id, ctx.actor, account.sequence - 1, new_key)
        if not _signed(ctx, new_key, statement, possession):
            raise RotationNotAuthorised
        self._keep(new_key)
        if account.flags & FLAG_GUARDED:
            return self._queue_change(ctx, ROTATION, Queued(0, key=short))
        self._rotate(ctx, ctx.actor, short)
        return Waiting(0)

    def _keep(self, key: bytes) -> bytes:
        """Store a long key, once; returns the record's form of any."""
        short = account_key(key[0], key[1:])
        if key[0] in LONG_SCHEMES and self.public_keys.get(short[1:]) is None:
            self.public_keys.set(short[1:], key)
        return short

    @message(gas=800)
    def add_scoped_key(
        self, ctx: Context, key: PublicKeyBytes, messages: MessageNames, limits: SpendingLimits, expires: U64
    ) -> ScopedKeyIndex:
        """Let a second key act for this account, within a scope: for a bot, or an agent. A guarded account's waits.

        What leaves the account by it, the fee included, counts against the limits; a denomination without a
        limit may not leave. The key counts its own sequence, from 0.

        Args:
            key: scheme tag (one byte) and public key.
            messages: names of the messages that it may send, like bank.send; none of accounts.
            limits: per denomination the amount that may leave in a period of seconds.
            expires: the last height at which it acts.
        """
        check_account_key(key, ctx.scheme_status)
        names, ordered = make_scope(messages, limits)
        if expires <= ctx.height:
            raise InvalidScope(f"expires at height {expires}, this is {ctx.height} already")
        count = self.scoped_counts.get(ctx.actor) or ScopedKeyCount(0, 0)
        if count.registered >= MAX_SCOPED_KEYS or count.next >= 1 << 16:
            raise TooManyScopedKeys(f"{count.registered} scoped keys now, {count.next} ever")
        short = self._keep(key)
        self.scoped_counts.set(ctx.actor, ScopedKeyCount(count.next + 1, count.registered + 1))
        scope = QueuedScope(count.next, short, expires, names, ordered)
        if self.guards.get(ctx.actor) is None:
            self._add_scope(ctx, ctx.actor, scope)
        else:
            self._queue_change(ctx, SCOPE, Queued(0, scope=scope))
        return ScopedKeyIndex(count.next)

    @message(gas=350)
    def revoke_scoped_key(self, ctx: Context, number: U16) -> None:
        """Let a scoped key act no more, at once.

        Args:
            number: what `add_scoped_key` returned.
        """
        if self.scoped_keys.get((ctx.actor, number)) is None:
            raise ScopedKeyNotFound(f"the account has no scoped key {number}")
        count = self.scoped_counts.get(ctx.actor) or ScopedKeyCount(0, 0)
        self.scoped_keys.set((ctx.actor, number), None)
        self.scoped_counts.set(ctx.actor, count._replace(registered=count.registered - 1))
        ctx.emit(ScopedKeyRevoked(ctx.actor, number))

    @internal(callers=("staking",), gas=50)
    def set_fee_tier(self, ctx: Context, address: Address, discount_bps: Bps) -> None:
        """Let an account pay less in base fees.

        Args:
            address: the account.
            discount_bps: basis points of the base fee that it does not pay.
        """
        account = self.records.get(address) or EMPTY_ACCOUNT
        record = account._replace(fee_tier=discount_bps)
        self.records.set(address, None if record == EMPTY_ACCOUNT else record)

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """Keys and sequences that a former chain's accounts bring along, and their scoped keys.

        `{"accounts": [...], "scoped_keys": [...], "scoped_counts": [...]}`, each of which may be missing, as may
        what `import_guards` takes.
        """
        names = ("accounts", "scoped_keys", "scoped_counts")
        known = (*names, "guards")
        if set(data) - set(known) or not all(isinstance(data.get(name, []), list) for name in names):
            raise InvalidGenesis(f"modules.accounts has lists {', '.join(names)}, and guards")
        codec = codec_for(GenesisAccount)
        for index, item in enumerate(data.get("accounts", [])):
            where = f"modules.accounts.accounts[{index}]"
            address, sequence, key, fee_tier, flags = check_record(codec, item, InvalidGenesis, where)
            if self.records.get(address) is not None:
                raise InvalidGenesis(f"{where}: a second entry for this account")
            short = b"" if key is None else self._import_key(key, where)
            if flags & (FLAG_GUARDED | FLAG_FROZEN):
                raise InvalidGenesis(f"{where}: what has a guard is told by modules.accounts.guards")
            record = Account(sequence, 0, short, fee_tier, flags)
            if record == EMPTY_ACCOUNT:
                raise InvalidGenesis(f"{where}: says nothing")
            self.records.set(address, record)
        counts = codec_for(GenesisScopedCount)
        for index, item in enumerate(data.get("scoped_counts", [])):
            where = f"modules.accounts.scoped_counts[{index}]"
            address, following = check_record(counts, item, InvalidGenesis, where)
            if self.scoped_counts.get(address) is not None or not 1 <= following <= 1 << 16:
                raise InvalidGenesis(f"{where}: a second entry, or no number of keys")
            self.scoped_counts.set(address, ScopedKeyCount(following, 0))
        scoped = codec_for(GenesisScopedKey)
        for index, item in enumerate(data.get("scoped_keys", [])):
            where = f"modules.accounts.scoped_keys[{index}]"
            self._import_scoped(GenesisScopedKey(*check_record(scoped, item, InvalidGenesis, where)), where)
        if "guards" in data:
            self.import_guards(data["guards"], self._import_key)

    def _import_key(self, key: bytes, where: str) -> bytes:
        try:
            check_account_key(key, dict.fromkeys(SCHEMES_BY_TAG, SCHEME_ON))
        except QenexError as error:
            raise InvalidGenesis(f"{where}: {error.message}") from None
        return self._keep(key)

    def _import_scoped(self, told: GenesisScopedKey, where: str) -> None:
        count = self.scoped_counts.get(told.address)
        place = (told.address, told.number)
        if count is None or told.number >= count.next or count.registered >= MAX_SCOPED_KEYS:
            raise InvalidGenesis(f"{where}: its account's scoped_counts leaves no place for it")
        if self.scoped_keys.get(place) is not None:
            raise InvalidGenesis(f"{where}: a second entry for this key")
        try:
            scope = make_scope(told.messages, told.limits)
        except InvalidScope as error:
            raise InvalidGenesis(f"{where}: {error.message}") from None
        if scope != (told.messages, told.limits) or len(told.spent) != len(told.limits):
            raise InvalidGenesis(f"{where}: lists are ascending, with what was spent beside each limit")
        short = self._import_key(told.key, where)
        spent = tuple([Spent(*used) for used in told.spent])
        self.scoped_keys.set(place, ScopedKey(told.sequence, short, told.expires, *scope, spent))
        self.scoped_counts.set(told.address, count._replace(registered=count.registered + 1))

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`; the balances are bank's to tell."""
        accounts = []
        codec = codec_for(GenesisAccount)
        for address, record in self.records.scan():
            if record._replace(balance=0) != EMPTY_ACCOUNT:
                key = self._full_key(record)
                flags = record.flags & ~(FLAG_GUARDED | FLAG_FROZEN)
                account = GenesisAccount(address, record.sequence, key, record.fee_tier, flags)
                accounts.append(codec.to_json(account, "qx"))
        data: dict[str, Any] = {"accounts": accounts}
        counts = [GenesisScopedCount(address, count.next) for address, count in self.scoped_counts.scan()]
        if counts:  # most chains have none, and their exports stay what they were
            codec = codec_for(GenesisScopedCount)
            data["scoped_counts"] = [codec.to_json(count, "qx") for count in counts]
            codec = codec_for(GenesisScopedKey)
            data["scoped_keys"] = [
                codec.to_json(
                    GenesisScopedKey(address, index, self._whole(scoped.key), scoped.sequence, *scoped[2:]),
                    "qx",
                )
                for (address, index), scoped in self.scoped_keys.scan()
            ]
        guards = self.export_guards(self._whole)
        return {**data, "guards": guards} if guards else data

    def _full_key(self, record: Account) -> bytes | None:
        return self._whole(record.key) if record.key else None

    def _whole(self, key: bytes) -> bytes:
        return self.public_keys.get(key[1:]) or b"" if key[0] in LONG_SCHEMES else key

    @query
    def get_scoped_key(self, ctx: Context, address: Address, number: U16) -> ScopedKeyView:
        """A scoped key of an account.

        Args:
            address: the account.
            number: what `add_scoped_key` returned.
        """
        record = self.scoped_keys.get((address, number))
        if record is None:
            raise ScopedKeyNotFound(f"the account has no scoped key {number}")
        return self._scoped_view(number, record)

    @query
    def get_scoped_keys(self, ctx: Context, address: Address) -> ScopedKeysView:
        """All scoped keys of an account, those that have expired too.

        Args:
            address: the account.
        """
        found = self.scoped_keys.page(prefix=bytes(address), limit=MAX_SCOPED_KEYS)
        return ScopedKeysView(tuple([self._scoped_view(key[1], record) for key, record in found]))

    def _scoped_view(self, index: int, record: ScopedKey) -> ScopedKeyView:
        key = self._whole(record.key)
        return ScopedKeyView(
            index, record.sequence, key, record.expires, record.messages, record.limits, record.spent
        )

    @query
    def get_account(self, ctx: Context, address: Address) -> AccountView:
        """Sequence, native balance and key of an account.

        Args:
            address: the account.
        """
        account = self.records.get(address)
        if account is None:
            raise AccountNotFound(f"{encode_address(address)} has no account on this chain yet")
        key = self._full_key(account)
        return AccountView(
            address=address,
            sequence=account.sequence,
            balance=account.balance,
            scheme=key[0] if key else 0,
            public_key=key,
            fee_tier=account.fee_tier,
            is_module=bool(account.flags & FLAG_MODULE_ACCOUNT),
        )
