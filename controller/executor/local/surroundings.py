"""Reads the limits that kernel, container and service manager set for this process; `diagnoses` explains them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

from controller.executor.local.diagnoses import Obstacles

_SETTINGS = Path("/proc/sys")
_CGROUPS = Path("/sys/fs/cgroup")
_CONTAINERS = {
    "kubernetes": "/var/run/secrets/kubernetes.io",
    "podman": "/run/.containerenv",
    "docker": "/.dockerenv",
}
"""A file or folder that only this kind of container has; the first that is there decides."""


def see_obstacles(program: str) -> Obstacles:
    """Read everything that may keep `program`, a bubblewrap, from making namespaces."""
    status = _text(Path("/proc/self/status"))
    limits = sorted((_SETTINGS / "user").glob("max_*_namespaces"))
    return Obstacles(
        program=program,
        root=os.geteuid() == 0,
        restricted=_text(_SETTINGS / "kernel/apparmor_restrict_unprivileged_userns") == "1",
        forbidden=_text(_SETTINGS / "kernel/unprivileged_userns_clone") == "0",
        none_left=tuple(f"user.{limit.name}" for limit in limits if _text(limit) == "0"),
        # A kernel without CONFIG_USER_NS has no such file.
        unsupported=not os.path.exists("/proc/self/ns/user"),
        container=next((kind for kind, sign in _CONTAINERS.items() if os.path.exists(sign)), ""),
        # 0 is no seccomp, 1 the strict mode, 2 a filter.
        filtered=re.search(r"^Seccomp:\s*2$", status, flags=re.MULTILINE) is not None,
        profile=_profile(_text(Path("/proc/self/attr/current"))),
        masked=masks_proc(_text(Path("/proc/self/mountinfo"))),
    )


def masks_proc(mounts: str) -> bool:
    """True if something is mounted over a part of /proc; `mounts` is the text of /proc/self/mountinfo."""
    # The fifth field is the mount point. The last path below is a file system that systemd mounts everywhere.
    points = (line.split()[4] for line in mounts.splitlines() if len(line.split()) > 4)
    return any(point.startswith("/proc/") and point != "/proc/sys/fs/binfmt_misc" for point in points)


def usable_cores() -> int:
    """Count the CPUs that this process may use at once: those it may run on, or fewer if a cgroup grants less time."""
    return cores_of(len(os.sched_getaffinity(0)), _quotas())


def threads_of(cpus: float | None) -> int:
    """Count the threads of one training: PyTorch starts one for each CPU that it may run on, `cpus` at most."""
    # A cgroup's quota does not show in the affinity, so that libraries start more threads than they get time for.
    affinity = len(os.sched_getaffinity(0))
    return affinity if cpus is None else min(affinity, math.ceil(cpus))


def cores_of(affinity: int, quotas: Iterable[str]) -> int:
    """The least of `affinity` and all `quotas`, each the text of a cpu.max such as "200000 100000" for two CPUs."""
    least = float(affinity)
    for text in quotas:
        # No quota is "max" in version 2 and -1 in version 1.
        if re.fullmatch(r"\d+ \d+", text):
            quota, period = text.split()
            least = min(least, int(quota) / int(period))
    return max(1, math.ceil(least))


def _quotas() -> Iterable[str]:
    own = _text(Path("/proc/self/cgroup")).splitlines()
    for line in own:
        _, names, path = line.split(":", 2)
        # The line of version 2 is `0::PATH`.
        if not names:
            yield from (_text(folder / "cpu.max") for folder in _upwards(path))
        elif "cpu" in names.split(","):
            for folder in (_CGROUPS / "cpu" / path.lstrip("/"), _CGROUPS / "cpu"):
                yield f"{_text(folder / 'cpu.cfs_quota_us')} {_text(folder / 'cpu.cfs_period_us')}"


def _upwards(path: str) -> Iterable[Path]:
    """The cgroup and all above it: each may grant less time than the one below. A container sees only the top one."""
    folder = _CGROUPS / path.lstrip("/")
    return (above for above in (folder, *folder.parents) if above.is_relative_to(_CGROUPS))


def _profile(text: str) -> str:
    # AppArmor tells "NAME (MODE)", and SELinux its label with a NUL behind it.
    name = text.partition(" ")[0].strip("\0\n")
    return "" if name == "unconfined" else name


def _text(path: Path) -> str:
    """Read a file of the kernel; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
