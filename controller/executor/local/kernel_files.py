"""Reads and writes the kernel's own files, whose refusal is an answer and no error."""

from __future__ import annotations

from pathlib import Path


def read_counters(path: Path) -> dict[str, int]:
    """Read a file of lines "NAME NUMBER"."""
    counters = {}
    # The kernel calls such files flat keyed: memory.events, cgroup.events, cpu.stat, memory.oom_control.
    for line in read_file(path).splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdigit():
            counters[words[0]] = int(words[1])
    return counters


def read_file(path: Path) -> str:
    """Read one of the kernel's files; empty if it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def write_file(path: Path, text: str) -> bool:
    """Write to one of the kernel's files; True if the kernel accepted it."""
    try:
        # One write(2) is one order. Its refusal (EBUSY, EINVAL, EACCES) comes when Python closes the file.
        path.write_text(text)
    except OSError:
        return False
    return True
