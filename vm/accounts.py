"""Accounts and authentication, module 1: keys, sequences, key rotation.

An account's address comes from its first key and never changes; the key rotates, also to another
scheme. Keys of more than 64 bytes with their tag are stored once, by hash, so that an account record
stays small and a 1,312-byte key does not travel twice.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

from ledger.collections import Map
from ledger.state import State
from qenex.codec import codec_for, decode, encode
from qenex.crypto import SCHEMES_BY_TAG, Scheme, account_key, address_of, multisig
from qenex.crypto.address import MAX_INLINE_KEY_SIZE, Address
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
    MalformedBytes,
    PublicKeyMismatch,
    PublicKeyMissing,
    PublicKeyNotAllowed,
    QenexError,
    RotationNotAuthorised,
    SameKey,
    SchemeNotAllowed,
    ScopedKeyNotFound,
    UnknownScheme,
    WeakPublicKey,
)
from qenex.state_keys import (
    ACCOUNT_PUBLIC_KEYS,
    EMPTY_ACCOUNT,
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
from vm.module import Module, internal, message, query
from vm.registry import check_record

PublicKeyBytes = Annotated[bytes, Length(2, MAX_DESCRIPTOR_SIZE)]
PossessionBytes = Annotated[bytes, Length(1, 3 * MAX_SIGNATURE_SIZE)]
"""A signature, or of a multisig key the encoded array of its members' signatures."""


class KeyRotated(NamedTuple):
    """An account signs with another key from now on; `key` is tag + key, or tag + hash."""

    address: Address
    key: bytes


class GenesisAccount(NamedTuple):
    """An account at genesis, but for its balances; `key` is tag + public key."""

    address: Address
    sequence: U64
    key: PublicKeyBytes | None
    fee_tier: Bps
    flags: U8


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
    if signer.scoped_key is not None:
        raise ScopedKeyNotFound(f"the account has no scoped key {signer.scoped_key}")
    stored = account[2]
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


class Accounts(Module):
    """Who may act: sequences, keys and their rotation."""

    id = ModuleId.ACCOUNTS
    name = "accounts"
    events = (KeyRotated,)

    records = Map[Address, Account](1, key=Address, value=Account)
    public_keys = Map[bytes, bytes](2, key=Bytes32, value=PublicKeyBytes)

    @message(gas=400)
    def rotate_key(self, ctx: Context, new_key: PublicKeyBytes, possession: PossessionBytes) -> None:
        """Sign with another key from now on; the address stays.

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
        if new_key[0] in LONG_SCHEMES and self.public_keys.get(short[1:]) is None:
            self.public_keys.set(short[1:], new_key)
        self.records.set(ctx.actor, account._replace(key=short))
        ctx.emit(KeyRotated(ctx.actor, short))

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
        """`{"accounts": [...]}`: keys and sequences that a former chain's accounts bring along."""
        if set(data) - {"accounts"} or not isinstance(data.get("accounts", []), list):
            raise InvalidGenesis('modules.accounts is {"accounts": [...]}')
        codec = codec_for(GenesisAccount)
        for index, item in enumerate(data.get("accounts", [])):
            where = f"modules.accounts.accounts[{index}]"
            address, sequence, key, fee_tier, flags = check_record(codec, item, InvalidGenesis, where)
            if self.records.get(address) is not None:
                raise InvalidGenesis(f"{where}: a second entry for this account")
            short = b""
            if key is not None:
                try:
                    check_account_key(key, dict.fromkeys(SCHEMES_BY_TAG, SCHEME_ON))
                except QenexError as error:
                    raise InvalidGenesis(f"{where}: {error.message}") from None
                short = account_key(key[0], key[1:])
                if key[0] in LONG_SCHEMES:
                    self.public_keys.set(short[1:], key)
            record = Account(sequence, 0, short, fee_tier, flags)
            if record == EMPTY_ACCOUNT:
                raise InvalidGenesis(f"{where}: says nothing")
            self.records.set(address, record)

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`; the balances are bank's to tell."""
        accounts = []
        codec = codec_for(GenesisAccount)
        for address, record in self.records.scan():
            if record._replace(balance=0) != EMPTY_ACCOUNT:
                key = self._full_key(record)
                account = GenesisAccount(address, record.sequence, key, record.fee_tier, record.flags)
                accounts.append(codec.to_json(account, "qx"))
        return {"accounts": accounts}

    def _full_key(self, record: Account) -> bytes | None:
        key = record.key or None
        return self.public_keys.get(key[1:]) if key is not None and key[0] in LONG_SCHEMES else key

    @query
    def get_account(self, ctx: Context, address: Address) -> AccountView:
        """Sequence, native balance and key of an account.

        Args:
            address: the account.
        """
        account = self.records.get(address)
        if account is None:
            raise AccountNotFound("no account has this address yet")
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
