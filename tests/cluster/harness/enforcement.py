"""A network that enforces `deny everything` for one namespace, in place of the policies that a plain bridge ignores.

It does not read NetworkPolicy objects: it is what an enforcing network does with the chart's default-deny policy, so
that a test of isolation can be seen passing with it and failing without. Node to pod (probes, logs) stays open, as
in real networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .enlist_pod import address_set

if TYPE_CHECKING:
    from .built import BuiltCluster


@contextmanager
def enforced_network(cluster: BuiltCluster, namespace: str) -> Iterator[None]:
    """Drop every new connection from and to the namespace's pods, present and future ones."""
    machine, members = cluster.machine, address_set(namespace)
    machine.run("ipset", "create", members, "hash:ip")
    try:
        # In the mangle table, so before the address of a Service is replaced by a pod's.
        _rules(cluster, "-I", members)
        for pod in cluster.get("pods", f"--namespace={namespace}")["items"]:
            if address := pod["status"].get("podIP"):
                machine.run("ipset", "-exist", "add", members, address)
        yield
    finally:
        _rules(cluster, "-D", members)
        machine.run("ipset", "destroy", members)


def _rules(cluster: BuiltCluster, verb: str, members: str) -> None:
    for chain, direction in (("PREROUTING", "src"), ("FORWARD", "dst")):
        match = ["-m", "set", "--match-set", members, direction, "-m", "conntrack", "--ctstate", "NEW"]
        cluster.machine.run("iptables", "-w", "-t", "mangle", verb, chain, *match, "-j", "DROP")
