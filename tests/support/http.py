"""HTTP on this machine: a free port, and what a server answers."""

from __future__ import annotations

import secrets
import socket
import urllib.request

ASSIGNED = 20000, 32768
"""First port, and the one after the last, of those that only whoever names one gets: Linux gives servers and clients
that ask for any port one from 32768 on."""


def free_port() -> int:
    """A port on which no process listens, nor will unless it names this very one."""
    while True:
        port = ASSIGNED[0] + secrets.randbelow(ASSIGNED[1] - ASSIGNED[0])
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def get(address: str) -> str:
    """The body of an answer. Raises OSError where there is none, or one that tells of a failure."""
    with urllib.request.urlopen(address, timeout=60) as reply:
        return str(reply.read().decode())
