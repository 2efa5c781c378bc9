"""cgroups, version 2 where a folder of it was delegated to us, else version 1: made, joined, killed, removed.

Looks only below its own place in the tree, and touches only names that it can tell from everybody else's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.settings import LimitSettings

_PREFIX = "autoresearch-"
_LEAF = f"{_PREFIX}controller"
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
        if self.version == 2 and _write(self.folders["memory"] / "cgroup.kill", "1"):
            return
        if "pids" in self.folders:
            _write(self.folders["pids"] / "pids.max", "0")
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
        return {int(pid) for procs in self.procs for pid in _read(procs).split()}


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


def find_cgroups(work_folder: Path, limits: Limits) -> Cgroups | None:
    """Cgroups that can be made, joined and removed here and now, the better version first; None where none can."""
    mounts, own = _read(Path("/proc/self/mountinfo")), _read(Path("/proc/self/cgroup"))
    family = f"{_PREFIX}{hashlib.sha256(str(work_folder.resolve()).encode()).hexdigest()[:10]}-"
    wanted = ("memory", "pids") if limits.cpus is None else ("memory", "pids", "cpu")
    for version, found in (*_version_2(mounts, own), *_version_1(mounts, own)):
        parents = {controller: found[controller] for controller in wanted if controller in found}
        cgroups = Cgroups(version, parents, family)
        if "memory" in parents and _works(cgroups, limits):
            return cgroups
    return None


def _works(cgroups: Cgroups, limits: Limits) -> bool:
    try:
        cgroups.make(f"self-test-{os.getpid()}", limits).remove()
    except OSError:
        return False
    return True


def _version_2(mounts: str, own: str) -> Iterator[tuple[int, Mapping[str, Path]]]:
    """First our own folder, then the top one: systemd lets nobody but root write there."""
    place = next((mount for mount in _mounted(mounts) if mount.kind == "cgroup2"), None)
    if place is None:
        return
    path = next((line[3:] for line in own.splitlines() if line.startswith("0::")), "/")
    own_folder = place.below(path)
    stepped_in = own_folder.name == _LEAF  # An earlier executor of this process did, in `_delegate`.
    for folder in dict.fromkeys((own_folder.parent if stepped_in else own_folder, place.point)):
        held = _read(folder / "cgroup.subtree_control").split()
        if "memory" not in held:
            held = _delegate(folder)
        yield 2, {controller: folder for controller in ("memory", "pids", "cpu") if controller in held}


def _delegate(folder: Path) -> list[str]:
    """Open a folder's controllers to its children; version 2 allows that only where no process sits in it.

    We therefore step into a child of it first. Other processes are left where they are: where there are any, the
    kernel refuses, and so does this.
    """
    offered = _read(folder / "cgroup.controllers").split()
    if "memory" not in offered or not os.access(folder, os.W_OK):
        return []
    leaf = folder / _LEAF
    try:
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        opened = " ".join(f"+{controller}" for controller in ("memory", "pids", "cpu") if controller in offered)
        (folder / "cgroup.subtree_control").write_text(opened)
    except OSError:
        _write(folder / "cgroup.procs", str(os.getpid()))
        with contextlib.suppress(OSError):
            leaf.rmdir()
    return _read(folder / "cgroup.subtree_control").split()


def _version_1(mounts: str, own: str) -> Iterator[tuple[int, Mapping[str, Path]]]:
    paths = {name: path for _, names, path in _own_cgroups(own) for name in names}
    parents = {
        controller: mount.below(paths[controller])
        for mount in _mounted(mounts)
        for controller in ("memory", "pids", "cpu")
        if mount.kind == "cgroup" and controller in mount.options and controller in paths
    }
    yield 1, {controller: folder for controller, folder in parents.items() if os.access(folder, os.W_OK)}


@dataclass(frozen=True, slots=True)
class _Mounted:
    root: str
    point: Path
    kind: str
    options: Sequence[str]

    def below(self, path: str) -> Path:
        """Where the cgroup `path` appears in this mount; the mount's own top where it cannot be seen."""
        inside = os.path.relpath(path, self.root)
        return self.point if inside.startswith("..") else (self.point / inside)


def _mounted(mounts: str) -> Iterator[_Mounted]:
    for line in mounts.splitlines():
        place, _, kind = line.partition(" - ")
        fields, (name, _, options) = place.split(), kind.split()[:3]
        yield _Mounted(fields[3], Path(fields[4]), name, options.split(","))


def _own_cgroups(own: str) -> Iterator[tuple[str, list[str], str]]:
    for line in own.splitlines():
        number, names, path = line.split(":", 2)
        yield number, names.split(","), path


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
    pairs = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, text: str) -> bool:
    try:
        path.write_text(text)
    except OSError:
        return False
    return True
