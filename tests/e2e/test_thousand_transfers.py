"""1,000 signed transfers from ten accounts on a real devnet: all land, money is conserved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import ACCOUNTS, Devnet

pytestmark = pytest.mark.e2e
PER_ACCOUNT = 100


@pytest.fixture
def devnet(short_path: Path) -> Iterator[Devnet]:
    net = Devnet(short_path / "net")
    net.up()
    yield net
    net.down()


def test_a_thousand_transfers_land_and_the_supply_is_unchanged(devnet: Devnet) -> None:
    client = devnet.client()
    wallets = [devnet.wallet(name) for name in ACCOUNTS]
    supply = client.bank.get_supply("QXC")
    before = [client.bank.get_balance(wallet.address, "QXC") for wallet in wallets]

    pending = [
        client.bank.send(wallet, to=wallets[(index + 1) % len(wallets)].address, amount="0.000001QXC")
        for _ in range(PER_ACCOUNT)
        for index, wallet in enumerate(wallets)
    ]
    receipts = [transaction.wait(timeout=60) for transaction in pending]

    assert len(receipts) == PER_ACCOUNT * len(wallets)
    assert {receipt.status for receipt in receipts} == {0}
    assert len({transaction.hash for transaction in pending}) == len(pending)
    assert client.bank.get_supply("QXC") == supply
    after = [client.bank.get_balance(wallet.address, "QXC") for wallet in wallets]
    spent = sum(receipt.fee for receipt in receipts)
    assert sum(before) - sum(after) == spent, "each sends and receives the same; only fees leave the ten"
    devnet.down()
    checked = devnet.cli("node", "check", "--home", str(devnet.node_home()))
    assert checked["ok"]
