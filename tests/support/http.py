"""HTTP on this machine: a free port, and what a server answers."""

from __future__ import annotations

import socket
import urllib.request


def free_port() -> int:
    """A port on which no process listened a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(address: str) -> str:
    """The body of an answer. Raises OSError where there is none, or one that tells of a failure."""
    with urllib.request.urlopen(address, timeout=30) as reply:
        return str(reply.read().decode())
