"""The sources keep the house rules, and the scanner that says so can fail."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house_rules import (
    ALLOWED_IMPORTS,
    MAX_LINES,
    MAX_TEST_LINES,
    ROOMS,
    Finding,
    error_codes,
    scan,
    scan_text,
)


def sources(repository: Path) -> list[Path]:
    """Every Python file of the rooms, the tests, the benchmarks and the documentation."""
    return [
        path
        for folder in (*ROOMS, "tests", "benchmarks", "docs")
        for path in sorted((repository / folder).rglob("*.py"))
        if "_build" not in path.parts
    ]


def report(findings: list[Finding]) -> str:
    return "\n".join(map(str, findings))


# -- the sources -------------------------------------------------------------------------


def test_every_source_keeps_the_house_rules(repository: Path) -> None:
    files = sources(repository)
    assert len(files) >= len(ROOMS)
    findings = [
        finding
        for path in files
        for finding in scan(path.relative_to(repository).as_posix(), path.read_text("utf-8"))
    ]
    assert not findings, "\n" + report(findings)


def test_no_text_file_speaks_of_unfinished_work(repository: Path) -> None:
    texts = [*repository.glob("*.md"), *(repository / "docs").rglob("*.md"), repository / "Makefile"]
    findings = [
        finding
        for path in texts
        for finding in scan_text(path.relative_to(repository).as_posix(), path.read_text("utf-8"))
    ]
    assert not findings, "\n" + report(findings)


def test_each_error_code_belongs_to_one_class(repository: Path) -> None:
    tree = ast.parse((repository / "qenex/errors.py").read_text("utf-8"))
    declared: dict[int, str] = {}
    for code, name, line in error_codes(tree):
        if code:
            assert code not in declared, f"line {line}: {name} takes code {code} of {declared[code]}"
            declared[code] = name
    assert len(declared) > 10


def test_error_codes_are_declared_in_one_file(repository: Path) -> None:
    known = {
        name for _, name, _ in error_codes(ast.parse((repository / "qenex/errors.py").read_text("utf-8")))
    }
    for path in sources(repository):
        relative = path.relative_to(repository).as_posix()
        if relative == "qenex/errors.py" or relative.startswith("tests/"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        coded = {name for _, name, _ in error_codes(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name in coded:
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                assert not bases & (known | {"QenexError"}), (
                    f"{relative}: {node.name} belongs in qenex/errors.py"
                )


def test_the_lock_has_a_hash_for_everything_and_no_address(repository: Path) -> None:
    lock = (repository / "requirements.lock").read_text("utf-8")
    assert "://" not in lock
    assert "--index" not in lock
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry.splitlines()[0]
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_the_package_is_marked_as_typed(repository: Path) -> None:
    assert (repository / "qenex/py.typed").is_file()


def test_exceptions_name_no_file_outside_the_deterministic_rooms() -> None:
    assert all(place.startswith(("ledger/", "consensus/")) for place in ALLOWED_IMPORTS)


# -- the scanner -------------------------------------------------------------------------

BREACHES = [
    ("float", "x = 0.5"),
    ("float", "x = 1e9"),
    ("float", "def f(a: int, b: int) -> int:\n    return int(a / b)"),
    ("float", "a = 4\na /= 2"),
    ("float", "import math\nx = math.sqrt(2)"),
    ("float", "from math import log2"),
    ("impure-builtin", "def f(x: float) -> None: ..."),
    ("impure-builtin", "x = round(7)"),
    ("impure-builtin", "x = hash('a')"),
    ("impure-builtin", "class A:\n    id: int\n    def f(self) -> int:\n        return id(self)"),
    ("impure-builtin", "def f(round: int) -> None: ...\ndef g() -> int:\n    return round(1)"),
    ("impure-builtin", "x = sorted([object()], key=id)"),
    ("impure-import", "import time"),
    ("impure-import", "import random"),
    ("impure-import", "from datetime import datetime"),
    ("impure-import", "def f() -> None:\n    import secrets"),
    ("impure-import", "import os.path"),
    ("set-order", "for x in {1, 2}:\n    pass"),
    ("set-order", "x = list({1, 2})"),
    ("set-order", "x = tuple(set([1]))"),
    ("set-order", "x = [y for y in {1, 2}]"),
    ("set-order", "x = {y: 1 for y in frozenset([1])}"),
    ("set-order", "def f(names: set[str]) -> str:\n    return ','.join(names)"),
    ("set-order", "def f(a: frozenset[int], b: list[int]) -> None:\n    for x in a | set(b):\n        pass"),
    ("set-order", "seen = set()\ndef f() -> None:\n    for x in seen:\n        pass"),
    ("set-order", "class A:\n    def __init__(self) -> None:\n        self.seen: set[int] = set()\n"
                  "    def f(self) -> list[int]:\n        return [x for x in self.seen]"),
    ("set-order", "def f() -> None:\n    seen = {1}\n    a, = seen"),
    ("set-order", "def f() -> int:\n    seen = {1}\n    return seen.pop()"),
    ("set-order", "def f(a: set[int]) -> int:\n    return next(iter(a))"),
    ("set-order", "def f(a: set[int]) -> list[int]:\n    return [*a]"),
    ("set-order", "def f(a: set[bytes]) -> bytes:\n    return min(a, key=len)"),
]  # fmt: skip

BREACHES_ANYWHERE = [
    ("broad-except", "try:\n    pass\nexcept Exception:\n    pass"),
    ("broad-except", "try:\n    pass\nexcept (ValueError, BaseException):\n    pass"),
    ("broad-except", "try:\n    pass\nexcept:\n    pass"),
    ("broad-except", "try:\n    pass\nexcept Exception as e:\n    if 1:\n        raise"),
    ("type-ignore", "x: int = 'a'  # type: ignore"),
    ("type-ignore", "x: int = 'a'  # type: ignore[assignment]"),
    ("assert-effect", "a = [1]\nassert a.pop()"),
    ("assert-effect", "assert (n := 1)"),
    ("late-import", "def f() -> None:\n    from qenex.errors import QenexError"),
    ("unfinished", "x = 1  # " + "TO" + "DO later"),
    ("unfinished", "# " + "FIX" + "ME"),
    ("file-length", "\n" * (MAX_LINES + 1)),
]

ACCEPTED = [
    "x = 7 // 2",
    "from math import isqrt",
    "import math\nx = math.gcd(4, 6)",
    "for x in sorted({2, 1}):\n    pass",
    "x = sum(y for y in {1, 2})",
    "x = all(y > 0 for y in {1, 2})",
    "x = {y + 1 for y in {1, 2}}",
    "x = len({1, 2})",
    "def f(a: set[int]) -> bool:\n    return 3 in a",
    "def f(a: set[int]) -> None: ...\ndef g(a: list[int]) -> None:\n    for x in a:\n        pass",
    "def f() -> None:\n    seen = {1: 2}\n    for x in seen:\n        pass",
    "def f(stack: list[int]) -> int:\n    return stack.pop()",
    "try:\n    pass\nexcept Exception:  # a module's own bug fails its transaction, not the node\n    pass",
    "try:\n    pass\nexcept Exception:\n    # a verifier maps every failure of the library to invalid\n    pass",
    "try:\n    pass\nexcept BaseException:\n    x = 1\n    raise",
    "x: int = 'a'  # type: ignore[assignment]  # the library's stub is wrong",
    "def f() -> None:\n    import plyvel",
    "class A:\n    id = 3\n    def f(self) -> int:\n        return self.id",
    "assert isinstance(1, int)",
    "def f(round: int) -> int:\n    return round + 1",
    "def f(round: int) -> int:\n    def g() -> int:\n        return round\n    return g()",
    "def f() -> bytes:\n    hash = b'1'\n    return hash",
]


@pytest.mark.parametrize(("rule", "source"), BREACHES)
@pytest.mark.parametrize("room", ["ledger", "vm", "defi_modules/bank", "consensus"])
def test_scanner_finds_what_breaks_determinism(room: str, rule: str, source: str) -> None:
    assert rule in {finding.rule for finding in scan(f"{room}/example.py", source)}


@pytest.mark.parametrize(("rule", "source"), BREACHES)
def test_scanner_lets_other_rooms_use_clocks_and_floats(rule: str, source: str) -> None:
    assert not scan("node/example.py", source)


@pytest.mark.parametrize(("rule", "source"), BREACHES_ANYWHERE)
@pytest.mark.parametrize("room", ["qenex", "vm", "node"])
def test_scanner_finds_breaches_in_every_room(room: str, rule: str, source: str) -> None:
    assert [finding.rule for finding in scan(f"{room}/example.py", source)] == [rule]


@pytest.mark.parametrize("source", ACCEPTED)
def test_scanner_accepts_what_is_allowed(source: str) -> None:
    assert not scan("vm/example.py", source), report(scan("vm/example.py", source))


def test_scanner_says_where() -> None:
    assert str(scan("vm/example.py", "x = 1\ny = 0.5")[0]) == "vm/example.py:2: float: 0.5"


def test_tests_may_be_longer_than_code() -> None:
    assert not scan("tests/vm/test_example.py", "\n" * MAX_TEST_LINES)
    assert scan("tests/vm/test_example.py", "\n" * (MAX_TEST_LINES + 1))


def test_stores_may_touch_files_but_not_the_environment() -> None:
    source = "import os\nfrom pathlib import Path\nx = Path('a') / 'b'\n"
    for store in ("ledger/backend.py", "ledger/backends/leveldb.py", "consensus/wal.py"):
        assert not scan(store, source + "y = open('a')\n")
    assert len(scan("ledger/tree.py", source + "y = open('a')\n")) == 4
    assert [finding.rule for finding in scan("ledger/backend.py", source + "y = os.environ['HOME']")] == [
        "impure-import"
    ]


def test_command_line_may_import_late() -> None:
    source = "def f() -> None:\n    import node.node"
    assert not scan("cli/main.py", source)
    assert scan("node/node.py", source)
