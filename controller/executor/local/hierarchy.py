"""Where in the kernel's tree cgroups can be made: version 2 where a folder was delegated to us, else version 1.

Looks only at its own place in the tree and at the top, and believes none of them before a cgroup was made there and
removed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.executor.local.cgroups import Cgroups, Limits, read_file, write_file

_PREFIX = "autoresearch-"
_LEAF = f"{_PREFIX}controller"


def find_cgroups(work_folder: Path, limits: Limits) -> Cgroups | None:
    """Cgroups that can be made, joined and removed here and now, the better version first; None where none can."""
    mounts, own = read_file(Path("/proc/self/mountinfo")), read_file(Path("/proc/self/cgroup"))
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
        held = read_file(folder / "cgroup.subtree_control").split()
        if "memory" not in held:
            held = _delegate(folder)
        yield 2, {controller: folder for controller in ("memory", "pids", "cpu") if controller in held}


def _delegate(folder: Path) -> list[str]:
    """Open a folder's controllers to its children; version 2 allows that only where no process sits in it.

    We therefore step into a child of it first. Other processes are left where they are: where there are any, the
    kernel refuses, and so does this.
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
