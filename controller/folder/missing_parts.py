"""Finds what a clone of a repository leaves out: content that git-lfs keeps elsewhere, and submodules."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024
"""Most bytes of a pointer, by the specification of git-lfs."""

_MOST_FILES = 20_000
"""Files of a task folder that are looked at: a second on a slow disk."""


def missing_parts(folder: Path) -> list[str]:
    """One sentence for each kind of part that is not there, with what to do."""
    told = []
    pointers = list(_find_pointers(folder))
    if pointers:
        more = f" and {len(pointers) - 1} more" if len(pointers) > 1 else ""
        told.append(
            f"task folder {folder}: of {pointers[0]}{more} only the pointer is there: run `git lfs pull` in the folder"
        )
    if empty := _find_empty_submodule(folder):
        told.append(
            f"task folder {folder}: {empty} is an empty submodule: run `git submodule update --init` in the folder"
        )
    return told


def is_pointer(file: Path) -> bool:
    """True if a file holds what git-lfs puts in place of its content."""
    try:
        if not file.is_file() or file.stat().st_size > _POINTER_BYTES:
            return False
        with file.open("rb") as opened:
            return opened.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def _find_pointers(folder: Path) -> Iterator[Path]:
    seen = 0
    for place, inner, files in os.walk(folder):
        # What a name with a dot hides, no attempt sees; of packages that are installed there are too many.
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name != "node_modules")
        for name in sorted(files):
            seen += 1
            if seen > _MOST_FILES:
                return
            if is_pointer(Path(place, name)):
                yield Path(place, name).relative_to(folder)


def _find_empty_submodule(folder: Path) -> str:
    try:
        lines = (folder / ".gitmodules").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, path = line.partition("=")
        place = folder / path.strip()
        if key.strip() == "path" and place.is_dir() and not any(place.iterdir()):
            return path.strip()
    return ""
