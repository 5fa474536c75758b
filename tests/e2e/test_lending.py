"""Credit on a devnet by command line, with the oracle's feeder and the liquidator's program as processes of their own.

Expected figures are worked out here from what the chain publishes (rates, prices, terms), in fractions and by the
rules as they are written in the documentation; nothing of the chain's own arithmetic is imported.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import pytest

from qenex import QenexClient
from tests.e2e.harness import Devnet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
LATE = str(1 << 40)
E9 = 10**9
RAY = 10**27
YEAR = 365 * 86_400
EXECUTED = 3


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    devnet = Devnet(tmp_path_factory.mktemp("lending") / "home")
    devnet.up()
    yield devnet
    devnet.down()


def sent(net: Devnet, *arguments: str, by: str = "alice") -> Any:
    """A command that sends; the first message's result."""
    return net.cli(*arguments, "--from", by, "--yes")["data"]["receipt"]["results"][0]


def failed(net: Devnet, *arguments: str, by: str) -> dict[str, Any]:
    """The error that a command ends with, found by simulation before anything is signed."""
    done = net.cli(*arguments, "--from", by, "--yes", expect=9)
    return dict(done["errors"][0])


class Story:
    """One chain, and what the acts of this story share."""

    def __init__(self, net: Devnet, client: QenexClient, folder: Path, repository: Path) -> None:
        self.net, self.client, self.folder, self.repository = net, client, folder, repository
        self.usdc = self.bitcoin = ""
        self.listing = self.lent_s = 0
        self.source = folder / "prices.json"

    # -- prices -----------------------------------------------------------------------------

    def write_prices(self, **prices: str) -> None:
        fresh = self.source.with_suffix(".new")
        fresh.write_text(json.dumps({name.replace("_", "/"): price for name, price in prices.items()}))
        fresh.replace(self.source)

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """`qenex oracle feed` as a process that reports every second until it is interrupted."""
        command = [
            sys.executable, "-m", "cli", "--home", str(self.net.home), "oracle", "feed", "--source", str(self.source),
            "--from", "validator-0", "--interval", "1",
        ]  # fmt: skip
        feeder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            yield
        finally:
            feeder.send_signal(signal.SIGINT)
            told, _ = feeder.communicate(timeout=60)
        assert "0 failed" in told, told

    def price(self, symbol: str) -> int:
        found = self.client.oracle.list_prices()
        return next((told.price for told in found if told.symbol == symbol), 0)

    def fall(self, qxc: str) -> None:
        """A new price, and the chain knows it."""
        self.write_prices(QXC_USD=qxc, USDC_USD="1", BTC_USD="60000")
        wanted = int(Fraction(qxc) * 10**8)
        self.net.wait_for(f"QXC at {qxc}", lambda: self.price("QXC/USD") == wanted)

    # -- reading ----------------------------------------------------------------------------

    def market(self, denom: str) -> Any:
        return self.client.lending.get_market(denom)

    def terms(self, denom: str) -> dict[str, Any]:
        found: Any = self.client.call("lending_getMarket", denom=denom)
        return dict(found["terms"])

    def position(self, name: str) -> Any:
        return self.client.lending.get_position(self.net.wallet(name).address)

    def held(self, name: str, denom: str) -> int:
        return self.client.bank.get_balance(self.net.wallet(name).address, denom=denom)


def test_credit_from_the_first_seed_to_bad_debt(net: Devnet, repository: Path, tmp_path: Path) -> None:
    with net.client() as client:
        story = Story(net, client, tmp_path, repository)
        governance_proposes_a_market(story)
        story.write_prices(QXC_USD="1", USDC_USD="1", BTC_USD="60000")
        with story.feeding():
            net.wait_for("the feeder's first report", lambda: story.price("QXC/USD") == 10**8)
            two_users_supply_and_borrow(story)
            interest_accrues_to_the_unit(story)
            a_flash_loan_that_is_not_returned_moves_nothing_but_the_fee(story)
            the_price_falls_and_the_bot_liquidates(story)
            less_collateral_than_debt_leaves_bad_debt(story)
            the_market_that_was_voted_on_is_there(story)
        a_stale_price_stops_borrowing_and_never_repaying(story)


def governance_proposes_a_market(story: Story) -> None:
    """Refused with the range where a term is out of it; else voted on, to be executed while the story goes on."""
    net = story.net
    story.usdc = str(sent(net, "tokens", "create", "USDC", "Dollar", "9", "", str(10**16))["denom"])
    story.bitcoin = str(sent(net, "tokens", "create", "BTC", "Bitcoin", "8", "", str(10**15))["denom"])
    terms = story.terms("QXC")
    caps = {"supply_cap": str(1_000 * 10**8), "borrow_cap": str(500 * 10**8), "seed": "1000"}
    new = {**terms, **caps, "denom": story.bitcoin, "decimals": 8, "feed": "BTC/USD"}

    def propose(terms: dict[str, Any]) -> tuple[str, ...]:
        text = json.dumps({"terms": terms})
        return ("governance", "propose-action", "lending", "govern_market", text, "list it", "1QXC", "true")

    wrong = failed(net, *propose({**new, "ltv_bps": 9_501}), by="bob")
    assert wrong["name"] == "invalid_parameters"
    assert "ltv_bps" in wrong["message"]
    assert "9500" in wrong["message"]
    story.listing = int(sent(net, *propose(new), by="bob")["id"])
    net.cli("governance", "vote", str(story.listing), "yes", "--from", "validator-0", "--yes")


def two_users_supply_and_borrow(story: Story) -> None:
    net, usdc = story.net, story.usdc
    for denom in ("QXC", usdc):
        sent(net, "lending", "seed", denom)
    sent(net, "lending", "supply", f"{10**15}{usdc}", "true")
    sent(net, "lending", "supply", "200QXC", "false")
    sent(net, "lending", "supply", "10000QXC", "true", by="bob")
    sent(net, "lending", "borrow", "100QXC")
    done = net.cli("lending", "borrow", f"{6_900 * E9}{usdc}", "--from", "bob", "--yes")["data"]
    story.lent_s = story.client.chain.get_header(done["height"]).header.time // 10**9
    assert story.held("bob", usdc) == 6_900 * E9
    assert failed(net, "lending", "borrow", f"{200 * E9}{usdc}", by="bob")["name"] == "borrow_limit_exceeded"
    secured = failed(net, "lending", "withdraw", "QXC", "true", "--amount", "5000QXC", by="bob")
    assert secured["name"] == "health_too_low"
    shown = plainly(net, "lending", "borrow", f"{50 * E9}{usdc}", "--from", "bob", "--dry-run")
    assert "health" in shown
    assert " -> " in shown
    table = plainly(net, "lending", "list-markets")
    assert "borrowers pay" in table.lower()
    assert "USDC" in table
    position = plainly(net, "lending", "get-position", "bob")
    assert "1.08" in position, "7,500 over 6,900"
    fallen = plainly(net, "lending", "preview-prices", "bob", '[{"denom": "QXC", "change_bps": -1000}]')
    assert "can be liquidated" in fallen


def plainly(net: Devnet, *arguments: str) -> str:
    """What a person sees of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--home", str(net.home), *arguments],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


def interest_accrues_to_the_unit(story: Story) -> None:
    """Rates from use by two slopes; debts compound by the second and round up, supplies grow linearly and round down."""
    supplied, lent = 1_000_001 * E9, 6_900 * E9
    state, terms = story.market(story.usdc).state, story.market(story.usdc).terms
    used = Fraction(lent, supplied)
    borrow = used / Fraction(terms.optimal_bps, 10_000) * terms.slope1_ray
    supply = borrow * used * (10_000 - terms.reserve_factor_bps) / 10_000
    assert abs(state.borrow_ray - borrow) <= 1, "parts of 10^27"
    assert abs(state.supply_ray - supply) <= 2
    story.net.wait_for(
        "a few seconds of interest", lambda: story.market(story.usdc).state.updated_s >= story.lent_s + 5
    )
    for _ in range(2):
        after = story.market(story.usdc)
        seconds = after.state.updated_s - story.lent_s
        factor = (1 + Fraction(state.borrow_ray, RAY * YEAR)) ** seconds
        assert abs(after.state.index_ray - RAY * factor) <= seconds**2 + 3, "of 10^27: the series' own floors"
        debt = ceil(lent * factor)
        earned = floor(supplied * Fraction(state.supply_ray, RAY) * seconds / YEAR)
        assert after.debt == debt > lent
        assert after.state.assets == supplied + earned
        assert after.state.reserves == debt - lent - earned > 0
        assert after.state.cash == supplied - lent
        story.net.wait_for_blocks(2)
    entries = {entry.denom: entry for entry in story.position("bob").entries}
    assert entries[story.usdc].debt >= debt, "his is the only debt there"
    assert entries["QXC"].debt == 0


def a_flash_loan_that_is_not_returned_moves_nothing_but_the_fee(story: Story) -> None:
    """Refused before signing where it is known; in a block where it is not: what Carol could pay is not enough any more."""
    net, usdc = story.net, story.usdc
    loan = json.dumps([{"denom": usdc, "amount": str(10**14)}])
    fee = ceil(Fraction(10**14 * 9, 10_000))
    assert failed(net, "lending", "flash-loan", loan, by="carol")["name"] == "debt_unpaid"
    sent(net, "send", "carol", f"{fee}{usdc}")
    files = [str(story.folder / name) for name in ("loan.json", "signed.json")]
    net.cli("lending", "flash-loan", loan, "--from", "carol", "--unsigned", files[0])
    net.cli("tx", "sign", files[0], "--from", "carol", "--out", files[1], "--yes")
    terms = story.terms(usdc)
    sent(net, "lending", "list-market", json.dumps({**terms, "flash_fee_bps": 10}))
    before, coins = story.market(usdc).state, story.held("carol", "QXC")
    done = net.cli("tx", "broadcast", files[1], expect=4)
    assert done["errors"][0]["name"] == "debt_unpaid"
    after = story.market(usdc).state
    assert story.held("carol", usdc) == fee
    assert coins - story.held("carol", "QXC") == int(done["data"]["fee"]) > 0
    unmoved = ("cash", "shares", "held_shares", "scaled_debt", "bad_debt")
    assert [getattr(after, name) for name in unmoved] == [getattr(before, name) for name in unmoved]
    sent(net, "lending", "flash-loan", json.dumps([{"denom": usdc, "amount": str(10**13)}]), by="carol")
    assert story.held("carol", usdc) == fee - 10**10, "what is returned costs its fee"


def the_price_falls_and_the_bot_liquidates(story: Story) -> None:
    """The program runs beside the chain, finds the position by itself, and pays with a flash loan."""
    net, usdc = story.net, story.usdc
    pool = sent(net, "amm", "create-pool", "QXC", usdc, "30")["pool"]
    coins = json.dumps(["500000QXC", f"{450_000 * E9}{usdc}"])
    sent(net, "amm", "add-liquidity", str(pool), coins, "1", LATE)
    command = [
        sys.executable, str(story.repository / "examples/liquidator.py"), "--node", net.node()["rpc"],
        "--home", str(net.home), "--from", "carol", "--pool", str(pool), "--rounds", "120", "--interval", "0.5",
    ]  # fmt: skip
    environment = {"PYTHONPATH": str(story.repository), "PATH": os.environ.get("PATH", "")}
    bot = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=story.repository)
    try:
        assert not story.client.lending.list_liquidatable().items
        before, had = story.market(usdc).state, story.held("carol", usdc)
        story.fall("0.90")
        assert bot.stdout is not None
        line = bot.stdout.readline()
    finally:
        bot.terminate()
        bot.wait(timeout=30)
    taken = {name: int(value) for name, value in json.loads(line).items()}

    # Health is 6,750 / 6,900, so half of all debt may be repaid; it is paid for in QXC at 0.90 and with 5% more.
    debt = taken["repaid"] * 2
    assert 0 <= debt - 6_900 * E9 < 10**7, "and the interest of a minute"
    seized = floor(floor(Fraction(taken["repaid"] * 100, 90)) * Fraction(105, 100))
    bonus = seized - floor(Fraction(seized * 100, 105))
    assert taken["protocol"] == ceil(Fraction(bonus, 10)), "a tenth of the bonus"
    assert taken["received"] == seized - taken["protocol"]
    assert taken["bad_debt"] == 0
    assert taken["profit"] > 0
    assert story.held("carol", usdc) - had == taken["profit"]
    after = story.market(usdc).state
    assert after.scaled_debt * 100 // before.scaled_debt in (49, 50)
    collateral = story.market("QXC").state
    assert 0 <= collateral.reserves - taken["protocol"] < 10**6, "and the reserve's part of Alice's interest"
    health = story.position("bob").health_wad
    entries = {entry.denom: entry for entry in story.position("bob").entries}
    assert abs(entries["QXC"].collateral - (10_000 * E9 - seized)) < 10**6
    assert health > 10**18, "healthy again"


def less_collateral_than_debt_leaves_bad_debt(story: Story) -> None:
    """All collateral is taken for what it pays; the rest is written off: the reserve bears what it has, suppliers the rest."""
    net, usdc = story.net, story.usdc
    story.fall("0.50")
    before = story.market(usdc).state
    held = {entry.denom: entry for entry in story.position("bob").entries}
    result = sent(net, "lending", "liquidate", "bob", "QXC", usdc, "false")
    repaid, written_off = int(result["repaid"]), int(result["bad_debt"])
    assert abs(repaid - ceil(Fraction(held["QXC"].collateral * 50, 105))) <= 10**4, (
        "its worth at 0.50, less 5%"
    )
    assert abs(repaid + written_off - held[usdc].debt) < 10**6, "and the interest of a few seconds"
    state = story.market(usdc).state
    assert state.bad_debt == written_off > 0
    assert before.reserves <= state.bad_covered < before.reserves + 10**6, "all that the reserve had"
    assert state.reserves <= 1
    assert state.scaled_debt == 0
    assert state.cash == state.assets + state.reserves, "nothing is owed that nobody owes"
    borne = written_off - state.bad_covered
    assert abs(before.assets - state.assets - borne) < 10**6
    assert story.position("bob").entries == ()


def the_market_that_was_voted_on_is_there(story: Story) -> None:
    net = story.net

    def executed() -> bool:
        return story.client.governance.get_proposal(story.listing).proposal.status == EXECUTED

    net.wait_for("the vote and the timelock", executed)
    terms = story.market(story.bitcoin).terms
    assert (terms.supply_cap, terms.borrow_cap) == (100 * 10**8, 50 * 10**8), "a tenth at first"
    sent(net, "lending", "seed", story.bitcoin)
    assert failed(net, "lending", "supply", f"{999 * 10**8}{story.bitcoin}", "false", by="alice")["name"] == (
        "supply_cap_reached"
    )
    net.wait_for("growth", lambda: story.market(story.bitcoin).terms.supply_cap > 110 * 10**8)
    ramp = net.cli("lending", "get-ramp", "--denom", story.bitcoin)["data"]
    assert ramp["after"]["supply_cap"] == str(1_000 * 10**8)


def a_stale_price_stops_borrowing_and_never_repaying(story: Story) -> None:
    """The feeder has stopped. Alice owes 100 QXC."""
    net = story.net
    sent(net, "lending", "list-market", json.dumps({**story.terms("QXC"), "max_age_s": 1}))
    net.wait_for("prices to grow old", lambda: not story.position("alice").priced)
    for order in (("borrow", "1QXC"), ("collateral-off", story.usdc)):
        assert failed(net, "lending", *order, by="alice")["name"] == "price_stale"
    assert int(sent(net, "lending", "repay", "QXC", "--amount", str(40 * E9))["amount"]) == 40 * E9
    assert int(sent(net, "lending", "repay", "QXC")["left"]) == 0
    sent(net, "lending", "withdraw", story.usdc, "true")  # who owes nothing needs no price
