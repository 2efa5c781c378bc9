"""Freezes all processes of a cgroup at once, and lets them go on: of version 1 or 2.

A frozen process runs no instruction, whatever it has prepared: no timer, signal or parent of its own wakes it. A signal
that stops (SIGSTOP) would not do, because the kernel sends SIGCONT for a timer that the process has set before.

Version 1 holds a killed process back as well: it dies when it is thawed. In version 2 it dies at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from controller.executor.local.kernel_files import read_counters, read_file, write_file


@dataclass(frozen=True, slots=True)
class Freezer:
    """The kernel's freezer of one cgroup."""

    folder: Path
    version: int

    def freeze(self) -> None:
        """Ask the kernel to freeze every process, those that join later among them; `is_frozen` tells when it has."""
        if self.version == 2:
            write_file(self.folder / "cgroup.freeze", "1")
        else:
            write_file(self.folder / "freezer.state", "FROZEN")

    @property
    def is_frozen(self) -> bool:
        """True once none of its processes runs."""
        if self.version == 2:
            # cgroup.freeze gives back what was asked for; `frozen` turns 1 when the last process stands still.
            return read_counters(self.folder / "cgroup.events").get("frozen") == 1
        # Until then it reads FREEZING.
        return read_file(self.folder / "freezer.state").strip() == "FROZEN"

    def thaw(self) -> None:
        """Let every process go on, or die of what it was sent meanwhile."""
        if self.version == 2:
            write_file(self.folder / "cgroup.freeze", "0")
        else:
            write_file(self.folder / "freezer.state", "THAWED")


def freezer_of(folder: Path | None, version: int) -> Freezer | None:
    """The freezer of the cgroup with this folder; None where the kernel offers none."""
    if folder is None or not (folder / ("cgroup.freeze" if version == 2 else "freezer.state")).exists():
        return None
    return Freezer(folder, version)
