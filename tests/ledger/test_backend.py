"""All stores keep one contract: atomic ordered batches, isolated snapshots, folders left alone when refused."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger.backend import Backend, BackendKind, ReadView, StorageFault, open_backend, stored_kind
from ledger.backends import leveldb, sqlite
from ledger.keys import prefix_end
from qenex.errors import (
    BackendUnavailable,
    DataFolderCorrupt,
    DataFolderForeign,
    DataFolderLocked,
    DataFolderMissing,
    InvalidConfig,
    QenexError,
    UnsupportedVersion,
)
from tests.ledger.faults import Crash, FaultyBackend

LEVELDB = importlib.util.find_spec("plyvel") is not None
needs_leveldb = pytest.mark.skipif(not LEVELDB, reason="plyvel has no wheel for this platform")
PERSISTENT = [pytest.param("leveldb", marks=needs_leveldb), "sqlite"]
ALL = [*PERSISTENT, "memory"]
END = b"\xff" * 8


def fill(store: Backend, entries: dict[bytes, bytes], *, sync: bool = True) -> None:
    batch = store.batch()
    for key, value in entries.items():
        batch.put(key, value)
    store.write(batch, sync=sync)


def fingerprint(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Return contents, size and modification time of everything in a folder."""
    result = {".": ("", 0, folder.stat().st_mtime_ns)} if folder.is_dir() else {}
    for path in [folder, *folder.rglob("*")] if folder.exists() else []:
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        result[str(path)] = (content, path.stat().st_size, path.stat().st_mtime_ns)
    return result


@pytest.mark.parametrize("kind", ALL)
def test_reads_give_what_was_written_and_ranges_are_ordered_and_half_open(
    kind: BackendKind, tmp_path: Path
) -> None:
    store = open_backend(kind, tmp_path / "data", create=True)
    entries = {b"%05d" % (n * 7 % 2003): b"value %d" % n for n in range(2003)}
    fill(store, entries)
    assert store.kind == kind
    assert store.get(b"00007") == entries[b"00007"]
    assert store.get(b"7") is None
    assert store.get_many([b"00001", b"x", b"00002"]) == [entries[b"00001"], None, entries[b"00002"]]
    assert list(store.iterate(b"", END)) == sorted(entries.items())
    assert list(store.iterate(b"", END, reverse=True)) == sorted(entries.items(), reverse=True)
    assert [key for key, _ in store.iterate(b"00100", b"00103")] == [b"00100", b"00101", b"00102"]
    assert list(store.iterate(b"5", b"5")) == []
    assert list(store.iterate(b"5", b"4", reverse=True)) == []
    for stop in (b"00100\x00", b"00101"):  # exactly one entry, at the start
        for reverse in (False, True):
            assert [key for key, _ in store.iterate(b"00100", stop, reverse=reverse)] == [b"00100"]
    assert store.approximate_size() > 10_000
    store.compact()
    assert store.get(b"00007") == entries[b"00007"]
    store.close()


@pytest.mark.parametrize("kind", PERSISTENT)
def test_compaction_gives_the_space_of_what_was_deleted_back(kind: BackendKind, tmp_path: Path) -> None:
    store = open_backend(kind, tmp_path / "data", create=True)
    entries = {hashlib.sha256(b"%d" % n).digest(): bytes(1_000) for n in range(2_000)}
    fill(store, entries)
    store.compact()  # into tables
    full = store.approximate_size()
    batch = store.batch()
    batch.delete_many(entries)
    store.write(batch, sync=True)
    store.compact()
    assert list(store.iterate(b"", END)) == []
    assert store.approximate_size() < full / 4
    store.close()


@pytest.mark.parametrize("kind", ALL)
def test_the_last_write_to_a_key_in_a_batch_wins(kind: BackendKind, tmp_path: Path) -> None:
    store = open_backend(kind, tmp_path / "data", create=True)
    fill(store, {b"a": b"0", b"b": b"0", b"c": b"0", b"empty": b""})
    batch = store.batch()
    batch.put(b"a", b"1")
    batch.delete(b"a")
    batch.delete(b"b")
    batch.put(b"b", b"2")
    batch.delete_many([b"c", b"never there"])
    assert batch.size() > 0
    assert store.get(b"b") == b"0"
    store.write(batch, sync=True)
    assert dict(store.iterate(b"", END)) == {b"b": b"2", b"empty": b""}
    store.close()


@pytest.mark.parametrize("kind", ALL)
def test_a_snapshot_does_not_see_later_writes(kind: BackendKind, tmp_path: Path) -> None:
    store = open_backend(kind, tmp_path / "data", create=True)
    fill(store, {b"a": b"1", b"gone": b"1"})
    with store.snapshot() as view:
        batch = store.batch()
        batch.put(b"a", b"2")
        batch.put(b"b", b"2")
        batch.delete(b"gone")
        store.write(batch, sync=False)
        assert view.get_many([b"a", b"b", b"gone"]) == [b"1", None, b"1"]
        assert list(view.iterate(b"", END)) == [(b"a", b"1"), (b"gone", b"1")]
    assert list(store.iterate(b"", END)) == [(b"a", b"2"), (b"b", b"2")]
    store.close()


@pytest.mark.parametrize("kind", ALL)
def test_readers_in_other_threads_see_whole_batches_only(kind: BackendKind, tmp_path: Path) -> None:
    store = open_backend(kind, tmp_path / "data", create=True)
    keys = [b"k%d" % n for n in range(20)]
    fill(store, dict.fromkeys(keys, b"0"))
    torn: list[object] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            with store.snapshot() as view:
                seen = set(view.get_many(keys))
                if len(seen) != 1:
                    torn.append(seen)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        fill(store, dict.fromkeys(keys, b"%d" % turn), sync=False)
    stop.set()
    for thread in threads:
        thread.join()
    assert not torn
    store.close()


@pytest.mark.parametrize("kind", PERSISTENT)
def test_writes_are_there_after_closing_and_opening_again(kind: BackendKind, tmp_path: Path) -> None:
    store = open_backend(kind, tmp_path / "data", create=True)
    fill(store, {b"a": b"1"}, sync=True)
    fill(store, {b"b": b"2"}, sync=False)
    store.close()
    assert stored_kind(tmp_path / "data") == kind
    again = open_backend(kind, tmp_path / "data")
    assert dict(again.iterate(b"", END)) == {b"a": b"1", b"b": b"2"}
    again.close()


@pytest.mark.parametrize("kind", PERSISTENT)
def test_a_synced_write_survives_the_sudden_end_of_the_process(kind: BackendKind, tmp_path: Path) -> None:
    program = (
        "import os, sys; from ledger.backend import open_backend\n"
        f"store = open_backend({kind!r}, sys.argv[1], create=True)\n"
        "for turn in range(20):\n"
        "    batch = store.batch()\n"
        "    for n in range(50): batch.put(b'%d' % n, b'%d' % turn)\n"
        "    store.write(batch, sync=True)\n"
        "os._exit(9)\n"
    )
    code = subprocess.run([sys.executable, "-c", program, str(tmp_path / "data")], check=False).returncode
    assert code == 9
    store = open_backend(kind, tmp_path / "data")
    assert dict(store.iterate(b"", END)) == {b"%d" % n: b"19" for n in range(50)}
    store.close()


class StoreMachine(RuleBasedStateMachine):
    """A store against a dict, through snapshots and restarts."""

    kind: BackendKind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="qx-"))
        self.store = open_backend(self.kind, self.folder / "data", create=True)
        self.model: dict[bytes, bytes] = {}
        self.views: list[tuple[ReadView, dict[bytes, bytes]]] = []

    keys = st.binary(min_size=1, max_size=3).filter(lambda key: key < END)

    @rule(
        changes=st.lists(st.tuples(keys, st.none() | st.binary(max_size=40)), max_size=12), sync=st.booleans()
    )
    def write(self, changes: list[tuple[bytes, bytes | None]], sync: bool) -> None:
        batch = self.store.batch()
        for key, value in changes:
            if value is None:
                batch.delete(key)
                self.model.pop(key, None)
            else:
                batch.put(key, value)
                self.model[key] = value
        self.store.write(batch, sync=sync)

    @rule(start=keys, stop=keys, reverse=st.booleans())
    def read_range(self, start: bytes, stop: bytes, reverse: bool) -> None:
        wanted = sorted((item for item in self.model.items() if start <= item[0] < stop), reverse=reverse)
        assert list(self.store.iterate(start, stop, reverse=reverse)) == wanted

    @precondition(lambda self: len(self.views) < 4)
    @rule()
    def take_view(self) -> None:
        self.views.append((self.store.snapshot(), dict(self.model)))

    @precondition(lambda self: self.views)
    @rule(reverse=st.booleans())
    def read_and_close_view(self, reverse: bool) -> None:
        view, model = self.views.pop(0)
        assert list(view.iterate(b"", END, reverse=reverse)) == sorted(model.items(), reverse=reverse)
        view.close()

    @precondition(lambda self: self.kind != "memory")
    @rule()
    def reopen(self) -> None:
        self.close_all()
        self.store = open_backend(self.kind, self.folder / "data")

    @invariant()
    def point_reads_agree(self) -> None:
        wanted = [*list(self.model)[:5], b"absent"]
        assert self.store.get_many(wanted) == [self.model.get(key) for key in wanted]

    def close_all(self) -> None:
        for view, _ in self.views:
            view.close()
        self.views.clear()
        self.store.close()

    def teardown(self) -> None:
        self.close_all()
        shutil.rmtree(self.folder, ignore_errors=True)


class LevelMachine(StoreMachine):
    kind = "leveldb"


class SqliteMachine(StoreMachine):
    kind = "sqlite"


# Disk folders per example: fewer examples than the profile's.
_ON_DISK = settings(max_examples=max(settings().max_examples // 6, 5))
TestMemoryAgainstDict = StoreMachine.TestCase
TestLevelDbAgainstDict = needs_leveldb(LevelMachine.TestCase)
TestSqliteAgainstDict = SqliteMachine.TestCase
LevelMachine.TestCase.settings = _ON_DISK
SqliteMachine.TestCase.settings = _ON_DISK


# -- refusals leave a folder as it was -------------------------------------------------------


@pytest.mark.parametrize("kind", PERSISTENT)
@pytest.mark.parametrize("create", [False, True])
def test_a_foreign_folder_is_refused_and_not_a_byte_of_it_changes(
    kind: BackendKind, create: bool, tmp_path: Path
) -> None:
    place = tmp_path / "photos"
    (place / "leveldb").mkdir(parents=True)
    (place / "CURRENT").write_text("MANIFEST-000001\n")
    (place / "cat.jpg").write_bytes(b"meow")
    before = fingerprint(place)
    with pytest.raises(DataFolderForeign):
        open_backend(kind, place, create=create)
    assert fingerprint(place) == before


@pytest.mark.parametrize("kind", PERSISTENT)
def test_a_file_in_place_of_the_folder_is_refused(kind: BackendKind, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x")
    with pytest.raises(DataFolderForeign):
        open_backend(kind, tmp_path / "data", create=True)
    assert (tmp_path / "data").read_bytes() == b"x"


@pytest.mark.parametrize("kind", PERSISTENT)
def test_a_missing_or_empty_folder_is_not_created_unasked(kind: BackendKind, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    before = fingerprint(tmp_path)
    for name in ("missing", "empty"):
        with pytest.raises(DataFolderMissing):
            open_backend(kind, tmp_path / name)
    assert fingerprint(tmp_path) == before


@needs_leveldb
@pytest.mark.parametrize(("made", "asked"), [("leveldb", "sqlite"), ("sqlite", "leveldb")])
def test_a_folder_of_the_other_kind_is_refused_untouched(
    made: BackendKind, asked: BackendKind, tmp_path: Path
) -> None:
    open_backend(made, tmp_path / "data", create=True).close()
    before = fingerprint(tmp_path / "data")
    with pytest.raises(DataFolderForeign, match=made):
        open_backend(asked, tmp_path / "data", create=True)
    assert fingerprint(tmp_path / "data") == before


@pytest.mark.parametrize("kind", PERSISTENT)
def test_a_folder_in_use_is_refused_untouched(kind: BackendKind, tmp_path: Path) -> None:
    store = open_backend(kind, tmp_path / "data", create=True)
    fill(store, {b"a": b"1"})
    before = fingerprint(tmp_path / "data")
    with pytest.raises(DataFolderLocked):
        open_backend(kind, tmp_path / "data")
    program = (
        "import sys; from ledger.backend import open_backend; from qenex.errors import DataFolderLocked\n"
        f"try: open_backend({kind!r}, sys.argv[1], create=True)\n"
        "except DataFolderLocked: sys.exit(7)\n"
    )
    other = subprocess.run([sys.executable, "-c", program, str(tmp_path / "data")], check=False)
    assert other.returncode == 7
    assert fingerprint(tmp_path / "data") == before
    store.close()
    open_backend(kind, tmp_path / "data").close()


@pytest.mark.parametrize(
    ("marker", "error"),
    [
        (b"", DataFolderForeign),
        (b"something else\n", DataFolderForeign),
        (b"\xff\xfe" * 50, DataFolderForeign),
        (b"QENEX data folder\nformat 2\nbackend sqlite\nstate ready\n", UnsupportedVersion),
        (b"QENEX data folder\nformat 1\nbackend sqlite\n", DataFolderCorrupt),
        (b"QENEX data folder\nformat 1\nbackend sqlite\nstate ready\n" * 9, DataFolderCorrupt),
        (b"QENEX data folder\nformat x\nbackend sqlite\nstate ready\n", DataFolderCorrupt),
    ],
)
def test_a_strange_marker_is_refused_untouched(
    marker: bytes, error: type[QenexError], tmp_path: Path
) -> None:
    open_backend("sqlite", tmp_path / "data", create=True).close()
    (tmp_path / "data" / "QENEX").write_bytes(marker)
    before = fingerprint(tmp_path / "data")
    with pytest.raises(error):
        open_backend("sqlite", tmp_path / "data", create=True)
    assert fingerprint(tmp_path / "data") == before


@pytest.mark.parametrize("kind", PERSISTENT)
def test_a_creation_cut_short_is_taken_up_again(kind: BackendKind, tmp_path: Path) -> None:
    place = tmp_path / "data"
    open_backend(kind, place, create=True).close()
    marker = (place / "QENEX").read_text()
    (place / "QENEX").write_text(marker.replace("ready", "creating"))
    store = open_backend(kind, place)
    fill(store, {b"a": b"1"})
    store.close()
    assert "ready" in (place / "QENEX").read_text()


def test_without_plyvel_leveldb_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(leveldb, "plyvel", None)
    with pytest.raises(BackendUnavailable) as caught:
        open_backend("leveldb", tmp_path / "data", create=True)
    assert "sqlite" in caught.value.hint
    assert not (tmp_path / "data").exists()


def test_unknown_kinds_and_tiny_caches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig):
        open_backend("rocks", tmp_path / "data", create=True)  # type: ignore[arg-type]  # a kind that does not exist is the point
    with pytest.raises(InvalidConfig):
        open_backend("sqlite", tmp_path / "data", create=True, cache_bytes=1000)


# -- damage ------------------------------------------------------------------------------------


def level_files(folder: Path, *endings: str) -> list[Path]:
    return sorted(
        path
        for path in (folder / leveldb.FOLDER).iterdir()
        if path.name.endswith(endings) or path.name.startswith(endings)
    )


@needs_leveldb
@pytest.mark.parametrize(
    "damage", ["no CURRENT", "bad CURRENT", "no MANIFEST", "bad MANIFEST", "bad log", "no table"]
)
def test_damaged_leveldb_files_are_reported_and_nothing_is_touched(damage: str, tmp_path: Path) -> None:
    place = tmp_path / "data"
    store = open_backend("leveldb", place, create=True)
    fill(store, {b"%06d" % n: bytes(100) for n in range(2000)})
    store.compact()
    fill(store, {b"late %d" % n: bytes(100) for n in range(100)})
    store.close()
    what, name = damage.split()
    victim = level_files(place, {"log": ".log", "table": ".ldb"}.get(name, name))[-1]
    if what == "no":
        victim.unlink()
    else:
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 0x40
        victim.write_bytes(data)
    before = fingerprint(place)
    with pytest.raises(DataFolderCorrupt):
        open_backend("leveldb", place)
    assert fingerprint(place) == before


@pytest.mark.parametrize("damage", ["gone", "header", "other application", "truncated"])
def test_a_damaged_sqlite_file_is_reported_and_nothing_is_touched(damage: str, tmp_path: Path) -> None:
    place = tmp_path / "data"
    store = open_backend("sqlite", place, create=True)
    fill(store, {b"%06d" % n: bytes(100) for n in range(2000)})
    store.close()
    file = place / sqlite.FILE
    data = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    else:
        if damage == "header":
            data[3] ^= 1
        elif damage == "other application":
            data[70] ^= 1
        else:
            del data[50:]
        file.write_bytes(data)
    before = fingerprint(place)
    with pytest.raises(DataFolderCorrupt):
        open_backend("sqlite", place)
    assert fingerprint(place) == before


@pytest.mark.parametrize("kind", PERSISTENT)
@settings(max_examples=15)
@given(where=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_never_gives_a_wrong_value(kind: BackendKind, where: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "data")
        store = open_backend(kind, place, create=True)
        entries = {b"%06d" % n: hashlib.sha256(b"%d" % n).digest() for n in range(800)}
        fill(store, entries)
        store.compact()
        store.close()
        files = level_files(place, ".ldb") if kind == "leveldb" else [place / sqlite.FILE]
        data = bytearray(files[0].read_bytes())
        data[where % len(data)] ^= 1 << bit
        files[0].write_bytes(data)
        try:
            store = open_backend(kind, place)
        except (DataFolderCorrupt, StorageFault):
            return
        for key, value in entries.items():
            # An index page may lose a key: the layers above count on hashes for that.
            with suppress(StorageFault):
                assert store.get(key) in (value, None)
        with suppress(StorageFault):
            assert set(store.iterate(b"", END)) <= set(entries.items())
        store.close()


# -- faults ------------------------------------------------------------------------------------


@needs_leveldb
def test_failures_of_leveldb_become_storage_faults(tmp_path: Path) -> None:
    import plyvel

    class Failing:
        def get(self, *_: object, **__: object) -> bytes:
            raise plyvel.IOError(b"IO error: No space left on device")

        def iterator(self, **_: object) -> object:
            raise OSError(28, "No space left on device")

        def write(self) -> None:
            raise plyvel.CorruptionError(b"Corruption: checksum mismatch")

        put = delete = None

    reader = leveldb.LevelView(Failing())
    with pytest.raises(StorageFault, match="No space left on device"):
        reader.get(b"a")
    with pytest.raises(StorageFault):
        reader.get_many([b"a"])
    with pytest.raises(StorageFault):
        list(reader.iterate(b"", b"z"))
    store = open_backend("leveldb", tmp_path / "data", create=True)
    with pytest.raises(StorageFault, match="checksum mismatch"):
        store.write(leveldb.LevelBatch(Failing()), sync=True)
    store.close()
    assert not issubclass(StorageFault, Exception)


def test_a_full_disk_is_a_storage_fault_and_leaves_the_store_whole(tmp_path: Path) -> None:
    store = open_backend("sqlite", tmp_path / "data", create=True)
    fill(store, {b"a": b"1"})
    assert isinstance(store, sqlite.SqliteBackend)
    store._writer.execute("PRAGMA max_page_count=8")
    with pytest.raises(StorageFault, match="full"):
        fill(store, {b"a": b"2"} | {b"%d" % n: bytes(5000) for n in range(100)})
    assert dict(store.iterate(b"", END)) == {b"a": b"1"}
    store._writer.execute("PRAGMA max_page_count=100000")
    fill(store, {b"a": b"3"})
    assert store.get(b"a") == b"3"
    store.close()


@pytest.mark.parametrize("kind", PERSISTENT)
def test_a_real_limit_on_file_size_stops_the_writer_with_a_storage_fault(
    kind: BackendKind, tmp_path: Path
) -> None:
    """RLIMIT_FSIZE stands in for a full disk: writes beyond it fail with EFBIG."""
    program = (
        "import resource, signal, sys\n"
        "from ledger.backend import StorageFault, open_backend\n"
        f"store = open_backend({kind!r}, sys.argv[1], create=True)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "done = 0\n"
        "try:\n"
        "    for turn in range(200):\n"
        "        batch = store.batch()\n"
        "        for n in range(20): batch.put(b'%d' % n, b'%04d' % turn + bytes(1500))\n"
        "        store.write(batch, sync=True)\n"
        "        done = turn\n"
        "except StorageFault:\n"
        "    print(done); sys.stdout.flush(); import os; os._exit(5)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")], check=False, capture_output=True, text=True
    )
    assert run.returncode == 5, run.stderr
    store = open_backend(kind, tmp_path / "data")
    turns = {int(value[:4]) for _, value in store.iterate(b"", END)}
    assert len(turns) == 1
    assert turns.pop() >= int(run.stdout)
    store.close()


def test_sqlite_checksums_catch_what_sqlite_does_not(tmp_path: Path) -> None:
    store = open_backend("sqlite", tmp_path / "data", create=True)
    fill(store, {b"a": b"value", b"b": b"value"})
    store.close()
    with sqlite3.connect(tmp_path / "data" / sqlite.FILE) as raw:
        raw.execute(
            "UPDATE entries SET value=(SELECT value FROM entries WHERE key=?) WHERE key=?", (b"a", b"b")
        )
    raw.close()
    store = open_backend("sqlite", tmp_path / "data")
    assert store.get(b"a") == b"value"
    with pytest.raises(StorageFault):
        store.get(b"b")
    with pytest.raises(StorageFault):
        list(store.iterate(b"", END))
    store.close()


def test_the_faulty_store_loses_what_was_not_synced_and_nothing_else() -> None:
    store = FaultyBackend(at=4, moment="after")
    fill(store, {b"a": b"1"}, sync=True)
    fill(store, {b"b": b"1"}, sync=False)
    fill(store, {b"c": b"1"}, sync=False)
    with pytest.raises(Crash):
        fill(store, {b"d": b"1"}, sync=False)
    assert store.unsynced() == 3
    assert [len(dict(store.survivor(kept).iterate(b"", END))) for kept in range(4)] == [1, 2, 3, 4]
    full = FaultyBackend(at=1, moment="full")
    with pytest.raises(StorageFault):
        fill(full, {b"a": b"1"})
    fill(full, {b"a": b"2"})
    assert full.get(b"a") == b"2"


def test_a_prefix_ends_before_the_next_one() -> None:
    assert prefix_end(b"S") == b"T"
    assert prefix_end(b"a\xff\xff") == b"b"
    with pytest.raises(ValueError):
        prefix_end(b"\xff")
