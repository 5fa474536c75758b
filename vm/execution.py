"""Execution of one block: hooks, transactions in their scopes, fees, and the result.

A page to read from top to bottom: `begin` -> `take` or `execute` per transaction -> `end`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ledger.state import Value
from qenex.block import Event, Receipt, Validator, results_root
from qenex.codec import Reference, encode, pack
from qenex.crypto.address import Address
from qenex.errors import (
    ConservationViolated,
    DebtUnpaid,
    InsufficientBalance,
    InvariantViolated,
    MalformedBytes,
    ModuleFault,
    ModulePaused,
    QenexError,
    ReferenceUnresolved,
)
from qenex.hashing import hasher
from qenex.state_keys import ACCOUNT_RECORDS, EMPTY_ACCOUNT, Account
from qenex.transaction import Transaction, Transfer
from qenex.types import QXC
from vm.context import MAX_HOOK_EVENTS, BlockInfo, Context
from vm.core import Core, FeesSettled, HookFailed, Pause
from vm.entry import Step, enter, make_rules, plan_of
from vm.fees import MachineParams, charge, next_excess, price_per_gas
from vm.gas import Gas, gas_schedule
from vm.guard import Guard, count_outflow, give_fee_back, guard_state_key, newly_queued
from vm.module import Module
from vm.money import check_block_conservation, check_conservation, debits_of, outflow_of
from vm.receipts import Receipts
from vm.scoped import current, give_back, scoped_key_of, scoped_state_key, spend
from vm.transfers import short_way

if TYPE_CHECKING:
    from vm.machine import Machine

BEGIN_ORDER: Final = ("accounts", "staking", "governance", "oracle", "lending")
END_ORDER: Final = ("oracle", "amm", "lending", "farming", "governance", "staking", "machine")
"""Order of the hooks; modules not named here have none."""

PAUSING: Final = frozenset({ModuleFault.code, InvariantViolated.code, ConservationViolated.code})
"""Codes of a hook's failure that pause its module: its code, or its state, cannot be trusted."""

UNLIMITED: Final = 1 << 62
"""Gas of a hook: bounded by counts of items, not by a meter."""

hash_parameters = hasher("qx.params")
_new = tuple.__new__


class MachineFault(BaseException):
    """The machine itself broke a rule. Stops the process with nothing committed."""


class BlockResult(NamedTuple):
    """Everything a block did. `changes` maps state keys to new values (None: deleted), `replaced` the same keys in the
    same order to what the base had; `beside` has those of them that are of no account record, and maybe more."""

    receipts: Receipts
    encoded_receipts: list[bytes]
    begin_events: tuple[Event, ...]
    end_events: tuple[Event, ...]
    changes: dict[bytes, Value | None]
    replaced: Mapping[bytes, Value | None]
    beside: list[bytes]
    gas_used: int
    results_root: bytes
    validators: tuple[Validator, ...]


class BlockExecution:
    """One block on the machine's state. Only the newest execution of a machine is valid."""

    def __init__(self, machine: Machine, info: BlockInfo) -> None:
        self.machine = machine
        machine.execution = self
        self.state = machine.state
        self.core: Core = machine.core
        self.schedule = gas_schedule(info.protocol_version)
        self.params: MachineParams = self.core.params
        self.price = price_per_gas(self.params, self.core.excess.get() or 0)
        self.info = info._replace(validators=self.core.validator_set())
        self.rules = make_rules(
            info.chain_id, info.height, self.price, self.params, self.schedule, info.time // 10**9
        )
        self.ctx = machine.context
        self.ctx.enter_block(self.info, Gas(self.schedule, UNLIMITED))
        self.ctx.scheme_status = self.rules.status
        self.gas_used = 0
        self.size = 0
        self.base_fees = 0
        self.tips = 0
        self.receipts = Receipts(machine.registry)
        self.others = 0
        """Transactions that went the general way."""
        self._gas = Gas(self.schedule, UNLIMITED)
        """The meter of the transaction that runs; one object for all, as is its bound method."""
        self._created = self._gas.created
        self.error: QenexError | None = None
        """What the last transaction failed with, None if it succeeded. Receipts carry the code alone."""
        for piece in info.evidence:
            self.core.record_evidence(piece, info.time)
        self.begin_events = self._hooks("begin_block", BEGIN_ORDER)
        machine.take_transfer = short_way(self)

    # -- transactions -----------------------------------------------------------------------

    def fits(self, tx: Transaction) -> bool:
        """Whether the block's remaining gas and bytes cover the transaction's limits."""
        return (
            self.gas_used + tx.terms.gas_limit <= self.params.max_block_gas
            and self.size + len(tx.raw) + 5 <= self.params.max_block_bytes
        )

    def take(self, tx: Transaction) -> bool:
        """`fits` and `execute` for a block that is filled or checked: whether the transaction fitted.

        Raises as `execute`. The receipt is among `receipts`.
        """
        machine = self.machine
        if type(tx) is Transfer and machine.execution is self and machine.take_transfer(tx):
            self.error = None
            return True
        if not self.fits(tx):
            return False
        self.execute(tx)
        return True

    def execute(self, tx: Transaction) -> Receipt:
        """Run one transaction in its own scope.

        Raises a 1000s error when it may not stand here; then nothing changed. Any later failure is a
        receipt with that error's code, and the fee stands.
        """
        state, machine, ctx = self.state, self.machine, self.ctx
        if machine.execution is not self:
            raise MachineFault("another block has begun on this machine")
        self.others += 1
        entered = enter(state, self.rules, machine.registry, tx, machine.verify)
        gas = self._gas
        gas.limit, gas.used = tx.terms.gas_limit, entered[0]
        ctx.enter(gas)
        mark = state.mark()
        state.on_create = self._created
        self.error = None
        try:
            results = self._run(tx, mark, entered[2])
            receipt = self._close(tx, gas.used, 0, None, results, tuple(ctx.events))
            state.settle()
            return receipt
        except QenexError as error:
            self.error = _on_chain(error)
        except (MemoryError, RecursionError, OSError):
            raise  # the process, not the transaction, is in trouble: stop with nothing committed
        except Exception as error:  # a defect of module code must not stop the chain
            machine.on_fault(error)
            self.error = ModuleFault(f"{type(error).__name__} in module code")
        finally:
            state.on_create = None
        state.revert(mark)
        receipt = self._close(tx, gas.used, self.error.code, self._failed, (), ())
        state.settle()
        return receipt

    def _run(self, tx: Transaction, mark: int, counted: bool) -> tuple[Any, ...]:
        ctx, signers, machine, state = self.ctx, tx.signers, self.machine, self.state
        results: list[Any] = []
        get, methods = state.get, machine.methods
        plan: tuple[Step, ...] = tx.plan or plan_of(machine.registry, tx)  # type: ignore[assignment]  # an object to qenex
        self._failed: int | None = 0
        before = ""
        for index, (spec, args, has_references, signer) in enumerate(plan):
            self._failed = index
            ctx.gas.use(spec.gas)
            method, pause_key = methods[spec.name]
            module = spec.module
            # Governance alone pauses modules, and never itself: among one module's messages nothing can have changed.
            if module != before and not spec.exit:
                if get(pause_key) is not None:
                    raise ModulePaused(f"module {module} is paused")
                before = module
            if has_references:
                args = _resolve(args, plan, results)
            ctx.actor = signers[signer].address
            ctx.module = module
            results.append(method(ctx, *args))
        self._failed = None
        if ctx.debts:
            self._pay_debts()
        self._check_scope(mark)
        if counted:
            self._check_guards(tx, mark)
            self._check_outflow(tx, mark)
        return tuple(results)

    def _check_guards(self, tx: Transaction, mark: int) -> None:
        """Count what left guarded accounts since `mark`. Raises GuardLimitExceeded or GuardFrozen."""
        state, time_s = self.state, self.ctx.time_s
        writes = state.writes(mark)
        touched = state.touched(mark)
        for address in dict.fromkeys([signer[0] for signer in tx.signers]):
            key = guard_state_key(address)
            guard: Guard | None = state.get(key)
            if guard is None:
                continue
            outflow = debits_of(state, writes, address)
            for denom, amount in newly_queued(state, touched, address).items():
                outflow[denom] = outflow.get(denom, 0) - amount
            state.set(key, count_outflow(guard, outflow, time_s))

    def _give_fee_back(self, address: Address, amount: int) -> None:
        """What a guarded payer's fee was less than its maximum."""
        key = guard_state_key(address)
        guard: Guard | None = self.state.get(key)
        if guard is not None:
            self.state.set(key, give_fee_back(guard, amount))

    def _check_outflow(self, tx: Transaction, mark: int) -> None:
        """Count what left the accounts of scoped keys since `mark`, and the payer's fee: the last act of a success.

        Raises ScopedKeyLimitExceeded.
        """
        state = self.state
        touched: dict[bytes, Value | None] | None = None
        for index, signer in enumerate(tx.signers):
            if signer.scoped_key is None:
                continue
            if touched is None:
                touched = state.touched(mark)
            outflow = outflow_of(state, touched, signer.address)
            key = scoped_state_key(signer.address, signer.scoped_key)
            scoped = scoped_key_of(state, signer)
            if index == 0:
                fee_tier = (state.get(ACCOUNT_RECORDS + signer.address) or EMPTY_ACCOUNT)[3]
                paid = sum(charge(self.ctx.gas.used, self.price, fee_tier, tx.fee.tip))
                scoped = give_back(scoped, tx.fee.max)
                outflow[QXC] = outflow.get(QXC, 0) + paid
            state.set_ordered(key, spend(current(scoped, self.ctx.time_s), outflow))

    def _pay_debts(self) -> None:
        for debt in self.ctx.debts:
            try:
                self.machine.money.settle(self.ctx, debt.debtor, debt.creditor, debt.denom, debt.amount)
            except InsufficientBalance as error:
                raise DebtUnpaid(
                    f"a debt of {debt.amount} {debt.denom} is not covered: {error.message}"
                ) from None

    def _check_scope(self, mark: int) -> None:
        """Invariants of the records touched since `mark`, then conservation, over the same old images."""
        state, checks = self.state, self.machine.touched_invariants
        touched = state.touched(mark)
        if checks:
            end = state.mark()
            for key, old in touched.items():
                found = checks.get(key[:2])
                if found is not None:
                    for decode_key, method in found:
                        method(self.ctx, decode_key(key), old, state.get(key))
            if (
                state.mark() != end
            ):  # an invariant that writes is a defect; its writes are checked all the same
                touched = state.touched(mark)
        check_conservation(state, touched, self.ctx.supplies)

    def _close(
        self,
        tx: Transaction,
        gas_used: int,
        status: int,
        failed: int | None,
        results: tuple[Any, ...],
        events: tuple[Event, ...],
    ) -> Receipt:
        """Write the receipt, take the lease of a success, give back what of `fee.max` was not used.

        Raises ModuleFault, with nothing done, for results or events that have no encoding; cannot fail
        for a transaction without.
        """
        state = self.state
        key = tx.sender or ACCOUNT_RECORDS + tx.signers[0][0]
        before = state.get(key)
        sequence, balance, stored, fee_tier, flags = before or EMPTY_ACCOUNT
        _, maximum, _, tip, _ = tx.terms
        if fee_tier:
            base, tip = charge(gas_used, self.price, fee_tier, tip)
        else:
            base = gas_used * self.price
        paid = base + tip
        receipt = _new(Receipt, (tx.tx_id, status, failed, gas_used, paid, results, events))
        try:
            encoded = pack(receipt)
        except (TypeError, ValueError, OverflowError, RecursionError):
            encoded = self._encoded(receipt)  # which raises
        state.on_create = None
        record = _new(Account, (sequence, balance + maximum - paid, stored, fee_tier, flags))
        if before is None or maximum == paid:
            state.set(key, record)
        else:
            state.replace(key, before, record)
        if flags:
            self._give_fee_back(tx.signers[0][0], maximum - paid)
        if status and tx.signers[0][3] is not None:  # of a success the count is exact already
            place = scoped_state_key(tx.signers[0].address, tx.signers[0][3])
            state.set_ordered(place, give_back(scoped_key_of(state, tx.signers[0]), maximum - paid))
        if status == 0 and tx.lease is not None:
            self.core.take_lease(tx.signers[0].address, tx.lease, tx.valid_until)
        self.base_fees += base
        self.tips += tip
        plan: tuple[Step, ...] = tx.plan  # type: ignore[assignment]  # as in `_run`
        self.receipts.add(encoded, status, [step[0] for step in plan])
        self.gas_used += gas_used
        self.size += len(tx.raw) + 5
        return receipt

    def _encoded(self, value: tuple[Any, ...]) -> bytes:
        """Canonical bytes of results and events. Raises ModuleFault for what has no encoding."""
        try:
            return encode(value)
        except MalformedBytes as error:
            self.machine.on_fault(error)
            raise ModuleFault(f"results or events: {error.message}") from None

    # -- hooks and the end ------------------------------------------------------------------

    def _hooks(self, hook: str, order: tuple[str, ...]) -> tuple[Event, ...]:
        events: list[Event] = []
        for name in order:
            module = self.machine.modules.get(name)
            if module is None or getattr(type(module), hook) is getattr(Module, hook):
                continue
            if self.core.paused.get(int(module.id)) is None:
                events += self._hook(module, hook)
        return tuple(events)

    def _hook(self, module: Module, hook: str) -> list[Event]:
        """Run one hook in its own scope. User data never makes this raise."""
        state, ctx = self.state, self.ctx
        mark = state.mark()
        ctx.enter(Gas(self.schedule, UNLIMITED), MAX_HOOK_EVENTS)
        ctx.actor, ctx.module = self.machine.main_accounts[module.name], module.name
        method: Callable[[Context], None] = getattr(module, hook)
        try:
            method(ctx)
            self._pay_debts()
            self._check_scope(mark)
            self._encoded(tuple(ctx.events))
            return ctx.events
        except QenexError as error:
            code = _on_chain(error).code
        except (MemoryError, RecursionError, OSError):
            raise  # as in execute: stop the process
        except Exception as error:  # revert, pause the module, keep the chain alive
            self.machine.on_fault(error)
            code = ModuleFault.code
        state.revert(mark)
        if code in PAUSING and module.name != "machine":
            self.core.paused.set(int(module.id), Pause(self.info.height, code))
        ctx.enter(Gas(self.schedule, UNLIMITED))
        ctx.emit(HookFailed(module.name, hook, code))
        return ctx.events

    def _settle_pot(self) -> list[Event]:
        """Burn, pay stakers and the proposer, and move the fee excess."""
        ctx, money = self.ctx, self.machine.money
        ctx.enter(Gas(self.schedule, UNLIMITED))
        burned = self.base_fees * self.params.burn_bps // 10_000
        rest = self.base_fees - burned
        money.burn_fees(burned)
        for address, amount in self._shares(rest):
            money.pay_out(address, amount)
        money.pay_out(self.info.proposer, self.tips)
        if self.base_fees or self.tips:
            ctx.emit(FeesSettled(burned, rest, self.tips))
        excess = self.core.excess.get() or 0
        elapsed = self.info.time - self.info.parent_time
        self.core.excess.set(next_excess(self.params, excess, self.gas_used, elapsed) or None)
        return ctx.events

    def _shares(self, amount: int) -> list[tuple[Address, int]]:
        """Who gets the base fees that are not burned: staking where there is any, else the validators by power.

        Floored; the proposer takes the remainder.
        """
        staking = self.machine.modules.get("staking")
        if staking is not None and staking.collects_fees():
            return [(self.machine.main_accounts["staking"], amount)]
        total = sum(validator.power for validator in self.info.validators)
        if amount == 0 or total == 0:
            return [(self.info.proposer, amount)]
        shares = [(v.address, amount * v.power // total) for v in self.info.validators]
        return [*shares, (self.info.proposer, amount - sum(share for _, share in shares))]

    def end(self) -> BlockResult:
        """End hooks, fees, and the sum of it all."""
        if self.machine.execution is not self:
            raise MachineFault("another block has begun on this machine")
        end_events = [*self._hooks("end_block", END_ORDER), *self._settle_pot()]
        images = self.state.images()
        try:
            beside = check_block_conservation(self.state, images)
        except QenexError as error:
            raise MachineFault(f"block {self.info.height}: {error.message}") from error
        begin, end = self.begin_events, tuple(end_events)
        changes = self.state.changes(images)
        replaced = images
        if len(images) != len(changes):  # something was written back to what it had been
            replaced = images.copy()
            for key in list(filterfalse(changes.__contains__, images)):
                del replaced[key]
        return BlockResult(
            receipts=self.receipts,
            encoded_receipts=self.receipts.encoded,
            begin_events=begin,
            end_events=end,
            changes=changes,
            replaced=replaced,
            beside=beside,
            gas_used=self.gas_used,
            results_root=results_root(self.receipts.encoded, begin, end),
            validators=self.core.validator_set(),
        )


def _on_chain(error: QenexError) -> QenexError:
    """The error itself, if its code may stand in a receipt: local and RPC codes there are a module's defect."""
    return error if error.code >= 1_000 else ModuleFault(f"{error.name}: {error.message}")


def _resolve(args: tuple[Any, ...], plan: tuple[Step, ...], results: list[Any]) -> tuple[Any, ...]:
    """Arguments with references replaced by what the earlier messages returned."""
    values = []
    for arg in args:
        if type(arg) is Reference:
            found = getattr(results[arg.index], arg.field, _resolve)
            if found is _resolve:
                raise ReferenceUnresolved(f"{plan[arg.index].spec.name} returned no {arg.field}")
            values.append(found)
        else:
            values.append(arg)
    return tuple(values)


def check_hooks(modules: dict[str, Module]) -> None:
    """Every hook has its place in the order. Raises TypeError, so that none is left out in silence."""
    for hook, order in (("begin_block", BEGIN_ORDER), ("end_block", END_ORDER)):
        for name, module in modules.items():
            if getattr(type(module), hook) is not getattr(Module, hook) and name not in order:
                raise TypeError(f"module {name} declares {hook}, which has no place in the order of hooks")


def parameters_hash(machine_modules: dict[str, Module]) -> bytes:
    """`H("qx.params", [[module id, parameters], ...])`, ascending by id."""
    pairs = [(int(m.id), m.params) for m in sorted(machine_modules.values(), key=lambda m: m.id)]
    return hash_parameters(encode(tuple(pairs)))
