"""Processes that outlive the command that started them: which one it is, is it alive, ending it.

A pid alone proves nothing: after a crash or a restart of the machine it may be somebody else's. A
process is ours only if its start time, too, is the one that was noted when it was started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from qenex.errors import AddressInUse, DataFolderLocked, ProcessFailed

POLL_SECONDS = 0.02
MAX_LOG_SIZE = 16 << 20
"""Bytes of a log file that is still appended to; a larger one is put aside as `.1` at the next start."""


class ProcessId(NamedTuple):
    """A process by pid and by when it was started (opaque text, equal for the same process only)."""

    pid: int
    started: str


def identify(pid: int) -> ProcessId | None:
    """Return the identity of a running process, None if there is none with this pid (or a dead one)."""
    if pid <= 0:
        return None
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            parts = stat.read_text("ascii", "replace").rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            return None
        # Field 3 is the state (Z: ended, not yet collected), field 22 the start in ticks since boot.
        return None if parts[0] in ("Z", "X") else ProcessId(pid, f"{_boot_id()}:{parts[19]}")
    return _identify_by_ps(pid)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _identify_by_ps(pid: int) -> ProcessId | None:
    try:
        done = subprocess.run(  # noqa: S603  # a fixed command, the pid is an integer
            ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    state, _, started = done.stdout.strip().partition(" ")
    return ProcessId(pid, started.strip()) if started and not state.startswith("Z") else None


def is_alive(process: ProcessId) -> bool:
    """Whether exactly this process still runs."""
    return identify(process.pid) == process


def stop(process: ProcessId, *, seconds: float) -> bool:
    """Ask a process to end, and kill it if it has not after `seconds`. False if it had to be killed."""
    if not is_alive(process):
        return True
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    if _gone(process, seconds):
        return True
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    if not _gone(process, 10):
        raise ProcessFailed(
            f"process {process.pid} does not end", hint="it may hang in the kernel; look at its disk"
        )
    return False


def _gone(process: ProcessId, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def start_node(home: Path, log_path: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    """Start `python -m node` on a home as a process of its own session, its output appended to a log file."""
    log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if log_path.stat().st_size > MAX_LOG_SIZE:
            os.replace(log_path, log_path.with_name(log_path.name + ".1"))
    arguments = [sys.executable, "-P", "-m", "node", "--home", str(home)]
    for override in overrides:
        arguments += ["--set", override]
    # Settings of the user's own node must not steer this one; imports must not depend on the present folder.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QENEX_")}
    sources = str(Path(__file__).resolve().parent.parent)
    kept["PYTHONPATH"] = os.pathsep.join(part for part in (sources, kept.get("PYTHONPATH", "")) if part)
    with log_path.open("ab") as log:
        return subprocess.Popen(  # noqa: S603  # our own interpreter and module
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env=kept,
            start_new_session=True,
        )


def last_words(log_path: Path, since: int) -> str:
    """Return the last line that a process wrote after byte `since` of its log, shortened."""
    try:
        with log_path.open("rb") as file:
            file.seek(max(since, log_path.stat().st_size - 4_096))
            lines = [
                line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()
            ]
    except OSError:
        return ""
    telling = [line for line in lines if "CRITICAL" in line.upper() or "Error" in line] or lines
    return telling[-1][:400] if telling else ""


# -- ports -------------------------------------------------------------------------------------


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        if os.name == "posix":  # as servers do it; without it a port in TIME_WAIT would look busy
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_port(host: str, wanted: int | None, preferred: list[int]) -> int:
    """Return `wanted` if it is free, else the first free preferred port, else any. Raises AddressInUse."""
    if wanted is not None:
        if not is_free(host, wanted):
            raise AddressInUse(f"port {wanted} of {host} is in use")
        return wanted
    for port in preferred:
        if is_free(host, port):
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        found: int = probe.getsockname()[1]
        return found


# -- one at a time -----------------------------------------------------------------------------


@contextlib.contextmanager
def locked(path: Path, *, seconds: float, what: str) -> Iterator[None]:
    """Hold an exclusive lock on a file. Raises DataFolderLocked after `seconds` of waiting."""
    with path.open("ab") as file:
        deadline = time.monotonic() + seconds
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise DataFolderLocked(
                    f"another command is at work on {what}", hint="wait until it has ended"
                )
            time.sleep(POLL_SECONDS)
        yield  # closing the file frees the lock, however this process ends


def _try_lock(file: IO[bytes]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
