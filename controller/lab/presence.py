"""Tells another process who holds the lab, and what its loop does.

The loop writes its activity to a small file beside the repository. The file is no record, and a clone of the lab does
not have it. Whether its writer still lives is asked of the kernel, which releases a lock when its process ends.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

ACTIVITY = "activity.json"
LOCK = "autoresearch.lock"


def find_holder(lab: Path) -> tuple[int, float] | None:
    """The process id of the lab's writer and the Unix time at which it took the lab; None if the lab is free.

    A lab without a lock file, or with one that this user may not open, counts as free.
    """
    try:
        descriptor = os.open(lab / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # The kernel grants a shared flock unless a process holds the exclusive one. Readers do not exclude each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_holder(descriptor)
    else:
        return None
    finally:
        # Closing the only descriptor of this open file releases its flock.
        os.close(descriptor)


def read_holder(descriptor: int) -> tuple[int, float]:
    """Process id and Unix time in the lock file. The writer puts them there once it has the lock; zeros before."""
    words = os.pread(descriptor, 64, 0).decode(errors="replace").split()
    try:
        pid, since = words
        return int(pid), float(since)
    except ValueError:
        return 0, 0.0


def write_activity(lab: Path, data: bytes) -> None:
    """Replace the activity file. Only the holder of the lab may.

    A full disk leaves the old file. The lab's next record meets the same disk, and that error is told.
    """
    fresh = lab / f".{ACTIVITY}"
    with suppress(OSError):
        fresh.write_bytes(data)
        # A rename replaces the old file in one step, so a reader never sees half of it.
        fresh.replace(lab / ACTIVITY)


def read_activity(lab: Path) -> bytes | None:
    """The activity file; None if there is none, or this user may not read it."""
    try:
        return (lab / ACTIVITY).read_bytes()
    except OSError:
        return None
