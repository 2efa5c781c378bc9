"""Read the kernel's counters of this container, of the threads in it, and of the node.

Files of cgroups of version 2 and of version 1 are both looked for. What a kernel does not tell is None.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# In a container the runtime mounts the container's own cgroup here.
CGROUP, PROC = Path("/sys/fs/cgroup"), Path("/proc")

USER = slice(0, 2)
"""Places of the user time among the numbers of a line of /proc/stat, of ordinary programs and of those made nice."""

STEAL = 7
"""Place of the stolen time, from 0."""

GUEST = 8
"""Place from which on the numbers are contained in others already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The kernel's counters at one moment. All but `periods` and `throttled` are seconds; None is not told."""

    at: float
    """By a steady clock."""
    cpu_pressure: float | None
    """In which some program of the node waited for a CPU."""
    memory_pressure: float | None
    """In which some program of this container waited for memory; of the node where cgroups are of version 1."""
    stolen: float
    """That the hypervisor gave away, of all CPUs together."""
    total: float
    """All, of all CPUs together."""
    user: float
    """Those of them in which programs computed, outside of the kernel."""
    own: float | None
    """Those of these that this container computed."""
    periods: float
    """Periods of the container's CPU quota in which it wanted to run."""
    throttled: float
    """Those of them in which it was throttled."""


def read_counters(cgroup: Path = CGROUP, proc: Path = PROC) -> Counters:
    """Read them. cgroup, proc: where the kernel's files are mounted."""
    # /proc/stat and cpuacct.stat count in ticks of USER_HZ, cpu.stat in microseconds.
    hertz = os.sysconf("SC_CLK_TCK")
    ticks = [value / hertz for value in _parse_ticks(_read(proc / "stat"))]
    stat = _parse_lines(_read(cgroup / "cpu.stat"))
    # In version 1 every controller is a file system of its own, below its name.
    quota = stat or _parse_lines(_read(cgroup / "cpu/cpu.stat"))
    pressure = _read(cgroup / "memory.pressure") or _read(proc / "pressure/memory")
    return Counters(
        at=time.monotonic(),
        cpu_pressure=_parse_pressure(_read(proc / "pressure/cpu")),
        memory_pressure=_parse_pressure(pressure),
        stolen=ticks[STEAL] if len(ticks) > STEAL else 0.0,
        total=sum(ticks[:GUEST]),
        user=sum(ticks[USER]),
        own=_own_seconds(stat, _parse_lines(_read(cgroup / "cpuacct/cpuacct.stat")), hertz),
        periods=quota.get("nr_periods", 0),
        throttled=quota.get("nr_throttled", 0),
    )


def _own_seconds(version_2: Mapping[str, int], version_1: Mapping[str, int], hertz: int) -> float | None:
    if "user_usec" in version_2:
        return version_2["user_usec"] / 1e6
    return version_1["user"] / hertz if "user" in version_1 else None


class Waits:
    """Adds up how long threads ran, and how long they waited for a CPU while they could run. Safe from any thread."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._lock = threading.Lock()
        self._threads: dict[str, tuple[int, int]] = {}
        self._ended = (0, 0)

    def look(self, processes: Sequence[int]) -> None:
        """Look at the threads of these processes once."""
        now = {}
        for process in processes:
            folder = self._proc / str(process) / "task"
            with contextlib.suppress(OSError):  # it has ended meanwhile
                for thread in os.listdir(folder):
                    if times := _parse_schedstat(_read(folder / thread / "schedstat")):
                        now[thread] = times
        with self._lock:
            # The kernel forgets the times of a thread that ends.
            for thread, (ran, waited) in self._threads.items():
                if thread not in now:
                    self._ended = (self._ended[0] + ran, self._ended[1] + waited)
            self._threads = now

    def note(self, process: int) -> None:
        """Look at the first thread of one process alone. It can be seen until the process is waited for."""
        if times := _parse_schedstat(_read(self._proc / f"{process}/task/{process}/schedstat")):
            with self._lock:
                self._threads[str(process)] = times

    def totals(self) -> tuple[int, int]:
        """Nanoseconds that they ran, and that they waited, as far as it was seen."""
        with self._lock:
            ran, waited = self._ended
            for more_ran, more_waited in self._threads.values():
                ran, waited = ran + more_ran, waited + more_waited
        return ran, waited


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _parse_lines(text: str) -> dict[str, int]:
    """The numbers of lines "NAME NUMBER"."""
    words = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdigit()}


def _parse_pressure(text: str) -> float | None:
    """Seconds of the line "some" of a file of pressure; None in a kernel without it."""
    # The averages in the same line reach back ten seconds and more; the total is in microseconds.
    found = re.search(r"^some .*\btotal=(\d+)", text, flags=re.MULTILINE)
    return int(found[1]) / 1e6 if found else None


def _parse_ticks(text: str) -> list[float]:
    """The numbers of the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, ..."""
    words = text.partition("\n")[0].split()
    return [float(word) for word in words[1:]] if words[:1] == ["cpu"] else []


def _parse_schedstat(text: str) -> tuple[int, int] | None:
    """Nanoseconds that a thread ran, and that it waited for a CPU while it could run; None if there is no such text."""
    words = text.split()
    return (int(words[0]), int(words[1])) if len(words) == 3 and all(map(str.isdigit, words)) else None
