"""Finds the folders outside of an environment from which it imports: `pip install -e` and `uv sync` link to a project.

The link leads to where the project lay when it was installed. An attempt runs in a copy of the task folder elsewhere,
so that a package of the task would not be found there, or be found as it was before the edit.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_FINDER = "__editable__*_finder.py"
"""Name of the file in which setuptools tells the places of packages that no folder can be named for."""

_MAPPING = re.compile(r"^MAPPING\b[^=\n]*=\s*(\{.*\})\s*$", re.MULTILINE)


def linked_folders(environment: Path) -> tuple[Path, ...]:
    """The folders that are put on the search path of this environment's Python and lie outside of it, each once."""
    found: dict[Path, None] = {}
    inside = environment.resolve()
    for packages in sorted(environment.glob("lib*/python*/site-packages")):
        for folder in (*_in_path_files(packages), *_in_finders(packages)):
            place = folder.resolve()
            if place.is_dir() and not place.is_relative_to(inside):
                found[place] = None
    return tuple(found)


def _in_path_files(packages: Path) -> Iterator[Path]:
    for file in sorted(packages.glob("*.pth")):
        for line in _text_of(file).splitlines():
            # Python executes a line that begins with `import`, and takes each other one for a folder.
            if line.strip() and not line.startswith(("#", "import ", "import\t")):
                yield packages / line.rstrip()


def _in_finders(packages: Path) -> Iterator[Path]:
    for file in sorted(packages.glob(_FINDER)):
        match = _MAPPING.search(_text_of(file))
        try:
            mapping = ast.literal_eval(match[1]) if match else {}
        except (ValueError, SyntaxError):
            continue
        for name, place in mapping.items():
            # A package that lies under another name cannot be found by a folder of the search path.
            if isinstance(place, str) and Path(place).name == str(name):
                yield Path(place).parent


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
