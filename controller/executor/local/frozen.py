"""Copies what the kernel tells about the machine, so that sandboxes read the same numbers for ever.

Counters of the whole machine (processes started, pages read, load, free memory) would tell a phase what the phases
before it did. Programs need the files, to learn how many CPUs there are and how much memory, but no news in them. So
each is copied once when the executor starts, and the copy is mounted over the original.

Not covered: the system calls sysinfo and statfs, which tell load, free memory and free disk, and clocks.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

_FILES = (
    "/proc/cgroups",
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/modules",
    "/proc/partitions",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/vmstat",
    "/proc/zoneinfo",
)
_TOPOLOGY = (
    ("/sys/devices/system/cpu", ("*", "cpu[0-9]*/online", "cpu[0-9]*/topology/*", "cpu[0-9]*/cache/*/*")),
    ("/sys/devices/system/node", ("*", "node[0-9]*/cpulist", "node[0-9]*/cpumap", "node[0-9]*/distance")),
)
"""Folders, and the files in them that describe CPUs and their memory. Beside these lie counters of idle time, of
throttling and of pages."""

_MOST_BYTES = 2**22
"""Bytes of one file that are copied: /proc/cpuinfo has some 1,500 for each CPU."""

Copies = Sequence[tuple[Path, str]]
"""Pairs of a copy and the path over which it is mounted."""


def copy_machine(folder: Path, *, root: Path = Path("/")) -> Copies:
    """Copy everything below `folder`, which is emptied first. root: where the files are looked for."""
    shutil.rmtree(folder, ignore_errors=True)
    copies = [pair for path in _FILES if (pair := _copy_file(root, path, folder))]
    for place, patterns in _TOPOLOGY:
        found = False
        for path in _matching(root, place, patterns):
            found = _copy_file(root, path, folder) is not None or found
        if found:
            _copy_links(root, place, folder)
            # The whole folder is mounted: what a mount covers, the counters among it, cannot be reached.
            copies.append((_below(folder, place), place))
    return copies


def _matching(root: Path, place: str, patterns: Sequence[str]) -> Iterator[str]:
    start = _below(root, place)
    for pattern in patterns:
        for name in glob.glob(pattern, root_dir=start):
            yield f"{place}/{name}"


def _copy_file(root: Path, path: str, folder: Path) -> tuple[Path, str] | None:
    """Copy one file; None if it is none, or cannot be read, as files that only take writes."""
    original, copy = _below(root, path), _below(folder, path)
    if not original.is_file():
        return None
    try:
        with original.open("rb") as file:
            # The size of a file of /proc is 0 whatever it holds: only reading tells.
            text = file.read(_MOST_BYTES)
    except OSError:
        return None
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(text)
    return copy, path


def _copy_links(root: Path, place: str, folder: Path) -> None:
    """Copy the links by which a CPU names its node, and a node its CPUs."""
    for path in _matching(root, place, ("cpu[0-9]*/node[0-9]*", "node[0-9]*/cpu[0-9]*")):
        original, copy = _below(root, path), _below(folder, path)
        if original.is_symlink() and copy.parent.is_dir():
            with contextlib.suppress(FileExistsError):
                copy.symlink_to(os.readlink(original))


def _below(folder: Path, path: str) -> Path:
    return folder / path.lstrip("/")
