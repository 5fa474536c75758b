"""`qenex node snapshot`, `rollback` and `replay`: on the store of a stopped node."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, pass_app
from cli.exit_codes import ExitCode, Stopped
from cli.layout import fields, grouped, table
from cli.lazy import Command, Group
from cli.node_home import config_of, node_home, open_stopped, writable_store
from cli.output import Result
from qenex.errors import (
    DataFolderCorrupt,
    InvalidArguments,
    NotFound,
    ProofInvalid,
    QenexError,
    UsageError,
)

if TYPE_CHECKING:
    from ledger.snapshot_files import Anchor, SnapshotInfo
    from ledger.snapshots import Manifest


def _info(info: SnapshotInfo) -> dict[str, Any]:
    return {
        "height": info.height,
        "hash": "0x" + info.hash.hex(),
        "block_hash": "0x" + info.block_hash.hex(),
        "entries": info.entries,
        "chunks": info.chunks,
        "bytes": info.size,
    }


@click.group("snapshot", cls=Group)
def snapshot() -> None:
    """Copies of the state for nodes that join, in the home's folder `snapshots`.

    A running node makes them by itself every `snapshots.interval` heights and hands them to peers.
    """


@snapshot.command("list", cls=Command)
@pass_app
def list_snapshots(app: App) -> Result:
    """List the snapshots, newest first; damaged ones are named as such."""
    from ledger.snapshot_files import SnapshotFiles

    config = config_of(node_home(app))
    files = SnapshotFiles(config.snapshots_path)
    found: list[dict[str, Any]] = []
    for height in files.heights():
        try:
            found.append({**_info(files.load(height).info), "problem": None})
        except QenexError as error:
            found.append({"height": height, "problem": error.message})
    if not found:
        return Result({"snapshots": []}, f"There are no snapshots in {config.snapshots_path}.")
    rows = [
        [grouped(one["height"]), "damaged", "", ""]
        if one["problem"]
        else [grouped(one["height"]), grouped(one["entries"]), grouped(one["bytes"]), one["block_hash"]]
        for one in found
    ]
    titles = ["height", "entries", "bytes", "block hash"]
    return Result({"snapshots": found}, lambda style: table(titles, rows, style, right=[0, 1, 2]))


def _driven(app: App, steps: Generator[None, None, Manifest], what: str) -> Manifest:
    """Run steps to their end, saying how far they are."""
    done = 0
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            manifest: Manifest = stop.value
            return manifest
        done += 1
        if not done % 100:
            app.progress(f"{what}: step {grouped(done)}")


@snapshot.command("create", cls=Command)
@click.option("--height", type=click.IntRange(1), help="State after this height [the last but one].")
@pass_app
def create(app: App, *, height: int | None) -> Result:
    """Make a snapshot of a stopped node's state, checked as it is written.

    The header of the next height carries the root, so the newest possible snapshot is of the last height but one.
    """
    from ledger.backend import StorageFault
    from ledger.snapshot_files import SnapshotFiles
    from ledger.snapshots import make_in_steps
    from node.modules import make_machine
    from node.snapshots import anchor_of

    with contextlib.ExitStack() as opened:
        config, ledger = open_stopped(opened, node_home(app), make_machine())
        wanted = ledger.height - 1 if height is None else height
        try:
            anchor = anchor_of(ledger, wanted)
            writer = SnapshotFiles(config.snapshots_path).writer(wanted)
            try:
                steps = make_in_steps(ledger.store, ledger.chain_id, wanted, writer)
                made = writer.finish(_driven(app, steps, f"snapshot of height {grouped(wanted)}"), anchor)
            except BaseException:
                writer.abandon()
                raise
        except StorageFault as fault:
            raise DataFolderCorrupt(f"the store cannot be read: {fault}") from None
        finally:
            app.progress_end()
    info = made.info
    text = f"Made the snapshot of height {grouped(info.height)}: {grouped(info.entries)} entries, {grouped(info.size)} bytes."
    return Result({**_info(info), "folder": str(made.folder)}, text)


@snapshot.command("restore", cls=Command)
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="A snapshot's folder [the newest in the home].",
)
@click.option(
    "--trusted", metavar="HEIGHT:HASH", help="Believe only this block: the snapshot's or the next one."
)
@pass_app
def restore(app: App, *, folder: Path | None, trusted: str | None) -> Result:
    """Begin a new node's data with a snapshot; the data folder must hold no chain yet.

    Every chunk is checked against the snapshot's manifest, and the manifest against the header of the next height.
    Without --trusted these headers are the snapshot's own word: take it from a source you trust. If this is
    interrupted, the same command goes on where it was.
    """
    from ledger.restore import Restore
    from ledger.snapshot_files import Snapshot, SnapshotFiles
    from node.home import read_genesis

    config = config_of(node_home(app))
    genesis = read_genesis(config.genesis_path)
    if folder is None:
        files = SnapshotFiles(config.snapshots_path)
        heights = files.heights()
        if not heights:
            raise UsageError(
                f"there are no snapshots in {config.snapshots_path}", hint="name one: --from FOLDER"
            )
        source = files.load(heights[0])
    else:
        source = Snapshot(folder)
    if trusted is None:
        app.warn(
            f"nothing vouches for this snapshot but itself: compare the hash of block {source.manifest.height}, "
            f"0x{source.info.block_hash.hex()}, with another source, or give --trusted HEIGHT:HASH"
        )
    else:
        _check_trusted(source.anchor, trusted)
    with writable_store(config, create=True) as store:
        begun = Restore.begin(store, genesis, source.manifest_bytes, source.anchor)
        if begun.resumed:
            app.note(f"going on with a restoration that was begun: {len(begun.missing)} chunks are missing")
        missing = begun.missing
        for count, index in enumerate(missing, 1):
            begun.apply(index, source.chunk(index))
            app.progress(f"chunk {grouped(count)} of {grouped(len(missing))}")
        app.progress_end()
        height = begun.finish()
    data = {**_info(source.info), "resumed": begun.resumed, "trusted": trusted}
    return Result(
        data, f"The chain stands at height {grouped(height)}. Start the node; it fetches the blocks after it."
    )


def _check_trusted(anchor: Anchor, trusted: str) -> None:
    """Raises UsageError, ProofInvalid."""
    from qenex.block import block_hash
    from qenex.light_rules import Checkpoint

    try:
        checkpoint = Checkpoint.parse(trusted)
    except InvalidArguments as error:
        raise UsageError(f"--trusted: {error.message}", hint=error.hint) from None
    for block in anchor:
        if block.header.height == checkpoint.height:
            if block_hash(block.header) != checkpoint.hash:
                raise ProofInvalid(
                    f"block {checkpoint.height} of the snapshot has another hash than the trusted one"
                )
            return
    first = anchor.block.header.height
    raise UsageError(
        f"the snapshot proves blocks {first} and {first + 1}, not {checkpoint.height}",
        hint="give the hash of one of these two blocks",
    )


# -- rollback ----------------------------------------------------------------------------------------


@click.command("rollback", cls=Command)
@click.option("--height", type=click.IntRange(0), help="Height to go back to [one below the last].")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def rollback(app: App, *, height: int | None, yes: bool) -> Result:
    """Take a stopped node back to an earlier height: the blocks after it and what they changed are deleted.

    For a node whose program computed something wrong: go back, install the right one, start; it fetches the blocks
    anew. The chain itself does not go back, and neither does the memory of what a validator's key has signed: it
    signs nothing again until the chain is beyond that. Goes back block by block, at most as far as old state is kept.
    """
    from ledger.rollback import oldest_target, step_back
    from node.modules import make_machine

    home = node_home(app)
    with contextlib.ExitStack() as opened:
        config, ledger = open_stopped(opened, home, make_machine())
        last, oldest = ledger.height, oldest_target(ledger.store)
    target = last - 1 if height is None else height
    if target >= last:
        raise UsageError(f"the chain stands at {last}: height {target} is not before that")
    if target < oldest:
        raise UsageError(f"this node can go back to height {oldest} at most", hint="see database.history")
    app.note(
        f"{home}: blocks {grouped(target + 1)} to {grouped(last)} and all they changed will be deleted from "
        f"{config.data_path}; the signer's memory in {config.signer_state_path} stays as it is"
    )
    app.confirm("Go back?", yes=yes)
    with writable_store(config) as store:
        at = last
        while at > target:
            at = step_back(store)
            app.progress(f"height {grouped(at)}")
        app.progress_end()
    return Result(
        {"home": str(home), "from": last, "height": at}, f"The chain stands at height {grouped(at)}."
    )


# -- replay ------------------------------------------------------------------------------------------


@click.command("replay", cls=Command)
@click.option(
    "--from",
    "start",
    type=click.IntRange(1),
    metavar="HEIGHT",
    help="Begin with the state after it [genesis].",
)
@click.option(
    "--to", "stop", type=click.IntRange(1), metavar="HEIGHT", help="Last block [the last one stored]."
)
@pass_app
def replay(app: App, *, start: int | None, stop: int | None) -> Result:
    """Execute a stopped node's blocks once more and compare every result with what the chain says.

    Signatures are verified, too. Nothing of the node changes: the blocks are executed on a copy, which is deleted
    afterwards. Ends at the first height that differs, with exit code 10.
    """
    from ledger.backend import StorageFault, open_backend
    from node.modules import make_machine
    from node.replay import replay as run_replay

    home = node_home(app)
    with contextlib.ExitStack() as opened:
        config, ledger = open_stopped(opened, home, make_machine())
        if stop is not None and stop > ledger.height:
            raise NotFound(f"height {stop} does not exist yet, the chain stands at {ledger.height}")
        if start is not None and stop is not None and stop <= start:
            raise UsageError(
                f"with the state after {start} begins block {start + 1}; --to {stop} is before that"
            )
        kind: Any = config.database.backend
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="replay-", dir=home))
        store = open_backend(kind, Path(folder) / "data", create=True)
        opened.callback(store.close)
        last = ledger.height if stop is None else stop
        blocks = transactions = 0
        problem, at = "", start or ledger.initial_height - 1
        try:
            for done in run_replay(ledger, start, stop, store):
                blocks, transactions, at = blocks + 1, transactions + done.transactions, done.height
                problem = done.problem
                app.progress(f"block {grouped(at)} of {grouped(last)}")
        except StorageFault as fault:
            raise DataFolderCorrupt(f"the store cannot be read: {fault}") from None
        finally:
            app.progress_end()
    data = {
        "home": str(home),
        "blocks": blocks,
        "transactions": transactions,
        "height": at,
        "differs_at": at if problem else None,
        "problem": problem or None,
    }
    if problem:
        error = DataFolderCorrupt(
            f"block {at} does not give what the chain says: {problem}",
            hint="this program has other rules than the chain, or the stored block or result is damaged",
        )
        raise Stopped(error, ExitCode.CONFIG, data=data)
    rows = [
        ("blocks", grouped(blocks)),
        ("transactions", grouped(transactions)),
        ("last height", grouped(at)),
    ]
    return Result(data, lambda style: "Every block gives what the chain says.\n\n" + fields(rows, style))
