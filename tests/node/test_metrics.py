"""The text format, and logs without secrets or control characters."""

from __future__ import annotations

import io
import json
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.logging import set_up_logging
from node.metrics import NodeMetrics


def samples(metrics: NodeMetrics) -> dict[tuple[str, ...], float]:
    """Values by name and label values (labels in alphabetical order), as a monitoring server reads them."""
    return {
        (sample.name, *[value for _, value in sorted(sample.labels.items())]): sample.value
        for family in text_string_to_metric_families(metrics.text())
        for sample in family.samples
    }


def test_every_name_is_ours_or_the_standard_one_of_a_process():
    metrics = NodeMetrics()
    metrics.stages["propose"].observe(0.003)
    for family in text_string_to_metric_families(metrics.text()):
        assert family.documentation, family.name
        for sample in family.samples:
            assert sample.name.startswith(("qenex_", "process_")), sample
            assert not sample.name.endswith("_created"), sample


def test_a_histogram_is_cumulative_and_ends_with_all():
    metrics = NodeMetrics()
    for value in (0.0004, 0.0005, 0.7, 7):
        metrics.stages["sign"].observe(value)
    told = samples(metrics)
    bucket = "qenex_stage_seconds_bucket"
    buckets = {name[1]: value for name, value in told.items() if name[0] == bucket and name[2] == "sign"}
    assert (buckets["0.0005"], buckets["0.5"], buckets["1.0"], buckets["+Inf"]) == (2, 2, 3, 4)
    assert told["qenex_stage_seconds_count", "sign"] == 4
    assert told["qenex_stage_seconds_sum", "sign"] == pytest.approx(7.7009)


def test_what_is_counted_elsewhere_is_read_when_asked():
    metrics = NodeMetrics()
    counts: dict[tuple[str, ...], float] = {("a", 'q"\n\\'): 1}
    height = [2.5]
    metrics.watch_gauge("b", "B", lambda: height[0])
    metrics.watch_counter("c_total", "C", lambda: 3)
    metrics.watch_counters("d_total", "D", ("one", "two"), lambda: counts)
    assert samples(metrics)["qenex_b",] == 2.5
    height[0], counts["z", "ok"] = 4, 7
    told = samples(metrics)
    assert (told["qenex_b",], told["qenex_c_total",]) == (4, 3)
    assert (told["qenex_d_total", "a", 'q"\n\\'], told["qenex_d_total", "z", "ok"]) == (1, 7)


def test_a_name_is_declared_once_and_a_counter_says_that_it_is_one():
    metrics = NodeMetrics()
    metrics.watch_counter("a_total", "A", lambda: 1)
    with pytest.raises(ValueError, match="Duplicated"):
        metrics.watch_counter("a_total", "A", lambda: 1)
    with pytest.raises(ValueError, match="Duplicated"):
        metrics.watch_gauge("height", "H", lambda: 1)
    with pytest.raises(ValueError, match="_total"):
        metrics.watch_counter("b", "B", lambda: 1)


def test_two_nodes_of_one_process_count_apart():
    first, second = NodeMetrics(), NodeMetrics()
    first.blocks.inc(5)
    assert samples(first)["qenex_blocks_total",] == 5
    assert samples(second)["qenex_blocks_total",] == 0


@pytest.mark.parametrize("form", ["json", "text"])
def test_logs_mask_secrets_and_escape_control_characters(form: str):
    stream = io.StringIO()
    handler = set_up_logging("info", form, stream)
    try:
        log = logging.getLogger("qenex.test")
        log.debug("not shown")
        log.info("hello\x1b[2J\nfake line", extra={"admin_token": "hunter2", "height": 7, "peer": "a\nb"})
    finally:
        logging.getLogger().removeHandler(handler)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert "hunter2" not in lines[0]
    assert "\x1b" not in lines[0]
    if form == "json":
        assert json.loads(lines[0])["height"] == 7
    else:
        assert "height=7" in lines[0]
