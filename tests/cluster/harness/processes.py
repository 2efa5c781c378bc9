"""Which process is meant: by id and start time, so that a reused id never gets another's signal."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import PATIENCE_S, wait_until

DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
"""In front of a command: the kernel ends it when the thread that waits for it ends, even by SIGKILL.

What it would go on writing belongs to the next process that takes the lock. Other systems than Linux have no setpriv.
"""


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this machine. started: clock ticks after boot, as /proc tells."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this id now, or None; a zombie counts as gone."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid=pid, started=int(fields[19]))

    @classmethod
    def current(cls) -> Process:
        """The calling process."""
        process = cls.of(os.getpid())
        assert process is not None
        return process

    @property
    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def kill(self, *, seconds: float = PATIENCE_S) -> None:
        """End it at once and wait until it is gone. Raises DeadlineError."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.alive, what=f"the end of process {self.pid}", seconds=seconds, interval=0.02)
