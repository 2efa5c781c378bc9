"""The examiner's side of the connection to one candidate: accept it, and see that it has ended.

Everything that comes over the data connection is checked, because agent code sends it. On the control connection
speaks our own supervisor. Its end of file after `dead` proves that no process of this candidate is left. Its other
lines only improve the explanation of a rejection.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exam.kit import wire
from exam.kit.errors import CRASH, Rejection, Unready
from exam.kit.wire import Closed, Deadline, Late

WORDS_BYTES = 512
"""Bytes of the supervisor's lines that are kept: each is one short sentence."""

REASON_SECONDS = 2.0
"""Wait for the supervisor's reason after the data connection closed, in seconds: the kernel reports a child at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """The longest that the examiner waits, in seconds."""

    startup: float = 60.0
    """Until a candidate connects, and from then until its model is loaded. A first call that compiles may use what is
    left of the latter."""
    batch: float = 30.0
    """For the answer to one question."""
    end: float = 30.0
    """For a candidate to end when it is told to."""
    total: float = 900.0
    """For all questions together."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time and memory that the processes of a candidate have used so far."""

    cpu_seconds: float
    peak_bytes: int
    """Sum over the processes that live, of the most memory that each had at a time."""


@dataclass(frozen=True, slots=True)
class CandidateSession:
    """The connections to one candidate: a supervisor and the processes below it."""

    control: socket.socket
    data: socket.socket
    time_limits: TimeLimits
    ready_by: Deadline
    """End of the start-up limit."""
    latest: float
    """End of the exam's own time, on the monotonic clock."""

    def close(self) -> None:
        """Close both connections; the supervisor then kills its processes by itself."""
        self.control.close()
        self.data.close()

    def await_greeting(self) -> None:
        """Wait until the model is loaded; raises Rejection when that fails, and Unready when it takes too long."""
        message = bytearray(wire.READY.size)
        try:
            wire.receive(self.data, message, self.ready_by, what="the greeting that says the model is loaded")
        except Late as late:
            if self.ready_by.at >= self.latest:  # what was left of the exam's time ended first, which it used up itself
                raise
            raise Unready(f"the model was not loaded {self.ready_by.limit}") from late
        except Closed as closed:
            raise self.explain(closed) from closed
        wire.check_ready(bytes(message))

    def read_usage(self) -> Usage:
        """Have the supervisor measure what the candidate's processes have used; raises Rejection if it is gone."""
        deadline = Deadline.after(self.time_limits.end)
        gone = Rejection("protocol", "the candidate's supervisor was killed: nobody can tell what was used")
        words = b""
        try:
            self.control.sendall(wire.USAGE)
            while not words.endswith(b"\n") or not words.splitlines()[-1].startswith(b"usage "):
                self.control.settimeout(max(deadline.left(), 1e-3))
                # A stream has no messages: lines come in pieces, or several at once.
                chunk = self.control.recv(WORDS_BYTES)
                words = (words + chunk)[-WORDS_BYTES:]
                if not chunk:
                    raise gone
        except OSError:
            raise gone from None
        for line in words.splitlines():
            if line.startswith(b"exited "):
                code = line.removeprefix(b"exited ").decode()
                raise Rejection(CRASH, f"the candidate's process ended ({_describe_exit(code)})")
        _, cpu, peak = words.splitlines()[-1].split()
        return Usage(float(cpu), int(peak))

    def end(self, order: bytes) -> int | None:
        """Have the candidate killed and wait for the proof; raises Rejection if it does not come.

        Returns the most memory that its processes held, in bytes; None if its supervisor did not tell.
        order: wire.RESTART or wire.FINISH.
        """
        deadline = Deadline.after(self.time_limits.end)
        with contextlib.suppress(OSError):  # a supervisor that has gone: the read below tells
            self.control.sendall(order)
        words = self._read_last_words(deadline)
        if words is None:
            raise Rejection("protocol", f"the candidate did not end within {self.time_limits.end:g} s of being told to")
        if not words.endswith(wire.DEAD):
            raise Rejection("protocol", "the candidate's supervisor was killed: nobody vouches that its memory is gone")
        extra = self._count_leftover(deadline)
        if extra:
            raise Rejection("protocol", f"{extra} bytes came after the last answer")
        told = re.search(rb"^peak (\d{1,18})$", words, flags=re.MULTILINE)
        return int(told[1]) if told else None

    def _read_last_words(self, deadline: Deadline) -> bytes | None:
        """Read control to its end; returns the last bytes, or None if the connection did not end in time."""
        words = b""
        while deadline.left():
            self.control.settimeout(deadline.left())
            try:
                chunk = self.control.recv(WORDS_BYTES)
            except TimeoutError:
                return None
            except OSError:
                chunk = b""
            # The end comes when every copy of the other side is closed, so that no process holds one any more.
            if not chunk:
                return words
            words = (words + chunk)[-WORDS_BYTES:]
        return None

    def _count_leftover(self, deadline: Deadline) -> int:
        """Count the bytes that came after the last answer."""
        count = 0
        with contextlib.suppress(OSError):
            while deadline.left():
                self.data.settimeout(deadline.left())
                got = len(self.data.recv(wire.READ_BYTES))
                if not got:
                    break
                count += got
        return count

    def explain(self, closed: Closed) -> Rejection:
        """Return the supervisor's reason for a closed connection; without one, `closed` itself."""
        self.control.settimeout(REASON_SECONDS)
        try:
            word, _, rest = self.control.recv(WORDS_BYTES).decode(errors="replace").partition("\n")[0].partition(" ")
        except OSError:
            return closed
        if word == "artifact":
            return Rejection("artifact", "".join(filter(str.isprintable, rest)))
        if word == "exited":
            return Rejection(CRASH, f"the candidate's process ended ({_describe_exit(rest)}): {closed.explanation}")
        return closed


def _describe_exit(code: str) -> str:
    number = int(code) if code.removeprefix("-").isdigit() else 0
    if number < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-number).name}"
    return f"exit code {number}"


def accept_candidate(folder: Path, time_limits: TimeLimits, latest: float, *, hello: bytes = b"") -> CandidateSession:
    """Listen for one candidate, accept its two connections, and wait until its model is loaded.

    The listener is closed before the candidate runs agent code, so that a third connection is impossible.
    hello: a first message, of a few bytes, which our own side of the candidate reads.
    Raises Unready if no candidate connects or no model is loaded within the start-up limit, Rejection if it fails.
    """
    connect_by = Deadline.after(time_limits.startup, latest=latest)
    with contextlib.ExitStack() as on_failure:
        with _listening(folder) as listener:
            control = on_failure.enter_context(_accept(listener, connect_by))
            data = on_failure.enter_context(_accept(listener, connect_by))
        # Anew, because the kubelet waits ten to fifteen seconds before it starts a container for the third time.
        ready_by = Deadline.after(time_limits.startup, latest=latest)
        session = CandidateSession(control, data, time_limits, ready_by, latest)
        if hello:
            data.sendall(hello)
        session.await_greeting()
        on_failure.pop_all()
        return session


@contextlib.contextmanager
def _listening(folder: Path) -> Iterator[socket.socket]:
    handle, path = wire.socket_address(folder)
    try:
        # bind(2) refuses a name that exists (EADDRINUSE), though the socket's owner ended long ago.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            os.chmod(path, 0o666)  # the candidate may run as another user; the folder decides who gets here
            listener.listen(2)
            yield listener
            # Without the name nobody connects any more; what was accepted stays connected.
            os.unlink(path)
    finally:
        os.close(handle)


def _accept(listener: socket.socket, until: Deadline) -> socket.socket:
    listener.settimeout(max(until.left(), 1e-3))
    try:
        return listener.accept()[0]
    except TimeoutError:
        raise Unready(f"no candidate connected {until.limit}") from None
