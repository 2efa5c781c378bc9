"""Watches the disk while a phase runs: the size of what it writes, and what the disk has left for everybody else.

No quota can be set without rights on the file system, so the disk is looked at, the more often the less it has left.
A phase that outruns the look fills the disk for a moment: then it is killed, and what it wrote is deleted before its
result is stored (`executor`). A file by itself is bounded by RLIMIT_FSIZE (`confinement`).
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.executor.local.process import TICK_S, Cause, Trouble
from controller.folder.ballast import room_on

FREE_BYTES = 64 * 2**20
"""Disk that must stay free (64 MiB): below it nobody's files are safe, so the phase ends."""

_COST = 8
"""Measuring the folders may take one part in so many of the time."""

_LONGEST_S = 1.0
"""Longest time between two measurements of the folders, in seconds, whatever they cost."""

_GRACE_S = 2.0
"""Seconds for which the disk may be full before a phase within its own limits is killed for it. Who fills it is killed
within a quarter of a second, and what he wrote is then deleted."""

_ENTRY_BYTES = 4096
"""Bytes that one file counts at least: a million empty files fill a disk's tables as well."""

_DEEPEST = 64
"""Depth of folders beyond which a tree counts as too large."""

_FASTEST = 8 * 2**30
"""Bytes that one machine writes in a second at most, into the page cache with a few cores (8 GiB). Room that is not
written but only reserved, by fallocate(2), is had faster than anybody can look."""

_SHORTEST_S = 0.02
"""Shortest pause between two looks at what is free, in seconds: a look and its waking thread take some 100 µs."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A folder that a phase may write, and the most that it may hold."""

    folder: Path
    gigabytes: float

    setting: str
    """The setting that the bytes are limited by, for people."""

    files: int | None = None
    """Most files and folders (executor.limits.artifact_files); None for any number."""


class DiskWatch:
    """Looks at what one phase writes, also for phases of other slots on the same disk.

    folder: its disk is watched. written: the folders that the phase may write, by what people call them. processes:
    those of the phase, as far as they are known.
    """

    def __init__(
        self, folder: Path, written: Mapping[str, Bound], processes: Callable[[], Iterable[int]] = tuple
    ) -> None:
        self._folder, self._written, self._processes = folder, written, processes
        self._due = 0.0
        self._full_since: float | None = None
        self.was_full = False
        """True if the disk was full at some look: a phase that failed may have failed for that."""

    def look(self, *, closely: bool = False) -> Trouble | None:
        """A reason to kill the phase, if there is one. Its folders are measured now and then, or if closely."""
        now = time.monotonic()
        full = room_on(self._folder) < FREE_BYTES
        # Whoever went beyond his own limit is to blame, and is killed at once.
        newly_full = full and self._full_since is None
        if closely or newly_full or now >= self._due:
            if excess := self._measure(held=full):
                return excess
            # A folder of ten thousand files takes a tenth of a second.
            self._due = now + min(_LONGEST_S, max(TICK_S, _COST * (time.monotonic() - now)))
        if not full:
            self._full_since = None
            return None
        self.was_full = True
        self._full_since = now if self._full_since is None else self._full_since
        return self.full_disk() if now - self._full_since >= _GRACE_S else None

    def full_disk(self) -> Trouble:
        """The trouble of a phase that met a full disk and was not to blame for it."""
        return Trouble(cause=Cause.DISK_FULL, detail=f"the disk of {self._folder} is full")

    def pause(self) -> float:
        """Seconds until the next look: shorter than anybody needs to write what is left."""
        spare = room_on(self._folder) - FREE_BYTES
        return min(TICK_S, max(_SHORTEST_S, spare / _FASTEST))

    def _measure(self, *, held: bool) -> Trouble | None:
        """held: also count deleted files that the phase holds open, which means reading all of its descriptors."""
        for name, bound in self._written.items():
            if excess := find_excess(bound):
                return Trouble(cause=Cause.OVERSIZE, detail=f"{name} {excess}")
            if held and count_held(self._processes(), os.stat(bound.folder).st_dev) > bound.gigabytes * 2**30:
                limit = f"{bound.gigabytes:g} GB ({bound.setting})"
                return Trouble(cause=Cause.OVERSIZE, detail=f"{name} passed its limit of {limit} by deleted files")
        return None


def find_excess(bound: Bound) -> str:
    """The bound that a folder goes beyond, as the rest of a sentence; empty if there is none. Follows no links."""
    enough = int(bound.gigabytes * 2**30)
    size = entries = 0
    open_folders: list[tuple[str, int]] = [(str(bound.folder), 0)]
    while open_folders:
        path, depth = open_folders.pop()
        # A folder that is too deep or cannot be read could hide any amount.
        if depth > _DEEPEST:
            return f"has folders that are nested more than {_DEEPEST} deep"
        try:
            with os.scandir(path) as listing:
                for entry in listing:
                    entries += 1
                    size += _bytes(entry)
                    if size > enough:
                        return f"passed its limit of {bound.gigabytes:g} GB ({bound.setting})"
                    if bound.files is not None and entries > bound.files:
                        return f"passed its limit of {bound.files} files and folders (executor.limits.artifact_files)"
                    if entry.is_dir(follow_symlinks=False):
                        open_folders.append((entry.path, depth + 1))
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"has a folder that cannot be looked into: {error.strerror}"
    return ""


def count_held(processes: Iterable[int], device: int) -> int:
    """Count the bytes of deleted files that processes hold open on a device: no folder shows them.

    Not seen is a file that is only mapped: the kernel shows those to an administrator alone.
    """
    sizes: dict[int, int] = {}
    for process in processes:
        for path in _descriptors_of(process):
            with contextlib.suppress(OSError):  # it was closed meanwhile
                file = os.stat(path)
                if file.st_nlink == 0 and file.st_dev == device and stat.S_ISREG(file.st_mode):
                    sizes[file.st_ino] = file.st_blocks * 512
    return sum(sizes.values())


def _descriptors_of(process: int) -> list[str]:
    folder = f"/proc/{process}/fd"
    try:
        # Each is a link that leads to the open file itself, also where that has no name any more.
        return [f"{folder}/{name}" for name in os.listdir(folder)]
    except OSError:  # it has ended
        return []


def _bytes(entry: os.DirEntry[str]) -> int:
    try:
        # st_blocks counts 512 bytes each, whatever the block of the file system; holes of a sparse file take none.
        return max(_ENTRY_BYTES, entry.stat(follow_symlinks=False).st_blocks * 512)
    except FileNotFoundError:
        return 0
