# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `accounts`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, BytesLike, MessageFace, QueryFace
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import U8, U16, U64, Amount, Length
from qenex.wallet import Wallet


class AccountView(NamedTuple):
    """An account as queries return it. `scheme` is the key's tag, 0 while it has never signed."""

    address: Address
    sequence: U64
    balance: Amount
    scheme: U8
    public_key: bytes | None
    fee_tier: U16
    is_module: bool

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class KeyRotated(NamedTuple):
    """An account signs with another key from now on; `key` is tag + key, or tag + hash."""

    address: Address
    key: bytes

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


ROTATE_KEY = MessageFace(
    "accounts.rotate_key",
    (
        ("new_key", Annotated[bytes, Length(2, 32768)]),
        ("possession", Annotated[bytes, Length(1, 49152)]),
    ),
    None,
)

GET_ACCOUNT = QueryFace(
    "accounts_getAccount",
    (("address", Address),),
    AccountView,
)

MESSAGES: tuple[MessageFace, ...] = (ROTATE_KEY,)

QUERIES: tuple[QueryFace, ...] = (GET_ACCOUNT,)

EVENTS: dict[str, type] = {
    "accounts.key_rotated": KeyRotated,
}


class Accounts(ModuleFace):
    """Who may act: sequences, keys and their rotation."""

    def rotate_key(
        self,
        wallet: Wallet,
        *,
        new_key: BytesLike,
        possession: BytesLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Sign with another key from now on; the address stays.

        The new key may be of another scheme: that is how an Ed25519 account becomes post-quantum. It
        signs the rotation statement itself (`rotation_sign_bytes`), so nobody can be locked out by a
        typo.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            new_key: scheme tag (one byte) and public key.
            possession: the new key's signature over the rotation statement; of a multisig key the
                encoded array of its members' signatures, nil for who did not sign.
        """
        return self._send(wallet, ROTATE_KEY, {"new_key": new_key, "possession": possession}, options)

    def get_account(self, address: AddressLike, *, at: At | None = None) -> AccountView:
        """Sequence, native balance and key of an account.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: AccountView = self._query(GET_ACCOUNT, {"address": address}, at)
        return answer
