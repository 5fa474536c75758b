"""`Machine`: the deterministic state machine, composed of modules.

It owns one working state. A block is executed with `begin(...)`; the mempool's admission has a
`CheckState` of its own; queries and simulations run on a second, scratch instance of the modules, so a
read never disturbs a block.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ledger.genesis import Genesis
from ledger.state import EmptyBase, Readable, State, StateCodecs, Value
from qenex.block import Evidence, Receipt, Validator
from qenex.crypto import SCHEMES_BY_TAG, multisig
from qenex.crypto.address import Address, encode_address, module_address
from qenex.errors import (
    AccountNotFound,
    InvalidArguments,
    InvalidGenesis,
    MalformedBytes,
    MethodNotFound,
    ModuleFault,
    NotFound,
    QenexError,
)
from qenex.state_keys import ACCOUNT_PUBLIC_KEYS, ACCOUNT_RECORDS, EMPTY_ACCOUNT, Account
from qenex.transaction import Transaction, Transfer
from qenex.types import QXC
from vm.accounts import LONG_SCHEMES, Accounts, key_of_signer
from vm.alone import AdmitAlone, KeyOfAlone, alone_checks
from vm.calls import Parts, give_handles
from vm.context import BlockInfo, Context
from vm.core import Core
from vm.entry import (
    Entered,
    Rules,
    Verify,
    check_forms,
    check_validity,
    enter,
    make_rules,
    plan_of,
    signer_keys,
)
from vm.execution import UNLIMITED, BlockExecution, check_hooks, parameters_hash
from vm.fees import price_per_gas
from vm.gas import Gas, gas_schedule
from vm.governor import give_governor
from vm.module import Declaration, Module
from vm.money import BalanceChange, Money, balance_changes
from vm.registry import Registry, check_record
from vm.rotation import Rotation, rotation_for
from vm.scoped import scoped_state_key
from vm.transfers import never_taken

QUERY_GAS = 1 << 40
"""Queries are bounded by page sizes; the meter only has to be there."""


def verify_signatures(tx: Transaction, keys: tuple[bytes, ...]) -> bool:
    """Verify every signature here and now. Keys are tag + public key in signer order."""
    for key, signature in zip(keys, tx.signatures, strict=True):
        if key[0] == multisig.MULTISIG_TAG:
            if not multisig.verify(key, tx.body_bytes, signature):
                return False
            continue
        scheme = SCHEMES_BY_TAG[key[0]]
        if not isinstance(signature, bytes) or not scheme.verify(key[1:], tx.body_bytes, signature):
            return False
    return True


def _skip_verification(tx: Transaction, keys: tuple[bytes, ...]) -> bool:
    """For simulation: nobody has signed yet."""
    return True


def _ignore_fault(error: Exception) -> None:
    """Default of `Machine.on_fault`."""


class Machine:
    """Modules, registry and one working state.

    `verify` decides whether a transaction's signatures are valid; a node puts its memory of verified
    transactions in front of `verify_signatures`. `on_fault` is told of defects in module code.
    """

    def __init__(self, modules: Sequence[type[Module]], *, verify: Verify = verify_signatures) -> None:
        self._classes: tuple[type[Module], ...] = (Core, Accounts, *modules)
        self.registry = Registry(self._classes)
        self.verify: Verify = verify
        self.on_fault: Callable[[Exception], None] = _ignore_fault
        self.state = State(EmptyBase())
        self.modules: dict[str, Module] = {}
        self.state_codecs: StateCodecs = self._bind()
        self.main_accounts = {name: module_address(name) for name in self.modules}
        """By module name: the account that its hooks act as."""
        core = self.modules["machine"]
        assert isinstance(core, Core)
        self.core = core
        objects = {name: module.objects for name, module in self.modules.items()}
        self.money = Money(self.state, objects, core.module_accounts)
        parts = Parts(self.state, self.money, core.paused)
        give_handles(self.modules, self.registry, parts)
        give_governor(self.modules, self.registry, core, parts)
        self.methods = {
            spec.name: (
                getattr(self.modules[spec.module], spec.verb),
                core.paused.key_of(int(self.modules[spec.module].id)),
            )
            for spec in self.registry.messages.values()
        }
        """By message name: the bound method, and the state key that tells whether its module is paused."""
        self.touched_invariants = self._touched_invariants()
        check_hooks(self.modules)
        schedule = gas_schedule(1)
        nobody = BlockInfo("", 0, 0, 0, Address(b""))
        self.context = Context(
            self.registry.event_names,
            self.money,
            nobody,
            Gas(schedule, UNLIMITED),
            schedule.event,
            self.core.validator_set,
        )
        self.execution: BlockExecution | None = None
        self.take_transfer: Callable[[Transfer], bool] = never_taken
        """The short way of the newest execution. It holds that; held by it, both would be a cycle, and with them every receipt
        of a block, until the collector comes: under load after some thousand blocks."""
        """The newest block begun: an older one can no longer be continued."""
        self._scratch: Machine | None = None

    def _bind(self) -> dict[bytes, Any]:
        codecs: dict[bytes, Any] = {}
        for cls in sorted(self._classes, key=lambda c: c.id):
            module = cls()
            for name, declared in cls.collections().items():
                bound = declared.bind(cls.id, self.state)
                setattr(module, name, bound)
                codecs[bound.prefix] = bound.codec
            self.modules[cls.name] = module
        return codecs

    def _touched_invariants(self) -> dict[bytes, list[tuple[Callable[[bytes], Any], Callable[..., None]]]]:
        found: dict[bytes, list[tuple[Callable[[bytes], Any], Callable[..., None]]]] = {}
        for module, declaration, method in self._invariants():
            if declaration.each:
                collection = getattr(module, declaration.each)
                found.setdefault(collection.prefix, []).append((collection.decode_key, method))
        return found

    def _invariants(self) -> Iterable[tuple[Module, Declaration, Callable[..., None]]]:
        for module in self.modules.values():
            for name in sorted(
                dir(type(module))
            ):  # inherited ones too: a module may be made of several files
                declaration = getattr(getattr(type(module), name), "__qenex__", None)
                if declaration is not None and declaration.kind == "invariant":
                    yield module, declaration, getattr(module, name)

    @property
    def scratch(self) -> Machine:
        """A second instance of the same modules, for queries and simulations."""
        if self._scratch is None:
            self._scratch = Machine(self._classes[2:], verify=_skip_verification)
        return self._scratch

    # -- genesis ------------------------------------------------------------------------------

    def init_chain(self, genesis: Genesis) -> dict[bytes, Value | None]:
        """Import a genesis, module by module in order of id, then check all invariants.

        Returns the state to write. Raises InvalidGenesis naming what is wrong, or UnsupportedVersion.
        """
        self.state.reset(EmptyBase())
        info = BlockInfo(
            genesis.chain_id, genesis.initial_height - 1, genesis.time, genesis.time, Address(b"")
        )
        version, ctx = genesis.protocol_version, self.context
        ctx.enter_block(info._replace(protocol_version=version), Gas(gas_schedule(version), UNLIMITED))
        for kind, given in (("parameters", genesis.parameters), ("modules", genesis.modules)):
            unknown = sorted(set(given) - set(self.modules))
            if unknown:
                raise InvalidGenesis(f"{kind}: no module is called {', '.join(unknown)}")
        for validator in genesis.validators:
            self.core.validators.set(validator.address, Validator(*validator))
        for module in sorted(self.modules.values(), key=lambda m: m.id):
            module.parameters.set(self._genesis_params(module, genesis.parameters.get(module.name, {})))
            ctx.module, ctx.actor = "genesis", Address(b"")
            module.import_genesis(ctx, dict(genesis.modules.get(module.name, {})))
        self.core.begin_rotation(genesis.initial_height)
        changes = self.state.changes()
        problems = self.check_invariants(_Changes(changes))
        if problems:
            raise InvalidGenesis("; ".join(problems))
        return changes

    def export_genesis(self, base: Readable) -> dict[str, dict[str, dict[str, Any]]]:
        """`parameters` and `modules` of a genesis that would begin with the state of `base`."""
        scratch = self.scratch
        scratch.state.reset(base)
        parameters: dict[str, dict[str, Any]] = {}
        modules: dict[str, dict[str, Any]] = {}
        for name, module in scratch.modules.items():
            parameters[name] = self.registry.params[name].to_json(module.params, "qx")
            modules[name] = module.export_genesis(scratch.context)
        return {"parameters": parameters, "modules": modules}

    def _genesis_params(self, module: Module, given: Any) -> Any:
        codec = self.registry.params[module.name]
        where = f"parameters.{module.name}"
        if not isinstance(given, dict):
            raise InvalidGenesis(f"{where} is an object")
        defaults = codec.to_json(module.Params(), "qx")
        return check_record(codec, {**defaults, **given}, InvalidGenesis, where)

    # -- blocks, admission ----------------------------------------------------------------------

    def begin(self, base: Readable, info: BlockInfo) -> BlockExecution:
        """Start executing a block on `base`; an unfinished earlier execution is dropped."""
        self.state.reset(base)
        return BlockExecution(self, info)

    def parameters_hash(self, base: Readable) -> bytes:
        """Hash of all parameters in force on `base`, as headers carry it."""
        scratch = self.scratch
        scratch.state.reset(base)
        return parameters_hash(scratch.modules)

    def validators(self, base: Readable) -> tuple[Validator, ...]:
        """The validator set on `base`, in canonical order."""
        scratch = self.scratch
        scratch.state.reset(base)
        return scratch.core.validator_set()

    def rotation(self, base: Readable, height: int) -> Rotation:
        """The record from which the proposers of `height` follow (`vm.rotation.members_at`).

        `base` is the state after any block from height - 2 on, as long as the set changed at most twice since.
        Raises NotFound if it does not hold it.
        """
        scratch = self.scratch
        scratch.state.reset(base)
        rotations = scratch.core.rotations.get()
        if rotations is None:
            raise NotFound("this state holds no proposer priorities")
        return rotation_for(rotations, height)

    def has_evidence(self, base: Readable, evidence: Evidence) -> bool:
        """Whether a block up to `base` had evidence of this double vote already."""
        scratch = self.scratch
        scratch.state.reset(base)
        return scratch.core.has_evidence(evidence)

    def select_evidence(self, base: Readable, pieces: Sequence[Evidence]) -> list[Evidence]:
        """Those of `pieces`, in their order, that the block after `base` may have as far as other pieces matter."""
        scratch = self.scratch
        scratch.state.reset(base)
        return scratch.core.select_evidence(pieces)

    def is_told(self, base: Readable, evidence: Evidence) -> bool:
        """Whether blocks up to `base` have double votes enough of this validator, none later than this one."""
        scratch = self.scratch
        scratch.state.reset(base)
        return scratch.core.is_told(evidence)

    def price(self, base: Readable) -> int:
        """Base units of QXC per gas that the next block on `base` asks."""
        scratch = self.scratch
        scratch.state.reset(base)
        return price_per_gas(scratch.core.params, scratch.core.excess.get() or 0)

    def new_check(self, base: Readable, chain_id: str, next_height: int) -> CheckState:
        """Admission's own overlay on `base`."""
        return CheckState(self, base, chain_id, next_height)

    # -- reads ----------------------------------------------------------------------------------

    def query(self, base: Readable, info: BlockInfo, name: str, args: Sequence[Any]) -> Any:
        """Answer a declared query on a committed version.

        Raises MethodNotFound, InvalidArguments, the module's own error, or ModuleFault for its defects.
        """
        spec = self.registry.queries.get(name)
        if spec is None:
            raise MethodNotFound(f"no query is called {name[:64]!r}")
        if len(args) != len(spec.parameters):
            raise InvalidArguments(f"{name} takes {len(spec.parameters)} arguments, got {len(args)}")
        checked = []
        for parameter, arg in zip(spec.parameters, args, strict=True):
            try:
                checked.append(parameter.codec.check(arg))
            except MalformedBytes as error:
                raise InvalidArguments(f"{name}: {parameter.name}: {error.message}") from None
        scratch = self.scratch
        scratch.state.reset(base)
        scratch.context.enter_block(info, Gas(gas_schedule(1), QUERY_GAS))
        scratch.context.module = spec.module
        try:
            result = getattr(scratch.modules[spec.module], spec.verb)(scratch.context, *checked)
        except QenexError:
            raise
        except (MemoryError, RecursionError, OSError):
            raise  # the process is in trouble, not the query
        except Exception as error:  # a defect of module code is answered by a typed error, as in a block
            self.on_fault(error)
            raise ModuleFault(f"query {name} failed: {type(error).__name__}") from error
        if scratch.state.mark():
            raise ModuleFault(f"query {name} wrote to the state")
        return result

    def simulate(self, base: Readable, info: BlockInfo, tx: Transaction) -> Receipt:
        """Execute a transaction as the next block would, without signatures, and forget it.

        Raises a 1000s error where entry refuses. `simulation_error` tells in words why a receipt failed.
        """
        scratch = self.scratch
        tx.plan = None
        try:
            return scratch.begin(base, info).execute(tx)
        finally:
            tx.plan = None

    def simulation_changes(self, tx: Transaction, fee: int) -> list[BalanceChange]:
        """What the last simulation, of `tx`, changed in its signers' balances; the fee, which it charged, left out.

        In order of the signers, then of denominations.
        """
        order = {signer.address: index for index, signer in enumerate(tx.signers)}
        payer = tx.signers[0].address
        changes = {(c.address, c.denom): c.change for c in balance_changes(self.scratch.state, order)}
        changes[payer, QXC] = changes.get((payer, QXC), 0) + fee
        found = [
            BalanceChange(address, denom, change) for (address, denom), change in changes.items() if change
        ]
        return sorted(found, key=lambda c: (order[c.address], c.denom))

    @property
    def simulation_error(self) -> QenexError | None:
        """What the last simulated transaction failed with, if its receipt says failed."""
        execution = self.scratch.execution
        return None if execution is None else execution.error

    def check_invariants(self, base: Readable) -> list[str]:
        """Run every full invariant on `base`; returns what does not hold, in words."""
        scratch = self.scratch
        scratch.state.reset(base)
        problems = []
        for module, declaration, method in scratch._invariants():
            if declaration.each:
                continue
            try:
                method(scratch.context)
            except QenexError as error:
                problems.append(f"{module.name}: {error.message}")
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                problems.append(f"{module.name}: {type(error).__name__}: {error}")
        return problems


class _Changes:
    """A genesis's changes as a readable layer."""

    def __init__(self, changes: dict[bytes, Value | None]) -> None:
        self._changes = changes

    def get(self, key: bytes) -> Value | None:
        return self._changes.get(key)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Value]]:
        keys = sorted((key for key in self._changes if start <= key < stop), reverse=reverse)
        return iter([(key, self._changes[key]) for key in keys])


class Alone(Protocol):
    """A transaction of who signs alone, that waits and is its account's only one."""

    tx: Transaction
    taken: bool
    """Whether it has taken its fee and a sequence."""


def _nobody(_record: bytes) -> Alone | None:
    """Default of `CheckState.alone`: no pool stands beside it."""
    return None


class CheckState:
    """Admission on an overlay of its own: pending transactions have paid and raised sequences here.

    What a transaction took whose signer signs alone, and which is his only one, is not written here, for nearly all leave
    before anybody asks: as long as the account has no record here, `alone` tells of it.

    After a block, `advance` to the new height; the accounts that the block or an eviction changed are
    `forget`-ted, and their pending transactions admitted again.
    """

    def __init__(self, machine: Machine, base: Readable, chain_id: str, next_height: int) -> None:
        self._machine = machine
        self._chain_id = chain_id
        self._state = State(base)
        self.key_of_alone: KeyOfAlone
        self.admit_alone: AdmitAlone
        self._scoped: dict[Address, dict[bytes, None]] = {}
        """Scoped keys that pending transactions have used, by account: what `forget` drops beside the record."""
        self._brought: dict[bytes, bytes] = {}
        """State keys of the long keys that pending transactions have brought, by that of the record: dropped as well."""
        self.alone: Callable[[bytes], Alone | None] = _nobody
        """What waits alone in the name of the account whose record has this state key."""
        self.rules: Rules
        self.advance(base, next_height)

    def advance(self, base: Readable, next_height: int) -> None:
        """Prices and limits of the next block. Keeps what pending transactions took."""
        machine = self._machine
        params = machine.scratch.core
        price = machine.price(base)
        self.rules = make_rules(self._chain_id, next_height, price, params.params, gas_schedule(1))
        self._state.rebase(base)
        self._values, _, self._base_get = self._state.parts()
        self.key_of_alone, self.admit_alone = alone_checks(
            self.rules, machine.registry, self._values, self._base_get
        )

    def forget(self, addresses: Iterable[Address]) -> None:
        """Drop what pending transactions of these accounts took, and the long keys they brought."""
        records = [ACCOUNT_RECORDS + address for address in addresses]
        for key in records:
            alone = self.alone(key)
            if alone is not None:
                alone.taken = False
        self.forget_records(records)

    def forget_records(self, keys: Collection[bytes]) -> None:
        """`forget` by the state keys of records, of accounts with nothing `alone`; other keys do not matter."""
        values, scoped, brought = self._values, self._scoped, self._brought
        # What the records say is not even looked at: of a block's twenty thousand no cache holds one.
        dropped = [key for key in keys if key in values and key[:2] == ACCOUNT_RECORDS]
        if brought:
            dropped += [brought.pop(key) for key in dropped if key in brought]
        if scoped:
            for key in keys:
                if key[:2] == ACCOUNT_RECORDS:
                    dropped += scoped.pop(Address(key[2:]), ())
        self._state.drop(dropped)

    def account(self, address: Address) -> Account | None:
        """An account's record as what is pending will leave it."""
        key = ACCOUNT_RECORDS + address
        if key in self._values:
            return self._values[key]
        record: Account | None = self._base_get(key)
        alone = self.alone(key)
        if record is None or alone is None or not alone.taken:
            return record
        return record._replace(sequence=record.sequence + 1, balance=record.balance - alone.tx.terms.fee_max)

    def _write_taken(self, tx: Transaction) -> None:
        """Write what transactions of the same signers have taken that have waited alone until now."""
        for signer in tx.signers:
            key = ACCOUNT_RECORDS + signer.address
            if self.alone(key) is not None:
                self._values[key] = self.account(signer.address)

    def keys_of(self, tx: Transaction) -> tuple[bytes, ...]:
        """Tag + public key per signer, for the verifier. Raises the fitting 1000s error."""
        self._write_taken(tx)
        plan_of(self._machine.registry, tx)
        return signer_keys(self._state, self.rules, tx)

    def signing_keys(self, tx: Transaction) -> tuple[bytes, ...]:
        """As `keys_of`, whatever the sequences: a transaction may arrive together with those before it."""
        if tx.plan is None:
            plan_of(self._machine.registry, tx)
        check_validity(self.rules, tx)
        keys: list[bytes] = []
        for signer in tx.signers:
            account = self._state.get(ACCOUNT_RECORDS + signer.address)
            if account is None and not keys:
                # signer 0 pays
                raise AccountNotFound(f"{encode_address(signer.address)} has no account on this chain yet")
            keys.append(key_of_signer(self._state, signer, account or EMPTY_ACCOUNT, self.rules.status))
        check_forms(self.rules, tx, keys)
        return tuple(keys)

    def inline_key(self, record: bytes) -> bytes | None:
        """The key in the account record with this state key: what who signs alone signs with; None: `signing_keys` tells."""
        account = self._state.get(record)
        key: bytes = b"" if account is None else account[2]
        return key if key and key[0] in self.rules.inline else None

    def screen(self, tx: Transaction) -> tuple[tuple[bytes, ...], int]:
        """`signing_keys`, and the sequence that the first signer's next pending transaction must have.

        One look at the record for the usual transaction: one signer, whose key stands in it.
        """
        signers = tx.signers
        if len(signers) == 1:
            address, _, public_key, scoped_key = signers[0]
            if public_key is None and scoped_key is None:
                if tx.plan is None:
                    plan_of(self._machine.registry, tx)
                check_validity(self.rules, tx)
                account = self.account(address)
                if account is not None:
                    stored = account[2]
                    if stored and stored[0] in self.rules.inline:
                        return (stored,), account[0]
                    if stored and stored[0] in self.rules.beside:
                        full = self._state.get(ACCOUNT_PUBLIC_KEYS + stored[1:])
                        if full is not None:
                            return (full,), account[0]
        return self.signing_keys(tx), self.sequence(signers[0].address, signers[0].scoped_key)

    def admit(self, tx: Transaction) -> Entered:
        """Entry checks but for signatures; on success fee and sequences are taken here.

        Raises a 1000s error, and changes nothing then.
        """
        self._write_taken(tx)
        entered = enter(self._state, self.rules, self._machine.registry, tx, None)
        self._state.settle()
        for signer in tx.signers:
            if signer.scoped_key is not None:
                used = self._scoped.setdefault(signer.address, {})
                used[scoped_state_key(signer.address, signer.scoped_key)] = None
            elif signer.public_key is not None and signer.public_key[0] in LONG_SCHEMES:
                key = ACCOUNT_RECORDS + signer.address
                record = self._values[key]  # entry has just written it
                self._brought[key] = ACCOUNT_PUBLIC_KEYS + (record or EMPTY_ACCOUNT)[2][1:]
        return entered

    def scoped_among(self, changes: Mapping[bytes, object]) -> list[Address]:
        """The accounts whose scoped keys stand here and were changed by a block."""
        return [address for address, keys in self._scoped.items() if any(key in changes for key in keys)]

    def sequence(self, address: Address, scoped_key: int | None = None) -> int:
        """The sequence that the next pending transaction of an account, or of its scoped key, must have."""
        if scoped_key is not None:
            scoped = self._state.get(scoped_state_key(address, scoped_key))
            return scoped.sequence if scoped is not None else 0
        record = self.account(address)
        return record.sequence if record is not None else 0
