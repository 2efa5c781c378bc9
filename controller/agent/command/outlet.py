"""Sends a reply on to the program without making the vendor wait for it.

A program stands still while an exam is held, for minutes. A vendor whose reply nobody takes hangs up, and bills it. So
what the program does not take yet is kept here.
"""

from __future__ import annotations

import select
import socket

MOST_KEPT = 8 * 2**20
"""Bytes of a reply that are kept at most (8 MiB); then the vendor waits. A streamed token takes some 120 bytes."""

_AT_ONCE = 2**16
"""Bytes that the kernel is given at a time (64 KiB)."""


class Outlet:
    """The sending side of one connection; not shared between threads. Its methods raise OSError if nobody is there."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._kept = bytearray()
        self._room = select.poll()
        self._room.register(connection, select.POLLOUT)

    def send(self, data: bytes) -> None:
        """Send, or keep for later what the other side does not take."""
        self._kept += data
        self._push(leave=MOST_KEPT)

    def finish(self) -> None:
        """Wait until all of it was taken."""
        self._push(leave=0)

    def _push(self, *, leave: int) -> None:
        """Send what is taken at once; wait as long as more than `leave` bytes are kept."""
        while self._kept:
            try:
                # MSG_DONTWAIT holds for this call alone: the handler goes on reading the same socket with patience.
                sent = self._connection.send(bytes(self._kept[:_AT_ONCE]), socket.MSG_DONTWAIT)
            except BlockingIOError:
                if len(self._kept) <= leave:
                    return
                # It also returns where the other side has gone (POLLERR, POLLHUP); the next send then raises.
                self._room.poll()
            else:
                del self._kept[:sent]
