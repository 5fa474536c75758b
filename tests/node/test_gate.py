"""The gate: what is under way stays as much as a block takes soon, whoever sends how much; nothing stuck closes it."""

from __future__ import annotations

from node.gate import FIRST_RATE, FORGOTTEN, LEAST, LIGHT, Gate


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Chain:
    """A chain that takes `rate` a second of what waits, first come first served, in blocks of `interval` seconds."""

    def __init__(self, gate: Gate, clock: Clock, rate: float, interval: float = 0.1) -> None:
        self.gate, self.clock, self.rate, self.interval = gate, clock, rate, interval
        self.waiting: list[tuple[float, bytes, str]] = []
        self.waited: list[tuple[float, str]] = []
        self.serial = 0
        self.granted: dict[str, int] = {}

    def offer(self, caller: str, count: int) -> int:
        granted = self.gate.ask(caller, count)
        for _ in range(granted):
            self.serial += 1
            name = self.serial.to_bytes(32, "big")
            self.gate.entered(caller, name)
            self.waiting.append((self.clock.now, name, caller))
        self.granted[caller] = self.granted.get(caller, 0) + granted
        return granted

    def block(self) -> None:
        count = int(self.rate * self.interval)
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        self.clock.now += self.interval
        self.waited += [(self.clock.now - at, caller) for at, _, caller in taken]
        self.gate.committed([name for _, name, _ in taken])

    def work(self, seconds: float, offers: dict[str, float], *, overhead: float = 0.05) -> None:
        """As `run`, where a block takes all that waits, and as long as that takes: more makes slower blocks."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            taken, self.waiting = self.waiting, []
            part = (overhead + len(taken) / self.rate) / 10
            for _ in range(10):
                for caller, rate in offers.items():
                    self.offer(caller, round(rate * part))
                self.clock.now += part
            self.waited += [(self.clock.now - at, caller) for at, _, caller in taken]
            self.gate.committed([name for _, name, _ in taken])

    def run(self, seconds: float, offers: dict[str, float]) -> None:
        """Offer so many a second for each caller, and make blocks."""
        for _ in range(round(seconds / self.interval)):
            for caller, rate in offers.items():
                self.offer(caller, round(rate * self.interval))
            self.block()


def world(rate: float, interval: float = 0.1) -> Chain:
    clock = Clock()
    return Chain(Gate(clock), clock, rate, interval)


def test_below_what_the_chain_takes_nobody_is_refused():
    chain = world(2_000)
    chain.run(20, {"one": 1_000, "other": 900})
    assert chain.gate.refused == 0
    assert len(chain.waiting) == 0


def test_far_beyond_it_nobody_who_was_admitted_waits_much_longer_than_the_gate_allows():
    chain = world(700)
    chain.run(10, {"one": 20_000})
    before = len(chain.waited)
    chain.run(100, {"one": 20_000})
    later = [seconds for seconds, _ in chain.waited[before:]]
    assert max(later) <= 1.5
    assert len(later) >= 0.98 * 700 * 100  # and the chain has always something to do
    assert 600 <= chain.gate.rate <= 800


def test_at_the_start_the_wait_is_bounded_before_anything_was_measured():
    chain = world(100)
    chain.run(60, {"one": 5_000})
    assert max(seconds for seconds, _ in chain.waited) <= FIRST_RATE / 100 + 1
    assert max(seconds for seconds, _ in chain.waited[-2_000:]) <= LEAST * 1.3 / 100


def test_when_the_load_falls_everybody_is_admitted_within_a_second():
    chain = world(700)
    chain.run(20, {"one": 20_000})
    assert chain.gate.ask("one", 100) < 100
    chain.run(1.0, {})
    assert chain.offer("one", 350) == 350
    chain.block()
    refused = chain.gate.refused
    chain.run(20, {"one": 600})
    assert chain.gate.refused == refused


def test_the_gate_opens_again_to_what_the_chain_takes_after_a_slow_time():
    chain = world(3_000)
    chain.run(10, {"one": 6_000})
    chain.rate = 200
    chain.run(20, {"one": 6_000})
    assert chain.gate.rate <= 300
    chain.rate = 3_000
    chain.run(10, {"one": 6_000})
    chain.waited.clear()
    chain.run(10, {"one": 6_000})
    assert len(chain.waited) >= 0.95 * 30_000


def test_slow_blocks_do_not_close_the_gate_bit_by_bit():
    """Each block takes 2 s, whatever is in it: what is under way has to be more than a second's worth."""
    chain = world(1_000, interval=2.0)
    chain.run(30, {"one": 3_000})
    chain.waited.clear()
    chain.run(60, {"one": 3_000})
    assert len(chain.waited) >= 0.95 * 60_000


def test_larger_blocks_that_take_longer_do_not_open_the_gate_further_and_further():
    chain = world(700)
    chain.work(20, {"one": 20_000})
    chain.waited.clear()
    chain.work(100, {"one": 20_000})
    assert max(seconds for seconds, _ in chain.waited) <= 2.0
    assert len(chain.waited) >= 0.85 * 700 * 100


def test_who_sends_little_comes_in_while_another_floods_the_gate():
    chain = world(700)
    chain.run(10, {"flood": 20_000})
    chain.granted.clear()
    chain.waited.clear()
    chain.run(20, {"flood": 20_000, "light": 20, "other": 50})
    assert chain.granted["light"] == 20 * 20
    assert chain.granted["other"] == 20 * 50
    assert max(seconds for seconds, caller in chain.waited if caller != "flood") <= 1.6


def test_a_flood_over_many_connections_leaves_room_for_who_sends_little():
    chain = world(170)
    flood = {f"line {number}": 500.0 for number in range(8)}
    chain.run(10, flood)
    chain.granted.clear()
    chain.run(60, {**flood, "light": 10.0})
    assert chain.granted["light"] == 10 * 60


def test_a_flood_by_many_names_cannot_take_more_than_twice_the_limit():
    chain = world(700)
    chain.run(10, {"flood": 20_000})
    limit = chain.gate.limit
    for number in range(10_000):
        chain.offer(f"name {number}", LIGHT)
    assert len(chain.gate) <= 2 * limit


def test_one_transfer_comes_in_when_the_limit_has_just_fallen_below_what_is_under_way():
    chain = world(2_000)
    chain.run(10, {"flood": 20_000})
    chain.rate = 100
    chain.run(1, {"flood": 20_000})
    assert len(chain.gate) > chain.gate.limit
    assert chain.gate.ask("light", 5) == LIGHT
    assert chain.gate.ask("flood", 5) == 0


def test_what_is_stuck_is_forgotten_and_does_not_close_the_gate():
    clock = Clock()
    gate = Gate(clock)
    places = gate.ask("attacker", 10**6)
    for number in range(places):
        gate.entered("attacker", number.to_bytes(32, "big"))
    assert gate.ask("attacker", 1) == 0
    assert gate.ask("other", 100) == 100  # meanwhile there is a quarter more for others
    gate.left("other", 100)
    clock.now += FORGOTTEN + 1
    assert gate.ask("other", places) == places
    gate.left("other", places)
    gate.committed([number.to_bytes(32, "big") for number in range(places)])  # after all
    assert len(gate) == 0


def test_places_come_back_whatever_became_of_those_who_had_them():
    clock = Clock()
    gate = Gate(clock)
    assert gate.ask("one", 5) == 5
    gate.committed([b"early"])  # in a block before its admission was told
    gate.entered("one", b"early")
    gate.entered("one", b"twice")
    gate.entered("one", b"twice")
    gate.left("one", 2)
    assert len(gate) == 1
    gate.committed([b"twice", b"somebody else's"])
    assert len(gate) == 0
    assert gate.ask("one", 1) == 1
    gate.entered("one", b"early")  # known from a block of another time only
    assert len(gate) == 1


def test_a_refusal_says_when_to_come_again():
    clock = Clock()
    gate = Gate(clock)
    places = gate.ask("one", 10**6)
    assert places == FIRST_RATE
    error = gate.refusal()
    assert error.retryable
    assert error.name == "node_busy"
    assert 100 <= error.__dict__["details"]["retry_after_ms"] <= 2_000
    assert "500 transactions" in error.message


def test_what_blocks_took_is_forgotten_though_something_is_verified_at_every_moment() -> None:
    """Overlapping calls leave no moment in which nothing is verified: what is remembered meanwhile has to end."""
    clock = Clock()
    gate = Gate(clock)
    assert gate.ask("busy", 1) == 1
    for block in range(1_000):
        assert gate.ask("busy", 1) == 1  # the next call comes before the one before it is over
        gate.left("busy")
        gate.committed([block.to_bytes(32, "big")])
        clock.now += 0.1
        assert len(gate._early) + len(gate._early_before) <= 2 * FORGOTTEN / 0.1 + 2
    assert gate.ask("late", 1) == 1
    gate.entered("late", (999 - int(FORGOTTEN / 0.2)).to_bytes(32, "big"))
    assert len(gate) == 1, "a block had it while it was verified"
