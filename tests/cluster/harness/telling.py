"""Tells a waiting human something, past pytest's capturing and out of pytest-xdist's workers, whose output nobody sees.

The process at the terminal keeps a pipe open, and whoever has something to say writes a line to it. On Linux a process
that knows the pipe's name below /proc can open it; elsewhere a worker's words stay unheard, and nothing fails.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TERMINAL = "AUTORESEARCH_TEST_TERMINAL"
"""In the environment of every process of a run: the pipe to the terminal, which also tells one run from another."""


def announce(message: str) -> None:
    """Tell it at the terminal."""
    line = f"[test cluster] {message}\n"
    try:
        with open(os.environ.get(TERMINAL, ""), "w") as pipe:
            pipe.write(line)
    except OSError:
        print(line, end="", file=sys.__stderr__, flush=True)


@contextmanager
def heard(terminal: int) -> Iterator[None]:
    """While the context lasts, what this process and its children announce is written to this file descriptor."""
    reading, writing = os.pipe()
    relay = threading.Thread(target=_relay, args=(reading, terminal), name="announcements", daemon=True)
    relay.start()
    os.environ[TERMINAL] = f"/proc/{os.getpid()}/fd/{writing}"
    try:
        yield
    finally:
        del os.environ[TERMINAL]
        os.close(writing)
        relay.join()


def _relay(reading: int, terminal: int) -> None:
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            os.write(terminal, line)
