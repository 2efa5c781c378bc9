"""Locks of the lab: one process writes at a time, and its threads do not write while git packs.

The kernel holds an flock and releases it when the process ends, however it ends, so such a lock is never stale.
Git's own lock files stay behind after a kill; the next writer removes them. Reading needs no lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from controller.errors import LabInUse
from controller.lab.presence import LOCK, read_holder

POLL_SECONDS = 0.1
"""Seconds between two looks at a held lock: flock cannot wait with a deadline, and a person waits at most this long."""

READERS_SECONDS = 2.0
"""Seconds that a writer waits at least. A command that asks who holds the lab shares its lock for an instant; two
seconds let it finish on a busy machine."""


@contextmanager
def hold_writer_lock(lab: Path, *, now: float, patience: float) -> Iterator[None]:
    """Hold the lab for writing; wait up to `patience` seconds for a holder that is about to end.

    Raises LabInUse, which names the holder's process id and since when it holds the lab.
    """
    with _open_lock_file(lab / LOCK) as descriptor:
        _acquire(descriptor, lab, until=time.monotonic() + max(patience, READERS_SECONDS))
        # Rewritten in place: an flock belongs to the file and not to its name, so a new file would be another lock.
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {now:.0f}\n".encode(), 0)
        _remove_stale_ref_locks(lab)
        yield


@contextmanager
def keep_writers_out(lab: Path) -> Iterator[None]:
    """Keep other threads from writing while git packs: git can lose the write of a ref that it is packing."""
    with _open_lock_file(lab / "housekeeping.lock") as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def keep_packing_out(lab: Path) -> Iterator[None]:
    """Keep git from packing while a thread writes. Any number of threads may hold this lock together."""
    with _open_lock_file(lab / "housekeeping.lock") as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def _open_lock_file(file: Path) -> Iterator[int]:
    """An open lock file. Closing the descriptor releases the flock that was taken with it."""
    # O_CLOEXEC: a child that inherits the descriptor would keep the lock after this process has ended.
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, lab: Path, *, until: float) -> None:
    """Take the lock, or raise LabInUse when `until` (monotonic seconds) has passed."""
    while True:
        try:
            # flock(2) has no timeout, so the lock is tried without waiting, again and again.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                break
            time.sleep(POLL_SECONDS)
        else:
            return
    _raise_in_use(descriptor, lab)


def _raise_in_use(descriptor: int, lab: Path) -> None:
    """Name the holder. It writes its process id and the time after it has the lock, so both may still be missing."""
    pid, since = read_holder(descriptor)
    clock = datetime.fromtimestamp(since).strftime("%H:%M")
    raise LabInUse(f"the lab {lab} is in use by pid {pid or '?'} (since {clock}); stop it or give another --lab")


def _remove_stale_ref_locks(lab: Path) -> None:
    """Remove the files by which git locks a ref. A killed process leaves them, and git then refuses each later write.

    The writer lock is held, so none of them belongs to a living writer.
    """
    for stale in [*(lab / "refs").rglob("*.lock"), lab / "packed-refs.lock"]:
        stale.unlink(missing_ok=True)
