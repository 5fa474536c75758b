"""The text format, and logs without secrets or control characters."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest

from node.logging import set_up_logging
from node.metrics import Metrics, NodeMetrics


def test_every_line_is_of_the_text_format():
    metrics = NodeMetrics()
    metrics.stages["propose"].observe(0.003)
    line = re.compile(
        r'^(# (HELP|TYPE) qenex_\w+ .+|qenex_\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? -?[0-9.e+-]+)$'
    )
    text = metrics.registry.text()
    assert text.endswith("\n")
    for entry in text.splitlines():
        assert line.match(entry), entry


def test_a_histogram_is_cumulative_and_ends_with_all():
    metrics = Metrics()
    histogram = metrics.histogram("x_seconds", "X", (0.1, 1))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.observe(value)
    assert metrics.text().splitlines()[2:] == [
        'qenex_x_seconds_bucket{le="0.1"} 2',
        'qenex_x_seconds_bucket{le="1"} 3',
        'qenex_x_seconds_bucket{le="+Inf"} 4',
        "qenex_x_seconds_sum 7.65",
        "qenex_x_seconds_count 4",
    ]


def test_counters_gauges_and_labels():
    metrics = Metrics()
    metrics.counter("a_total", "A").add(3)
    metrics.gauge("b", "B", lambda: 2.5, kind='q"\n')
    assert "qenex_a_total 3" in metrics.text()
    assert 'qenex_b{kind="q\\"\\n"} 2.5' in metrics.text()
    with pytest.raises(ValueError, match="twice"):
        metrics.counter("a_total", "A")
    with pytest.raises(ValueError, match="_total"):
        metrics.counter("a", "A")


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
