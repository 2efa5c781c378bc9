"""Measures from outside what the machine did while a training ran: waiting for CPUs, throttling, stolen time.

Everything is read from the kernel's own counters, which the training cannot write. It can add load of its own, and so
make its own numbers worse; it cannot make them better than they were. One number it should not change at all: `taken`,
the time of programs outside of this campaign. Only user time counts there, because the kernel's own work, such as
writing files back, may be done on behalf of the training. Stolen time is added to it for people to see;
`disturbance.without_stolen` leaves it out where a training may be run again.

Not covered, and not measured: a kernel that counts the machine's user time by ticks but a cgroup's exactly. A training
that runs for a moment around each tick is then counted for whole ticks in the one and for moments in the other, and the
rest looks like a neighbour's. It may so have itself run again, `disturbance.MOST_DISTURBED` times.
"""

from __future__ import annotations

import os
import re
import select
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from controller.domain import Calm, Witness
from controller.executor.disturbance import is_busy
from controller.executor.local.cgroups import Cgroup
from controller.executor.local.kernel_files import read_file
from controller.executor.local.process import Stop

_EVERY_S = 1.0
"""Shortest pause between two looks at the threads, in seconds. What a thread did after the last look is not known."""

_COST = 400
"""A look that took t seconds of a CPU is followed by a pause of 400 t: looking costs at most a quarter of a percent."""

_LOOK_S = 2.0
"""Seconds over which a machine is looked at before a try. Two CPUs then have 400 ticks: a share is known to 1 %."""

_USER = slice(0, 2)
"""Places of the user time among the numbers of a line of /proc/stat, of ordinary programs and of those made nice."""

_STEAL = 7
"""Place of the stolen time, from 0."""

_GUEST = 8
"""Place from which on the numbers are contained in others already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The machine's counters at one moment."""

    at: float
    """Monotonic seconds."""
    cpu_pressure: float | None
    """Seconds so far in which some program waited for a CPU."""
    memory_pressure: float | None
    """Seconds so far in which some program waited for memory."""
    stolen: float
    """Seconds so far that the hypervisor gave away, of all CPUs together."""
    total: float
    """All seconds so far, of all CPUs together."""
    user: float
    """Those of them in which programs computed, outside of the kernel."""
    own: float | None
    """Those of these that this campaign's phases and its controller computed; None if they cannot be told."""
    periods: float
    """Periods so far of the CPU quota of the phase in which it wanted to run."""
    throttled: float
    """Those of them in which it was throttled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSeconds:
    """The time of all CPUs together since the start of the machine, as in `Counters`."""

    stolen: float
    total: float
    user: float


class OwnUse:
    """Adds up the user time of what the controller runs, of slots side by side too. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[Cgroup] = []
        self._ended = 0.0

    def begin(self, cgroup: Cgroup) -> None:
        """Count what runs in this cgroup from now on."""
        with self._lock:
            self._running.append(cgroup)

    def end(self, cgroup: Cgroup) -> None:
        """Keep what was counted. The cgroup must still be there."""
        with self._lock:
            self._running.remove(cgroup)
            self._ended += cgroup.user_seconds() or 0.0

    def seconds(self) -> float:
        """User seconds so far, the controller's own included: it reads what trainings print."""
        with self._lock:
            phases = self._ended + sum(cgroup.user_seconds() or 0.0 for cgroup in self._running)
        # times(2) counts all threads of this process.
        return phases + os.times().user


OWN_USE = OwnUse()
"""That of this process. Whatever it runs in a cgroup is added here, the programs that propose among it: else agent code
could pass for a neighbour."""


class Observer:
    """Observes one phase from its making to its end. cgroup: the phase's, if it has one."""

    def __init__(self, cgroup: Cgroup | None, own: OwnUse) -> None:
        self._cgroup = cgroup
        self._own = own
        self._threads: dict[str, tuple[int, int]] = {}
        self._ended = (0, 0)
        self._due = 0.0
        self._start = self._read()

    def look(self) -> None:
        """Look at the threads of the phase, if it is time."""
        if self._cgroup is None or (began := time.monotonic()) < self._due:
            return
        # Not the time that passes: on a busy machine a look itself waits, and just there the next one must not be late.
        cpu_began = time.thread_time()
        now = {thread: times for thread in self._cgroup.threads() if (times := _times_of(thread))}
        # The kernel forgets the times of a thread that ends.
        for thread, (ran, waited) in self._threads.items():
            if thread not in now:
                self._ended = (self._ended[0] + ran, self._ended[1] + waited)
        self._threads = now
        took = time.thread_time() - cpu_began
        self._due = began + max(_EVERY_S, _COST * took)

    def end(self) -> Witness:
        """The measurements. The phase's cgroup must still be there."""
        ran, waited = self._ended
        for more_ran, more_waited in self._threads.values():
            ran, waited = ran + more_ran, waited + more_waited
        share = waited / (ran + waited) if ran + waited else None
        return witness_between(self._start, self._read(), waited=share)

    def _read(self) -> Counters:
        known = self._cgroup is not None and self._cgroup.user_seconds() is not None
        return _read_counters(self._cgroup, self._own if known else None)


def _read_counters(cgroup: Cgroup | None, own: OwnUse | None) -> Counters:
    quota = cgroup.cpu_counters() if cgroup else {}
    # /proc/stat counts in ticks of USER_HZ, whatever the kernel's own clock.
    machine = parse_machine(read_file(Path("/proc/stat")), hertz=os.sysconf("SC_CLK_TCK"))
    return Counters(
        at=time.monotonic(),
        cpu_pressure=parse_pressure(read_file(Path("/proc/pressure/cpu"))),
        memory_pressure=parse_pressure(read_file(Path("/proc/pressure/memory"))),
        stolen=machine.stolen,
        total=machine.total,
        user=machine.user,
        own=own.seconds() if own else None,
        periods=quota.get("nr_periods", 0),
        throttled=quota.get("nr_throttled", 0),
    )


def wait_for_calm(calm: Calm, own: OwnUse, *, seconds: float, stop: Stop) -> None:
    """Wait until other programs take no more of the CPUs than at the baseline; at most `seconds`, or until a stop."""
    until = time.monotonic() + seconds
    while not stop.is_set and time.monotonic() < until:
        start = _read_counters(None, own)
        select.select([stop], [], [], _LOOK_S)
        taken = _taken(start, _read_counters(None, own))
        if taken is None or not is_busy(taken, calm):
            return


def witness_between(start: Counters, end: Counters, *, waited: float | None) -> Witness:
    """The shares between two moments. waited: of the phase's own threads."""
    seconds = end.at - start.at
    return Witness(
        waited=waited,
        throttled=_share(end.throttled - start.throttled, end.periods - start.periods),
        contended=_growth(start.cpu_pressure, end.cpu_pressure, seconds),
        starved=_growth(start.memory_pressure, end.memory_pressure, seconds),
        stolen=_share(end.stolen - start.stolen, end.total - start.total),
        taken=_taken(start, end),
    )


def _taken(start: Counters, end: Counters) -> float | None:
    if start.own is None or end.own is None:
        return None
    others = max(0.0, (end.user - start.user) - (end.own - start.own))
    return _share(others + max(0.0, end.stolen - start.stolen), end.total - start.total)


def parse_pressure(text: str) -> float | None:
    """Seconds of the line "some" of a file of /proc/pressure; None in a kernel without it."""
    # The averages in the same line reach back ten seconds and more; the total is in microseconds.
    found = re.search(r"^some .*\btotal=(\d+)", text, flags=re.MULTILINE)
    return int(found[1]) / 1e6 if found else None


def parse_machine(text: str, *, hertz: int) -> MachineSeconds:
    """Read /proc/stat, which counts `hertz` ticks a second. The kernel takes stolen time off that of programs."""
    seconds = [number / hertz for number in parse_ticks(text)]
    stolen = seconds[_STEAL] if len(seconds) > _STEAL else 0.0
    return MachineSeconds(stolen=stolen, total=sum(seconds[:_GUEST]), user=sum(seconds[_USER]))


def parse_ticks(text: str) -> list[float]:
    """The numbers of the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, ..."""
    words = text.partition("\n")[0].split()
    return [float(word) for word in words[1:]] if words[:1] == ["cpu"] else []


def parse_schedstat(text: str) -> tuple[int, int] | None:
    """Nanoseconds that a thread ran, and that it waited for a CPU while it could run; None if there is no such text."""
    words = text.split()
    return (int(words[0]), int(words[1])) if len(words) == 3 and all(map(str.isdigit, words)) else None


def _times_of(thread: str) -> tuple[int, int] | None:
    # Any thread is found below /proc by its number, although only the first ones of processes are listed there.
    return parse_schedstat(read_file(Path("/proc", thread, "schedstat")))


def _share(part: float, whole: float) -> float | None:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else None


def _growth(start: float | None, end: float | None, seconds: float) -> float | None:
    return None if start is None or end is None else _share(end - start, seconds)
