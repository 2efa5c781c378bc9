"""Who may write to a lab: one process at a time, and none of its other threads while git packs.

The kernel holds the locks and gives them back however their process ends, so that none is ever stale; git's own lock
files can be, and the next writer removes them. Readers need no lock.
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

POLL_SECONDS = 0.1


@contextmanager
def writer(lab: Path, *, now: float, patience: float) -> Iterator[None]:
    """Hold the lab for writing; wait up to `patience` seconds for a holder that is about to end.

    Raises LabInUse naming the holder's pid and since when.
    """
    with _descriptor(lab / "autoresearch.lock") as descriptor:
        _acquire(descriptor, lab, until=time.monotonic() + patience)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {now:.0f}\n".encode(), 0)
        _remove_stale_ref_locks(lab)
        yield


@contextmanager
def housekeeping(lab: Path) -> Iterator[None]:
    """Keep other threads from writing while git packs: a write of a ref that is being packed can be lost."""
    with _descriptor(lab / "housekeeping.lock") as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def outside_housekeeping(lab: Path) -> Iterator[None]:
    """Write from another thread than the one that packs; any number of threads at once."""
    with _descriptor(lab / "housekeeping.lock") as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def _descriptor(file: Path) -> Iterator[int]:
    """An open lock file; closing it gives back what is held by it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, lab: Path, *, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                break
            time.sleep(POLL_SECONDS)
        else:
            return
    _raise_in_use(descriptor, lab)


def _raise_in_use(descriptor: int, lab: Path) -> None:
    holder = os.pread(descriptor, 64, 0).decode(errors="replace").split()
    pid, since = holder if len(holder) == 2 else ("?", "0")
    clock = datetime.fromtimestamp(float(since)).strftime("%H:%M")
    raise LabInUse(f"the lab {lab} is in use by pid {pid} (since {clock}); stop it or give another --lab")


def _remove_stale_ref_locks(lab: Path) -> None:
    for stale in [*(lab / "refs").rglob("*.lock"), lab / "packed-refs.lock"]:
        stale.unlink(missing_ok=True)
