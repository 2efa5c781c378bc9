"""The map of the tests holds: tests/unit mirrors controller/, no test imports another, and each folder is described."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
UNIT = TESTS / "unit"
CONTROLLER = TESTS.parent / "controller"
SOURCES = sorted(path for path in TESTS.rglob("*.py") if "scripted" not in path.parts)
"""All of Python; images/scripted holds shell, whatever its name."""

OF_THE_REPOSITORY = {"test_docs.py", "test_helper_programs.py", "test_test_modules.py"}
"""Tests of pages, of the tests themselves, and of rules for every module: no one module of controller/ is theirs."""


def imported_modules(source: str) -> Iterator[str]:
    """Every module, and every name that may be one, that a source imports from tests."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_test_module(name: str) -> bool:
    """True for a module of tests, and for the fixtures that pytest finds by itself."""
    last = name.rpartition(".")[2]
    return name.startswith("tests.") and (last.startswith("test_") or last == "conftest")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_module_imports_a_test_module(path: Path) -> None:
    found = [name for name in imported_modules(path.read_text(encoding="utf-8")) if is_test_module(name)]

    assert found == [], "move what both need into a module whose name tells what it is"


def test_each_unit_test_stands_where_its_module_stands_in_controller() -> None:
    lost = []
    for path in UNIT.rglob("test_*.py"):
        folder = CONTROLLER / path.parent.relative_to(UNIT)
        modules = [entry.stem for entry in folder.glob("*") if entry.suffix == ".py" or entry.is_dir()]
        subject = path.stem.removeprefix("test_")
        if not any(subject == module or subject.startswith(f"{module}_") for module in modules):
            lost.append(str(path.relative_to(TESTS)))

    assert set(lost) == {f"unit/{name}" for name in OF_THE_REPOSITORY}, "name it after its module, or another folder"


def test_readme_describes_each_folder() -> None:
    page = (TESTS / "README.md").read_text(encoding="utf-8")
    folders = sorted(path.name for path in TESTS.iterdir() if path.is_dir() and not path.name.startswith(("_", ".")))

    assert [name for name in folders if f"`{name}`" not in page] == []


def test_readme_describes_each_module_that_folders_share() -> None:
    page = (TESTS / "README.md").read_text(encoding="utf-8")
    modules = sorted(path.name for path in (TESTS / "support").glob("*.py"))

    assert [name for name in modules if f"`{name}`" not in page and name != "__init__.py"] == []
