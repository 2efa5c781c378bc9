"""Wait at the start of a pod until the network policy is in force, so that agent code never runs with network access.

Some network plug-ins (kube-router, and so k3s; the one of AWS as it is installed) write their rules on the node only
after the pod has started. For half a second or more the pod reaches everything, and a connection that it made by then
stays open.

Covered: policies that are in force within WAIT_SECONDS.
Not covered: a network that enforces no policy, or enforces it later. Training then starts all the same; `helm test`
fails on such a cluster.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

WAIT_SECONDS = 5.0
"""Longest wait for the policy, in seconds: plug-ins need about one, and without a policy training must still start."""

CONNECT_SECONDS = 0.5
"""Time for one connection, in seconds: an open network needs far less. Silence means that packets are dropped."""

POLL_SECONDS = 0.05
"""Pause between two attempts to connect, in seconds: short beside the budget, and no load on the API server."""


def await_network_policy(environment: Mapping[str, str], *, seconds: float = WAIT_SECONDS) -> float:
    """Wait until the API server cannot be reached, at most `seconds`; returns the seconds that this took.

    Kubernetes tells every pod the address of the API server in its environment. Outside of a cluster these
    variables are missing, and the function returns at once.
    """
    # Those of the service `kubernetes`, which a pod gets even where enableServiceLinks is false.
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return 0.0
    began = time.monotonic()
    while _is_reachable(host, int(port)) and time.monotonic() < began + seconds:
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def _is_reachable(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS):
            return True
    except OSError:  # refused, unreachable, or no answer in time
        return False
