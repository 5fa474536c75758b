"""The documents at the top level: links lead somewhere, commands exist, marked blocks are blocks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_relative_link_leads_to_a_file(repository: Path, name: str) -> None:
    text = (repository / name).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (repository / target).exists(), f"{name} links to {target}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_each_make_target_named_exists(repository: Path, name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = (repository / name).read_text("utf-8")
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))
    assert named
    assert named <= targets


def test_each_test_mark_stands_before_a_shell_block(repository: Path) -> None:
    text = (repository / "README.md").read_text("utf-8")
    marks = re.findall(r"^<!-- test: .*-->\n(.*)$", text, re.MULTILINE)
    assert marks
    assert set(marks) <= {"```sh", "```python"}


def test_the_changelog_knows_the_version(repository: Path) -> None:
    version = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    changelog = (repository / "CHANGELOG.md").read_text("utf-8")
    assert "## [Unreleased]" in changelog or f"## [{version}]" in changelog


def test_each_decision_has_its_four_parts(repository: Path) -> None:
    pages = sorted((repository / "docs/decisions").glob("0*.md"))
    assert pages
    numbers = [page.name[:4] for page in pages]
    assert len(set(numbers)) == len(numbers), "a number is used once"
    for page in pages:
        headings = re.findall(r"^## (\w+)", page.read_text("utf-8"), re.MULTILINE)
        assert headings[:4] == ["Context", "Options", "Choice", "Consequence"], page.name
        assert page.read_text("utf-8").startswith(f"# {page.name[:4]}: "), page.name
