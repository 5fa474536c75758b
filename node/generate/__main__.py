"""`python -m node.generate [--check]`: write the derived files, or say which are out of date."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

from node.generate.faces import (
    Source,
    class_name,
    face_source,
    records_source,
)
from node.generate.interfaces import configuration_page, parameters_page, rpc_page
from node.generate.reference import reference_pages
from node.generate.synchronous import SOURCES, to_blocking
from node.modules import make_machine
from vm.machine import Machine
from vm.registry import Registry

HEADER: Final = "# Generated from the modules' declarations by `python -m node.generate`. Do not edit."

# A file being written for the first time is not there yet for the linter to recognise as ours.
_SORT_IMPORTS: Final = ("--select", "I", "--config", "lint.isort.known-first-party=['qenex']")


def derived_files(machine: Machine, root: Path) -> dict[str, str]:
    """Text of every derived file by its path below `root`."""
    registry = machine.registry
    names = [name for name in registry.modules if _has_face(registry, name)]
    files = {
        target: to_blocking((root / origin).read_text("utf-8"), origin) for origin, target in SOURCES.items()
    }
    for name in names:
        face = face_source(registry, name)
        about = f"The SDK's face of the module `{name}`"
        files[f"qenex/async_modules/{name}.py"] = face.text(HEADER, f"{about}, for asyncio.")
        files[f"qenex/modules/{name}.py"] = _blocking_face(records_source(registry, name), face, name, about)
    index = _index_source(names)
    files["qenex/async_modules/__init__.py"] = index.text(HEADER, "The faces of all modules, for asyncio.")
    files["qenex/modules/__init__.py"] = _blocking_index(index, names)
    python = _formatted(root, {path: text for path, text in files.items() if path.endswith(".py")})
    pages = {
        "docs/reference/rpc.md": rpc_page(machine),
        "docs/reference/configuration.md": configuration_page(),
        "docs/reference/parameters.md": parameters_page(machine),
    }
    return {**python, **reference_pages(registry), **pages}


def main(arguments: list[str] | None = None) -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m node.generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if something is out of date"
    )
    check: bool = parser.parse_args(arguments).check
    root = Path(__file__).resolve().parents[2]
    stale = []
    for path, text in derived_files(make_machine(), root).items():
        file = root / path
        if file.is_file() and file.read_text("utf-8") == text:
            continue
        stale.append(path)
        if not check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
    for path in stale:
        sys.stderr.write(f"{'out of date' if check else 'written'}: {path}\n")
    return 1 if check and stale else 0


def _has_face(registry: Registry, name: str) -> bool:
    return any(spec.module == name for spec in [*registry.messages.values(), *registry.queries.values()])


def _blocking_face(records: Source, face: Source, name: str, about: str) -> str:
    """Records and the blocking class in one file."""
    joined = Source()
    for source in (records, face):
        for module, imported in source.imports.items():
            if module != f"qenex.modules.{name}":
                for item in sorted(imported):
                    joined.use(module, item)
    joined.lines = [*records.lines, *face.lines]
    return _as_blocking(joined.text(HEADER, f"{about}: its records, messages and queries."))


def _index_source(names: list[str]) -> Source:
    index = Source()
    index.use("qenex.async_faces", "AsyncNodeAccess")
    index.add("\n\nclass AsyncModuleFaces:")
    index.add('    """Every module of the chain as an attribute of the client."""\n')
    for name in names:
        index.add(f"    {name}: {index.use(f'qenex.async_modules.{name}', f'Async{class_name(name)}')}")
    index.add("\n    def _attach(self, client: AsyncNodeAccess) -> None:")
    for name in names:
        index.add(f"        self.{name} = Async{class_name(name)}(client)")
    return index


def _blocking_index(index: Source, names: list[str]) -> str:
    joined = Source()
    joined.imports = {module: set(items) for module, items in index.imports.items()}
    joined.use("qenex.building", "MessageFace")
    joined.use("qenex.modules", ", ".join(names))
    for title, kind in (("MESSAGES", "dict[str, MessageFace]"), ("EVENTS", "dict[str, type]")):
        parts = [f"face.name: face for face in {n}.{title}" for n in names] if title == "MESSAGES" else []
        merged = " | ".join(f"{{{part}}}" for part in parts) or " | ".join(f"{n}.{title}" for n in names)
        joined.add(f"\n{title}: {kind} = {merged}")
    joined.lines += index.lines
    return _as_blocking(
        joined.text(HEADER, "What the SDK knows of the chain's modules: records, messages, events.")
    )


def _as_blocking(text: str) -> str:
    return to_blocking(text, "").split("\n", 1)[1]


def _formatted(root: Path, files: dict[str, str]) -> dict[str, str]:
    """The files as the project's formatter writes them."""
    formatted = {}
    for path, text in files.items():
        command = [sys.executable, "-m", "ruff"]
        common = ["--stdin-filename", path, "-"]
        sorted_imports = _run(
            [*command, "check", "--select", "I", "--fix-only", "--quiet", *common], text, root
        )
        formatted[path] = _run([*command, "format", "--quiet", *common], sorted_imports, root)
    return formatted


def _run(command: list[str], text: str, root: Path) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=root, check=False)  # noqa: S603  # our own interpreter and words
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
