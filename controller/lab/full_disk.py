"""Writes on a disk that may be full: into the room of a ballast first, and then with patience.

What fills the disk may be an attempt that is killed for it, and whose files are then deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pygit2

from controller.folder.ballast import Ballast, is_full

ROOM_WITHIN_S = 20.0
"""Longest wait for room, in seconds. A training that fills the disk is killed within half a second, and what it wrote
is deleted at some 100,000 files a second."""

POLL_S = 0.25
"""Seconds between two tries to write."""

T = TypeVar("T")


def write_patiently(write: Callable[[], T], ballast: Ballast) -> T:
    """Call `write` until it succeeds or the patience ends; it must write all or nothing, as git does for each ref."""
    until = time.monotonic() + ROOM_WITHIN_S
    while True:
        try:
            return write()
        except (pygit2.GitError, OSError) as error:
            if not is_full(error) or time.monotonic() > until:
                raise
        ballast.give_up()
        time.sleep(POLL_S)
