"""Sources of prices: every written digit counts, and what is no price is told."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.oracle_feed import MAX_SOURCE, read_prices
from qenex.errors import UsageError
from tests.cli.conftest import Run


def source(tmp_path: Path, text: str) -> str:
    path = tmp_path / "prices.json"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ('"1.25"', (125, -2)),
        ("1.25", (125, -2)),
        ('"100"', (1, 2)),
        ("0.10", (1, -1)),
        ("1e3", (1, 3)),
        ("2.50E-4", (25, -5)),
        ('"0"', (0, 0)),
        ("63211.123456789012345678", (63211123456789012345678, -18)),
    ],
)
def test_no_digit_is_lost_or_made(tmp_path: Path, text: str, price: tuple[int, int]) -> None:
    mantissa, exponent = read_prices(source(tmp_path, f'{{"A/USD": {text}}}'))["A/USD"]
    assert mantissa == price[0] or mantissa == 0
    assert price[0] == 0 or exponent == price[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "5",
        '{"A": null}',
        '{"A": "-1"}',
        '{"A": "1,5"}',
        '{"A": "x"}',
        '{"A": NaN}',
        '{"A": {}}',
        "[" * 99_999,
    ],
)
def test_what_is_no_price_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        read_prices(source(tmp_path, text))


def test_a_source_that_is_missing_or_endless_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_prices(str(tmp_path / "none"))
    with pytest.raises(UsageError, match="more than"):
        read_prices(source(tmp_path, " " * (MAX_SOURCE + 1)))


@pytest.fixture
def web() -> Iterator[str]:
    """A server of one price."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = self.path == "/prices"
            self.send_response(200 if good else 500)
            self.end_headers()
            self.wfile.write(b'{"QXC/USD": 0.5}' if good else b"")

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_web_address_is_read_and_its_errors_told(web: str) -> None:
    assert read_prices(web + "/prices") == {"QXC/USD": (5, -1)}
    with pytest.raises(UsageError, match="cannot be read"):
        read_prices(web + "/broken")
    with pytest.raises(UsageError, match="cannot be read"):
        read_prices("http://127.0.0.1:1/")


def test_the_command_needs_a_source_and_a_key(run: Run, home: Path) -> None:
    assert run("oracle", "feed", "--from", "alice", "--json").code == 2
    missing = run("oracle", "feed", "--source", "x", "--from", "nobody", "--times", "1", "--json")
    assert missing.error["name"] == "key_not_found"
