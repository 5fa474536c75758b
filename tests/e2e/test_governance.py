"""Governance and oracle by the command line alone, on a devnet of four: what is voted, what is refused, what halts.

While votes run and the timelock holds, the guardian and the feeders have their turn: the chain is waited for once.
"""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import ceil
from pathlib import Path
from typing import Any, Self

import pytest

from qenex.codec import time_from_text
from qenex.errors import QenexError
from tests.e2e.harness import Devnet, run_cli, slowness

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
E9 = 10**9
TIMELOCK = 6
DEPOSIT = 1_000 * E9
OPEN, EXECUTED, VETOED = 1, 3, 6
CHANGE, ROBBERY, UPGRADE = 1, 2, 3


def rules(slow: float) -> list[str]:
    """For `devnet up`: seconds by how slow this machine is now."""
    given = (
        f"governance.voting_period_s={ceil(20 * slow)}", f"governance.guardian_pause_s={ceil(5 * slow)}",
        f"governance.timelock_s={TIMELOCK}", f"governance.min_deposit={DEPOSIT}",
    )  # fmt: skip
    return [part for rule in given for part in ("--parameter", rule)]


@pytest.fixture
def net(short_path: Path) -> Iterator[Devnet]:
    devnet = Devnet(short_path / "net")
    devnet.patience = slowness()
    devnet.up("--validators", "4", *rules(devnet.patience))
    yield devnet
    devnet.down()


def proposal(net: Devnet, number: int) -> dict[str, Any]:
    return dict(net.ask("governance", "get-proposal", str(number))["proposal"])


def after_a_block(net: Devnet, number: int) -> dict[str, Any]:
    """A proposal once there is one more block: time goes on with blocks."""
    net.make_blocks()
    return proposal(net, number)


def vote(net: Devnet, number: int, **choices: str) -> None:
    """Votes by who casts them; names of validators with an underscore."""
    for name, choice in choices.items():
        net.by(name.replace("_", "-"), "governance", "vote", str(number), choice)


def hook_items(net: Devnet, height: int) -> int:
    told = net.ask("governance", "get-module-parameters", "farming", "--at", str(height))
    return int(json.loads(told)["hook_items"])


def balance(net: Devnet, name: str) -> int:
    return int(net.ask("balance", name)["balance"])


# -- the sentences ------------------------------------------------------------------------------------


def what_is_no_proposal_is_refused_at_submission_by_name(net: Devnet) -> None:
    tail = ("why", "1000QXC", "false")
    out_of_range = net.refused(
        "alice", "governance", "propose-parameters", "farming", '{"hook_items": 1001}', *tail
    )
    assert out_of_range["name"] == "invalid_parameters"
    assert "from 1 to 1000" in out_of_range["message"], "the range is told"
    little = net.refused("alice", "governance", "propose-text", "hello", "999.999999999QXC")
    assert little["name"] == "deposit_too_small"
    assert net.refused("alice", "governance", "vote", "1", "yes")["name"] == "unknown_proposal"


def a_change_a_robbery_and_an_upgrade_are_voted_on(net: Devnet) -> tuple[dict[str, int], int]:
    """Bob speaks for himself after his validator did, carol says nothing and is spoken for.

    Returns what alice and dave have, their deposits in and fees out; and the height of the upgrade.
    """
    for name, amount in (("bob", "50000QXC"), ("carol", "30000QXC")):
        net.by(name, "delegate", "validator-0", amount)
    has = {name: balance(net, name) for name in ("alice", "dave")}
    height = int(net.ask("query", "status")["status"]["height"]) + 200
    tail = ("why", "1000QXC")
    proposals = (
        ("alice", "propose-parameters", "farming", '{"hook_items": 250}', *tail, "false"),
        ("dave", "propose-spend", "dave", "1000QXC", "a gift", "1000QXC"),
        ("alice", "propose-upgrade", "two", str(height), "2", *tail),
    )
    for number, (name, *arguments) in enumerate(proposals, start=CHANGE):
        done = net.by(name, "governance", *arguments)
        assert done["receipt"]["results"][0]["id"] == number
        has[name] -= int(done["fee"])
    vote(net, CHANGE, validator_0="yes", bob="no")
    vote(net, ROBBERY, validator_1="yes", validator_0="veto")
    vote(net, UPGRADE, validator_0="yes")
    told = proposal(net, CHANGE)
    assert told["status"] == OPEN
    assert {option: int(power) // E9 for option, power in told["tally"].items()} == {
        "yes": 130_000, "no": 50_000, "abstain": 0, "veto": 0,
    }  # fmt: skip
    assert int(told["total_power"]) == 480_000 * E9
    ballot = net.ask("governance", "get-ballot", str(CHANGE), "validator-0")
    assert (int(ballot["power"]), int(ballot["inherited"])) == (100_000 * E9, 30_000 * E9)
    assert net.refused("bob", "governance", "vote", str(CHANGE), "yes")["name"] == "already_voted"
    assert net.refused("erin", "governance", "vote", str(CHANGE), "yes")["name"] == "no_voting_power"
    assert balance(net, "dave") == has["dave"] - DEPOSIT
    return has, height


def the_guardian_pauses_for_a_while_and_cannot_prolong_it(net: Devnet) -> None:
    assert net.refused("bob", "governance", "guardian-pause", "farming")["name"] == "not_guardian"
    assert net.refused("judy", "governance", "guardian-pause", "governance")["name"] == "not_pausable"
    net.by("judy", "governance", "guardian-pause", "farming")
    stake = ("farming", "stake", "1", "1QXC", "0")
    assert net.refused("bob", *stake)["name"] == "module_paused"
    again = net.refused("judy", "governance", "guardian-pause", "farming")
    assert again["name"] == "guardian_spent"
    assert "propose a pause" in again["hint"]

    def ended() -> bool:
        net.make_blocks()
        return bool(net.refused("bob", *stake)["name"] != "module_paused")

    net.wait_for("it ends by itself", ended)
    assert net.refused("judy", "governance", "guardian-pause", "farming")["name"] == "guardian_spent"


@contextmanager
def web(prices: str) -> Iterator[str]:
    """A server of prices on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(prices.encode())

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/prices.json"
    server.shutdown()
    server.server_close()
    thread.join()


class Feeder:
    """`qenex oracle feed` as a process, ended by its id."""

    def __init__(self, net: Devnet, source: str, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "--home", str(net.home), "oracle", "feed", "--source", source,
             "--from", name, "--interval", "1", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:  # the test has failed
            self.process.kill()
            self.process.communicate()

    def stop(self) -> dict[str, Any]:
        """As Ctrl-C does; what it says then."""
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return dict(json.loads(out)["data"])


def a_price_that_nobody_feeds_goes_stale_and_readers_refuse_it(net: Devnet, folder: Path) -> None:
    """One feeder reads a file, one an address on the web; they differ by four in a hundred."""
    source = folder / "prices.json"
    source.write_text('{"QXC/USD": "1.00", "BTC/USD": 63211.5}')
    read = ("oracle", "get-price", "QXC/USD")
    assert net.cli(*read, "60", "10000", expect=9)["errors"][0]["name"] == "price_stale", "there is none yet"
    net.by("validator-1", "oracle", "set-feeder", "--feeder", "erin")
    with (
        web('{"QXC/USD": 1.04}') as address,
        Feeder(net, str(source), "validator-2") as one,
        Feeder(net, address, "erin") as other,
    ):
        net.wait_for("both feed", lambda: any(
            int(price["reports"]) == 2 for price in net.ask("oracle", "list-prices")
        ))  # fmt: skip
        price = net.ask(*read, "60", "10000")
        assert (int(price["price"]), price["reports"]) == (102_000_000, 2), (
            "half of the power below, half above"
        )
        uncertain = net.cli(*read, "60", "100", expect=9)["errors"][0]
        assert uncertain["name"] == "price_uncertain"
        assert "100 are accepted" in uncertain["message"]
        assert all(feeder.stop()["reported"] >= 1 for feeder in (one, other))

    def stale() -> bool:
        net.make_blocks()  # an age is measured at a block's time
        asked = run_cli("--home", str(net.home), *read, "2", "10000", expect=None)
        return not asked["ok"] and asked["errors"][0]["name"] == "price_stale"

    net.wait_for("the price goes stale", stale)
    assert int(net.ask(*read, "600", "10000")["price"]) == 102_000_000, (
        "who accepts older ones still reads it"
    )


def what_passed_waits_and_takes_effect_and_a_veto_costs_the_deposit(net: Devnet, has: dict[str, int]) -> None:
    net.wait_for("the vote is over", lambda: int(after_a_block(net, CHANGE)["status"]) != OPEN)
    waits = proposal(net, CHANGE)
    assert int(waits["execution_s"]) - int(waits["voting_end_s"]) >= TIMELOCK
    late = net.refused("validator-3", "governance", "vote", str(CHANGE), "no")
    assert late["name"] == "proposal_not_open"
    # It was proposed some blocks later, so its vote is over some blocks later.
    net.wait_for("the other vote is over", lambda: int(after_a_block(net, ROBBERY)["status"]) != OPEN)
    robbery = proposal(net, ROBBERY)
    assert robbery["status"] == VETOED
    assert balance(net, "dave") == has["dave"] - DEPOSIT, "forfeited, and nothing was spent"
    net.wait_for("it takes effect", lambda: int(after_a_block(net, UPGRADE)["status"]) == EXECUTED)
    assert proposal(net, CHANGE)["status"] == EXECUTED
    assert balance(net, "alice") == has["alice"], "both deposits came back"
    # Not before the timelock was over: the block before the execution has the old value, the block itself the new one.
    (event,) = [e for e in net.ask("query", "events", "governance.proposal_executed")["items"]
                if e["fields"]["id"] == CHANGE]  # fmt: skip
    at = int(event["height"])
    header = net.ask("query", "header", str(at))["header"]
    assert time_from_text(header["time"]) >= int(waits["execution_s"]) * E9
    assert [hook_items(net, height) for height in (at - 1, at)] == [500, 250]


def the_chain_halts_before_rules_that_nobody_has_and_says_so(net: Devnet, height: int) -> None:
    plan = net.ask("machine", "get-upgrade")
    assert (plan["name"], plan["height"], plan["protocol_version"]) == ("two", height, 2)

    with suppress(QenexError):  # no node answers any more
        net.make_blocks(200)

    def halted() -> bool:
        return not any(node["running"] for node in net.nodes())

    net.wait_for("it halts", halted, seconds=120)
    words = f"from height {height} on the chain follows protocol version 2"
    for node in net.nodes():
        assert words in node["trouble"]
        assert "install" in node["trouble"], "what to do next"
    again = run_cli("devnet", "up", "--home", str(net.home), "--detach", expect=10)["errors"][0]
    assert words in again["message"]
    sound = run_cli("node", "check", "--home", str(net.home / "nodes" / "validator-0"))["data"]
    assert (sound["ok"], sound["height"]) == (True, height - 1)


def test_votes_the_guardian_and_prices_by_command_line_alone(net: Devnet, tmp_path: Path) -> None:
    what_is_no_proposal_is_refused_at_submission_by_name(net)
    has, height = a_change_a_robbery_and_an_upgrade_are_voted_on(net)
    the_guardian_pauses_for_a_while_and_cannot_prolong_it(net)
    a_price_that_nobody_feeds_goes_stale_and_readers_refuse_it(net, tmp_path)
    what_passed_waits_and_takes_effect_and_a_veto_costs_the_deposit(net, has)
    the_chain_halts_before_rules_that_nobody_has_and_says_so(net, height)
