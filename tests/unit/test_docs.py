"""The pages lead somewhere: every link, anchor and file that they name exists, and each package lists its modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "tests").rglob("*.md")])
FOLDERS = ("controller", "trainer-image", "helm", "tests", "docs")


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[str]:
    """Targets of links and pictures that lead to a file of the repository."""
    text = prose(page)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    yield from (target for target in found if not re.match(r"[a-z]+:", target))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+|[\w./-]+/[\w-]+\.py)`", prose(page))
    # CONTRIBUTING names files that are still to be written, architecture.md names those of controller/ from there.
    places = (REPOSITORY, REPOSITORY / "controller", REPOSITORY / "trainer-image")
    missing = [name for name in named if "NAME" not in name and not any((place / name).exists() for place in places)]

    assert missing == []


PACKAGES = sorted(
    path.parent
    for root in ("controller", "trainer-image")
    for path in (REPOSITORY / root).rglob("__init__.py")
    if path.parent != REPOSITORY / "controller"  # README lists its packages.
)


def listed_modules(package: Path) -> set[str]:
    """The names in the table of a package's docstring: at the beginning of a line, or in the first cell of a row."""
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    rows = re.findall(r"^\| (.+?) \|", text, flags=re.MULTILINE)
    lines = re.findall(r"^(\w+(?:, \w+)*)  +\S", text, flags=re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)/?`", row)]
    return {*names, *(name for line in lines for name in line.split(", "))}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.relative_to(REPOSITORY)))
def test_each_package_lists_its_modules_and_no_others(package: Path) -> None:
    modules = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    packages = {path.parent.name for path in package.glob("*/__init__.py")}

    assert listed_modules(package) - {"__main__"} == modules | packages
