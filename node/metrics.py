"""Metrics in the Prometheus text format (version 0.0.4).

Our own few lines instead of prometheus_client: that package costs 40 ms of import and 1 us with a lock
for each update, and half of it is web servers. Here an update is an addition to an attribute, on one
thread. Names begin with `qenex_` and end in their unit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

PREFIX: Final = "qenex_"
STAGE_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LATENESS_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)

Labels = tuple[tuple[str, str], ...]


def _labels(labels: Labels, more: str = "") -> str:
    parts = [f'{name}="{_escape(value)}"' for name, value in labels]
    if more:
        parts.append(more)
    return "{" + ",".join(parts) + "}" if parts else ""


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


class Counter:
    """A number that only rises; `add` to it, or give a function that tells."""

    __slots__ = ("labels", "name", "read", "value")

    def __init__(self, name: str, labels: Labels, read: Callable[[], float] | None = None) -> None:
        self.name = name
        self.labels = labels
        self.read = read
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        """Count `amount` more."""
        self.value += amount

    def lines(self) -> list[str]:
        """Samples in the text format."""
        value = self.value if self.read is None else self.read()
        return [f"{self.name}{_labels(self.labels)} {_number(value)}"]


class Gauge:
    """A number as it is now: `set` it, or give a function that tells."""

    __slots__ = ("labels", "name", "read", "value")

    def __init__(self, name: str, labels: Labels, read: Callable[[], float] | None = None) -> None:
        self.name = name
        self.labels = labels
        self.read = read
        self.value: float = 0

    def set(self, value: float) -> None:
        """Make `value` the present one."""
        self.value = value

    def lines(self) -> list[str]:
        """Samples in the text format."""
        value = self.value if self.read is None else self.read()
        return [f"{self.name}{_labels(self.labels)} {_number(value)}"]


class Histogram:
    """Counts of observed values by upper bound, with their sum."""

    __slots__ = ("_bounds", "_counts", "count", "labels", "name", "total")

    def __init__(self, name: str, labels: Labels, bounds: Sequence[float]) -> None:
        self.name = name
        self.labels = labels
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.total: float = 0
        self.count = 0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value
        self.count += 1

    def lines(self) -> list[str]:
        """Samples in the text format; buckets are cumulative."""
        lines = []
        below = 0
        for bound, count in zip(self._bounds, self._counts, strict=False):
            below += count
            edge = f'le="{_number(bound)}"'
            lines.append(f"{self.name}_bucket{_labels(self.labels, edge)} {below}")
        infinite = 'le="+Inf"'
        lines.append(f"{self.name}_bucket{_labels(self.labels, infinite)} {self.count}")
        lines.append(f"{self.name}_sum{_labels(self.labels)} {_number(self.total)}")
        lines.append(f"{self.name}_count{_labels(self.labels)} {self.count}")
        return lines


Sampled = Counter | Gauge | Histogram
S = TypeVar("S", Counter, Gauge, Histogram)


class NodeMetrics:
    """What a node counts. Values that live elsewhere are read when somebody asks."""

    def __init__(self) -> None:
        self.registry = registry = Metrics()
        self.height = registry.gauge("height", "Height of the last committed block")
        self.round = registry.gauge("round", "Round in which the last block was decided")
        self.blocks = registry.counter("blocks_total", "Blocks committed since the start")
        self.transactions = registry.counter("transactions_total", "Transactions committed since the start")
        self.failed = registry.counter("transactions_failed_total", "Of these, included but failed")
        self.gas = registry.counter("gas_used_total", "Gas used by committed transactions")
        self.block_size = registry.gauge("block_bytes", "Bytes of the last block")
        self.block_interval = registry.histogram(
            "block_interval_seconds",
            "Time between two blocks",
            (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.stages = {
            stage: registry.histogram("stage_seconds", "Time of each stage of a block", stage=stage)
            for stage in ("propose", "sign", "tree", "commit", "write", "recheck")
        }
        self.lateness = registry.histogram(
            "loop_lateness_seconds", "How late the event loop ran a timer", LATENESS_BUCKETS
        )


class Metrics:
    """A set of metrics, told by `text`. A name is declared once for each set of labels."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str, list[Sampled]]] = {}

    def counter(self, name: str, doc: str, read: Callable[[], float] | None = None, **labels: str) -> Counter:
        """Declare a counter; `name` ends in `_total`."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total: {name}")
        return self._declare("counter", doc, Counter(PREFIX + name, tuple(labels.items()), read))

    def gauge(self, name: str, doc: str, read: Callable[[], float] | None = None, **labels: str) -> Gauge:
        """Declare a gauge, told by `read` when asked, or set."""
        return self._declare("gauge", doc, Gauge(PREFIX + name, tuple(labels.items()), read))

    def histogram(
        self, name: str, doc: str, bounds: Sequence[float] = STAGE_BUCKETS, **labels: str
    ) -> Histogram:
        """Declare a histogram with ascending upper bounds."""
        return self._declare("histogram", doc, Histogram(PREFIX + name, tuple(labels.items()), bounds))

    def _declare(self, kind: str, doc: str, metric: S) -> S:
        known, _, metrics = self._families.setdefault(metric.name, (kind, doc, []))
        if known != kind or any(other.labels == metric.labels for other in metrics):
            raise ValueError(f"metric {metric.name} {metric.labels} is declared twice")
        metrics.append(metric)
        return metric

    def text(self) -> str:
        """All metrics in the Prometheus text format."""
        lines: list[str] = []
        for name, (kind, doc, metrics) in self._families.items():
            lines.append(f"# HELP {name} {doc}")
            lines.append(f"# TYPE {name} {kind}")
            for metric in metrics:
                lines += metric.lines()
        return "\n".join(lines) + "\n"
