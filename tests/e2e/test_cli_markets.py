"""Markets on a devnet by command line, with real processes: from two tokens to the last unit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qenex.crypto import module_address
from qenex.modules.amm import Hop
from tests.e2e.harness import Devnet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
LATE = str(1 << 40)
E9 = 10**9


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    devnet = Devnet(tmp_path_factory.mktemp("markets") / "home")
    devnet.up()
    yield devnet
    devnet.down()


def sent(net: Devnet, *arguments: str, by: str = "alice", expect: int = 0) -> Any:
    """A command that sends; the first message's result."""
    done = net.cli(*arguments, "--from", by, "--yes", expect=expect)
    return done["data"]["receipt"]["results"][0] if expect == 0 else done


def token(net: Devnet, symbol: str) -> str:
    result = sent(net, "tokens", "create", symbol, f"Token {symbol}", "9", "", str(10**15))
    return str(result["denom"])


def holdings(net: Devnet, name: str) -> dict[str, int]:
    return {entry["denom"]: int(entry["amount"]) for entry in net.cli("balance", name)["data"]["balances"]}


def test_markets_from_two_tokens_to_the_last_unit(net: Devnet, repository: Path) -> None:
    gold, iron = sorted((token(net, "GOLD"), token(net, "IRON")))
    supply = 10**15

    # Three pools of three curves.
    product = sent(net, "amm", "create-pool", "QXC", gold, "30")["pool"]
    stable = sent(
        net, "amm", "create-stable-pool", json.dumps([gold, iron]), "[9, 9]", "2000", "4000000", "0"
    )["pool"]
    ranged = sent(net, "amm", "create-concentrated-pool", "QXC", iron, "3000", str(1 << 96))["pool"]
    for pool, coins in (
        (product, [f"{10**12 // E9}QXC", f"{10**12}{gold}"]),
        (stable, [f"{10**12}{gold}", f"{10**12}{iron}"]),
    ):
        sent(net, "amm", "add-liquidity", str(pool), json.dumps(coins), "1", LATE)
    funds = json.dumps(["1000QXC", f"{10**12}{iron}"])
    opened = sent(net, "amm", "open-position", str(ranged), "-600", "600", funds, "1", LATE)
    shares = {pool: holdings(net, "alice")[f"amm/{pool}"] for pool in (product, stable)}

    # A quote is what a swap pays, to the unit.
    quote = net.cli("amm", "quote", str(product), "1QXC", "--denom-out", gold)["data"]
    path = json.dumps([{"pool": product, "denom": gold}])
    swapped = sent(net, "amm", "swap-exact-in", "1QXC", path, "1", LATE, by="bob")
    assert (swapped["amount_in"], swapped["amount_out"]) == (quote["amount_in"], quote["amount_out"])

    with net.client() as client:
        answer = client.amm.quote(pool=product, amount_in="1QXC")
        result = client.amm.swap_exact_in(
            net.wallet("bob"),
            amount_in="1QXC",
            path=(Hop(product, gold),),
            minimum_out=answer.amount_out,
            deadline_s=1 << 40,
        ).wait()
        assert result.result.amount_out == answer.amount_out

    # Three hops, round through all curves.
    hops = [
        {"pool": product, "denom": gold},
        {"pool": stable, "denom": iron},
        {"pool": ranged, "denom": "QXC"},
    ]
    told = net.cli("amm", "quote-path", "1QXC", json.dumps(hops))["data"]
    three = sent(net, "amm", "swap-exact-in", "1QXC", json.dumps(hops), told["amount_out"], LATE, by="bob")
    assert three["amount_out"] == told["amount_out"]

    # The short verb: route, impact and minimum before signing; both directions.
    preview = net.cli("swap", "2QXC", iron, "--from", "bob", "--dry-run")["data"]
    assert preview["swap"]["route"]
    assert int(preview["swap"]["minimum_out"]) == int(preview["swap"]["amount_out"]) * 9_950 // 10_000
    assert preview["swap"]["price_impact_bps"] > 0
    before = holdings(net, "bob")
    net.cli("swap", "2QXC", iron, "--from", "bob", "--yes")
    assert holdings(net, "bob")[iron] - before.get(iron, 0) == int(preview["swap"]["amount_out"])
    net.cli("swap", "--buy", f"1000000{gold}", "QXC", "--from", "bob", "--yes")

    # Slippage: refused by simulation before anything is signed (9), or included and failed (4), nothing lost.
    before = holdings(net, "bob")
    refused = sent(net, "amm", "swap-exact-in", "1QXC", path, str(10**12), LATE, by="bob", expect=9)
    assert refused["errors"][0]["name"] == "slippage_exceeded"
    assert holdings(net, "bob") == before
    with net.client() as client:
        wallet = net.wallet("bob")
        receipt = client.amm.swap_exact_in(
            wallet, amount_in="1QXC", path=(Hop(product, gold),), minimum_out=10**12, deadline_s=1 << 40,
            gas_limit=50_000, fee="0.01QXC",
        ).wait(check=False)  # fmt: skip
        assert receipt.status == 3707
        after = holdings(net, "bob")
        assert {**after, "QXC": after["QXC"] + receipt.fee} == before
    assert (
        net.cli("swap", "1QXC", "tokens/none", "--from", "bob", "--yes", expect=9)["errors"][0]["name"]
        == "no_route_found"
    )

    # An arbitrage across three pools in one transaction, by an account that holds none of the coins.
    sent(net, "amm", "swap-exact-in", "200QXC", path, "1", LATE, by="carol")
    with net.client() as client:
        rate = client.amm.get_statistics(product)
        assert rate.volumes[0] > 0
    done = subprocess.run(
        [sys.executable, str(repository / "examples/arbitrage.py"), "--node", net.node()["rpc"], "--home", str(net.home),
         "--from", "dave", "--pools", str(ranged), str(stable), str(product), "--start", "QXC", "--size", str(10**10)],
        capture_output=True, text=True, cwd=repository, env={"PYTHONPATH": str(repository), "PATH": ""}, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    earned = json.loads(done.stdout)
    assert int(earned["returned"]) > int(earned["owed"])

    # Collect, take everything out, account for every unit.
    sent(net, "amm", "collect", str(opened["position"]))
    held = net.cli("amm", "get-position", str(opened["position"]))["data"]
    least = json.dumps([f"{1}{iron}"])
    sent(net, "amm", "decrease-position", str(opened["position"]), held["liquidity"], least, LATE)
    for pool, denoms in ((product, ("QXC", gold)), (stable, (gold, iron))):
        minimum = json.dumps([f"0.000000001{d}" if d == "QXC" else f"1{d}" for d in denoms])
        sent(net, "amm", "remove-liquidity", str(pool), str(shares[pool]), minimum, LATE)
    for pool in (product, stable, ranged):
        net.cli("amm", "collect-protocol", str(pool), "--from", "erin", "--yes")
    with net.client() as client:
        treasury = client.amm.get_pool(product)
        assert treasury.protocol == (0, 0)
        for denom in (gold, iron):
            people = sum(
                holdings(net, name).get(denom, 0) for name in ("alice", "bob", "carol", "dave", "erin")
            )
            pools = [client.amm.get_pool(pool) for pool in (product, stable, ranged)]
            left = sum(dict(zip(p.denoms, p.reserves, strict=True)).get(denom, 0) for p in pools)
            kept = client.bank.get_balance(module_address("governance"), denom=denom)
            assert people + left + kept == supply == client.bank.get_supply(denom)
            assert left < 10_000
            assert kept > 0
        assert client.amm.get_candles(product, 0).items
