"""`python -m node --home DIR`: run one node in the foreground. `python -m node signer ...` guards its key apart,
`python -m node replay-consensus FILE` checks a recording of the consensus core.

Exit codes: 0 stopped as asked; 1 a defect; 10 settings, genesis, key or data folder refused; 74 the disk
failed or is full (nothing was half-written).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from consensus.signer import SignerGuard
from ledger.backend import StorageFault
from node import remote_signer_process, replay_consensus
from node.config import Config, load_config
from node.home import read_genesis, read_key
from node.logging import set_up_logging
from node.modules import make_machine
from node.node import Node, open_ledger
from qenex.errors import DiskFull, InternalError, QenexError

RECOVERY_ROUND: Final = 1_000
RECOVER_HELP: Final = (
    "make a lost signer state anew from the data folder, and exit. Only if no other process signs with this key, and "
    "the data folder is the newest one it ever signed for: from an older copy (a backup, a snapshot of the disk) the "
    "key would sign a second time at heights it has signed already, which others can prove"
)
EXIT_DONE, EXIT_DEFECT, EXIT_CONFIG, EXIT_DISK = 0, 1, 10, 74

log = logging.getLogger("qenex.node")


async def live(config: Config) -> None:
    """Start a node, stop it on SIGTERM or SIGINT. Raises what it ends with."""
    node = Node(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.request_stop)
    await node.start()
    await node.run()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's loop where it is installed, else the standard library's."""
    try:
        return cast(Callable[[], asyncio.AbstractEventLoop], importlib.import_module("uvloop").new_event_loop)
    except ImportError:
        return asyncio.new_event_loop


def run(config: Config) -> int:
    """Run a node to its end; returns the exit code."""
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(live(config))
    except (StorageFault, OSError, DiskFull) as error:
        log.critical("the disk failed: %s; %s", error, DiskFull.default_hint)
        return EXIT_DISK
    except InternalError as error:
        log.critical("a defect of the node: %s", error.message)
        return EXIT_DEFECT
    except QenexError as error:
        log.critical("%s (%s); %s", error.message, error.name, error.hint)
        return EXIT_CONFIG
    except KeyboardInterrupt:
        return EXIT_DONE
    except Exception:  # the last line before the process ends: the log has it, stdout never does
        log.critical("a defect of the node", exc_info=True)
        return EXIT_DEFECT
    log.info("node stopped")
    return EXIT_DONE


def recover_signer(config: Config) -> int:
    """Make a new signer state that refuses the chain's height and the next one's early rounds.

    The key may have signed at the next height without the block being written; the new proposal goes into a
    round that was surely never reached. Nothing here can tell whether the data folder is an older copy.
    """
    try:
        genesis, key = read_genesis(config.genesis_path), read_key(config.validator_key_path)
        ledger = open_ledger(config, make_machine(), genesis)
        try:
            height = ledger.height + 1
        finally:
            ledger.close()
        guard = SignerGuard.recover(
            config.signer_state_path,
            chain_id=genesis.chain_id,
            scheme_tag=key.scheme.tag,
            public_key=key.public_key,
            sign=key.sign,
            height=height,
            round=RECOVERY_ROUND,
        )
        guard.close()
    except (StorageFault, OSError) as error:
        log.critical("the disk failed: %s; %s", error, DiskFull.default_hint)
        return EXIT_DISK
    except QenexError as error:
        log.critical("%s (%s); %s", error.message, error.name, error.hint)
        return EXIT_CONFIG
    log.warning(
        "this key signs from height %d, round %d on; if it ever signed beyond height %d, "
        "do not start the node: restore its newest data folder",
        guard.state.height,
        guard.state.round + 1,
        height,
    )
    return EXIT_DONE


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m node`."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["signer"]:
        return remote_signer_process.main(given[1:])
    if given[:1] == ["replay-consensus"]:
        return replay_consensus.main(given[1:])
    parser = argparse.ArgumentParser(
        prog="python -m node", description="Run one QENEX node in the foreground."
    )
    parser.add_argument("--home", type=Path, required=True, help="the node's home folder")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting"
    )
    parser.add_argument(
        "--recover-signer",
        action="store_true",
        help=RECOVER_HELP,
    )
    options = parser.parse_args(given)
    try:
        config = load_config(options.home.absolute(), environment=os.environ, overrides=options.set)
    except QenexError as error:
        set_up_logging("info", "text")
        log.critical("%s (%s); %s", error.message, error.name, error.hint)
        return EXIT_CONFIG
    set_up_logging(config.node.log_level, config.node.log_format)
    return recover_signer(config) if options.recover_signer else run(config)


if __name__ == "__main__":
    sys.exit(main())
