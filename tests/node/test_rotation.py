"""Validators that change on a real chain: active two heights later, and with the same turns for whoever asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from defi_modules.bank import Bank
from ledger.store import Ledger
from node.application import Application
from node.verifier import Verifier
from qenex.block import (
    FLAG_COMMIT,
    PRECOMMIT,
    Block,
    Commit,
    CommitSignature,
    Validator,
    block_hash,
    validators_root,
    vote_sign_bytes,
)
from qenex.state_keys import ModuleId
from tests.node.chain_helpers import Wallet, make_genesis
from vm.context import Context
from vm.machine import Machine
from vm.module import Module

WALLETS = [Wallet(number) for number in range(1, 5)]
PLAN = {3: {0: 31}, 4: {3: 5}, 6: {1: 0}}


class Changing(Module):
    """Stands in for staking: its hook sets powers as planned."""

    id = ModuleId.STAKING
    name = "staking"
    core: Any = None

    def end_block(self, ctx: Context) -> None:
        """0 removes."""
        for number, power in PLAN.get(ctx.height, {}).items():
            validator = validator_of(number, power)
            Changing.core.validators.set(validator.address, validator if power else None)


def validator_of(number: int, power: int) -> Validator:
    wallet = WALLETS[number]
    return Validator(wallet.address, bytes((wallet.scheme.tag,)) + wallet.public, power)


def open_chain(folder: Path, genesis: Any = None) -> Application:
    machine = Machine([Bank, Changing])
    Changing.core = machine.core
    if genesis is None:
        return Application(
            machine, Ledger.open(folder, codecs=machine.state_codecs, backend="sqlite"), Verifier(0)
        )
    ledger = Ledger.create(folder, genesis, codecs=machine.state_codecs, backend="sqlite")
    Application.init_chain(machine, ledger)
    return Application(machine, ledger, Verifier(0))


def produce(application: Application) -> Block:
    proposer = application.rotation(application.ledger.height + 1).proposer(0)
    block = application.prepare_proposal(application.parent_time + 10**9, proposer.address).block
    answer = application.process_proposal(block)
    assert answer.accepted, answer.reason
    application.finalize_block(block)
    name, height = block_hash(block.header), block.header.height
    message = vote_sign_bytes(block.header.chain_id, PRECOMMIT, height, 0, name)
    votes = []
    for validator in application.validators:
        wallet = next(w for w in WALLETS if w.address == validator.address)
        votes.append(
            CommitSignature(validator.address, FLAG_COMMIT, wallet.scheme.sign(wallet.secret, message))
        )
    application.commit(block, Commit(height, 0, name, tuple(votes)))
    return block


def test_a_change_at_a_height_is_in_force_two_heights_later_in_headers_commits_and_turns(tmp_path: Path):
    first = tuple(validator_of(n, 10) for n in range(3))
    application = open_chain(tmp_path / "a", make_genesis(WALLETS, validators=first))
    headers, sets = {}, {}
    for height in range(1, 12):
        sets[height] = application.rotation(height)
        ahead = application.rotation(height + 1)
        assert application.rotation(height) == sets[height], "asked back and forth"
        headers[height] = produce(application).header
        assert application.rotation(height + 1) == ahead
    powers = {h: {v.address: v.power for v in s.validators} for h, s in sets.items()}
    zero, one, three = (WALLETS[n].address for n in (0, 1, 3))
    assert [powers[h][zero] for h in (3, 4, 5)] == [10, 10, 31]
    assert [three in powers[h] for h in (5, 6)] == [False, True]
    assert [one in powers[h] for h in (7, 8)] == [True, False]
    for height, header in headers.items():
        assert header.validators_hash == validators_root(sets[height].validators)
        assert header.proposer == sets[height].proposer(0).address
        if height + 1 in sets:
            assert header.next_validators_hash == validators_root(sets[height + 1].validators)
    application.ledger.close()
    again = open_chain(tmp_path / "a")
    for height in (12, 7, 3, 11, 13, 5, 12):
        expected = sets.get(height)
        found = again.rotation(height)
        assert expected is None or found == expected
    again.ledger.close()
