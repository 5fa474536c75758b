"""The house rules that no linter expresses, as a scanner of source text.

`scan(path, source)` returns findings for one Python file, by its path below the
project's top folder. The rules are of two kinds. Every room: file length, reasons
beside broad `except` and `type: ignore`, no circle dodged by a late import, no
assert with a side effect, no unfinished work. The deterministic rooms (ledger, vm,
defi_modules, consensus) besides: nothing that may differ between two machines or
two runs: floats, clocks, randomness, the environment, the order of a set.

A rule about types sees only what a file says: a set is an expression or a name that
is visibly one. That is a net for slips, not a proof; roots compared between runs
under different hash seeds are the other half.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

ROOMS = ("qenex", "ledger", "vm", "defi_modules", "consensus", "p2p", "node", "cli")
DETERMINISTIC = ("ledger", "vm", "defi_modules", "consensus")

MAX_LINES = 600
MAX_TEST_LINES = 900
MAX_GENERATED_LINES = 5_000
LONGER = {"qenex/errors.py": 1_700}
GENERATED = ("qenex/modules/", "qenex/async_modules/")
"""Written by `python -m node.generate` from the modules' declarations: as long as those are many."""
"""Tables that belong in one file, with their own limit: all error codes are seen at once, so none is given twice."""

# fmt: off
IMPURE_MODULES = frozenset({
    "asyncio", "concurrent", "datetime", "decimal", "glob", "io", "locale", "logging", "multiprocessing",
    "numpy", "os", "pathlib", "platform", "queue", "random", "secrets", "select", "shutil", "signal",
    "socket", "ssl", "statistics", "subprocess", "tempfile", "threading", "time", "unicodedata", "uuid",
    "zoneinfo",
})
# fmt: on
"""Modules by which a clock, a file, the environment, chance, a thread or a float comes in."""

ALLOWED_IMPORTS: dict[str, frozenset[str]] = {
    # The stores: the one place of each room that touches files.
    "ledger/backend.py": frozenset({"os", "pathlib", "threading"}),
    "ledger/backends/": frozenset({"os", "pathlib", "shutil", "tempfile", "threading"}),
    "ledger/snapshot_files.py": frozenset({"os", "pathlib", "shutil"}),
    "consensus/wal.py": frozenset({"os", "pathlib"}),
    "consensus/signer.py": frozenset({"os", "pathlib"}),
}
"""Exceptions: a file, or a folder ending in `/`, and the modules it may import. Keep it this short."""

EXACT_MATH = frozenset({"comb", "factorial", "gcd", "isqrt", "lcm", "perm", "prod"})
"""The integer functions of `math`; all others answer in floats."""

IMPURE_BUILTINS = {
    "float": "floats differ in rounding and text",
    "complex": "floats differ in rounding and text",
    "round": "rounds to even, through floats",
    "hash": "differs with PYTHONHASHSEED",
    "id": "is a memory address",
    "input": "reads the terminal",
    "open": "touches a file",
    "print": "writes to the terminal",
}

ORDER_FREE = frozenset({"all", "any", "frozenset", "len", "set", "sorted", "sum"})
"""Consumers whose answer does not depend on the order of what they are given."""

# fmt: off
SIDE_EFFECTS = frozenset({
    "add", "append", "clear", "commit", "delete", "discard", "extend", "insert", "pop", "popitem", "put",
    "remove", "send", "setdefault", "update", "write",
})
# fmt: on

UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    """One breach: where, which rule (a short name) and what was seen."""

    path: str
    line: int
    rule: str
    detail: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.detail}"


def scan(path: str, source: str) -> list[Finding]:
    """Return every breach in the Python file at `path` (relative, with `/`), in order of lines."""
    findings = list(scan_text(path, source))
    tree = ast.parse(source, path)
    comments = _comments(source)
    findings += _every_room(path, tree, comments)
    if path.split("/", 1)[0] in DETERMINISTIC:
        findings += _determinism(path, tree)
    return sorted(findings, key=lambda finding: (finding.line, finding.rule, finding.detail))


def scan_text(path: str, source: str) -> Iterator[Finding]:
    """Yield the breaches that any text file can have."""
    lines = source.splitlines()
    for number, line in enumerate(lines, 1):
        match = UNFINISHED.search(line)
        if match:
            yield Finding(path, number, "unfinished", match.group())
    if path.endswith(".py"):
        limit = LONGER.get(path, MAX_TEST_LINES if path.startswith("tests/") else MAX_LINES)
        if path.startswith(GENERATED):
            limit = MAX_GENERATED_LINES
        if len(lines) > limit:
            yield Finding(path, limit + 1, "file-length", f"{len(lines)} lines, at most {limit}")


def error_codes(tree: ast.Module) -> Iterator[tuple[int, str, int]]:
    """Yield `(code, class name, line)` for each class that declares an integer `code`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        for statement in node.body:
            name, value = _assignment(statement)
            if name == "code" and value is not None:
                code = ast.literal_eval(value)
                if isinstance(code, int):
                    yield code, node.name, statement.lineno


def _assignment(statement: ast.stmt) -> tuple[str, ast.expr | None]:
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, statement.value
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id, statement.value
    return "", None


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


# -- every room --------------------------------------------------------------------------


def _every_room(path: str, tree: ast.Module, comments: dict[int, str]) -> Iterator[Finding]:
    for number, comment in comments.items():
        if "type: ignore" in comment and not re.search(r"type: ignore\[[\w, -]+\]\s+#\s*\w", comment):
            yield Finding(path, number, "type-ignore", "name the error and give the reason on the line")
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node):
            if not {node.lineno, node.lineno + 1} & comments.keys():
                yield Finding(path, node.lineno, "broad-except", "give the reason in a comment beside it")
        elif isinstance(node, ast.Assert):
            yield from _assert_effects(path, node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _may_import_late(path):
            yield from _late_imports(path, node)


def _is_broad(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False  # it tidies up and passes everything on
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException") for kind in kinds)


def _assert_effects(path: str, node: ast.Assert) -> Iterator[Finding]:
    if path.startswith(("tests/", "benchmarks/")):
        return  # pytest keeps these asserts, with any flag
    for part in ast.walk(node.test):
        called = part.func if isinstance(part, ast.Call) else None
        if isinstance(part, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom) or (
            isinstance(called, ast.Attribute) and called.attr in SIDE_EFFECTS
        ):
            yield Finding(path, node.lineno, "assert-effect", "python -O drops the assert and its effect")


def _may_import_late(path: str) -> bool:
    """The command line and the SDK's face import late for a fast start; tests and tools as they like."""
    return path.split("/", 1)[0] not in ROOMS or path.startswith("cli/") or path == "qenex/__init__.py"


def _late_imports(path: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
    for node in ast.walk(function):
        for module, line in _imported(node):
            if module.split(".", 1)[0] in ROOMS:
                yield Finding(path, line, "late-import", f"{module} inside {function.name}")


def _imported(node: ast.AST) -> list[tuple[str, int]]:
    if isinstance(node, ast.Import):
        return [(alias.name, node.lineno) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "", node.lineno)]
    return []


# -- the deterministic rooms ---------------------------------------------------------------


def _determinism(path: str, tree: ast.Module) -> Iterator[Finding]:
    allowed = frozenset[str]().union(
        *(modules for place, modules in ALLOWED_IMPORTS.items() if path == place or _inside(path, place))
    )
    joins_paths = "pathlib" in allowed  # a store joins paths with `/`
    for node in ast.walk(tree):
        for module, line in _imported(node):
            if module.split(".", 1)[0] in IMPURE_MODULES - allowed:
                yield Finding(path, line, "impure-import", module)
        if isinstance(node, ast.ImportFrom) and node.module in ("math", "os"):
            for alias in node.names:
                yield from _impure_member(path, node.lineno, node.module, alias.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield from _impure_member(path, node.lineno, node.value.id, node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield Finding(path, node.lineno, "float", repr(node.value))
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div) and not joins_paths:
            yield Finding(path, node.lineno, "float", "true division; say which way // or ceil_div rounds")
    yield from _impure_builtins(path, tree, frozenset({"open"} if "pathlib" in allowed else ()))
    yield from _set_order(path, tree)


def _impure_builtins(path: str, scope: Scope, bound: frozenset[str]) -> Iterator[Finding]:
    """Yield uses of builtins, but not of the parameters and variables that bear such a name (`round`)."""
    nodes = list(_own_nodes(scope))
    if not isinstance(scope, ast.Module):
        bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _impure_builtins(path, node, bound)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            reason = IMPURE_BUILTINS.get(node.id)
            if reason and node.id not in bound:
                yield Finding(path, node.lineno, "impure-builtin", f"{node.id} {reason}")


def _inside(path: str, place: str) -> bool:
    return place.endswith("/") and path.startswith(place)


def _impure_member(path: str, line: int, module: str, member: str) -> Iterator[Finding]:
    if module == "math" and member not in EXACT_MATH:
        yield Finding(path, line, "float", f"math.{member}")
    if module == "os" and member in ("environ", "environb", "getenv", "getrandom", "urandom"):
        yield Finding(path, line, "impure-import", f"os.{member}")


# -- the order of a set ----------------------------------------------------------------------

SET_ANNOTATION = re.compile(
    r"^(?:\w+\.)?(?:set|frozenset|Set|FrozenSet|AbstractSet|MutableSet)(?:\[|\b(?!\w))"
)
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})


def _set_order(path: str, tree: ast.Module) -> Iterator[Finding]:
    """Yield each place where the order of something that is visibly a set comes out."""
    for scope in _scopes(tree):
        names = _set_names(scope) | (_set_names(tree) if scope is not tree else set())
        nodes = list(_own_nodes(scope))
        harmless = {
            argument
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ORDER_FREE
            for argument in node.args
        }
        for node in nodes:
            for ordered in _ordered_uses(node, harmless):
                if _is_set(ordered, names):
                    yield Finding(path, ordered.lineno, "set-order", ast.unparse(ordered))
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "pop"
                and not node.args
                and _is_set(node.func.value, names)
            ):
                yield Finding(path, node.lineno, "set-order", ast.unparse(node))


def _ordered_uses(node: ast.AST, harmless: set[ast.expr]) -> Iterator[ast.expr]:
    """Yield the expressions that `node` walks through in order."""
    if isinstance(node, ast.For | ast.AsyncFor):
        yield node.iter
    elif isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp):
        if node not in harmless:
            yield from (generator.iter for generator in node.generators)
    elif isinstance(node, ast.Starred | ast.YieldFrom) or (
        isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List)
    ):
        yield node.value
    elif isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        walks = name in (
            "dict",
            "enumerate",
            "filter",
            "iter",
            "list",
            "map",
            "max",
            "min",
            "reversed",
            "tuple",
            "zip",
        )
        joins = isinstance(node.func, ast.Attribute) and node.func.attr in ("extend", "fromkeys", "join")
        if walks or joins:
            yield from node.args


def _is_set(node: ast.expr, names: set[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Name | ast.Attribute):
        return ast.unparse(node) in names
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr | ast.BitXor | ast.Sub):
        return _is_set(node.left, names) or (not isinstance(node.op, ast.Sub) and _is_set(node.right, names))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("set", "frozenset")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in SET_METHODS or (node.func.attr == "copy" and _is_set(node.func.value, names))
    return False


def _set_names(scope: ast.AST) -> set[str]:
    """Return the names, and `self.` attributes, that `scope` binds to a set or annotates as one."""
    names: set[str] = set()
    for node in ast.walk(scope):
        if isinstance(node, ast.arg) and node.annotation is not None and scope is not node:
            if SET_ANNOTATION.match(ast.unparse(node.annotation)):
                names.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and SET_ANNOTATION.match(ast.unparse(node.annotation)):
            names |= {ast.unparse(node.target), f"self.{ast.unparse(node.target)}"}
        elif isinstance(node, ast.Assign) and _is_set(node.value, set()):
            names |= {ast.unparse(target) for target in node.targets}
    if isinstance(scope, ast.Module):
        # A module's walk sees every function's locals: keep what other scopes can see.
        top = {_assignment(statement)[0] for statement in scope.body}
        names = {name for name in names if name.startswith("self.") or name in top}
    return names


def _scopes(tree: ast.Module) -> Iterator[Scope]:
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _own_nodes(scope: Scope) -> Iterator[ast.AST]:
    """Walk `scope` without the functions inside it, which are scopes of their own."""
    waiting: list[ast.AST] = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(ast.iter_child_nodes(node))
