"""What a training may leave behind: a folder of regular files, bounded in size and number.

Refuses links, FIFOs, sockets and devices, so that whoever opens the artifact later opens the artifact and
nothing else, and never hangs on it. Says nothing about what is inside a file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from exam.errors import number

DEFAULT_LIMIT_BYTES = 2 << 30
LIMIT_FILES = 10_000


def limit_bytes(environment: Mapping[str, str]) -> int:
    """The size cap, from AUTORESEARCH_ARTIFACT_BYTES. Raises DataError when that is no number."""
    return int(number(environment, "AUTORESEARCH_ARTIFACT_BYTES", default=DEFAULT_LIMIT_BYTES))


def find_fault(folder: Path, limit: int) -> str | None:
    """One sentence on why an artifact cannot be used, or None. Call it when nothing writes there any more."""
    try:
        return _first_fault(folder, limit)
    except OSError as error:
        return f"the artifact cannot be read ({error.strerror})"


def _first_fault(folder: Path, limit: int) -> str | None:
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        return "the artifact folder was replaced by something that is no folder"
    size = files = 0
    for entry in _entries(folder):
        mode = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(mode.st_mode):
            return f"the artifact holds {_kind(mode.st_mode)} ({entry.name[:80]!r}); only regular files are allowed"
        size, files = size + mode.st_size, files + 1
        if files > LIMIT_FILES:
            return f"the artifact holds more than {LIMIT_FILES} files"
        if size > limit:
            return f"the artifact is larger than {limit} bytes"
    return None if size else "the artifact is empty: train.py saved nothing to AUTORESEARCH_ARTIFACT"


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder that is not itself a folder; never through a link."""
    pending = [os.fspath(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    yield entry


def _kind(mode: int) -> str:
    names = {stat.S_IFLNK: "a symlink", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")
