"""A node's home folder and its stopped store, for the commands of `qenex node`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.app import App
from cli.home import DEVNET_FILE
from qenex.errors import DataFolderCorrupt, DataFolderMissing, UsageError

if TYPE_CHECKING:
    from ledger.backend import Backend
    from ledger.store import Ledger
    from node.config import Config
    from vm.machine import Machine


def node_home(app: App) -> Path:
    """Return the node's home: --home, or that of a devnet's only node. Raises DataFolderMissing, UsageError."""
    home = app.home
    if (home / DEVNET_FILE).is_file():
        from cli.devnet_home import existing_devnet

        nodes = existing_devnet(home).nodes
        if len(nodes) > 1:
            raise UsageError(
                f"the devnet in {home} has {len(nodes)} nodes", hint=f"name one: --home {nodes[0].home}"
            )
        return nodes[0].home
    if not home.is_dir():
        raise DataFolderMissing(f"there is no folder {home}")
    return home


def config_of(home: Path) -> Config:
    """The settings of a node's home. Raises DataFolderMissing, InvalidConfig."""
    from node.config import CONFIG_FILE, GENESIS_FILE, load_config

    if not (home / CONFIG_FILE).exists() and not (home / GENESIS_FILE).exists():
        raise DataFolderMissing(f"{home} is no node's home: it has neither {CONFIG_FILE} nor {GENESIS_FILE}")
    return load_config(home, environment=os.environ)


def open_stopped(opened: contextlib.ExitStack, home: Path, machine: Machine) -> tuple[Config, Ledger]:
    """Open a node's store for reading only, until `opened` ends.

    Raises the DataFolder errors (DataFolderLocked while the node runs), BackendUnavailable, InvalidConfig.
    """
    from ledger.backend import StorageFault
    from ledger.store import Ledger

    config = config_of(home)
    backend: Any = config.database.backend
    try:
        ledger = opened.enter_context(
            Ledger.inspect(config.data_path, codecs=machine.state_codecs, backend=backend)
        )
    except StorageFault as fault:
        raise DataFolderCorrupt(f"the store cannot be opened: {fault}") from None
    return config, ledger


@contextlib.contextmanager
def writable_store(config: Config, *, create: bool = False) -> Iterator[Backend]:
    """Open a stopped node's store for changes. Raises as `open_stopped`."""
    from ledger.backend import StorageFault, open_backend

    kind: Any = config.database.backend
    try:
        store = open_backend(kind, config.data_path, create=create)
    except StorageFault as fault:
        raise DataFolderCorrupt(f"the store cannot be opened: {fault}") from None
    try:
        yield store
    except StorageFault as fault:
        raise DataFolderCorrupt(f"the store failed: {fault}") from None
    finally:
        store.close()
