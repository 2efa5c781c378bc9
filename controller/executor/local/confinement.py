"""Enforces the limits of a phase: by a cgroup where one can be created, else by rlimits and CPU affinity.

The two differ. A cgroup limits all processes of a phase together, including page cache and files in /tmp, and killing
it kills every one of them. RLIMIT_DATA limits each process by itself, and RLIMIT_NPROC does not limit root.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from controller.executor.local.cgroups import Cgroups, Limits
from controller.executor.local.shares import cores_of_slot


@dataclass(frozen=True, slots=True)
class Confinement:
    """The limits of every phase, and the means to enforce them."""

    limits: Limits
    cgroups: Cgroups | None
    """None if only rlimits are possible here."""
    root: bool = field(default_factory=lambda: os.geteuid() == 0)
    """True if this process runs as root."""

    def rlimits(self) -> dict[str, int]:
        """The rlimits of every phase, by name. No core dumps, which would fill the disk."""
        # A write beyond RLIMIT_FSIZE sends SIGXFSZ, which ends a process that does not ignore it.
        always = {"core": 0, "fsize": self.limits.file_bytes}
        if self.cgroups:
            return always
        # Since Linux 4.7 RLIMIT_DATA counts private writable mappings as well, by which allocators get most memory.
        return always | {"data": self.limits.memory_bytes}

    def process_rlimit(self, *, own_namespace: bool) -> int | None:
        """RLIMIT_NPROC of a phase; None if a cgroup limits its processes.

        In a user namespace of its own the kernel counts only the processes in it, elsewhere all processes of the user.
        """
        if self.cgroups and "pids" in self.cgroups.parents:
            return None
        if own_namespace:
            return self.limits.processes
        return self.limits.processes + _count_threads_of_user()

    def cores_of(self, slot: int, slots: int) -> tuple[int, ...]:
        """The cores on which the phases of a slot are to run; empty if a cgroup limits their time, or nothing does."""
        if self.cgroups and "cpu" in self.cgroups.parents:
            return ()
        return cores_of_slot(slot, slots=slots, cores=sorted(os.sched_getaffinity(0)), cpus=self.limits.cpus)

    def describe(self) -> str:
        """Describe in one sentence what limits memory, processes and CPUs here."""
        controllers = self.cgroups.parents if self.cgroups else {}
        by_cgroup = f"cgroup v{self.cgroups.version}" if self.cgroups else ""
        memory = by_cgroup if "memory" in controllers else "rlimit (each process by itself)"
        if "pids" in controllers:
            processes = by_cgroup
        elif self.root:
            processes = "not limited (root without a pids cgroup)"
        else:
            processes = "rlimit"
        cpus = ""
        if self.limits.cpus is not None:
            cpus = f", CPUs: {by_cgroup if 'cpu' in controllers else 'affinity (no cpu cgroup)'}"
        return f"memory: {memory}, processes: {processes}{cpus}"


def _count_threads_of_user() -> int:
    count = 0
    for tasks in Path("/proc").glob("[0-9]*/task"):
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            if tasks.stat().st_uid == os.getuid():
                count += len(os.listdir(tasks))
    return count
