"""The benchmark of a transfer's path: what its transactions offer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pipeline import REGISTERING_GAS, Chain
from vm.fees import MachineParams, price_per_gas

pytest.importorskip("plyvel")


def test_it_offers_what_the_chain_may_ask_after_so_much_gas(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "chain", 2, 0, tree="off")
    rule = MachineParams()
    try:
        offered = []
        for gas in (0, 10**6, 32 * 10**6, 400_000 * 3_000, 10**15):
            chain.offer(gas)
            assert price_per_gas(rule, gas) <= chain.price <= 2 * price_per_gas(rule, gas)
            offered.append(chain.price)
        assert offered == sorted(offered)
        assert chain.fee(REGISTERING_GAS).max == REGISTERING_GAS * offered[-1]
        assert len(chain.transfers(2, 0, True, 0)) == 2
    finally:
        chain.guard.close()
        chain.ledger.close()
