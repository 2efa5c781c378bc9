"""Waiting, at the start of a pod, until its network is shut: before that no code runs that nobody has read.

Plug-ins that enforce NetworkPolicy by rules on the node (kube-router and so k3s, the AWS one as it comes) hear of a pod
when it has begun: for half a second or more it reaches everything, and a connection made by then is never cut.

Covered: policies that arrive within PATIENCE_SECONDS.
Not covered: a network that enforces none, or later: training then starts all the same (`helm test` fails there).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

PATIENCE_SECONDS = 5.0
ANSWER_SECONDS = 0.5
"""How long an open network may take to connect: the API server is near. Silence means that packets are dropped."""
PAUSE_SECONDS = 0.05


def await_walls(environment: Mapping[str, str], *, patience: float = PATIENCE_SECONDS) -> float:
    """Wait until the API server, which every pod is told of, cannot be reached; returns the seconds it took.

    Outside of a cluster there is nothing to wait for. Where nothing enforces, it gives up after `patience` seconds.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return 0.0
    began = time.monotonic()
    while _reaches(host, int(port)) and time.monotonic() < began + patience:
        time.sleep(PAUSE_SECONDS)
    return time.monotonic() - began


def _reaches(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=ANSWER_SECONDS):
            return True
    except OSError:
        return False
