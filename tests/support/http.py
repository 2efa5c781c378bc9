"""HTTP on this machine: a free port, and what a server answers."""

from __future__ import annotations

import random
import socket
import urllib.request
from contextlib import suppress


def free_port() -> int:
    """A port on which no process listened a moment ago, and that the kernel gives to nobody who asks for any."""
    # Below those of outgoing connections and of servers on port 0, above those of Kubernetes and its node ports.
    while True:
        port = random.SystemRandom().randrange(15_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def get(address: str) -> str:
    """The body of an answer. Raises OSError where there is none, or one that tells of a failure."""
    with urllib.request.urlopen(address, timeout=30) as reply:
        return str(reply.read().decode())
