"""Every error a person or a program can meet, each with a fixed code.

One table for chain, RPC, SDK and CLI. Codes are never reused:

* 1000-1999 refused at entry (admission): nothing was charged
* 2000-2999 the machine: included, failed, fee charged
* 3000 + 100 * module id: a module's own refusals
* 100-999 local: keys, configuration, data folder, network; never on chain
* negative: JSON-RPC 2.0 and its server range

`name` is the snake_case class name and is as stable as the code. `hint` says
what to do next. `retryable` says whether the same bytes may succeed later.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

REGISTRY: dict[int, type[QenexError]] = {}
"""Error class by code."""


class QenexError(Exception):
    """Base of all typed errors. Never raised itself."""

    code: ClassVar[int] = 0
    name: ClassVar[str] = "qenex_error"
    default_hint: ClassVar[str] = ""
    retryable: ClassVar[bool] = False

    receipt: Any = None
    """The SDK's TransactionReceipt, where this is the outcome of an included transaction."""
    pending: Any = None
    """The SDK's pending transaction, where its outcome is unknown."""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or self.name.replace("_", " "))
        self.message: str = str(self.args[0])
        self.hint: str = hint or self.default_hint

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            return
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        other = REGISTRY.setdefault(cls.code, cls)
        if other is not cls:
            raise TypeError(f"error code {cls.code} belongs to {other.__name__}")

    def to_dict(self) -> dict[str, Any]:
        """Plain form used by JSON-RPC `data` and the CLI envelope."""
        return {
            "code": self.code,
            "name": self.name,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
        }


class UnknownError(QenexError):
    """A code this version has no class for (a newer node, say). Carries the remote code."""

    def __init__(
        self, message: str, *, code: int, name: str = "", hint: str = "", retryable: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.__dict__.update(code=code, name=name or f"error_{code}", retryable=retryable)


def error_from_code(
    code: int, message: str = "", *, name: str = "", hint: str = "", retryable: bool = False
) -> QenexError:
    """Rebuild the typed error for a code from a receipt or an RPC answer."""
    cls = REGISTRY.get(code)
    if cls is None:
        return UnknownError(message or f"error {code}", code=code, name=name, hint=hint, retryable=retryable)
    return cls(message, hint=hint)


# -- 100s: keys and keystore ------------------------------------------------------------


class KeyNotFound(QenexError):
    code = 100
    default_hint = "list the keys with `qenex keys list`"


class KeyExists(QenexError):
    code = 101
    default_hint = "choose another name, or delete the old key first"


class WrongPassword(QenexError):
    code = 102
    default_hint = "the password does not open this key; nothing was changed"


class KeystoreCorrupt(QenexError):
    code = 103
    default_hint = "restore the key from its recovery phrase"


class InvalidMnemonic(QenexError):
    code = 104
    default_hint = "check each word and their order; the last word holds a checksum"


class InvalidDerivationPath(QenexError):
    code = 105
    default_hint = "use m/44'/COIN'/account'/role'/index' with hardened indexes below 2^31"


class KeystoreUnsupported(QenexError):
    code = 106
    default_hint = "this keystore file uses a function or a cost outside the accepted range"


class InvalidSecretKey(QenexError):
    code = 107
    default_hint = "the secret key has a wrong length or form for its scheme"


class PasswordRequired(QenexError):
    code = 108
    default_hint = "run in a terminal, or pass --password-file or --password-fd"


class InvalidContext(QenexError):
    code = 109
    default_hint = "a signature context has at most 255 bytes; Ed25519 has none"


class InvalidKeyName(QenexError):
    code = 110
    default_hint = "key names have 1 to 64 characters of a-z 0-9 _ -"


# -- 200s: configuration, data folder, process -------------------------------------------


class InvalidConfig(QenexError):
    code = 200
    default_hint = "correct the named setting; `qenex config show` prints the whole file"


class DataFolderMissing(QenexError):
    code = 201
    default_hint = "create it with `qenex node init` or `qenex devnet up`"


class DataFolderLocked(QenexError):
    code = 202
    default_hint = "another process uses this folder; stop it first"


class DataFolderForeign(QenexError):
    code = 203
    default_hint = "the folder holds something else or another chain; choose another folder"


class DataFolderCorrupt(QenexError):
    code = 204
    default_hint = "nothing was changed; restore a snapshot or sync anew into an empty folder"


class InvalidGenesis(QenexError):
    code = 205
    default_hint = "correct the named field of the genesis file"


class WrongGenesis(QenexError):
    code = 206
    default_hint = "the data folder belongs to another chain; nothing was changed"


class BackendUnavailable(QenexError):
    code = 207
    default_hint = 'install `qenex[node]` for LevelDB, or set database.backend to "sqlite"'


class AddressInUse(QenexError):
    code = 208
    default_hint = "choose another port with --rpc-port"


class SelfTestFailed(QenexError):
    code = 209
    default_hint = (
        "a cryptographic library does not behave as the protocol needs; reinstall the locked versions"
    )


class ProcessFailed(QenexError):
    code = 210
    default_hint = "read the log file named above"


class UnsupportedVersion(QenexError):
    code = 211
    default_hint = "install the version of QENEX that knows the rules for this height"


class SignerStateMissing(QenexError):
    code = 213
    default_hint = (
        "restore the signer state file; if it is lost, nothing else signs with this key and the data folder is no "
        "older copy, run `python -m node --home DIR --recover-signer`"
    )


class SignerStateInvalid(QenexError):
    code = 214
    default_hint = "the signer state is unreadable or for another key or chain; nothing is signed with it"


class SignerStateBehind(QenexError):
    code = 215
    default_hint = (
        "the chain holds newer signatures of this key: an old copy of the signer state is in place, or another "
        "process signs; find out which before `python -m node --home DIR --recover-signer`"
    )


class DoubleSignRefused(QenexError):
    code = 216
    default_hint = "this key has signed something else at this height, round and step; nothing was signed"


class SignerLocked(QenexError):
    code = 217
    default_hint = "another process signs with this key; stop it first"


class DiskFull(QenexError):
    code = 218
    default_hint = (
        "free disk space or move the node to a larger disk, then start it again; nothing was half-written"
    )


class SignerUnavailable(QenexError):
    code = 219
    retryable = True
    default_hint = "start the signer process, and look at its log; a running node follows the chain and signs nothing meanwhile"


class SnapshotInvalid(QenexError):
    code = 220
    default_hint = (
        "the snapshot does not hash to the state root of a verified header; take it from somebody else"
    )


class SnapshotCorrupt(QenexError):
    code = 221
    default_hint = "delete this snapshot and make a new one: `qenex node snapshot create`"


class SnapshotTooLarge(QenexError):
    code = 222
    default_hint = "this state is beyond what the snapshot format of this version holds"


class UpgradeRequired(QenexError):
    code = 223
    default_hint = (
        "install the version of QENEX that has these rules, and start it on the same home: nothing is lost"
    )


# -- 300s: client ------------------------------------------------------------------------


class NodeUnreachable(QenexError):
    code = 300
    retryable = True
    default_hint = "check the URL and that the node runs"


class InvalidResponse(QenexError):
    code = 301
    default_hint = "the node sent something that is no valid answer; do not trust it"


class ProofInvalid(QenexError):
    code = 302
    default_hint = "the node's answer does not match the header; do not trust this node"


class OutcomeUnknown(QenexError):
    code = 303
    default_hint = "do not resubmit; look the transaction up until its valid_until height has passed"


class TransactionExpired(QenexError):
    code = 304
    default_hint = "it can no longer be included; build and sign a new one"


class Declined(QenexError):
    code = 305
    default_hint = "nothing was signed or sent"


class PolicyRefused(QenexError):
    code = 306
    default_hint = "the simulation shows that this transaction would fail; nothing was signed"


class UsageError(QenexError):
    code = 307
    default_hint = "see --help"


class ProgramFault(QenexError):
    code = 308
    default_hint = "this is a defect of the program; please report it with the log file named above"


class SubscriptionLagged(QenexError):
    code = 309
    default_hint = "subscribe again with from_cursor set to the last cursor you handled, and read faster"


class TrustExpired(QenexError):
    code = 310
    default_hint = "get a newer checkpoint (height and block hash) from a source you trust"


class NotEnoughTrust(QenexError):
    code = 311
    default_hint = (
        "the validators have changed too much since the trusted header; verify a height between first"
    )


class HeaderConflict(QenexError):
    code = 312
    default_hint = (
        "validators signed two histories; trust neither node, and report the evidence kept in this error"
    )

    kind: str = ""
    """`lunatic`, `equivocation` or `amnesia`; see `qenex.light_chain.conflict_of`."""
    common: Any = None
    """The last header on which both sources agree."""
    primary: Any = None
    """The LightBlock that the primary told."""
    witness: Any = None
    """The LightBlock that the witness told."""
    evidence: Any = ()
    """Pairs of votes (qenex.block.Evidence) of validators who signed both."""


class NoWitness(QenexError):
    code = 313
    retryable = True
    default_hint = "check the addresses of the witnesses; without a second source a lie cannot be seen"


class CopiesDiffer(QenexError):
    code = 314
    default_hint = "only copies of one file can be put together; ask everybody to sign the same one"


class AlreadySigned(QenexError):
    code = 315
    default_hint = "this signature is there already; pass the file on to somebody whose is missing"


# -- 400s: nodes among themselves ----------------------------------------------------------


class HandshakeFailed(QenexError):
    code = 400
    default_hint = "the other side does not speak the handshake, or is not who it says; nothing was exchanged"


class WrongNetwork(QenexError):
    code = 401
    default_hint = "use the genesis file and the version of the network that this address belongs to"


class WrongPeer(QenexError):
    code = 402
    default_hint = "another node answers at this address; correct the node id, or find out who listens there"


class SelfConnection(QenexError):
    code = 403
    default_hint = "the address is this node's own; take it out of the configured peers"


class PeerRefused(QenexError):
    code = 404
    retryable = True
    default_hint = "the other node does not want this connection now; the message says why"


class FrameInvalid(QenexError):
    code = 405
    default_hint = "the connection was tampered with, or the peer does not keep the protocol; it was closed"


class PeerUnreachable(QenexError):
    code = 406
    retryable = True
    default_hint = "check the peer's address, and that it runs and lets connections in"


class InvalidPeerAddress(QenexError):
    code = 407
    default_hint = "write `<node id>@host:port`, the id being 64 hexadecimal digits"


class NodeKeyInvalid(QenexError):
    code = 408
    default_hint = "restore the node key file, or delete it: the node then gets a new id"


class PeerMisbehaved(QenexError):
    code = 409
    default_hint = "the peer broke a rule of the protocol; repeated breaches are answered with a ban"


# -- JSON-RPC ----------------------------------------------------------------------------


class ParseError(QenexError):
    code = -32700
    default_hint = "send one JSON value, UTF-8"


class InvalidRequest(QenexError):
    code = -32600
    default_hint = 'send {"jsonrpc": "2.0", "id": ..., "method": ..., "params": ...}'


class MethodNotFound(QenexError):
    code = -32601
    default_hint = "`rpc.discover` lists all methods"


class InvalidParams(QenexError):
    code = -32602
    default_hint = "`rpc.discover` describes each parameter"


class InternalError(QenexError):
    code = -32603
    default_hint = "this is a defect of the node; its log has the details"


class NotFound(QenexError):
    code = -32001
    default_hint = "check the identifier; it may also be newer than this node's state"


class Syncing(QenexError):
    code = -32002
    retryable = True
    default_hint = "the node is catching up; ask again later"


class LimitExceeded(QenexError):
    code = -32005
    retryable = True
    default_hint = "ask for less, or more slowly"


class Pruned(QenexError):
    code = -32010
    default_hint = "this node no longer keeps that height; ask an archive node"


class Forbidden(QenexError):
    code = -32011
    default_hint = "this method needs the local socket or a token"


# -- 1000s: entry ------------------------------------------------------------------------


class MalformedBytes(QenexError):
    code = 1000
    default_hint = "the bytes are not in the one canonical encoding"


class TooLarge(QenexError):
    code = 1001
    default_hint = "stay within the protocol's size, depth and count limits"


class WrongChainId(QenexError):
    code = 1002
    default_hint = "sign for the chain id that `node_info` reports"


class InvalidValidUntil(QenexError):
    code = 1003
    default_hint = "valid_until must lie between the next height and 10,000 blocks after it"


class Expired(QenexError):
    code = 1004
    default_hint = "valid_until has passed; build and sign a new transaction"


class SchemeNotAllowed(QenexError):
    code = 1005
    default_hint = "this signature scheme is switched off for new use on this chain"


class UnknownScheme(QenexError):
    code = 1006
    default_hint = "no signature scheme has this tag"


class PublicKeyMissing(QenexError):
    code = 1007
    default_hint = "the account's first transaction must carry its public key"


class PublicKeyNotAllowed(QenexError):
    code = 1008
    default_hint = "the account already has a key; send public_key only with its first transaction"


class PublicKeyMismatch(QenexError):
    code = 1009
    default_hint = "the public key does not belong to the signer's address"


class WeakPublicKey(QenexError):
    code = 1010
    default_hint = "anyone could sign for this key; generate another"


class WrongSequence(QenexError):
    code = 1011
    default_hint = "use the account's current sequence from `state_getAccount`"


class LeaseHeld(QenexError):
    code = 1012
    default_hint = "a transaction with this lease already succeeded; wait until it expires"


class InsufficientFee(QenexError):
    code = 1013
    default_hint = "raise fee.max to at least gas_limit * price + tip; see `tx_estimateFee`"


class InsufficientFunds(QenexError):
    code = 1014
    default_hint = "the payer's QXC balance does not cover fee.max"


class InvalidSignature(QenexError):
    code = 1015
    default_hint = "the signature does not match body, key and chain id"


class WrongSignatureCount(QenexError):
    code = 1016
    default_hint = "one signature per signer, in signer order"


class InvalidAddress(QenexError):
    code = 1017
    default_hint = "copy the address again; its checksum does not match or its prefix is for another network"


class InvalidAmount(QenexError):
    code = 1018
    default_hint = "write amounts like 1.5QXC, greater than zero, with at most the denomination's decimals"


class UnknownMessage(QenexError):
    code = 1019
    default_hint = "`rpc.discover` lists the messages of this chain"


class InvalidArguments(QenexError):
    code = 1020
    default_hint = "the message's arguments do not have their declared types"


class InvalidReference(QenexError):
    code = 1021
    default_hint = "a reference names an earlier message and a field of its result, of the argument's type"


class GasLimitTooHigh(QenexError):
    code = 1022
    default_hint = "lower gas_limit to at most the block's gas limit"


class GasLimitTooLow(QenexError):
    code = 1023
    default_hint = "gas_limit does not even cover the transaction's bytes and signatures"


class DuplicateSigner(QenexError):
    code = 1024
    default_hint = "name each signer once"


class UnusedSigner(QenexError):
    code = 1025
    default_hint = "each signer index must exist; signer 0 pays"


class MempoolFull(QenexError):
    code = 1026
    retryable = True
    default_hint = "raise the tip, or try again later"


class TooManyPending(QenexError):
    code = 1027
    retryable = True
    default_hint = "wait until some of this sender's pending transactions are included"


class ReplacementUnderpriced(QenexError):
    code = 1028
    default_hint = "a replacement must offer at least 10% more tip per gas"


class AlreadyKnown(QenexError):
    code = 1029
    default_hint = "this transaction is already pending or included"


class UnknownDenomination(QenexError):
    code = 1030
    default_hint = "denominations are 3 to 64 characters of A-Z a-z 0-9 . _ - /"


class AccountNotFound(QenexError):
    code = 1031
    default_hint = "the signer has no account on this chain yet; send it some QXC first"


class ScopedKeyNotFound(QenexError):
    code = 1032
    default_hint = "leave scoped_key out to sign with the account's own key"


class EvidenceInvalid(QenexError):
    code = 1033
    default_hint = (
        "evidence is two votes of one validator for one step and two blocks, both with good signatures"
    )


class EvidenceExpired(QenexError):
    code = 1034
    default_hint = "the unbonding period after the deed has passed: nothing is left to be slashed"


class InvalidDescriptor(QenexError):
    code = 1035
    default_hint = (
        "a multisig key has 2 to 16 members in ascending order of their keys, weights from 1 to 65,535 and a "
        "threshold; `qenex accounts create-multisig` makes one"
    )


class DuplicateMember(QenexError):
    code = 1036
    default_hint = "each key is a member once; give it a larger weight instead"


class TooManyMembers(QenexError):
    code = 1037
    default_hint = "a multisig key has at most 16 members"


class ThresholdUnreachable(QenexError):
    code = 1038
    default_hint = "the threshold is at most what all members weigh together, else nobody could ever sign"


class ThresholdNotMet(QenexError):
    code = 1039
    default_hint = "let more members sign: `qenex tx sign` adds a signature and tells the weight there is"


class SurplusSignature(QenexError):
    code = 1040
    default_hint = "leave out the signatures that are not needed, the lightest first"


class UnknownMember(QenexError):
    code = 1041
    default_hint = "only members of the multisig key sign for it"


class ScopedKeyExpired(QenexError):
    code = 1042
    default_hint = "the account's own key can register a new scoped key: qenex accounts add-scoped-key"


class ScopedKeyMessageNotAllowed(QenexError):
    code = 1043
    default_hint = "a scoped key sends only the messages it was registered for"


class ScopedKeyLimitExceeded(QenexError):
    code = 1044
    default_hint = "what leaves the account counts, the fee included; wait for the next period, or send less"


class GuardFeeLimitExceeded(QenexError):
    code = 1045
    default_hint = "a guarded account's fees have a limit of their own; wait, offer less, or let another account pay the fee"


class GuardForbidsMessage(QenexError):
    code = 1046
    default_hint = (
        "a guarded account hands over no rights; its guard can be removed: qenex accounts remove-guard"
    )


class NodeBusy(QenexError):
    code = 1047
    retryable = True
    default_hint = "send it again after `retry_after_ms` of the error's data, or to another node"

    retry_after_ms: int = 0
    """Milliseconds after which there may be room, as the node told."""


class GuardedAccountFrozen(QenexError):
    code = 1048
    default_hint = "its canceller has frozen the account and can end that: qenex accounts freeze ACCOUNT 0"


# -- 2000s: machine ----------------------------------------------------------------------


class OutOfGas(QenexError):
    code = 2000
    default_hint = "raise gas_limit; `tx_simulate` tells how much is used"


class DebtUnpaid(QenexError):
    code = 2001
    default_hint = "debts taken inside a transaction must be covered by its end"


class TooManyDebts(QenexError):
    code = 2002
    default_hint = "at most 16 debts in one transaction"


class ConservationViolated(QenexError):
    code = 2003
    default_hint = "a module tried to create or destroy money; please report this"


class InvariantViolated(QenexError):
    code = 2004
    default_hint = "a module's invariant does not hold after this transaction; please report this"


class ModulePaused(QenexError):
    code = 2005
    retryable = True
    default_hint = "the module is paused; withdrawals stay open"


class CallTooDeep(QenexError):
    code = 2006
    default_hint = "modules may call each other at most 8 deep"


class CallNotAllowed(QenexError):
    code = 2007
    default_hint = "this module does not declare the called module in `uses`, or is not among its callers"


class ValueOutOfRange(QenexError):
    code = 2008
    default_hint = "a number left its range (2^256, amounts 2^128)"


class ReferenceUnresolved(QenexError):
    code = 2009
    default_hint = "the earlier result does not have the referenced field"


class TooManyEvents(QenexError):
    code = 2010
    default_hint = "split the transaction"


class ValueTooLarge(QenexError):
    code = 2011
    default_hint = "a state value may have at most 64 KiB"


class InvalidParameters(QenexError):
    code = 2012
    default_hint = "name parameters as `governance_getModuleParameters` does, each within its range"


class UnknownModule(QenexError):
    code = 2013
    default_hint = "`node_info` lists the modules of this chain"


class NotPausable(QenexError):
    code = 2014
    default_hint = "machine, accounts and governance are never paused: nobody could end it"


class UnknownAction(QenexError):
    code = 2015
    default_hint = "the error lists the module's actions; the governance pages show their arguments"


class UpgradeNotPlanned(QenexError):
    code = 2016
    default_hint = "`machine_getUpgrade` tells what is planned"


class ModuleFault(QenexError):
    code = 2999
    default_hint = "the module failed in a way it did not foresee; please report this"


# -- 3100s: accounts (module 1) ----------------------------------------------------------


class RotationNotAuthorised(QenexError):
    code = 3100
    default_hint = "the new key must sign the rotation statement (proof of possession)"


class SameKey(QenexError):
    code = 3101
    default_hint = "the new key equals the present one"


class AccountHasNoKey(QenexError):
    code = 3102
    default_hint = "only an account with a key can rotate it"


class InvalidScope(QenexError):
    code = 3103
    default_hint = (
        "a scope lists messages (none of accounts), at most one limit per denomination, a later height"
    )


class TooManyScopedKeys(QenexError):
    code = 3104
    default_hint = "an account has at most 16 scoped keys; revoke one first, expired ones too"


class GuardLimitExceeded(QenexError):
    code = 3105
    default_hint = "so much leaves this account only after a delay: qenex accounts queue-transfer"


class GuardFrozen(QenexError):
    code = 3106
    default_hint = "the account's canceller has frozen it and can end that: qenex accounts freeze ACCOUNT 0"


class GuardNotFound(QenexError):
    code = 3107
    default_hint = "the account has no guard, nothing of it waits; qenex accounts set-guard makes one"


class InvalidGuard(QenexError):
    code = 3108
    default_hint = (
        "a guard names another account as canceller, each denomination once, and a fee limit of 1 QXC or more"
    )


class QueuedNotFound(QenexError):
    code = 3109
    default_hint = "it is done or cancelled; qenex accounts get-guard lists what waits"


class QueueFull(QenexError):
    code = 3110
    default_hint = "an account has at most 16 waiting; cancel one, or wait until one is due"


class NotCanceller(QenexError):
    code = 3111
    default_hint = "the account's canceller does this; the account itself cancels its transfers alone"


# -- 3200s: bank (module 2) --------------------------------------------------------------


class InsufficientBalance(QenexError):
    code = 3200
    default_hint = "the account holds less of this denomination than the transfer needs"


class AmountNotPositive(QenexError):
    code = 3201
    default_hint = "transfer more than zero"


class RecipientClosed(QenexError):
    code = 3202
    default_hint = "this account belongs to a module; use the module's own messages"


class MintNotAllowed(QenexError):
    code = 3203
    default_hint = "this denomination is minted by another module alone"


class DebitNotAllowed(QenexError):
    code = 3204
    default_hint = "only the acting account, or accounts of the calling module, can be debited"


class TooManyRecipients(QenexError):
    code = 3205
    default_hint = "split the transfer into several messages"


# -- 3300s: tokens (module 3) ------------------------------------------------------------


class TokenExists(QenexError):
    code = 3300
    default_hint = "this account has created a token of this symbol; choose another symbol"


class UnknownToken(QenexError):
    code = 3301
    default_hint = "`tokens_listTokens` lists the tokens of this chain"


class NotTokenAuthority(QenexError):
    code = 3302
    default_hint = "only the account with authority over the token can do this; `tokens_getToken` shows it"


class SupplyCapExceeded(QenexError):
    code = 3303
    default_hint = "mint less; the token's supply cap was fixed at its creation"


class AccountFrozen(QenexError):
    code = 3304
    default_hint = "whoever has authority over this token has frozen the account's coins of it"


class RecipientNotListed(QenexError):
    code = 3305
    default_hint = "this token can only be held by accounts on its list; ask who has authority over it"


class ControlNotChosen(QenexError):
    code = 3306
    default_hint = "a token's controls are chosen at its creation and never change"


class InvalidToken(QenexError):
    code = 3307
    default_hint = (
        "a symbol has 1 to 16 characters of A-Z and 0-9; a fee needs a recipient, and a recipient a fee"
    )


class UnknownSchedule(QenexError):
    code = 3308
    default_hint = "no vesting schedule or escrow has this id; it may be closed"


class NothingToClaim(QenexError):
    code = 3309
    default_hint = "nothing more is free yet; `tokens_getVesting` tells when"


class NotAuthorisedHere(QenexError):
    code = 3310
    default_hint = "only those whom the schedule or escrow names can do this, each what it says"


class InvalidSchedule(QenexError):
    code = 3311
    default_hint = "the cliff lies within the duration, the end after the block's time, the amount above zero"


class NotRevocable(QenexError):
    code = 3312
    default_hint = "this schedule was made for good"


class EscrowNotExpired(QenexError):
    code = 3313
    default_hint = "who paid can take the coins back after the expiry; `tokens_getEscrow` shows it"


# -- 3400s: staking (module 4) -----------------------------------------------------------


class StakingInactive(QenexError):
    code = 3400
    default_hint = "the validators of this chain are fixed by its genesis"


class UnknownValidator(QenexError):
    code = 3401
    default_hint = "`staking_listValidators` lists them; the address is the operator's account"


class ValidatorExists(QenexError):
    code = 3402
    default_hint = "an account operates one validator; `staking.edit_validator` changes it"


class ConsensusKeyTaken(QenexError):
    code = 3403
    default_hint = "make a consensus key of its own for each validator; a key is never used again"


class PossessionNotProven(QenexError):
    code = 3404
    default_hint = "the consensus key signs the statement of possession itself: `qenex staking join` does it"


class CommissionAboveMaximum(QenexError):
    code = 3405
    default_hint = "the maximum was stated when the validator was made and never changes"


class CommissionChangeTooFast(QenexError):
    code = 3406
    default_hint = "commission changes once a day, and rises by no more than was stated at the beginning"


class SelfDelegationTooLow(QenexError):
    code = 3407
    default_hint = (
        "the operator delegates at least its own minimum, which is at least the chain's and is only raised"
    )


class ValidatorJailed(QenexError):
    code = 3408
    default_hint = "delegate to another validator, or wait until it is back"


class ValidatorTombstoned(QenexError):
    code = 3409
    default_hint = "a validator that voted twice never comes back"


class ValidatorNotJailed(QenexError):
    code = 3410
    default_hint = "there is nothing to come back from"


class StillJailed(QenexError):
    code = 3411
    retryable = True
    default_hint = "the validator may come back when its time is over"


class DelegationTooSmall(QenexError):
    code = 3412
    default_hint = "`staking_getParameters` tells the smallest delegation"


class UnknownDelegation(QenexError):
    code = 3413
    default_hint = "`staking_listDelegations` lists what an account has delegated"


class InsufficientDelegation(QenexError):
    code = 3414
    default_hint = "take out no more than the delegation is worth now; slashing may have lowered it"


class SelfRedelegation(QenexError):
    code = 3415
    default_hint = "source and target are the same validator"


class RedelegationHop(QenexError):
    code = 3416
    default_hint = "stake that was redelegated stays until that is over; undelegate instead"


class TooManyRedelegations(QenexError):
    code = 3417
    default_hint = "wait until one of the earlier ones is over"


class TooManyDelegations(QenexError):
    code = 3418
    default_hint = (
        "delegate to fewer validators; those left are forgotten after the time that history is kept"
    )


class DelegationLocked(QenexError):
    code = 3419
    default_hint = "wait for the end of the lock; rewards can be withdrawn meanwhile"


class LockNotOffered(QenexError):
    code = 3420
    default_hint = "lock for one of the times in `staking_getParameters`, and not for less than now"


class ExchangeRateInvalid(QenexError):
    code = 3421
    default_hint = "everything there was slashed: nothing can be added"


class NothingToWithdraw(QenexError):
    code = 3422
    default_hint = "there is nothing to pay yet; the fee would be spent for nothing"


class NoValidatorAvailable(QenexError):
    code = 3423
    retryable = True
    default_hint = "no active validator can take liquid stake now"


class CommunityPoolTooSmall(QenexError):
    code = 3424
    default_hint = "spend no more than `staking_getPool` says the community has"


class HeightNotKept(QenexError):
    code = 3425
    default_hint = "voting power is known up to the last block, and as far back as history is kept"


# -- 3500s: governance (module 5) --------------------------------------------------------


class UnknownProposal(QenexError):
    code = 3500
    default_hint = "`governance_listProposals` and `governance_listPolls` list them"


class InvalidProposal(QenexError):
    code = 3501
    default_hint = "what is proposed can be carried out, and is checked when it is proposed"


class DepositTooSmall(QenexError):
    code = 3502
    default_hint = (
        "deposit at least governance's min_deposit, in QXC; it comes back unless the proposal is vetoed"
    )


class ProposalNotOpen(QenexError):
    code = 3503
    default_hint = "`governance_getProposal` tells where it stands and until when"


class AlreadyVoted(QenexError):
    code = 3504
    default_hint = "a vote is given once and stands"


class NoVotingPower(QenexError):
    code = 3505
    default_hint = "what was delegated before the proposal was visible votes; delegate for the next one"


class InvalidOption(QenexError):
    code = 3506
    default_hint = "vote yes, no, abstain or veto"


class NotGuardian(QenexError):
    code = 3507
    default_hint = "only the account that the parameters name can do this"


class GuardianSpent(QenexError):
    code = 3508
    default_hint = "the guardian's pause is bounded and cannot be prolonged; propose a pause instead"


class TooManyProposals(QenexError):
    code = 3509
    retryable = True
    default_hint = "wait until some are decided"


class BallotOverBudget(QenexError):
    code = 3510
    default_hint = (
        "n votes for an option cost n * n credits of the one budget; give one number for each option"
    )


class NotAnIdentity(QenexError):
    code = 3511
    default_hint = "a poll counts people: delegate enough before it opens, or get a credential"


# -- 3600s: oracle (module 6) ------------------------------------------------------------


class UnknownFeed(QenexError):
    code = 3600
    default_hint = "`oracle_listPrices` lists what is priced; governance adds feeds"


class InvalidPrice(QenexError):
    code = 3601
    default_hint = (
        "a price is mantissa * 10^exponent, above zero, the exponent from -18 to 18, each feed once"
    )


class NotReporter(QenexError):
    code = 3602
    default_hint = "active validators' operators report, and the feeders they name"


class FeederTaken(QenexError):
    code = 3603
    default_hint = "name an account that reports for nobody else"


class PriceStale(QenexError):
    code = 3604
    retryable = True
    default_hint = "the last price is older than what is accepted; wait for new reports"


class PriceUncertain(QenexError):
    code = 3605
    retryable = True
    default_hint = "the reports lie further apart than what is accepted; wait until they agree"


class NotEnoughReports(QenexError):
    code = 3606
    retryable = True
    default_hint = "too few reports are fresh and near the last price"


# -- 3700s: amm (module 7) ---------------------------------------------------------------


class PoolNotFound(QenexError):
    code = 3700
    default_hint = "`qenex amm list-pools` shows the pools there are"


class PoolPaused(QenexError):
    code = 3701
    retryable = True
    default_hint = "this pool is paused; liquidity can be taken out all the same"


class PoolExists(QenexError):
    code = 3702
    default_hint = "a pool of this curve, these denominations and this fee exists; use it"


class SameDenomination(QenexError):
    code = 3703
    default_hint = "a pool and a swap need different denominations"


class FeeTierNotAllowed(QenexError):
    code = 3704
    default_hint = "choose one of the fees that the chain's parameters list"


class DeadlineExpired(QenexError):
    code = 3705
    default_hint = "the deadline has passed; look at the price again and set a later one"


class MinimumMissing(QenexError):
    code = 3706
    default_hint = "say what you accept at least (or pay at most); it must be greater than zero"


class SlippageExceeded(QenexError):
    code = 3707
    retryable = True
    default_hint = "the price has moved beyond your limit; quote again, or accept more slippage"


class InsufficientLiquidity(QenexError):
    code = 3708
    default_hint = "the pool cannot pay that much; swap less or through other pools"


class AmountZero(QenexError):
    code = 3709
    default_hint = (
        "an amount greater than zero is needed, and large enough to be worth a unit of the other coin"
    )


class AmountTooLarge(QenexError):
    code = 3710
    default_hint = "amounts, reserves and liquidity stay below 2^128"


class TicksNotSorted(QenexError):
    code = 3711
    default_hint = "the lower tick lies below the upper one"


class TickOutOfRange(QenexError):
    code = 3712
    default_hint = "ticks are multiples of the pool's spacing between -887272 and 887272"


class PriceOutOfRange(QenexError):
    code = 3713
    default_hint = "a square root of a price is Q64.96, from 4295128739 to below 2^160"


class PositionNotFound(QenexError):
    code = 3714
    default_hint = "there is no position with this number"


class NotPositionOwner(QenexError):
    code = 3715
    default_hint = "only its owner may change a position or collect from it"


class LiquidityTooYoung(QenexError):
    code = 3716
    retryable = True
    default_hint = "liquidity added in this block can be taken out from the next one on"


class LiquidityCapExceeded(QenexError):
    code = 3717
    default_hint = "a tick carries no more liquidity than that; choose other ticks"


class AmplificationOutOfRange(QenexError):
    code = 3718
    default_hint = "an amplification lies between 1 and 1,000,000; a ramp takes a day at least and changes it tenfold at most"


class NotPoolManager(QenexError):
    code = 3719
    default_hint = "only the pool's manager may do that"


class WrongCurve(QenexError):
    code = 3720
    default_hint = "this message is for pools of another curve"


class DenominationNotInPool(QenexError):
    code = 3721
    default_hint = "the pool does not hold this denomination"


class RouteInvalid(QenexError):
    code = 3722
    default_hint = "a route has 1 to 4 hops, each through another pool"


class InitialLiquidityTooSmall(QenexError):
    code = 3723
    default_hint = "the first deposit must be worth more than the 1,000 shares that stay locked"


class NotMarketAuthority(QenexError):
    code = 3724
    default_hint = "only the authority named in the module's parameters may do that"


class NoRouteFound(QenexError):
    code = 3725
    default_hint = "no pools lead from one denomination to the other within 4 hops for this amount"


class InvalidPoolSetup(QenexError):
    code = 3726
    default_hint = "a pool has 2 to 4 different denominations, each with 0 to 18 decimals"


class NothingToCollect(QenexError):
    code = 3727
    default_hint = "nothing has been earned since the last collection"


class NoObservation(QenexError):
    code = 3728
    default_hint = "the pool has no observed price of that age yet; ask for a shorter window"


# -- 3800s: lending (module 8) -----------------------------------------------------------


class MarketNotListed(QenexError):
    code = 3800
    default_hint = "`lending_listMarkets` lists what can be supplied and borrowed"


class MarketNotOpen(QenexError):
    code = 3801
    default_hint = "an empty market has no price: somebody pays its seed deposit first (`lending.seed`)"


class MarketOpen(QenexError):
    code = 3802
    default_hint = "the market has its seed deposit already"


class ActionPaused(QenexError):
    code = 3803
    default_hint = "this action is paused in this market; repaying and withdrawing may still be open"


class SupplyCapReached(QenexError):
    code = 3804
    default_hint = "supply less, or wait until others withdraw"


class BorrowCapReached(QenexError):
    code = 3805
    default_hint = "borrow less, or wait until others repay"


class MarketIlliquid(QenexError):
    code = 3806
    default_hint = "too much of it is lent out: take less, or wait until borrowers repay"


class NothingSupplied(QenexError):
    code = 3807
    default_hint = "`lending_getPosition` shows what an account has supplied"


class NothingOwed(QenexError):
    code = 3808
    default_hint = "this account owes nothing of it"


class CollateralNotEnabled(QenexError):
    code = 3809
    default_hint = "switch it on first: `lending.collateral_on`"


class NotCollateral(QenexError):
    code = 3810
    default_hint = "the market's terms do not take this asset as collateral"


class HealthTooLow(QenexError):
    code = 3811
    default_hint = "this secures a debt: repay first, or add collateral"


class BorrowLimitExceeded(QenexError):
    code = 3812
    default_hint = "borrow less, or add collateral; `lending_getPosition` shows the limit"


class AmountTooSmall(QenexError):
    code = 3813
    default_hint = "the amount rounds to nothing, or leaves a debt too small to be worth its collection"


class IsolationViolated(QenexError):
    code = 3814
    default_hint = "isolated collateral stands alone, and secures only what may be borrowed against it"


class DebtCeilingReached(QenexError):
    code = 3815
    default_hint = "as much as may be borrowed against this isolated collateral is borrowed"


class GroupViolated(QenexError):
    code = 3816
    default_hint = "all debts of a position in a group belong to the group"


class TooManyAssets(QenexError):
    code = 3817
    default_hint = "a position holds a bounded number of assets: close one first"


class PositionHealthy(QenexError):
    code = 3818
    default_hint = "only a position whose health is below 1 can be liquidated"


class SelfLiquidation(QenexError):
    code = 3819
    default_hint = "repay the debt instead"


class LeavesDust(QenexError):
    code = 3820
    default_hint = "take all of the debt or the collateral, or leave at least 1,000 of each"


class PriceOutOfBand(QenexError):
    code = 3821
    default_hint = "feed and time-weighted price lie too far apart to liquidate by; wait until they agree"


class TargetHealthTooHigh(QenexError):
    code = 3822
    default_hint = "no liquidation brings the position there; ask for the most, without a target"


class NotLendingAuthority(QenexError):
    code = 3823
    default_hint = "governance, or the authority of the parameters, can do this"


class InvalidMarketTerms(QenexError):
    code = 3824
    default_hint = "loan-to-value is below the threshold, and threshold times bonus at most 100%"


class TooManyMarkets(QenexError):
    code = 3825
    default_hint = "the number of markets is bounded"


class ReserveTooSmall(QenexError):
    code = 3826
    default_hint = "the reserve does not hold that much in cash"


class OutflowLimitReached(QenexError):
    code = 3827
    default_hint = "wait, take less, or let the withdrawal wait in line (`queue`)"


class NotWaiting(QenexError):
    code = 3828
    default_hint = "`lending_listWaiting` shows what waits, and whose it is; it may have been paid"


class FeedsDisagree(QenexError):
    code = 3829
    default_hint = "an open market takes another feed only while both tell nearly the same price"


# -- 3900s: farming (module 9) -----------------------------------------------------------


class UnknownProgram(QenexError):
    code = 3900
    default_hint = "`farming_listPrograms` lists the programmes"


class UnknownStake(QenexError):
    code = 3901
    default_hint = "`farming_listPositions` lists an account's stakes; one that is empty is forgotten"


class InvalidProgram(QenexError):
    code = 3902
    default_hint = "a programme begins now or later, lasts as long as allowed, and is paid for in advance"


class ProgramEnded(QenexError):
    code = 3903
    default_hint = "nothing flows from it any more; stakes can be taken back and rewards claimed"


class ProgramNotOver(QenexError):
    code = 3904
    default_hint = "wait for the programme's end"


class StillLocked(QenexError):
    code = 3905
    default_hint = "wait for the end of the lock; rewards can be claimed meanwhile"


class NotStakeOwner(QenexError):
    code = 3906
    default_hint = "only its owner can do this"


class NothingEarned(QenexError):
    code = 3907
    default_hint = "there is nothing to pay yet; the fee would be spent for nothing"


class BoostNotOffered(QenexError):
    code = 3908
    default_hint = "lock for one of the times that the programme offers, or shorter"
