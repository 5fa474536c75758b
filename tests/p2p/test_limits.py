"""The event loop's time is shared: no number of peers takes all of it, and none takes another's sure part."""

from __future__ import annotations

import pytest

from p2p.limits import WORK_CONSENSUS, WORK_OTHERS, WORK_RATE, WORK_SURE, CommonWork, Work


class Peer:
    """A peer whose messages take `cost` seconds each; it always has one more, or sends one every `gap` seconds."""

    def __init__(self, common: CommonWork, cost: float, *, consensus: bool, gap: float = 0.0) -> None:
        self.work = Work(common, WORK_RATE, 0.0)
        self.work.begin()
        self.cost, self.consensus, self.gap = cost, consensus, gap
        self.sent = self.read_after = self.used = self.late = 0.0

    def due(self) -> float:
        """When its next message may be read."""
        return max(self.sent, self.read_after)


def run(peers: list[Peer], seconds: float) -> float:
    """One loop that handles whoever is due first, until `seconds` on the clock; the time at which it stops."""
    now = min([peer.due() for peer in peers])
    while now < seconds:
        peer = min(peers, key=Peer.due)
        now = max(now, peer.due())
        peer.late = max(peer.late, now - peer.sent) if peer.gap else 0.0
        now += peer.cost
        peer.used += peer.cost
        peer.sent = peer.sent + peer.gap if peer.gap else now
        peer.read_after = now + peer.work.took(now, peer.cost, consensus=peer.consensus)
    return now


@pytest.mark.parametrize("consensus", [False, True])
def test_ten_peers_that_send_all_they_can_leave_the_loop_its_own_time(*, consensus: bool) -> None:
    common = CommonWork(0.0)
    peers = [Peer(common, 0.01, consensus=consensus) for _ in range(10)]
    lasted = run(peers, 100.0)
    rate = WORK_CONSENSUS if consensus else WORK_OTHERS
    share = sum(peer.used for peer in peers) / lasted
    assert share == pytest.approx(WORK_SURE.per_second + rate.per_second, abs=0.02)
    assert all(peer.used / lasted <= WORK_RATE.per_second + 0.02 for peer in peers)


def test_consensus_messages_are_not_delayed_by_what_others_send() -> None:
    common = CommonWork(0.0)
    flood = [Peer(common, 0.01, consensus=False) for _ in range(20)]
    votes = Peer(common, 0.001, consensus=True, gap=0.01)  # a tenth of the time: far more than its sure part
    run([*flood, votes], 5.0)
    votes.late = 0.0
    lasted = run([*flood, votes], 100.0)
    assert votes.used / lasted == pytest.approx(0.1, abs=0.01)
    assert votes.late <= 0.05
    assert WORK_SURE.per_second + WORK_OTHERS.per_second + WORK_CONSENSUS.per_second < 1


def test_a_quiet_peer_keeps_its_sure_part_under_a_flood_of_its_own_kind() -> None:
    common = CommonWork(0.0)
    flood = [Peer(common, 0.01, consensus=True) for _ in range(9)]
    votes = Peer(common, 0.0005, consensus=True, gap=0.05)  # a hundredth of the time
    run([*flood, votes], 5.0)
    votes.late = 0.0
    run([*flood, votes], 100.0)
    assert votes.late <= 0.05


def test_who_takes_a_little_more_than_its_part_waits_for_that_and_not_for_what_a_flood_owes() -> None:
    common = CommonWork(0.0)
    flood = [Peer(common, 0.08, consensus=False) for _ in range(39)]
    light = Peer(common, 0.0005, consensus=False)
    lasted, waits = run([*flood, light], 10.0), 0.0
    before = light.used
    while lasted < 100.0:
        lasted = run([*flood, light], lasted + 0.02)
        waits = max(waits, light.read_after - lasted)
    part = WORK_SURE.per_second / 40
    assert waits <= light.cost / part + 0.01
    assert (light.used - before) / (lasted - 10.0) >= part * 0.98
    total = sum(peer.used for peer in flood) + light.used
    assert total / lasted <= WORK_SURE.per_second + WORK_OTHERS.per_second + 0.05


def test_one_peer_alone_has_a_quarter_as_before_and_parts_come_back_when_peers_go() -> None:
    common = CommonWork(0.0)
    one = Peer(common, 0.01, consensus=False)
    others = [Peer(common, 0.01, consensus=False) for _ in range(9)]
    assert common.peers == 10
    for peer in others:
        peer.work.end()
    assert common.peers == 1
    lasted = run([one], 100.0)
    assert one.used / lasted == pytest.approx(WORK_RATE.per_second, abs=0.02)
