"""Runs one phase to its end: captures its output, keeps its deadline, and leaves no process behind.

It waits for the reaper's end and not for the end of the output: a grandchild can keep the pipe open after the phase
has ended.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from controller.executor.local import reaper
from controller.executor.local.capped_log import CappedLog
from controller.executor.local.cgroups import Cgroup
from controller.executor.local.sandbox import Command

TICK_S = 0.25
"""Longest pause between two calls of `watch`, in seconds: a disk can fill quickly, and a look costs little."""

_REAPED_WITHIN_S = 10.0
"""Longest wait for the reaper to kill the rest of the tree, in seconds; then it is killed itself."""

_CHUNK = 2**18
"""Bytes of one read of the output (256 KiB)."""


class Cause(StrEnum):
    """The cause of a phase's end."""

    EXITED = "exited"
    DEADLINE = "deadline"
    MEMORY = "memory"
    OVERSIZE = "oversize"
    DISK_FULL = "disk full"
    STOPPED = "stopped"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnd:
    """The end of one phase."""

    cause: Cause
    code: int = 0
    """Exit code, 128 + n for signal n; without meaning if we killed the phase."""
    seconds: float = 0.0
    detail: str = ""
    """The limit that was exceeded, or the reason why there was no sandbox; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A reason to kill the phase."""

    cause: Cause
    detail: str = ""


class Stop:
    """A signal that wakes every thread waiting for it; once set it stays set."""

    def __init__(self) -> None:
        # Nobody reads it, so that its counter stays above 0 and it readable, for every thread that polls.
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Descriptor for poll: readable once set."""
        return self._event

    def set(self) -> None:
        """Set it, and wake every waiting thread."""
        os.eventfd_write(self._event, 1)

    @property
    def is_set(self) -> bool:
        """True once set."""
        return bool(select.select([self._event], [], [], 0)[0])

    def __del__(self) -> None:
        os.close(self._event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """A command with its limits."""

    command: Command
    rlimits: Mapping[str, int]
    cgroup: Cgroup | None
    cores: tuple[int, ...] = ()
    """Cores on which it runs; empty for all."""


def run_phase(
    confined: Confined,
    *,
    log: CappedLog,
    seconds: float,
    stops: tuple[Stop, ...],
    watch: Callable[[], Trouble | None],
    pause: Callable[[], float] = lambda: TICK_S,
    stood_still: Callable[[], float] = lambda: 0.0,
) -> PhaseEnd:
    """Start the command and wait for its end, at most `seconds`; call `watch` after each `pause`.

    stood_still: seconds so far for which it was frozen, which do not count.
    """
    began = time.monotonic()
    running = _Running(confined, log)
    try:
        trouble = running.wait(lambda: began + seconds + stood_still(), stops=stops, watch=watch, pause=pause)
    finally:
        code = running.end()
    trouble = trouble or watch()
    elapsed = max(0.0, time.monotonic() - began - stood_still())
    if trouble:
        return PhaseEnd(cause=trouble.cause, detail=trouble.detail, code=code, seconds=elapsed)
    if not running.entered:
        return PhaseEnd(cause=Cause.NOT_STARTED, detail=log.last_line(), code=code, seconds=elapsed)
    # Whatever its exit code: a program that lost a part of itself to the kernel has not done its work, as in a cluster.
    starved = confined.cgroup is not None and confined.cgroup.out_of_memory()
    return PhaseEnd(cause=Cause.MEMORY if starved else Cause.EXITED, code=code, seconds=elapsed)


class _Running:
    """One reaper with its phase."""

    def __init__(self, confined: Confined, log: CappedLog) -> None:
        self._log, self._cgroup = log, confined.cgroup
        self.entered = False
        # O_CLOEXEC from the start: another thread may fork at any moment.
        status, status_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._reaper = subprocess.Popen(
                _reaper_arguments(confined, status_end),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                env=dict(confined.command.environment),
                cwd=confined.command.folder,
                pass_fds=(status_end,),
                # Ctrl-C reaches the foreground group of a terminal only, and a new session has no terminal.
                start_new_session=True,
            )
        except BaseException:
            os.close(status)
            raise
        finally:
            os.close(status_end)
        self._status = status
        assert self._reaper.stdout is not None
        self._output = self._reaper.stdout.fileno()
        os.set_blocking(self._output, False)
        # A pidfd is readable once its process has ended, whoever still holds the pipe.
        self._ended = os.pidfd_open(self._reaper.pid)

    def wait(
        self,
        until: Callable[[], float],
        *,
        stops: tuple[Stop, ...],
        watch: Callable[[], Trouble | None],
        pause: Callable[[], float],
    ) -> Trouble | None:
        poll = select.poll()
        for descriptor in (self._output, self._ended, *(stop.fileno() for stop in stops)):
            poll.register(descriptor, select.POLLIN)
        due = time.monotonic() + pause()
        while True:
            now, end = time.monotonic(), until()
            if now >= end:
                return Trouble(cause=Cause.DEADLINE)
            # POLLHUP comes unasked: an output that has lost its last writer is ready too.
            ready = {descriptor for descriptor, _ in poll.poll(1000 * max(0.0, min(due, end) - now))}
            if self._output in ready and not self._take():
                poll.unregister(self._output)
            if self._ended in ready:
                return None
            if any(stop.fileno() in ready for stop in stops):
                return Trouble(cause=Cause.STOPPED)
            if time.monotonic() >= due:
                if trouble := watch():
                    return trouble
                due = time.monotonic() + pause()

    def end(self) -> int:
        """Kill the remaining processes, collect the last output, and return the exit code."""
        if self._cgroup:
            self._cgroup.kill()
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()  # the reaper then kills all its descendants
        if not select.select([self._ended], [], [], _REAPED_WITHIN_S)[0]:
            self._reaper.kill()
        code = self._reaper.wait()
        self._drain()
        self.entered = _byte_waits(self._status)
        for descriptor in (self._status, self._ended):
            os.close(descriptor)
        assert self._reaper.stdout is not None
        self._reaper.stdout.close()
        # Popen reports a death by signal n as -n, a shell as 128 + n.
        return code if code >= 0 else 128 - code

    def _take(self) -> bool:
        """Copy the available output into the log; False at the end of the output."""
        try:
            chunk = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return True
        self._log.write(chunk)
        return bool(chunk)

    def _drain(self) -> None:
        # A process that left the session before it was killed may hold the pipe and write for ever.
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        until = time.monotonic() + 1.0
        while poll.poll(0) and self._take() and time.monotonic() < until:
            pass


def _reaper_arguments(confined: Confined, status: int) -> list[str]:
    limits = ",".join(f"{name}={value}" for name, value in confined.rlimits.items())
    cgroups = ":".join(map(str, confined.cgroup.procs)) if confined.cgroup else ""
    cores = ",".join(map(str, confined.cores))
    program = str(Path(reaper.__file__).resolve())
    return [sys.executable, "-I", "-S", program, str(status), limits, cgroups, cores, *confined.command.argv]


def _byte_waits(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 1))
    except BlockingIOError:
        return False
