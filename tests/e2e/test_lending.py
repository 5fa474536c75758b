"""Lending on a devnet by command line, with the oracle's feeder and the liquidator's program as real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defi_modules.lending.math import compound_interest, linear_interest, owed
from qenex.integers import RAY
from tests.e2e.harness import Devnet, run_cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
LATE = str(1 << 40)
E9 = 10**9
WAD = 10**18


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    devnet = Devnet(tmp_path_factory.mktemp("lending") / "home")
    devnet.up()
    yield devnet
    devnet.down()


def sent(net: Devnet, *arguments: str, by: str = "alice", expect: int = 0) -> Any:
    """A command that sends; the first message's result."""
    done = net.cli(*arguments, "--from", by, "--yes", expect=expect)
    return done["data"]["receipt"]["results"][0] if expect == 0 else done


def failed(net: Devnet, *arguments: str, by: str) -> str:
    """Name of the error that a command ends with, found by simulation before anything is signed."""
    done = net.cli(*arguments, "--from", by, "--yes", expect=9)
    return str(done["errors"][0]["name"])


def feed(net: Devnet, folder: Path, **prices: str) -> None:
    """One report by the feeder's process."""
    source = folder / "prices.json"
    source.write_text(json.dumps({name.replace("_", "/"): price for name, price in prices.items()}))
    net.cli("oracle", "feed", "--source", str(source), "--from", "validator-0", "--times", "1")


def market(net: Devnet, denom: str) -> Any:
    return net.cli("lending", "get-market", "--denom", denom)["data"]


def held(net: Devnet, name: str, denom: str) -> int:
    entries = {e["denom"]: int(e["amount"]) for e in net.cli("balance", name)["data"]["balances"]}
    return entries.get(denom, 0)


def test_lending_from_the_first_seed_to_bad_debt(net: Devnet, repository: Path, tmp_path: Path) -> None:
    usdc = str(sent(net, "tokens", "create", "USDC", "Dollar", "9", "", str(10**16))["denom"])
    feed(net, tmp_path, QXC_USD="1", USDC_USD="1")
    for denom in ("QXC", usdc):
        sent(net, "lending", "seed", denom)
    assert failed(net, "lending", "borrow", f"1{usdc}", by="bob") == "collateral_not_enabled"

    # Two users supply, one of them borrows; interest accrues to the unit as the formula says.
    sent(net, "lending", "supply", f"{10**15}{usdc}", "false")
    sent(net, "lending", "supply", "10000QXC", "true", by="bob")
    sent(net, "lending", "borrow", f"{6_900 * E9}{usdc}", by="bob")
    assert failed(net, "lending", "borrow", f"{200 * E9}{usdc}", by="bob") == "borrow_limit_exceeded"
    before = market(net, usdc)["state"]
    rate = int(before["borrow_ray"])
    # The first loan is the first debt: its index is one, and it grows by the second from the loan's block on.
    indexes = [compound_interest(rate, seconds) for seconds in range(300)]
    assert int(before["index_ray"]) in indexes
    since = indexes.index(int(before["index_ray"]))
    net.cli("send", "dave", "1QXC", "--from", "carol", "--yes")
    after = market(net, usdc)["state"]
    seconds = since + int(after["updated_s"]) - int(before["updated_s"])
    assert int(after["index_ray"]) == compound_interest(rate, seconds)
    debt = owed(int(after["scaled_debt"]), int(after["index_ray"]))
    supplied = 10**15 + E9
    earned = supplied * linear_interest(int(before["supply_ray"]), seconds) // RAY - supplied
    interest = debt - owed(int(after["scaled_debt"]), RAY)
    assert int(after["assets"]) == supplied + min(earned, interest)
    assert int(after["cash"]) + debt == int(after["assets"]) + int(after["reserves"])
    told = net.cli("lending", "get-position", "bob")["data"]
    owes = next(e for e in told["entries"] if e["denom"] == usdc)
    now = market(net, usdc)["state"]
    assert int(owes["debt"]) <= owed(int(now["scaled_debt"]), int(now["index_ray"]))

    # A stale price stops borrowing and never repaying.
    terms = market(net, "QXC")["terms"]
    sent(net, "lending", "list-market", json.dumps({**terms, "max_age_s": 1}))
    asked: dict[str, Any] = {}
    for _ in range(30):
        asked = run_cli(
            "--home", str(net.home), "lending", "borrow", f"{E9}{usdc}", "--from", "bob", "--yes", expect=None
        )
        if not asked["ok"]:
            break
    assert asked["errors"][0]["name"] == "price_stale"
    assert int(sent(net, "lending", "repay", usdc, "--amount", str(100 * E9), by="bob")["amount"]) == 100 * E9
    sent(net, "lending", "list-market", json.dumps(terms))

    # A flash loan that is not returned fails, and nothing but the fee has moved.
    loan = json.dumps([{"denom": usdc, "amount": str(10**14)}])
    assert failed(net, "lending", "flash-loan", loan, by="carol") == "debt_unpaid"

    # A market to sell collateral in, then the price falls and the program takes the position.
    pool = sent(net, "amm", "create-pool", "QXC", usdc, "30")["pool"]
    coins = json.dumps(["500000QXC", f"{450_000 * E9}{usdc}"])
    sent(net, "amm", "add-liquidity", str(pool), coins, "1", LATE)
    feed(net, tmp_path, QXC_USD="0.90", USDC_USD="1")
    assert net.cli("lending", "list-liquidatable")["data"]["items"]
    reserves = int(market(net, "QXC")["state"]["reserves"])
    done = subprocess.run(
        [sys.executable, str(repository / "examples/liquidator.py"), "--node", net.node()["rpc"],
         "--home", str(net.home), "--from", "carol", "--pool", str(pool)],
        capture_output=True, text=True, cwd=repository, env={"PYTHONPATH": str(repository), "PATH": ""},
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout, done.stderr
    taken = json.loads(done.stdout.splitlines()[0])
    assert int(taken["profit"]) > 0
    assert held(net, "carol", usdc) == int(taken["profit"])
    protocol = int(taken["protocol"])
    assert 0 <= int(market(net, "QXC")["state"]["reserves"]) - reserves - protocol <= 2

    # Less collateral than debt: what is left is bad debt, recorded, and borne by the reserve first.
    feed(net, tmp_path, QXC_USD="0.50", USDC_USD="1")
    result = sent(net, "lending", "liquidate", "bob", "QXC", usdc, "false", by="alice")
    assert int(result["bad_debt"]) > 0
    state = market(net, usdc)["state"]
    assert int(state["bad_debt"]) >= int(result["bad_debt"])
    assert 0 < int(state["bad_covered"]) <= int(state["bad_debt"])
    assert net.cli("lending", "get-position", "bob")["data"]["entries"] == []
