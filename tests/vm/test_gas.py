"""Gas is charged before the work, from a table that the protocol version chooses."""

from __future__ import annotations

import pytest

from qenex.codec import encode
from qenex.crypto import SCHEMES_BY_TAG
from qenex.errors import OutOfGas, UnsupportedVersion
from vm.gas import Gas, gas_schedule


def test_meter_stands_at_its_limit_once_exceeded() -> None:
    gas = Gas(gas_schedule(1), 100, 40)
    gas.use(60)
    assert gas.used == 100
    gas.use(0)
    with pytest.raises(OutOfGas):
        gas.use(1)
    assert gas.used == 100
    fresh = Gas(gas_schedule(1), 100)
    with pytest.raises(OutOfGas):
        fresh.use(101)
    assert fresh.used == 100


def test_created_entry_costs_twenty_updates_and_its_bytes() -> None:
    schedule = gas_schedule(1)
    assert schedule.create == 20 * schedule.update
    gas = Gas(schedule, 10**6)
    gas.created(b"k" * 34, (1, "text"))
    assert gas.used == schedule.create + schedule.created_byte * (34 + len(encode((1, "text"))))


def test_table_knows_every_scheme_and_only_its_versions() -> None:
    prices = dict(gas_schedule(1).signature)
    assert set(prices) == set(SCHEMES_BY_TAG)
    assert prices == {tag: scheme.verify_gas for tag, scheme in SCHEMES_BY_TAG.items()}
    for version in (0, 2, -1):
        with pytest.raises(UnsupportedVersion):
            gas_schedule(version)
