"""Reads the machine: the libraries of every Python that a sandbox would show."""

from __future__ import annotations

from pathlib import Path

from controller.executor.local.machine import find_libraries


def make_library(root: Path, *names: str) -> Path:
    """A Python's own library with these folders besides `encodings`."""
    for name in ("encodings", *names):
        (root / name).mkdir(parents=True)
    (root / "os.py").touch()
    return root


def test_folders_are_found_in_every_library_and_nowhere_else(tmp_path: Path) -> None:
    system = make_library(tmp_path / "usr/lib/python3.11", "test", "email")
    deep = make_library(tmp_path / "usr/lib/sdk/platform/bundled/lib/python3.12", "test", "idlelib")
    (tmp_path / "usr/lib/other/test").mkdir(parents=True)
    make_library(tmp_path / "usr/lib/python3.11/site-packages/copy", "test")
    make_library(tmp_path / "elsewhere/lib/python3.11", "test")

    found = find_libraries([str(tmp_path / "usr")], ["idlelib", "test"])

    assert set(found) == {str(system / "test"), str(deep / "test"), str(deep / "idlelib")}


def test_nothing_is_looked_for_where_nothing_is_hidden(tmp_path: Path) -> None:
    make_library(tmp_path / "lib/python3.11", "test")
    assert find_libraries([str(tmp_path)], []) == ()
