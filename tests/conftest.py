"""What every test has: Hypothesis profiles, the `long` marker, and no view of the user's own settings.

Profiles, chosen by HYPOTHESIS_PROFILE (without it: `ci` where CI is set, else `default`):

* `default`: a moderate search, new examples on every run; a failure found is kept and replayed
* `ci`: the same size, the same examples every time, so that a change fails by its own fault
* `long`: a deep search, for `make test-long`
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The time of one example says more about a busy machine than about the code: no deadline.
settings.register_profile(
    "default",
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile(
    "long", settings.get_profile("default"), max_examples=2_000, stateful_step_count=100
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts what runs in the background deaf to Ctrl-C, and so would be every process
    # that a test starts and then stops by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONG = os.environ.get("QENEX_LONG") == "1"
"""True in `make test-long`."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests marked `long` out, unless QENEX_LONG=1: deselected, so that a skip always means a lack."""
    if LONG:
        return
    chosen = [item for item in items if item.get_closest_marker("long") is None]
    if len(chosen) != len(items):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = chosen


@pytest.fixture(scope="session", autouse=True)
def _own_settings_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the user's QENEX_* variables and configuration folder from every test and its processes."""
    kept = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("QENEX_") and name != "QENEX_LONG"]:
        del os.environ[name]
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty folder with a short name: a local socket's path has at most about 100 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="qx-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The project's top folder."""
    return Path(__file__).resolve().parent.parent
