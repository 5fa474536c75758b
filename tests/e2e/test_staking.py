"""Staking by the command line alone, on a devnet of four: who joins, where power goes, what offences cost to the unit.

Only `qenex` acts and tells here. What is no command: transfers that make blocks, the traitor's program, and the file that
makes it confess.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from cli.devnet_home import existing_devnet
from cli.devnet_nodes import overrides_of
from tests.e2e.harness import Devnet, Failed, run_cli, slowness
from tests.e2e.node_process import NodeProcess

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
E9 = 10**9
SLASH_BPS = 500


def rules(slow: float) -> list[str]:
    """For `devnet up`: seconds by how slow this machine is now."""
    given = (
        f"staking.unbonding_s={ceil(30 * slow)}", f"staking.downtime_jail_s={ceil(4 * slow)}",
        "staking.window_blocks=16", "staking.max_missed_bps=5000",
    )  # fmt: skip
    return [part for rule in given for part in ("--parameter", rule)]


PRECOMMITTED = 1


@pytest.fixture
def net(short_path: Path) -> Iterator[Devnet]:
    devnet = Devnet(short_path / "net")
    devnet.patience = slowness()
    devnet.up("--validators", "4", *rules(devnet.patience))
    yield devnet
    devnet.down()


def powers(net: Devnet, height: int | str = "latest") -> dict[str, int]:
    """Power by operator, in the set of a height."""
    found = net.ask("query", "validators", str(height))
    return {v["address"]: int(v["power"]) for v in found["validators"]}


def signs(net: Devnet, operator: str) -> bool:
    """Whether the validator's precommit is in the commit that the last block carries."""
    net.make_blocks()
    commit = net.ask("query", "block")["commit"]
    return any(s["address"] == operator and s["flag"] == PRECOMMITTED for s in commit["signatures"])


def validator(net: Devnet, name: str) -> dict[str, Any]:
    return dict(net.ask("staking", "get-validator", name)["validator"])


def worth(net: Devnet, delegator: str, operator: str) -> int:
    return int(net.ask("staking", "get-delegation", delegator, operator)["tokens"])


# -- the sentences ------------------------------------------------------------------------------------


def power_follows_a_delegation_two_heights_on(net: Devnet) -> None:
    one = net.address("validator-1")
    at = int(net.by("bob", "delegate", "validator-1", "5000QXC")["height"])
    net.make_blocks(2)
    assert [powers(net, at + more)[one] for more in (0, 1, 2)] == [100_000, 100_000, 105_000]
    at = int(net.by("bob", "staking", "redelegate", "validator-1", "validator-2", "2000QXC")["height"])
    net.make_blocks(2)
    two = net.address("validator-2")
    assert [powers(net, at + more)[one] for more in (1, 2)] == [105_000, 103_000]
    assert [powers(net, at + more)[two] for more in (1, 2)] == [100_000, 102_000]
    hop = net.refused("bob", "staking", "redelegate", "validator-2", "validator-0", "1QXC")
    assert hop["name"] == "redelegation_hop"


def make_home(net: Devnet, home: Path) -> None:
    """A node's home with a consensus key of alice's."""
    genesis = net.home / "nodes" / "validator-0" / "genesis.json"
    run_cli(
        "node", "init", "--home", str(home), "--genesis", str(genesis), "--seed", str(net.node()["p2p"]),
        "--rpc-port", "0", "--p2p-port", "0", "--name", "fifth", "--operator", net.address("alice"),
    )  # fmt: skip


def a_fifth_validator_joins_with_its_own_node_and_signs(net: Devnet, fifth: NodeProcess) -> None:
    own = ("--node", f"http://127.0.0.1:{fifth.wait_port()}")

    def height_of_its_own() -> int:
        return int(net.ask(*own, "query", "status")["status"]["height"])

    net.wait_for("the fifth node follows", lambda: height_of_its_own() >= 4)
    home = ("--node-home", str(fifth.home))
    low = net.refused("alice", "staking", "join", "fifth", "0.5QXC", *home)
    assert low["name"] == "self_delegation_too_low"
    at = int(net.by("alice", "staking", "join", "fifth", "50000QXC", *home)["height"])
    net.make_blocks(2)
    alice = net.address("alice")
    assert alice not in powers(net, at + 1)
    assert powers(net, at + 2)[alice] == 50_000
    net.wait_for("it signs", lambda: signs(net, alice))
    assert height_of_its_own() >= at + 2


class Traitor:
    """Validator 3's operator runs a program of his own, which votes twice once and hides it."""

    def __init__(self, net: Devnet) -> None:
        devnet = existing_devnet(net.home)
        node = devnet.nodes[3]
        self.home, self.rpc = node.home, node.rpc
        self.log = node.home / "traitor.log"
        overrides = [part for item in overrides_of(devnet, node) for part in ("--set", item)]
        program = ("-m", "tests.e2e.byzantine_node", "--secretly", "--home", str(node.home))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, *overrides], stdout=subprocess.DEVNULL, stderr=log
            )

    def offence(self, net: Devnet) -> int:
        """The height at which it voted twice."""
        told = self.home / "offence.json"
        net.wait_for(
            "it runs",
            lambda: bool(run_cli("--node", self.rpc, "query", "status", expect=None)["ok"]),
        )

        def there() -> bool:
            net.make_blocks()
            return told.exists()

        try:
            net.wait_for("it votes twice", there)
        except Failed as failed:
            raise Failed(f"{failed}\n{self.log.read_text()[-4_000:]}") from None
        return int(json.loads(told.read_text())["height"])

    def confess(self) -> None:
        (self.home / "confess").touch()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def slashed(amount: int) -> int:
    """What a double vote takes of base units, as documented: five in a hundred, rounded up."""
    return -(-amount * SLASH_BPS // 10_000)


def left_with(net: Devnet, name: str) -> list[tuple[int, int]]:
    """What began to leave for an account, and what of it arrives: as told beforehand, or as it came to be."""
    items = net.ask("staking", "list-unbondings", name)["items"]
    waiting = [(int(item["unbonding"]["amount"]), int(item["pays"])) for item in items]
    return [*[(paid + lost, paid) for paid, lost in arrived(net, name)], *waiting]


def arrived(net: Devnet, name: str) -> list[tuple[int, int]]:
    """What came back to an account, and what of it was taken."""
    events = net.ask("query", "events", "staking.undelegation_completed", "--account", name)["items"]
    return [(int(event["fields"]["amount"]), int(event["fields"]["slashed"])) for event in events]


def a_double_vote_costs_all_who_were_there_exactly_what_is_documented(net: Devnet) -> dict[str, int]:
    """Heidi is there, leaves partly after the offence; grace moves part of hers away after it; ivan leaves before it.

    Returns what is to arrive, by name, once the unbonding time is over.
    """
    odd = {"heidi": 1_000 * E9 + 7, "grace": 500 * E9 + 1, "ivan": 77 * E9 + 3}
    for name, amount in odd.items():
        net.by(name, "staking", "delegate", "validator-3", str(amount))
    net.by("ivan", "staking", "undelegate", "validator-3", str(odd["ivan"]))
    net.chaos("kill", "3")
    traitor = Traitor(net)
    try:
        offence = traitor.offence(net)
        left, moved = 300 * E9 + 1, 200 * E9 + 1
        net.by("heidi", "staking", "undelegate", "validator-3", str(left))
        net.by("grace", "staking", "redelegate", "validator-3", "validator-0", str(moved))
        assert validator(net, "validator-3")["tombstone"] is None
        assert left_with(net, "heidi") == [(left, left)]
        before = validator(net, "validator-3")
        others = worth(net, "validator-0", "validator-0")
        had = {name: worth(net, name, "validator-3") for name in ("heidi", "grace")}
        traitor.confess()

        def caught() -> bool:
            net.make_blocks()
            return validator(net, "validator-3")["tombstone"] is not None

        net.wait_for("it is caught", caught)
    finally:
        traitor.end()
    after = validator(net, "validator-3")
    assert after["tombstone"]["offence_height"] == offence
    assert after["tombstone"]["slash_bps"] == SLASH_BPS
    block = net.ask("query", "block", str(after["tombstone"]["slashed_height"]))
    assert [piece["first"]["height"] for piece in block["evidence"]] == [offence]

    # The validator's tokens lose the part, rounded up; a delegator has his shares of what is left, rounded down.
    tokens = int(before["tokens"]) - slashed(int(before["tokens"]))
    assert int(after["tokens"]) == tokens
    assert after["shares"] == before["shares"], "no share is lost: each is worth less"
    for name, amount in had.items():
        shares = int(net.ask("staking", "get-delegation", name, "validator-3")["delegation"]["shares"])
        assert worth(net, name, "validator-3") == shares * tokens // int(after["shares"])
        assert 0 <= amount - worth(net, name, "validator-3") - slashed(amount) <= 1, "one floor more"
    # What left since the offence is reached where it is; what left before it is not, and neither are the others there.
    assert left_with(net, "heidi") == [(left, left - slashed(left))]
    assert left_with(net, "ivan") == [(odd["ivan"], odd["ivan"])]
    assert worth(net, "grace", "validator-0") == moved - slashed(moved)
    assert worth(net, "validator-0", "validator-0") >= others

    assert net.refused("validator-3", "staking", "unjail")["name"] == "validator_tombstoned"
    assert net.refused("bob", "delegate", "validator-3", "1QXC")["name"] == "validator_tombstoned"
    three = net.address("validator-3")
    net.wait_for("it is out", lambda: three not in powers(net))
    return {"heidi": left - slashed(left), "ivan": odd["ivan"]}


def a_validator_that_is_down_is_jailed_and_unjails(net: Devnet) -> None:
    net.chaos("kill", "1")
    one = net.address("validator-1")
    stake = int(validator(net, "validator-1")["tokens"])

    def jailed() -> bool:
        net.make_blocks()
        return bool(validator(net, "validator-1")["jailed"])

    net.wait_for("it is jailed", jailed)
    assert int(validator(net, "validator-1")["tokens"]) == stake - -(-stake // 10_000)
    early = net.refused("validator-1", "staking", "unjail")
    assert early["name"] == "still_jailed"
    net.chaos("restart", "1")
    net.wait_for(
        "its time is over",
        lambda: bool(
            run_cli(
                "--home", str(net.home), "staking", "unjail", "--from", "validator-1", "--yes", expect=None
            )["ok"]
        ),
    )
    assert net.refused("validator-1", "staking", "unjail")["name"] == "validator_not_jailed"
    net.make_blocks(2)
    assert powers(net)[one] == (stake - -(-stake // 10_000)) // E9
    net.wait_for("it signs again", lambda: signs(net, one))


def test_validators_and_delegators_by_command_line_alone(net: Devnet, short_path: Path) -> None:
    power_follows_a_delegation_two_heights_on(net)
    make_home(net, short_path / "fifth")
    with NodeProcess(short_path / "fifth", program=("-m", "cli", "node", "start")) as fifth:
        a_fifth_validator_joins_with_its_own_node_and_signs(net, fifth)
        coming = a_double_vote_costs_all_who_were_there_exactly_what_is_documented(net)
        a_validator_that_is_down_is_jailed_and_unjails(net)
        net.wait_for("all that left has arrived", lambda: all(arrived(net, name) for name in coming))
        for name, amount in coming.items():
            assert [paid for paid, _ in arrived(net, name)] == [amount]
            assert net.ask("staking", "list-unbondings", name)["items"] == []
        net.agreed(["validator-0", "validator-1", "validator-2"])
