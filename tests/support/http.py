"""HTTP on this machine: a free port, and what a server answers."""

from __future__ import annotations

import errno
import random
import socket
import urllib.request

from tests.support.waiting import PATIENCE_S

PORTS = range(11_000, 30_000)
"""Above those of a Kubernetes control plane (10,248 to 10,259), below those of its Services (from 30,000 on)."""


def free_port() -> int:
    """A port on which no process listened a moment ago, and that Linux gives to nobody who asks for any.

    It would give one of 32,768 to 60,999 (ip_local_port_range) away again before the test's program listens there.
    """
    # Its own draws, because two workers that were given one seed would draw alike.
    for port in random.SystemRandom().sample(PORTS, 1_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED:
                return port
    raise OSError("no port is free")


def get(address: str) -> str:
    """The body of an answer. Raises OSError where there is none, or one that tells of a failure."""
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as reply:
        return str(reply.read().decode())
