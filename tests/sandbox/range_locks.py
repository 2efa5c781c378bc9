"""Locks on single bytes of a file that every sandbox sees: a channel from a candidate to whoever runs beside it."""

from __future__ import annotations

import fcntl
import os
import secrets
import struct

SHARED_FILE = "/usr/bin/env"
"""A file that every sandbox sees."""

BITS, READY, SAID, HEARD, OVER = 64, 100, 101, 102, 103
LOCKS = f"""
    import fcntl, os, struct, time
    BITS, READY, SAID, HEARD, OVER = {BITS}, {READY}, {SAID}, {HEARD}, {OVER}
    FILE = os.open({SHARED_FILE!r}, os.O_RDONLY)
    def lock(kind, at):
        return struct.pack("hhqqi4x", kind, os.SEEK_SET, BASE + at, 1, 0)
    def hold(at):
        fcntl.fcntl(FILE, fcntl.F_SETLK, lock(fcntl.F_RDLCK, at))
    def is_held(at):
        told = fcntl.fcntl(FILE, fcntl.F_GETLK, lock(fcntl.F_WRLCK, at))
        return struct.unpack("hhqqi4x", told)[0] != fcntl.F_UNLCK
"""
"""Locks on single bytes of a file that both sides may only read, beyond its end; BASE says where."""

LISTENS = """
    heard = 0
    hold(READY)
    while not is_held(OVER):
        said = is_held(SAID)  # before the question is read, or a part of it would do
        heard |= sum(1 << at for at in range(BITS) if is_held(at))
        if said:
            hold(HEARD)
    print(heard)
"""
SAYS = """
    for at in range(BITS):
        if QUESTION >> at & 1:
            hold(at)
    hold(SAID)
    until = time.monotonic() + PATIENCE
    while not is_held(HEARD) and time.monotonic() < until:
        time.sleep(0.001)
"""


class Locks:
    """What the code above does, for the test itself. Closing gives every lock back."""

    def __init__(self) -> None:
        self.base = secrets.randbits(40) * 1000  # of this test: others may hold locks on the file at the same time
        self._file = os.open(SHARED_FILE, os.O_RDONLY)

    def hold(self, at: int) -> None:
        fcntl.fcntl(self._file, fcntl.F_SETLK, self._lock(fcntl.F_RDLCK, at))

    def is_held(self, at: int) -> bool:
        told = fcntl.fcntl(self._file, fcntl.F_GETLK, self._lock(fcntl.F_WRLCK, at))
        return bool(struct.unpack("hhqqi4x", told)[0] != fcntl.F_UNLCK)

    def close(self) -> None:
        os.close(self._file)

    def _lock(self, kind: int, at: int) -> bytes:
        return struct.pack("hhqqi4x", kind, os.SEEK_SET, self.base + at, 1, 0)
