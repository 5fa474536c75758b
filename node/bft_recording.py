"""A recording of consensus for `replay-consensus`: every step of a core, up to a bounded size."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from consensus.events import Action, Event
from consensus.height import Core
from consensus.replay import Recorder

log = logging.getLogger("qenex.engine")

MAX_BYTES: Final = 256 << 20
"""Some hours of four validators. A recording is of use from its beginning only, so it ends rather than turns over."""
OLDER: Final = ".old"

StepCore = Callable[[Event], list[Action]]


class Recording:
    """Makes recorders that write to `path`; the file of the core before is kept beside it. Raises OSError."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._size = 0

    def of(self, core: Core) -> StepCore:
        """What steps this core from now on, and writes it down."""
        self.close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.exists():
            os.replace(self._path, self._path.with_name(self._path.name + OLDER))
        self._file = self._path.open("wb")
        self._size = 0
        recorder = Recorder(core, self._write)

        def step(event: Event) -> list[Action]:
            return core.step(event) if self._file is None else recorder.step(event)

        return step

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        if self._size + len(data) > self._max_bytes:
            log.warning("the recording of consensus is full and ends here", extra={"bytes": self._size})
            self.close()
            return
        self._file.write(data)
        self._size += len(data)

    def close(self) -> None:
        """Write what is buffered; nothing more is recorded."""
        if self._file is not None:
            self._file.close()
            self._file = None
