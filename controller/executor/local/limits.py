"""How limits on a phase are enforced here: by cgroup where one can be made, else by rlimits.

The difference matters: a cgroup limits the whole process tree (page cache and /tmp included) and its kill spares
nobody; RLIMIT_DATA limits each process by itself, and RLIMIT_NPROC does not bind root. `describe` says which of
them is in force.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from controller.executor.local.cgroups import Cgroups, Limits


@dataclass(frozen=True, slots=True)
class Confinement:
    """How limits are enforced here: by cgroups, or by rlimits alone."""

    limits: Limits
    cgroups: Cgroups | None
    root: bool = field(default_factory=lambda: os.geteuid() == 0)

    def rlimits(self) -> dict[str, int]:
        """Names and values of the rlimits that every phase gets."""
        always = {"core": 0, "fsize": self.limits.file_bytes}
        return always if self.cgroups else always | {"data": self.limits.memory_bytes}

    def process_rlimit(self, *, own_namespace: bool) -> int | None:
        """RLIMIT_NPROC of a phase, None where a cgroup counts. Outside a namespace the kernel counts the whole user."""
        if self.cgroups and "pids" in self.cgroups.parents:
            return None
        return self.limits.processes + (0 if own_namespace else _threads_of_user())

    def describe(self) -> str:
        """One sentence for people: what limits memory, processes and CPUs here."""
        held = self.cgroups.parents if self.cgroups else {}
        by = f"cgroup v{self.cgroups.version}" if self.cgroups else ""
        memory = by if "memory" in held else "rlimit (each process by itself)"
        processes = by if "pids" in held else "not limited (root without a pids cgroup)" if self.root else "rlimit"
        cpus = "" if self.limits.cpus is None else f", CPUs: {by if 'cpu' in held else 'not limited (no cpu cgroup)'}"
        return f"memory: {memory}, processes: {processes}{cpus}"


def _threads_of_user() -> int:
    count = 0
    for tasks in Path("/proc").glob("[0-9]*/task"):
        with contextlib.suppress(OSError):
            count += len(os.listdir(tasks)) if tasks.stat().st_uid == os.getuid() else 0
    return count
