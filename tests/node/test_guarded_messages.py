"""A guarded account's money is followed by its balances: what gives anything else away is marked, message by message."""

from __future__ import annotations

import typing
from typing import Any

from benchmarks.gas_cases import SCRIPTS
from benchmarks.gas_world import Base, Case, make_worlds
from node.modules import MODULES
from qenex.crypto import Address
from qenex.errors import REGISTRY, QenexError
from qenex.state_keys import ACCOUNT_RECORDS, BANK_BALANCES, FLAG_GUARDED
from qenex.transaction import decode_transaction
from qenex.types import QXC
from vm.accounts import Accounts
from vm.core import Core
from vm.guard import GuardTerms, guard_state_key, new_guard
from vm.machine import Machine
from vm.money import balance_changes
from vm.registry import Registry

TO_OTHERS = {
    "accounts.set_guard": "waits for the guard's delay",
    "accounts.cancel_queued": "gives back to the account",
    "accounts.approve_queued": "the canceller's alone",
    "accounts.freeze": "the canceller's alone",
    "accounts.queue_transfer": "waits for the guard's delay",
    "bank.send": "leaves the balances",
    "governance.propose_spend": "the treasury's money; the deposit leaves the balances",
    "lending.liquidate": "what repays leaves the balances",
    "lending.repay": "leaves the balances",
    "oracle.set_feeder": "who reports prices moves no money of the operator",
    "staking.delegate": "leaves the balances; comes back to them alone",
    "staking.lock": "binds the account's own delegation",
    "staking.redelegate": "the delegation stays the account's",
    "staking.undelegate": "comes back to the balances",
    "staking.withdraw_rewards": "comes to the balances",
    "tokens.create": "names who receives the token's own fee; its supply comes to the balances",
    "tokens.create_vesting": "leaves the balances",
    "tokens.multi_send": "leaves the balances",
    "tokens.open_escrow": "leaves the balances",
    "tokens.set_frozen": "coins stay whose they are",
    "tokens.set_listed": "coins stay whose they are",
}
"""Messages that name another account and are not marked `hands_over`, and why they need not be."""

HANDED_OVER = {
    "tokens.mint",
    "tokens.offer_authority",
    "tokens.release_escrow",
    "tokens.renounce_authority",
}


def names_an_account(hint: Any) -> bool:
    if hint is Address:
        return True
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        hints = typing.get_type_hints(hint, include_extras=True)
        return any(names_an_account(part) for part in hints.values())
    return any(names_an_account(part) for part in typing.get_args(hint))


def test_every_message_that_names_another_account_is_marked_or_explained() -> None:
    registry = Registry((Core, Accounts, *MODULES))
    marked = {name for name, spec in registry.messages.items() if spec.hands_over}
    naming = {
        name
        for name, spec in registry.messages.items()
        if any(names_an_account(parameter.hint) for parameter in spec.parameters)
    }
    assert marked == HANDED_OVER
    assert naming - marked == set(TO_OTHERS)


OTHERS_GAIN = {
    "accounts.cancel_queued": "by a canceller: gives back to the account",
    "accounts.freeze": "by a canceller: gives back to the account",
    "tokens.claim_vesting": "the token's own fee on what comes to the account",
    "tokens.return_escrow": "goes back to who paid it",
    "tokens.revoke_vesting": "what is free already is its recipient's",
}
"""Messages by which a guarded account lets somebody have coins, and why that is no theft."""


def guarded(case: Case) -> tuple[Base, Address]:
    """A case's state, but that its signer has a guard without limits."""
    signer = decode_transaction(case.raw).signers[0].address
    key = ACCOUNT_RECORDS + signer
    found = case.base.values.get(guard_state_key(signer))
    terms = GuardTerms(Address(bytes(32)), 86_400, 1 << 100, ()) if found is None else found.terms
    queued = 0 if found is None else found.queued
    account = case.base.values[key]
    marked = account._replace(flags=account.flags | FLAG_GUARDED)
    guard = new_guard(terms._replace(limits=()), 0, queued)
    return Base({**case.base.values, key: marked, guard_state_key(signer): guard}), signer


def changed(machine: Machine) -> dict[tuple[Address, str], int]:
    """What the balances of people changed by since the block began."""
    state = machine.state
    touched = {Address(key[2:34]) for key in state.images() if key[:2] in (ACCOUNT_RECORDS, BANK_BALANCES)}
    people = {address for address in touched if not machine.money.owner(address)}
    return {(c.address, c.denom): c.change for c in balance_changes(state, people)}


def test_no_message_of_any_module_takes_coins_from_a_guarded_account_to_somebody() -> None:
    """Each module's messages as its gas cases send them: refused, or nobody has more and the signer not less."""
    worlds = make_worlds(list(SCRIPTS))
    outcomes: dict[str, set[str]] = {}
    for name, script in SCRIPTS.items():
        script(worlds[name])
        machine = worlds[name].machine
        for case in worlds[name].cases:
            base, signer = guarded(case)
            tx = decode_transaction(case.raw)
            block = machine.begin(base, case.info)
            before = changed(machine)
            try:
                receipt = block.execute(tx)
            except QenexError as error:
                outcomes.setdefault(case.message, set()).add(error.name)
                continue
            outcome = REGISTRY[receipt.status].name if receipt.status else "done"
            outcomes.setdefault(case.message, set()).add(outcome)
            if receipt.status:
                continue
            after = changed(machine)
            after[signer, QXC] = after.get((signer, QXC), 0) + receipt.fee
            for who, denom in {**before, **after}:
                change = after.get((who, denom), 0) - before.get((who, denom), 0)
                if who == signer:
                    assert change >= 0 or case.message == "accounts.queue_transfer", (case.message, denom)
                elif case.message not in OTHERS_GAIN:
                    assert change <= 0, (case.message, denom, change)
    assert {outcome for found in outcomes.values() for outcome in found} == {
        "done",
        "guard_forbids_message",
        "guard_limit_exceeded",
    }
    assert set(outcomes) == set(Registry((Core, Accounts, *MODULES)).messages)
