"""Creates cgroups of version 1 or 2 with their limits, kills their processes, and removes them.

`find_cgroups` finds the folder in which they can be created. Only cgroups whose names start with the family of this
work folder are touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.executor.local.freezer import Freezer, freezer_of
from controller.executor.local.kernel_files import read_counters, read_file, write_file
from controller.settings import LimitSettings

_PERIOD_US = 100_000
"""Period of a CPU quota, in microseconds: the kernel's own default, 100 ms."""

_RECLAIM_PASSES = 3
"""Passes of reclaiming: a name that was looked up twice survives the first, as recently used."""

_GONE_WITHIN_S = 5.0
"""Longest wait for killed processes to be gone, in seconds: one that waits for a disk or a GPU dies late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one phase."""

    memory_bytes: int
    processes: int
    """Processes and threads: the kernel counts both alike."""
    cpus: float | None
    """CPUs' worth of time; None for no limit."""
    file_bytes: int
    """Size of the largest file."""

    @classmethod
    def of(cls, settings: LimitSettings, *, cpus: float | None) -> Limits:
        """Take them from the settings. A file may exceed the largest limit by 1 MiB, so that the excess shows."""
        return cls(
            memory_bytes=int(settings.memory_gb * 2**30),
            processes=settings.processes,
            cpus=cpus,
            file_bytes=int(max(settings.artifact_gb, settings.scratch_gb, settings.task_gb) * 2**30) + 2**20,
        )


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The cgroup of one phase."""

    folders: Mapping[str, Path]
    """Folder by controller: memory, pids, cpu, freezer, and cpuacct of version 1, which counts time. In version 2 these
    are one folder, in version 1 one for each."""
    version: int

    @property
    def procs(self) -> tuple[Path, ...]:
        """The files into which a process writes its id to join."""
        return tuple(folder / "cgroup.procs" for folder in dict.fromkeys(self.folders.values()))

    def out_of_memory(self) -> bool:
        """True if the kernel killed a process of this cgroup because memory ran out."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        return read_counters(self.folders["memory"] / name).get("oom_kill", 0) > 0

    def threads(self) -> list[str]:
        """Numbers of its threads."""
        folder = self.folders["memory"]
        return read_file(folder / ("cgroup.threads" if self.version == 2 else "tasks")).split()

    def cpu_counters(self) -> dict[str, int]:
        """The kernel's counters of its CPU quota, such as nr_throttled; empty without a quota."""
        return read_counters(self.folders["cpu"] / "cpu.stat") if "cpu" in self.folders else {}

    def user_seconds(self) -> float | None:
        """CPU seconds that its programs computed outside of the kernel; None if the kernel does not tell."""
        if self.version == 2:
            microseconds = read_counters(self.folders["memory"] / "cpu.stat").get("user_usec")
            return None if microseconds is None else microseconds / 1e6
        if "cpuacct" not in self.folders:
            return None
        ticks = read_counters(self.folders["cpuacct"] / "cpuacct.stat").get("user")
        return None if ticks is None else ticks / os.sysconf("SC_CLK_TCK")

    @property
    def freezer(self) -> Freezer | None:
        """What freezes all its processes; None where the kernel offers nothing, or nobody asked for it."""
        return freezer_of(self.folders.get("freezer"), self.version)

    def kill(self) -> None:
        """Kill every process of this cgroup, also those that fork meanwhile, and those that are frozen."""
        # cgroup.kill exists since Linux 5.14 and kills all at once, new children included.
        if self.version == 2 and write_file(self.folders["memory"] / "cgroup.kill", "1"):
            return
        # Without it: with a limit of 0 every fork fails, so that a fork bomb cannot outrun the signals.
        if "pids" in self.folders:
            write_file(self.folders["pids"] / "pids.max", "0")
        until, freezer = time.monotonic() + _GONE_WITHIN_S, self.freezer
        while (alive := self.processes()) and time.monotonic() < until:
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # Each was killed first, so that none does anything with its freedom. An exam may freeze them once more.
            if freezer is not None:
                freezer.thaw()
            time.sleep(0.005)

    def reclaim(self) -> None:
        """Have the kernel give up all memory that was charged to this cgroup; call it after `kill`.

        That is what its processes brought into the page cache, and the names and inodes that they looked up, missing
        ones included: the next phase finds files as they were before this one. Without it the kernel would move all
        that to the cgroup above.
        """
        # Version 2: a limit of 0 makes the kernel reclaim before the write returns, and kills nobody as max would.
        name = "memory.high" if self.version == 2 else "memory.force_empty"
        # One pass takes pages first, and so lets go of the names and inodes that they held. The next takes those.
        for _ in range(_RECLAIM_PASSES):
            write_file(self.folders["memory"] / name, "0")

    def remove(self) -> None:
        """Delete the cgroup. The kernel refuses (EBUSY) for a moment after the last process died."""
        until = time.monotonic() + _GONE_WITHIN_S
        for folder in dict.fromkeys(self.folders.values()):
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > until:
                        break
                    time.sleep(0.005)

    def processes(self) -> set[int]:
        """Numbers of its processes."""
        # The kernel lists ids in no order, and one perhaps twice.
        return {int(pid) for procs in self.procs for pid in read_file(procs).split()}


@dataclass(frozen=True, slots=True)
class Cgroups:
    """A place where cgroups can be created."""

    version: int
    parents: Mapping[str, Path]
    """Folder by controller; in version 2 these are the same."""
    family: str
    """Start of every name: it tells the leftovers of this work folder from the cgroups of others."""

    def make(self, name: str, limits: Limits) -> Cgroup:
        """Create a cgroup with these limits; raises OSError if the kernel refuses."""
        folders = {controller: parent / f"{self.family}{name}" for controller, parent in self.parents.items()}
        cgroup = Cgroup(folders, self.version)
        try:
            for folder in dict.fromkeys(folders.values()):
                # A new folder in this file system is a new cgroup, and the kernel fills it with files.
                folder.mkdir(exist_ok=True)
            for path, value in _limit_files(cgroup, limits):
                path.write_text(value)
        except OSError:
            cgroup.remove()
            raise
        return cgroup

    def leftovers(self) -> Iterator[Cgroup]:
        """Find the cgroups of this family that exist: a controller that died has left them."""
        names = {path.name for parent in self.parents.values() for path in parent.glob(f"{self.family}*")}
        for name in sorted(names):
            yield Cgroup({controller: parent / name for controller, parent in self.parents.items()}, self.version)

    def save(self, path: Path) -> None:
        """Store this place: the next controller may itself run in another cgroup and so find another place."""
        parents = {controller: str(parent) for controller, parent in self.parents.items()}
        path.write_text(json.dumps({"version": self.version, "parents": parents, "family": self.family}))

    @classmethod
    def load(cls, path: Path) -> Cgroups | None:
        """Read what `save` stored; None if there is nothing readable."""
        try:
            noted = json.loads(path.read_text())
            parents = {controller: Path(parent) for controller, parent in noted["parents"].items()}
            return cls(noted["version"], parents, noted["family"])
        except (FileNotFoundError, ValueError, KeyError):
            return None


def _limit_files(cgroup: Cgroup, limits: Limits) -> Iterator[tuple[Path, str]]:
    """Yield the kernel's files and the values to write into them, in the order in which the kernel accepts them."""
    memory, folders = str(limits.memory_bytes), cgroup.folders
    if cgroup.version == 2:
        yield folders["memory"] / "memory.max", memory
        # Out of memory, the kernel kills all processes of the cgroup together and not the largest one alone.
        yield folders["memory"] / "memory.oom.group", "1"
        # memory.max does not count what was swapped out.
        swap = folders["memory"] / "memory.swap.max", "0"
    else:
        yield folders["memory"] / "memory.limit_in_bytes", memory
        # In version 1 this limits memory and swap together, and must not be below memory.limit_in_bytes.
        swap = folders["memory"] / "memory.memsw.limit_in_bytes", memory
    if swap[0].exists():  # absent in a kernel that does not account for swap
        yield swap
    if "pids" in folders:
        # At the limit fork and clone fail with EAGAIN; processes that exist go on.
        yield folders["pids"] / "pids.max", str(limits.processes)
    if limits.cpus is not None and "cpu" in folders:
        yield from _cpu_files(cgroup, int(limits.cpus * _PERIOD_US))


def _cpu_files(cgroup: Cgroup, quota: int) -> Iterator[tuple[Path, str]]:
    folder = cgroup.folders["cpu"]
    # A cgroup that has used up its quota waits until the period is over.
    if cgroup.version == 2:
        yield folder / "cpu.max", f"{quota} {_PERIOD_US}"
    else:
        yield folder / "cpu.cfs_period_us", str(_PERIOD_US)
        yield folder / "cpu.cfs_quota_us", str(quota)
