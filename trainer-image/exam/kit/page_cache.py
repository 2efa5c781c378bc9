"""Bring the files that this container sees into one state of the page cache, before agent code begins in it.

Which pages of a file lie in memory is a note that one process can write, by reading, and the next can read, with a
clock. A container has no means to have the kernel forget what the last one read. So our code reads every file of the
image and of the artifact whole. If memory is short it asks the kernel to give all of them up instead. The executor
names the folders in AUTORESEARCH_LEVEL_FILES, joined by colons; where it can have the kernel forget, it names none.

Covered: pages of all regular files in these folders, also of those that another process has mapped, where files are
read.
Not covered: names and inodes that the kernel remembers; pages that another process has mapped, where they are given
up; what processes that run at the same time do.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Iterator, Mapping, Sequence

SHARE_OF_MEMORY = 0.5
"""Share of the free memory that files may take: with more, those read last would push out those read first."""

SMALL = 1 << 17
"""Files up to this size, in bytes, are read at once; a mapping costs more than copying 128 KiB."""

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""The container's own limit of memory: pages that it brings in count against it."""


def level_files(environment: Mapping[str, str]) -> float:
    """Read all files, or have all given up; returns the seconds that this took."""
    began = time.monotonic()
    folders = [root for root in environment.get("AUTORESEARCH_LEVEL_FILES", "").split(":") if root]
    room = SHARE_OF_MEMORY * _free_bytes() if folders else 0.0
    for path in _list_files(folders):
        room -= _read(path)
        if room < 0:
            for given_up in _list_files(folders):
                _give_up(given_up)
            break
    return time.monotonic() - began


def _list_files(folders: Sequence[str]) -> Iterator[str]:
    """Paths of all regular files in these folders, without what is mounted below them."""
    with open("/proc/self/mountinfo") as file:
        mounted = {line.split()[4] for line in file}
    pending = list(folders)
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.path not in mounted:
                        pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.path


def _free_bytes() -> int:
    with open("/proc/meminfo") as file:
        # MemAvailable counts the page cache that the kernel could give up. The unit is KiB.
        free = next((int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:")), 0)
    for path in LIMITS:
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            # Without a limit version 2 says "max", which is no number.
            free = min(free, int(file.read()))
    return free


def _read(path: str) -> int:
    """Read a file whole; returns its bytes. What we may not read, the agent's code may not either."""
    with contextlib.suppress(OSError, ValueError):
        # O_NONBLOCK: what was a file when it was listed may be a FIFO now.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            got = len(os.read(handle, SMALL))
            if got < SMALL:
                return got
            with mmap.mmap(handle, 0, prot=mmap.PROT_READ) as area:
                # One byte of each page is enough, and the slice is a loop in C.
                area[:: mmap.PAGESIZE]
                return len(area)
        finally:
            os.close(handle)
    return 0


def _give_up(path: str) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            # A length of 0 means to the end. The kernel keeps pages that are mapped, or not yet written to the disk.
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
