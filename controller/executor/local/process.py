"""Run one phase to its end: output captured and capped, deadline kept, the whole tree gone afterwards.

Waits on descriptors only (output, the reaper's end, a stop signal), never on a pipe's end of file: a grandchild
that keeps the pipe open delays nothing.
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
from controller.executor.local.capture import CappedLog
from controller.executor.local.cgroups import Cgroup
from controller.executor.local.sandbox import Command

_TICK_S = 0.25
_PATIENCE_S = 10.0
_CHUNK = 2**18


class Cause(StrEnum):
    """Why a phase ended."""

    EXITED = "exited"
    DEADLINE = "deadline"
    MEMORY = "memory"
    OVERSIZE = "oversize"
    DISK_FULL = "disk full"
    STOPPED = "stopped"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnd:
    """How one phase ended. `code`: its exit code, 128 + n for signal n; of a killed one it says nothing.

    detail: what passed its limit, or why the sandbox was not made.
    """

    cause: Cause
    code: int = 0
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What a watch found: the phase is killed for it."""

    cause: Cause
    detail: str = ""


class Stop:
    """A signal that wakes every thread waiting for it; once set it stays set."""

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """For poll: readable once set."""
        return self._event

    def set(self) -> None:
        """Wake everybody."""
        os.eventfd_write(self._event, 1)

    @property
    def is_set(self) -> bool:
        """Whether it was set."""
        return bool(select.select([self._event], [], [], 0)[0])

    def __del__(self) -> None:
        os.close(self._event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """A command with its limits."""

    command: Command
    rlimits: Mapping[str, int]
    cgroup: Cgroup | None


def run_phase(
    confined: Confined, *, log: CappedLog, seconds: float, stops: tuple[Stop, ...], watch: Callable[[], Trouble | None]
) -> PhaseEnd:
    """Start the command and wait for its end, at most `seconds`; `watch` is asked four times a second."""
    began = time.monotonic()
    running = _Running(confined, log)
    try:
        trouble = running.wait(began + seconds, stops=stops, watch=watch)
    finally:
        code = running.end()
    trouble = trouble or watch()
    elapsed = time.monotonic() - began
    if trouble:
        return PhaseEnd(cause=trouble.cause, detail=trouble.detail, code=code, seconds=elapsed)
    if not running.entered:
        return PhaseEnd(cause=Cause.NOT_STARTED, detail=log.last_line(), code=code, seconds=elapsed)
    starved = code != 0 and confined.cgroup is not None and confined.cgroup.out_of_memory()
    return PhaseEnd(cause=Cause.MEMORY if starved else Cause.EXITED, code=code, seconds=elapsed)


class _Running:
    """One reaper with its phase."""

    def __init__(self, confined: Confined, log: CappedLog) -> None:
        self._log, self._cgroup = log, confined.cgroup
        self.entered = False
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
        self._ended = os.pidfd_open(self._reaper.pid)

    def wait(self, until: float, *, stops: tuple[Stop, ...], watch: Callable[[], Trouble | None]) -> Trouble | None:
        poll = select.poll()
        for descriptor in (self._output, self._ended, *(stop.fileno() for stop in stops)):
            poll.register(descriptor, select.POLLIN)
        looked = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= until:
                return Trouble(cause=Cause.DEADLINE)
            ready = {descriptor for descriptor, _ in poll.poll(1000 * min(_TICK_S, until - now))}
            if self._output in ready and not self._take():
                poll.unregister(self._output)
            if self._ended in ready:
                return None
            if any(stop.fileno() in ready for stop in stops):
                return Trouble(cause=Cause.STOPPED)
            if time.monotonic() - looked >= _TICK_S:
                looked = time.monotonic()
                if trouble := watch():
                    return trouble

    def end(self) -> int:
        """Kill what is left, collect the reaper and the last of the output; its exit code."""
        if self._cgroup:
            self._cgroup.kill()
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        if not select.select([self._ended], [], [], _PATIENCE_S)[0]:
            self._reaper.kill()
        code = self._reaper.wait()
        self._drain()
        self.entered = _byte_waits(self._status)
        for descriptor in (self._status, self._ended):
            os.close(descriptor)
        assert self._reaper.stdout is not None
        self._reaper.stdout.close()
        return code if code >= 0 else 128 - code

    def _take(self) -> bool:
        """Move what is there into the log; False at the end of the output."""
        try:
            chunk = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return True
        self._log.write(chunk)
        return bool(chunk)

    def _drain(self) -> None:
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        until = time.monotonic() + 1.0
        while poll.poll(0) and self._take() and time.monotonic() < until:
            pass


def _reaper_arguments(confined: Confined, status: int) -> list[str]:
    limits = ",".join(f"{name}={value}" for name, value in confined.rlimits.items())
    cgroups = ":".join(map(str, confined.cgroup.procs)) if confined.cgroup else ""
    program = str(Path(reaper.__file__).resolve())
    return [sys.executable, "-I", "-S", program, str(status), limits, cgroups, *confined.command.argv]


def _byte_waits(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 1))
    except BlockingIOError:
        return False
