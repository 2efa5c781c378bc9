"""The connection between examiner and candidate: its socket, exact sizes, absolute deadlines.

The examiner trusts nothing that it receives: it reads as many bytes as it expects, and every wait ends at a deadline
that a slow sender cannot move. Each difference raises a Rejection with a sentence of its own.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from exam.kit.errors import Rejection

READY = struct.Struct("<2I")  # magic, version

READY_MAGIC = 0x59445245
VERSION = 1

SOCKET = "exam.sock"
RESTART, FINISH, USAGE = b"restart\n", b"finish\n", b"usage\n"  # orders over the control connection
DEAD = b"dead\n"  # the supervisor's last line: no process below it is left

READ_BYTES = 1 << 20
"""Bytes of one read or write, 1 MiB: a deadline is checked between two of them."""

REPLY_LIMIT = 256 << 20
"""Largest reply, in bytes (256 MiB): the examiner allocates a buffer of this size at most."""


def socket_address(folder: Path) -> tuple[int, str]:
    """Open a folder; returns the handle and the exam socket's path through it.

    The address of a Unix socket holds at most 107 bytes, and a plain path may be longer.
    """
    # O_PATH names a folder without a right to list it, and /proc/self/fd leads there.
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    return handle, f"/proc/self/fd/{handle}/{SOCKET}"


@dataclass(slots=True)
class Deadline:
    """A moment by which the candidate must have answered. Only the examiner moves it."""

    at: float
    """The moment, in seconds of the monotonic clock."""
    limit: str
    """The words with which a rejection names it."""

    @classmethod
    def after(cls, seconds: float, *, latest: float = float("inf")) -> Deadline:
        """Create the deadline `seconds` from now, or at `latest`, the end of the exam's own time, if that is sooner."""
        until = time.monotonic() + seconds
        if until < latest:
            return cls(until, f"within {seconds:.3g} s")
        return cls(latest, "before the exam's time was up")

    def left(self) -> float:
        """Seconds that remain; 0 after the deadline."""
        return max(0.0, self.at - time.monotonic())


def check_ready(message: bytes) -> None:
    """Check the greeting of a candidate that has loaded its model; raises Rejection if it is another message."""
    if message != READY.pack(READY_MAGIC, VERSION):
        raise fault("the candidate sent something else than its greeting before the first question")


def send(peer: socket.socket, message: bytes, deadline: Deadline, *, what: str) -> None:
    """Send a whole message before the deadline; raises Rejection if the candidate does not read it in time."""
    view = memoryview(message)
    while view:
        # A timeout of 0 would make the socket one that does not block.
        peer.settimeout(max(deadline.left(), 1e-3))
        try:
            view = view[peer.send(view[:READ_BYTES]) :]
        except TimeoutError:
            raise fault(f"{what} was not read {deadline.limit}") from None
        except OSError:
            raise Closed(f"the candidate closed the connection before it took {what}") from None
        if view and not deadline.left():
            raise fault(f"{what} was not read {deadline.limit}")


def receive(peer: socket.socket, buffer: bytearray | memoryview, deadline: Deadline, *, what: str) -> None:
    """Fill a buffer before the deadline; raises Late on silence and a slow sender, Closed on a closed connection."""
    view, size, got = memoryview(buffer), len(buffer), 0
    while got < size:
        if not deadline.left():
            raise _late(what, got, size, deadline)
        peer.settimeout(max(deadline.left(), 1e-3))
        try:
            count = peer.recv_into(view[got : got + READ_BYTES])
        except TimeoutError:
            raise _late(what, got, size, deadline) from None
        except OSError:
            count = 0
        if count == 0:
            raise Closed(f"the candidate closed the connection after {got} of {size} bytes of {what}")
        got += count


def has_unread(peer: socket.socket) -> bool:
    """True if the candidate has sent bytes that the examiner has not asked for."""
    peer.setblocking(False)
    try:
        # MSG_PEEK leaves the byte where it is. Without one a socket that does not block fails with EAGAIN.
        return bool(peer.recv(1, socket.MSG_PEEK))
    except OSError:  # no bytes, or a closed connection: the next read tells which
        return False


class Late(Rejection):
    """A message did not come in time."""

    def __init__(self, sentence: str) -> None:
        super().__init__("protocol", sentence)


class Closed(Rejection):
    """The candidate closed the data connection in the middle of a message. Its supervisor may know the reason."""

    def __init__(self, sentence: str) -> None:
        super().__init__("protocol", sentence)


def fault(sentence: str) -> Rejection:
    """The rejection of a candidate that breaks the rules of the connection."""
    return Rejection("protocol", sentence)


def _late(what: str, got: int, size: int, deadline: Deadline) -> Late:
    if got == 0:
        return Late(f"silence: nothing of {what} came {deadline.limit}")
    return Late(f"too slow: only {got} of {size} bytes of {what} came {deadline.limit}")


def read_exactly(peer: socket.socket, size: int) -> bytes | None:
    """Read so many bytes; None when the examiner has closed the connection. For the candidate, which trusts it."""
    buffer = bytearray(size)
    view, got = memoryview(buffer), 0
    while got < size:
        try:
            count = peer.recv_into(view[got:])
        except ConnectionResetError:  # it closed before it had read our last answer
            return None
        if count == 0:
            return None
        got += count
    return bytes(buffer)
