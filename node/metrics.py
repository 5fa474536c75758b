"""What a node counts, in the Prometheus text format (version 0.0.4), by prometheus_client.

One registry for each node object, none of the library's global ones: tests run several nodes in a process.
Most numbers are counted where they arise, as plain attributes, and read when somebody asks. Names begin
with `qenex_` and end in their unit; the process' own memory, CPU time and files (Linux) have the library's
standard names. Costs, measured: docs/decisions/0015-prometheus-client.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

NAMESPACE: Final = "qenex"
STAGES: Final = ("propose", "process", "sign", "tree", "commit", "stage", "write", "recheck")
STEPS: Final = ("propose", "prevote", "precommit")
STAGE_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LATENESS_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
INTERVAL_BUCKETS: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

ReadCounts = Callable[[], Mapping[tuple[str, ...], float]]


class _ReadCounter(Collector):
    """A counter whose values by label live elsewhere: the library's own cannot be given a function."""

    def __init__(self, name: str, doc: str, labels: Sequence[str], read: ReadCounts) -> None:
        self._name = f"{NAMESPACE}_{name}"
        self._doc = doc
        self._labels = tuple(labels)
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """The family without values, by which the registry finds a name taken twice."""
        return [CounterMetricFamily(self._name, self._doc, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        """The family as it is now."""
        family = CounterMetricFamily(self._name, self._doc, labels=self._labels)
        for labels, value in sorted(self._read().items()):
            family.add_metric(labels, value)
        return [family]


class NodeMetrics:
    """The metrics of one node. Values that live elsewhere are read when somebody asks."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.height = self._gauge("height", "Height of the last committed block")
        self.round = self._gauge("round", "Round in which the last block was decided")
        self.blocks = self._counter("blocks_total", "Blocks committed since the start")
        self.transactions = self._counter("transactions_total", "Transactions committed since the start")
        self.failed = self._counter("transactions_failed_total", "Of these, included but failed")
        self.gas = self._counter("gas_used_total", "Gas used by committed transactions")
        self.block_size = self._gauge("block_bytes", "Bytes of the last block")
        self.block_interval = Histogram(
            "block_interval_seconds", "Time between two blocks",
            namespace=NAMESPACE, registry=registry, buckets=INTERVAL_BUCKETS,
        )  # fmt: skip
        stages = Histogram(
            "stage_seconds", "Time of each stage of a block", ("stage",),
            namespace=NAMESPACE, registry=registry, buckets=STAGE_BUCKETS,
        )  # fmt: skip
        self.stages = {stage: stages.labels(stage) for stage in STAGES}
        steps = Histogram(
            "consensus_step_seconds", "Time spent in each step of a round", ("step",),
            namespace=NAMESPACE, registry=registry, buckets=STAGE_BUCKETS,
        )  # fmt: skip
        self.steps = {step: steps.labels(step) for step in STEPS}
        self.wait = Histogram(
            "submitted_wait_seconds",
            "From admission here to the block, of the transaction of each block that waited longest",
            namespace=NAMESPACE, registry=registry, buckets=INTERVAL_BUCKETS,
        )  # fmt: skip
        self.lateness = Histogram(
            "loop_lateness_seconds", "How late the event loop ran a timer",
            namespace=NAMESPACE, registry=registry, buckets=LATENESS_BUCKETS,
        )  # fmt: skip

    def _gauge(self, name: str, doc: str) -> Gauge:
        return Gauge(name, doc, namespace=NAMESPACE, registry=self.registry)

    def _counter(self, name: str, doc: str) -> Counter:
        return Counter(name, doc, namespace=NAMESPACE, registry=self.registry)

    def watch_gauge(self, name: str, doc: str, read: Callable[[], float]) -> None:
        """A number as `read` tells it. Raises ValueError for a name that is taken."""
        self._gauge(name, doc).set_function(read)

    def watch_counter(self, name: str, doc: str, read: Callable[[], float]) -> None:
        """A number that only rises, as `read` tells it; `name` ends in `_total`. Raises ValueError."""
        self.watch_counters(name, doc, (), lambda: {(): read()})

    def watch_counters(self, name: str, doc: str, labels: Sequence[str], read: ReadCounts) -> None:
        """The same by values of `labels`. Raises ValueError for another ending, or a name that is taken."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total: {name}")
        self.registry.register(_ReadCounter(name, doc, labels, read))

    def collect(self) -> Iterable[Metric]:
        """All families, without the library's `_created` series: they double what is stored for nothing."""
        for family in self.registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family

    def text(self) -> str:
        """All metrics in the Prometheus text format."""
        return generate_latest(self).decode()
