"""Copies the task folder for one attempt, which may write to its copy as it likes; the copy is thrown away.

Programs of other people write journals, caches and results beside themselves. The folder itself is never written to.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from controller.executor.local.deletion import delete

_BLOCK = 4096
"""Bytes that a file or a folder takes at least, as `disk_watch` counts them too."""


class TooLarge(Exception):
    """The folder holds more bytes than a copy may have."""


def copy_task(entries: Iterable[tuple[Path, str]], target: Path, *, most: int) -> None:
    """Copy the entries (real path, path below the folder) to `target`, which is made anew. Raises TooLarge, OSError."""
    delete(target)
    target.mkdir()
    left = most
    for source, name in entries:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if inside := _link_inside(source, name):
            place.symlink_to(inside)
        else:
            left -= _copy(source.resolve(), place, most=left)


def measure(entries: Iterable[tuple[Path, str]], *, enough: int) -> int:
    """Bytes that a copy of these entries would hold; stops beyond `enough`."""
    total = 0
    for source, _ in entries:
        for folder, inner, files in os.walk(source) if source.is_dir() else [(str(source.parent), [], [source.name])]:
            total += _BLOCK * len(inner)
            for file in files:
                with suppress(OSError):
                    total += _on_disk(os.lstat(os.path.join(folder, file)).st_size)
            if total > enough:
                return total
    return total


def _link_inside(source: Path, name: str) -> str:
    """The target of a link within the task folder, so that both names are one file in the copy too; else empty."""
    if not source.is_symlink():
        return ""
    root = source.parents[name.count("/")].resolve()
    target = source.resolve()
    if not target.is_relative_to(root) or target == root or target.relative_to(root).parts[0].startswith("."):
        return ""
    return os.path.relpath(target, source.parent.resolve())


def _copy(source: Path, target: Path, *, most: int) -> int:
    """Copy a file or a folder with what is in it; returns the bytes. Links stay links, so that none leads out of it."""
    copied, waiting = 0, [(source, target)]
    while waiting:
        path, place = waiting.pop()
        if path.is_symlink():
            place.unlink(missing_ok=True)
            place.symlink_to(path.readlink())
        elif path.is_dir():
            place.mkdir(exist_ok=True)
            # A folder that this user may not read is empty for the attempt, as the folder itself would be.
            with suppress(PermissionError):
                waiting += [(inner, place / inner.name) for inner in path.iterdir()]
        # A pipe or a socket has nothing to copy, and opening one would wait for ever.
        elif stat.S_ISREG((found := path.stat()).st_mode):
            copied += _on_disk(found.st_size)
            if copied > most:
                raise TooLarge
            with suppress(PermissionError):
                shutil.copyfile(path, place)
                # Bits above 0o777 would let a program run with the rights of its owner.
                place.chmod(stat.S_IMODE(found.st_mode) & 0o777 | stat.S_IRUSR | stat.S_IWUSR)
    return copied


def _on_disk(size: int) -> int:
    return max(1, -(-size // _BLOCK)) * _BLOCK
