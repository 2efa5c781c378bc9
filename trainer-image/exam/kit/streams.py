"""The examiner's end of a raw connection to a candidate that is a server."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass, field

from exam.kit.wire import READ_BYTES, Deadline

LARGEST = 64 << 20
"""Most bytes that one call may return (64 MiB), whatever an author asks for: the candidate decides how much comes."""


@dataclass(slots=True)
class StreamConnection:
    """Sends and receives until a deadline that the candidate cannot move; raises TimeoutError there."""

    peer: socket.socket
    deadline: Deadline
    _ahead: bytes = field(default=b"")
    """Bytes that came with an earlier read and were not asked for yet."""

    def send(self, data: bytes) -> None:
        """Send all of these bytes. Raises BrokenPipeError if the candidate has closed the connection."""
        view = memoryview(data)
        while view:
            self._allow()
            view = view[self.peer.send(view[:READ_BYTES], socket.MSG_NOSIGNAL) :]

    def receive(self, most: int) -> bytes:
        """At least one byte and at most so many; empty if the candidate has closed the connection."""
        if self._ahead:
            got, self._ahead = self._ahead[:most], self._ahead[most:]
            return got
        self._allow()
        try:
            return self.peer.recv(min(most, READ_BYTES))
        # A Unix socket that is closed with bytes unread resets its peer.
        except ConnectionResetError:
            return b""

    def receive_exactly(self, size: int) -> bytes:
        """So many bytes; fewer if the candidate has closed the connection before."""
        parts, got = [], 0
        while got < min(size, LARGEST):
            part = self.receive(min(size, LARGEST) - got)
            if not part:
                break
            parts.append(part)
            got += len(part)
        return b"".join(parts)

    def receive_until(self, end: bytes, most: int) -> bytes:
        """Bytes up to and with `end`; without it if the connection was closed, or if it is not in the first `most`."""
        got = bytearray()
        while len(got) < min(most, LARGEST):
            part = self.receive(min(most, LARGEST) - len(got))
            if not part:
                break
            before = max(0, len(got) - len(end) + 1)
            got += part
            place = got.find(end, before)
            if place >= 0:
                self._ahead = bytes(got[place + len(end) :]) + self._ahead
                return bytes(got[: place + len(end)])
        return bytes(got)

    def waits(self, seconds: float) -> bool:
        """True if nothing came for so many seconds; for answers that must not come."""
        if self._ahead:
            return False
        # The end of a connection is readable too: who hangs up is not silent.
        return not select.select([self.peer], [], [], min(seconds, self.deadline.left()))[0]

    def shut(self) -> None:
        """Tell the candidate that nothing more will be sent."""
        try:
            # The other direction stays open.
            self.peer.shutdown(socket.SHUT_WR)
        except OSError:  # it has gone: the next read tells
            return

    def close(self) -> None:
        """Close the connection."""
        self.peer.close()

    def _allow(self) -> None:
        left = self.deadline.left()
        if not left:
            raise TimeoutError(f"nothing came {self.deadline.limit}")
        self.peer.settimeout(max(left, 1e-3))
