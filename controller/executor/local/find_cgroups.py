"""Finds the folder in which cgroups can be created: version 2 if one was delegated to us, else version 1.

It looks at the cgroup of this process and at the top of the tree. A folder counts only after a cgroup was created in
it and removed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.executor.local.cgroups import Cgroups, Limits
from controller.executor.local.kernel_files import read_file, write_file

_PREFIX = "autoresearch-"
_LEAF = f"{_PREFIX}controller"
"""Name of the cgroup that this process moves into; see `_delegate`."""


def find_cgroups(work_folder: Path, limits: Limits, *, to_freeze: bool = False) -> Cgroups | None:
    """Find a place where cgroups can be created and removed now, version 2 before 1; None if there is none.

    to_freeze: with a freezer for each, where the kernel offers one.
    """
    mounts, own = read_file(Path("/proc/self/mountinfo")), read_file(Path("/proc/self/cgroup"))
    family = f"{_PREFIX}{hashlib.sha256(str(work_folder.resolve()).encode()).hexdigest()[:10]}-"
    wanted = ("memory", "pids", "cpuacct") if limits.cpus is None else ("memory", "pids", "cpuacct", "cpu")
    choices = ((*wanted, "freezer"), wanted) if to_freeze else (wanted,)
    for version, found in (*_version_2(mounts, own), *_version_1(mounts, own)):
        for names in choices:
            parents = {controller: found[controller] for controller in names if controller in found}
            cgroups = Cgroups(version, parents, family)
            if "memory" in parents and _can_create(cgroups, limits):
                return cgroups
    return None


def clear_leftovers(note: Path, cgroups: Cgroups | None) -> None:
    """Kill what a controller that died has left in cgroups of this family, and remove them.

    note: where the place of the cgroups is kept for the next controller, which may find another.
    """
    for family in filter(None, (Cgroups.load(note), cgroups)):
        for cgroup in family.leftovers():
            cgroup.kill()
            cgroup.reclaim()
            cgroup.remove()
    if cgroups:
        cgroups.save(note)


def _can_create(cgroups: Cgroups, limits: Limits) -> bool:
    try:
        made = cgroups.make(f"self-test-{os.getpid()}", limits)
    except OSError:
        return False
    # Kernels before 5.2 have version 2 without a freezer.
    can_freeze = "freezer" not in cgroups.parents or made.freezer is not None
    made.remove()
    return can_freeze


def _version_2(mounts: str, own: str) -> Iterator[tuple[int, Mapping[str, Path]]]:
    """Yield the folder of our own cgroup, then the top one, in which systemd lets only root write."""
    place = next((mount for mount in _mounted(mounts) if mount.kind == "cgroup2"), None)
    if place is None:
        return
    # The line of version 2 names no controllers; those of version 1 stand between the colons.
    path = next((line[3:] for line in own.splitlines() if line.startswith("0::")), "/")
    own_folder = place.below(path)
    if own_folder.name == _LEAF:  # an earlier executor of this process has moved it there, in `_delegate`
        own_folder = own_folder.parent
    for folder in dict.fromkeys((own_folder, place.point)):
        # A child has those controllers alone that its parent lists here.
        held = read_file(folder / "cgroup.subtree_control").split()
        if "memory" not in held:
            held = _delegate(folder)
        # The freezer is part of version 2 itself, and enabled by nobody.
        enabled = {controller: folder for controller in ("memory", "pids", "cpu") if controller in held}
        yield 2, enabled | {"freezer": folder}


def _delegate(folder: Path) -> list[str]:
    """Enable a folder's controllers for its children; returns the enabled ones.

    Version 2 allows that only while the folder itself holds no process, so this process moves into a child of it
    first. Other processes are left alone: if the folder holds any, the kernel refuses, and we move back.
    """
    offered = read_file(folder / "cgroup.controllers").split()
    if "memory" not in offered or not os.access(folder, os.W_OK):
        return []
    leaf = folder / _LEAF
    try:
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        opened = " ".join(f"+{controller}" for controller in ("memory", "pids", "cpu") if controller in offered)
        (folder / "cgroup.subtree_control").write_text(opened)
    except OSError:
        write_file(folder / "cgroup.procs", str(os.getpid()))
        with contextlib.suppress(OSError):
            leaf.rmdir()
    return read_file(folder / "cgroup.subtree_control").split()


def _version_1(mounts: str, own: str) -> Iterator[tuple[int, Mapping[str, Path]]]:
    paths = {name: path for _, names, path in _own_cgroups(own) for name in names}
    parents = {
        controller: mount.below(paths[controller])
        for mount in _mounted(mounts)
        for controller in ("memory", "pids", "cpuacct", "cpu", "freezer")
        if mount.kind == "cgroup" and controller in mount.options and controller in paths
    }
    yield 1, {controller: folder for controller, folder in parents.items() if os.access(folder, os.W_OK)}


@dataclass(frozen=True, slots=True)
class _Mounted:
    """One line of /proc/self/mountinfo."""

    root: str
    """Folder of the file system that is mounted."""
    point: Path
    """Folder where it is mounted."""
    kind: str
    """Type of the file system: `cgroup` (version 1), `cgroup2`, ..."""
    options: Sequence[str]
    """Options of the file system; in version 1 they name its controllers."""

    def below(self, path: str) -> Path:
        """Folder of the cgroup `path` in this mount; the top of the mount if `path` is outside of it.

        In a container /proc/self/cgroup may name a path of the host that is not mounted.
        """
        inside = os.path.relpath(path, self.root)
        return self.point if inside.startswith("..") else (self.point / inside)


def _mounted(mounts: str) -> Iterator[_Mounted]:
    for line in mounts.splitlines():
        # Before the hyphen stand six fields and any number of optional ones, so the fields behind it are counted anew.
        place, _, kind = line.partition(" - ")
        fields, (name, _, options) = place.split(), kind.split()[:3]
        yield _Mounted(fields[3], Path(fields[4]), name, options.split(","))


def _own_cgroups(own: str) -> Iterator[tuple[str, list[str], str]]:
    for line in own.splitlines():
        number, names, path = line.split(":", 2)
        yield number, names.split(","), path
