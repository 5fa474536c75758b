"""Genesis, queries, simulation, and the same blocks giving the same bytes in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ledger.state import View
from qenex.block import Validator, order_validators
from qenex.codec import encode
from qenex.crypto import Address, encode_address, module_address
from qenex.errors import (
    InsufficientBalance,
    InvalidArguments,
    InvalidGenesis,
    MethodNotFound,
    ModuleFault,
    QenexError,
    UnknownMessage,
    UnsupportedVersion,
)
from qenex.hashing import hasher
from qenex.transaction import decode_body
from qenex.types import QXC
from tests.vm.chain import ACTORS, START, VALIDATOR, Actor, Chain, ref
from tests.vm.lab import DEFECTS, Hooked, Lab, Vault
from vm.fees import MachineParams
from vm.machine import Machine

ALICE, BOB, CAROL = ACTORS[:3]
NOBODY = Address(b"\x33" * 32)


@pytest.fixture
def chain() -> Chain:
    return Chain(Lab, Vault)


# -- genesis ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"nobody": {}},
        {"machine": {"unknown": 1}},
        {"machine": {"min_price": -1}},
        {"machine": {"min_price": 10**12 + 1}},
        {"machine": {"min_price": "10"}},
        {"machine": {"min_price": True}},
        {"machine": {"burn_bps": 10_001}},
        {"machine": {"max_block_gas": 99_999}},
        {"machine": {"max_block_bytes": 4_194_305}},
        {"machine": {"max_block_bytes": 65_536}},  # the largest transaction would not fit
        {"machine": {"price_update_fraction": 0}},
        {"machine": {"target_gas_per_second": 0}},
        {"machine": {"hook_items": 0}},
        {"machine": {"scheme_ed25519": 3}},
        {"lab": {"step": 0}},
        {"lab": {"step": 11}},
        {"vault": {"any": 1}},
    ],
)
def test_parameters_outside_their_ranges_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidGenesis) as found:
        Chain(Lab, Vault, parameters=parameters)
    assert next(iter(parameters)) in found.value.message


def test_parameters_not_named_have_their_defaults() -> None:
    chain = Chain(Lab, Vault, parameters={"machine": {"min_price": 7}, "lab": {"share": 10_000}})
    assert chain.query("machine.get_parameters") == MachineParams(min_price=7)
    exported = chain.machine.export_genesis(chain.base)["parameters"]
    assert exported["lab"] == {"step": 2, "share": 10_000}
    assert exported["machine"]["min_price"] == 7


@pytest.mark.parametrize(
    "data",
    [
        {"nobody": {}},
        {"lab": {"x": 1}},
        {"machine": {"x": 1}},
        {"machine": {"module_accounts": [1]}},
        {"machine": {"module_accounts": [{"address": encode_address(NOBODY), "module": ""}]}},
        {"machine": {"module_accounts": [{"address": encode_address(NOBODY), "module": "lab"}] * 2}},
    ],
)
def test_genesis_data_of_modules_is_checked(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidGenesis):
        Chain(Lab, Vault, data=data)


def test_genesis_must_keep_every_invariant(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_worse(self: Lab, ctx: Any, data: dict[str, Any]) -> None:
        self.notes.set(1, b"worse")

    monkeypatch.setattr(Lab, "import_genesis", import_worse)
    with pytest.raises(InvalidGenesis, match="note 1 is worse"):
        Chain(Lab, Vault)


def test_genesis_of_a_protocol_version_without_rules_is_refused(chain: Chain) -> None:
    from dataclasses import replace

    with pytest.raises(UnsupportedVersion):
        chain.machine.init_chain(replace(chain.genesis, protocol_version=2))
    with pytest.raises(UnsupportedVersion):
        chain.machine.begin(chain.base, chain.next_info._replace(protocol_version=2))


def test_genesis_state_holds_what_genesis_says(chain: Chain) -> None:
    assert chain.machine.validators(chain.base) == (Validator(VALIDATOR.address, VALIDATOR.key, 10),)
    assert chain.supply() == START * len(ACTORS)
    assert chain.machine.price(chain.base) == 10
    assert chain.problems() == []


def test_validators_stand_in_canonical_order() -> None:
    actors = [Actor(seed) for seed in range(900, 906)]
    listed = [(a.address, a.key, 5 if n % 2 else 9) for n, a in enumerate(actors)]
    chain = Chain(validators=listed)
    expected = order_validators(Validator(*entry) for entry in listed)
    assert chain.machine.validators(chain.base) == expected
    assert chain.begin().info.validators == expected


def test_opened_accounts_survive_an_export(chain: Chain) -> None:
    chain.send_block(ALICE, ("lab.open", (b"pool",)))
    exported = chain.machine.export_genesis(chain.base)
    again = Chain(Lab, Vault, actors=[], data=exported["modules"], parameters=exported["parameters"])
    pool = module_address("lab", b"pool")
    assert again.send_block(ALICE, ("bank.send", (pool, (QXC, 1)))).status == 3202
    assert again.machine.export_genesis(again.base)["modules"]["machine"] == exported["modules"]["machine"]


def test_parameters_hash_names_every_parameter() -> None:
    hashes = [
        c.machine.parameters_hash(c.base)
        for c in (
            Chain(Lab, Vault),
            Chain(Lab, Vault, parameters={"machine": {"max_block_gas": 10**9}, "lab": {"step": 3}}),
            Chain(Vault),
            Chain(Lab, Vault, parameters={"machine": {"max_block_gas": 10**9 - 1}}),
        )
    ]
    assert len(set(hashes)) == 4
    machine = MachineParams(max_block_gas=10**9)
    expected = hasher("qx.params")(encode(((0, machine), (1, ()), (2, ()), (31, ()))))
    assert hashes[2] == expected


# -- queries -----------------------------------------------------------------------------------------------------


def test_unknown_query_and_wrong_arguments_are_typed_errors(chain: Chain) -> None:
    for name in ("bank.nothing", "bank.send", "nobody.get", "", "x" * 1_000, "bank.export_genesis"):
        with pytest.raises(MethodNotFound):
            chain.query(name)
    for args in ((), (NOBODY, QXC, 1), (NOBODY, "x y"), (bytes(31), QXC), (None, QXC), (NOBODY, None)):
        with pytest.raises(InvalidArguments):
            chain.query("bank.get_balance", *args)


@pytest.mark.parametrize("kind", range(len(DEFECTS) - 1))
def test_defect_in_a_query_is_a_typed_error(chain: Chain, kind: int) -> None:
    with pytest.raises(ModuleFault):
        chain.query("lab.break_query", kind)
    assert chain.faults == [DEFECTS[kind]]


def test_query_cannot_write(chain: Chain) -> None:
    with pytest.raises(ModuleFault):
        chain.query("lab.break_query", 255)
    assert chain.query("lab.get_last") == 0


def test_query_reads_the_committed_version_and_disturbs_no_block(chain: Chain) -> None:
    block = chain.begin()
    block.execute(chain.send(ALICE, BOB.address, 5))
    assert chain.machine.query(chain.base, chain.next_info, "bank.get_balance", (BOB.address, QXC)) == START
    chain.machine.simulate(chain.base, chain.next_info, chain.tx(CAROL, ("lab.make", (1,))))
    assert chain.machine.check_invariants(chain.base) == []
    block.execute(chain.send(BOB, ALICE.address, 5))
    chain.end()
    assert len(chain.results[-1].receipts) == 2
    assert chain.problems() == []


def test_old_versions_answer_as_they_were(chain: Chain) -> None:
    old = dict(chain.store.values)
    view = View(
        0,
        old.get,
        lambda a, b, r: iter(sorted((k, v) for k, v in old.items() if a <= k < b)),
        chain.machine.state_codecs,
    )
    chain.run(chain.send(ALICE, NOBODY, 5))
    assert chain.machine.query(view, chain.next_info, "bank.get_balance", (NOBODY, QXC)) == 0
    assert chain.machine.check_invariants(view) == []


def test_invariant_that_cannot_even_read_is_a_problem(chain: Chain) -> None:
    chain.send_block(ALICE, ("lab.put", (1, b"unreadable")))
    assert chain.problems() == ["lab: KeyError: 1"]
    chain.send_block(ALICE, ("lab.put", (1, b"worse")))
    assert chain.problems() == ["lab: note 1 is worse"]


# -- simulation -----------------------------------------------------------------------------------------------------


def test_simulation_tells_what_the_block_will_do(chain: Chain) -> None:
    for messages in (
        [("lab.make", (5,)), ("bank.send", (NOBODY, ref(0, "coin")))],
        [("bank.send", (NOBODY, (QXC, 2 * START)))],
    ):
        tx = chain.tx(ALICE, *messages)
        unsigned = decode_body(tx.body_bytes)
        before = dict(chain.store.values)
        expected = chain.machine.simulate(chain.base, chain.next_info, unsigned)
        error = chain.machine.simulation_error
        assert chain.store.values == before
        assert chain.run(tx) == [expected], "gas of the signatures to come included"
        if expected.status:
            assert isinstance(error, InsufficientBalance)
            assert str(2 * START) in error.message
        else:
            assert error is None


def test_simulation_refuses_as_entry_does(chain: Chain) -> None:
    with pytest.raises(QenexError):
        chain.machine.simulate(chain.base, chain.next_info, chain.tx(Actor(990), ("lab.make", (5,))))
    with pytest.raises(UnknownMessage):
        chain.machine.simulate(chain.base, chain.next_info, chain.tx(ALICE, ("lab.nothing", ())))


# -- determinism ----------------------------------------------------------------------------------------------------


def random_blocks(seed: int, count: int) -> bytes:
    """A digest of everything that random blocks give: changes in order, receipts, roots."""
    draw = Random(seed)
    chain = Chain(Lab, Vault, Hooked, parameters={"oracle": {"begin": 1, "end": 5}})
    digest = hasher("qx.test")
    line = b""
    for _ in range(count):
        block = chain.begin()
        for actor in draw.sample(chain.actors, 4):
            to = draw.choice([a.address for a in chain.actors] + [NOBODY, module_address("lab", b"pool")])
            messages = draw.choices(
                [
                    ("bank.send", (to, (QXC, draw.randrange(100)))),
                    ("lab.make", (draw.randrange(50),)),
                    ("bank.send", (to, ("lab/token", draw.randrange(60)))),
                    ("lab.owe", (to, (QXC, 5), draw.randrange(18))),
                    ("lab.put", (draw.randrange(4), draw.choice([b"", b"bad", b"x", b"good"]))),
                    ("lab.open", (draw.choice([b"pool", b"other"]),)),
                    ("lab.deposit", (draw.randrange(1, 9), None)),
                    ("lab.crash", (draw.randrange(7),)),
                    ("lab.forge", (draw.randrange(5), to)),
                    ("lab.work", (draw.randrange(60),)),
                ],
                k=draw.randrange(1, 6),
            )
            lease = bytes([draw.randrange(3)]) * 32 if draw.random() < 0.3 else None
            options: dict[str, Any] = {
                "gas": draw.choice([5_000, 20_000, 60_000]),
                "lease": lease,
                "tip": draw.randrange(9),
            }
            try:
                block.execute(
                    chain.tx(actor, *messages, valid_until=chain.height + draw.randrange(1, 4), **options)
                )
            except QenexError as error:
                line += error.name.encode()
        result = chain.end()
        line += encode(tuple(result.encoded_receipts)) + result.results_root
        for key, value in result.changes.items():
            line += key + (b"-" if value is None else chain.machine.state_codecs[key[:2]].encode(value))
        line = digest(line)
    assert chain.problems() == []
    return line


def test_same_blocks_give_the_same_bytes_under_every_hash_seed(repository: Path) -> None:
    program = "from tests.vm.test_machine import random_blocks; print(random_blocks(11, 12).hex())"
    found = set()
    for seed in ("0", "1", "4242"):
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        found.add(run.stdout.strip())
    assert found == {random_blocks(11, 12).hex()}
    assert random_blocks(12, 12).hex() not in found


def test_result_does_not_depend_on_what_was_executed_before(chain: Chain) -> None:
    txs = [chain.send(ALICE, BOB.address, 5), chain.tx(BOB, ("lab.make", (7,)))]
    first = chain.begin()
    for tx in txs:
        first.execute(tx)
    expected = first.end()
    noise = chain.begin()
    noise.execute(chain.tx(CAROL, ("lab.put", (1, b"x")), ("lab.make", (5,))))
    second = chain.begin()
    for tx in txs:
        second.execute(tx)
    assert second.end() == expected
    assert list(second.state.changes()) == list(expected.changes)


def test_machines_of_the_same_modules_agree_whatever_the_order_given() -> None:
    one, other = Machine([Lab, Vault]), Machine([Vault, Lab])
    assert list(one.registry.messages) == list(other.registry.messages)
    assert list(one.modules) == list(other.modules)
    assert set(one.state_codecs) == set(other.state_codecs)
