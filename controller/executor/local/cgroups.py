"""cgroups of either version: made with their limits, joined, killed, removed.

Where they can be made is found in `hierarchy`. Touches only names that it can tell from everybody else's.
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

from controller.settings import LimitSettings

_PERIOD_US = 100_000
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one phase may use."""

    memory_bytes: int
    processes: int
    cpus: float | None
    file_bytes: int

    @classmethod
    def of(cls, settings: LimitSettings) -> Limits:
        """From the settings; a file may pass the largest limit by 1 MiB, so that passing it can be seen."""
        return cls(
            memory_bytes=int(settings.memory_gb * 2**30),
            processes=settings.processes,
            cpus=settings.cpus,
            file_bytes=int(max(settings.artifact_gb, settings.scratch_gb) * 2**30) + 2**20,
        )


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One phase's cgroup: one folder in version 2, one per controller in version 1."""

    folders: Mapping[str, Path]
    version: int

    @property
    def procs(self) -> tuple[Path, ...]:
        """The files that a process writes its id to in order to join."""
        return tuple(folder / "cgroup.procs" for folder in dict.fromkeys(self.folders.values()))

    def out_of_memory(self) -> bool:
        """The kernel killed something in here because memory ran out."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        return _counters(self.folders["memory"] / name).get("oom_kill", 0) > 0

    def kill(self) -> None:
        """End every process in here, also those that fork while they are killed."""
        if self.version == 2 and write_file(self.folders["memory"] / "cgroup.kill", "1"):
            return
        if "pids" in self.folders:
            write_file(self.folders["pids"] / "pids.max", "0")
        until = time.monotonic() + _PATIENCE_S
        while (alive := self._processes()) and time.monotonic() < until:
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    def remove(self) -> None:
        """Delete the cgroup; it empties a moment after its last process died."""
        until = time.monotonic() + _PATIENCE_S
        for folder in dict.fromkeys(self.folders.values()):
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > until:
                        break
                    time.sleep(0.005)

    def _processes(self) -> set[int]:
        return {int(pid) for procs in self.procs for pid in read_file(procs).split()}


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Where cgroups can be made: a folder per controller (in version 2 they are the same)."""

    version: int
    parents: Mapping[str, Path]
    family: str
    """Start of every name, so that the leftovers of a dead controller are found and nobody else's are touched."""

    def make(self, name: str, limits: Limits) -> Cgroup:
        """A cgroup with these limits. Raises OSError where the kernel refuses."""
        folders = {controller: parent / f"{self.family}{name}" for controller, parent in self.parents.items()}
        cgroup = Cgroup(folders, self.version)
        try:
            for folder in dict.fromkeys(folders.values()):
                folder.mkdir(exist_ok=True)
            for path, value in _values(cgroup, limits):
                path.write_text(value)
        except OSError:
            cgroup.remove()
            raise
        return cgroup

    def leftovers(self) -> Iterator[Cgroup]:
        """Cgroups of this family that exist: what a dead controller left."""
        names = {path.name for parent in self.parents.values() for path in parent.glob(f"{self.family}*")}
        for name in sorted(names):
            yield Cgroup({controller: parent / name for controller, parent in self.parents.items()}, self.version)

    def save(self, path: Path) -> None:
        """Note where these cgroups are made: the next controller may itself run in another place of the tree."""
        parents = {controller: str(parent) for controller, parent in self.parents.items()}
        path.write_text(json.dumps({"version": self.version, "parents": parents, "family": self.family}))

    @classmethod
    def load(cls, path: Path) -> Cgroups | None:
        """What `save` noted, or None."""
        try:
            noted = json.loads(path.read_text())
            parents = {controller: Path(parent) for controller, parent in noted["parents"].items()}
            return cls(noted["version"], parents, noted["family"])
        except (FileNotFoundError, ValueError, KeyError):
            return None


def _values(cgroup: Cgroup, limits: Limits) -> Iterator[tuple[Path, str]]:
    memory, folders = str(limits.memory_bytes), cgroup.folders
    if cgroup.version == 2:
        yield folders["memory"] / "memory.max", memory
        yield folders["memory"] / "memory.oom.group", "1"
        swap = folders["memory"] / "memory.swap.max", "0"
    else:
        yield folders["memory"] / "memory.limit_in_bytes", memory
        swap = folders["memory"] / "memory.memsw.limit_in_bytes", memory
    if swap[0].exists():
        yield swap
    if "pids" in folders:
        yield folders["pids"] / "pids.max", str(limits.processes)
    if limits.cpus is not None and "cpu" in folders:
        yield from _cpu_values(cgroup, int(limits.cpus * _PERIOD_US))


def _cpu_values(cgroup: Cgroup, quota: int) -> Iterator[tuple[Path, str]]:
    folder = cgroup.folders["cpu"]
    if cgroup.version == 2:
        yield folder / "cpu.max", f"{quota} {_PERIOD_US}"
    else:
        yield folder / "cpu.cfs_period_us", str(_PERIOD_US)
        yield folder / "cpu.cfs_quota_us", str(quota)


def _counters(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in read_file(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def read_file(path: Path) -> str:
    """Text of one of the kernel's files; empty where it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def write_file(path: Path, text: str) -> bool:
    """Write to one of the kernel's files; whether the kernel took it."""
    try:
        path.write_text(text)
    except OSError:
        return False
    return True
