"""What a height costs the consensus core, without signatures, disks and networks: its own work alone."""

from __future__ import annotations

import pytest

from consensus.events import BlockChecked, Event, NewHeight, Signed, Verified
from consensus.height import Core
from consensus.validators import ValidatorSet, new_validators
from qenex.block import PRECOMMIT, PREVOTE, SignedProposal, SignedVote, Validator
from qenex.crypto.address import Address

A = b"a" * 32
SIGNATURE = bytes(2_484)


def address(number: int) -> Address:
    return Address(number.to_bytes(32, "big"))


def make_set(count: int) -> ValidatorSet:
    return new_validators([Validator(address(n), b"\x11" + bytes(1_344), 1_000 + n) for n in range(count)])


def events_of(validators: ValidatorSet, own: Address) -> list[Event]:
    """Everything that one validator is told in a height that goes well."""
    proposal = SignedProposal(validators.proposer(0).address, 1, 0, -1, A, SIGNATURE)

    def votes(kind: int) -> list[Event]:
        return [
            Verified("peer", SignedVote(v.address, kind, 1, 0, A, SIGNATURE))
            for v in validators.validators
            if v.address != own
        ]

    return [
        NewHeight(1, validators),
        Verified("peer", proposal),
        BlockChecked(1, 0, A, True, True),
        Signed(SignedVote(own, PREVOTE, 1, 0, A, SIGNATURE)),
        *votes(PREVOTE),
        Signed(SignedVote(own, PRECOMMIT, 1, 0, A, SIGNATURE)),
        *votes(PRECOMMIT),
    ]


@pytest.mark.parametrize("count", [4, 50, 150])
def test_a_height(benchmark, count):
    validators = make_set(count)
    own = next(v.address for v in validators.validators if v.address != validators.proposer(0).address)
    events = events_of(validators, own)

    def run() -> Core:
        core = Core("bench", own)
        for event in events:
            core.step(event)
        return core

    core = benchmark(run)
    assert core.state.decided is not None
    benchmark.extra_info["events"] = len(events)


@pytest.mark.parametrize("count", [4, 150])
def test_the_turns_of_a_thousand_heights(benchmark, count):
    validators = make_set(count)
    assert benchmark(validators.increment, 1_000) != validators
