"""NetworkPolicy enforced for real, by the firewall of kube-router, the code that k3s ships: for all namespaces at once.

As on any node of that kind, a pod's policies arrive about half a second after the pod has begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.waiting import wait_until

from .binaries import binary

if TYPE_CHECKING:
    from .built import BuiltCluster

NAME = "kube-router"
CHAINS = ("KUBE-ROUTER-INPUT", "KUBE-ROUTER-FORWARD", "KUBE-ROUTER-OUTPUT")


def enforce_policies(cluster: BuiltCluster) -> None:
    """Enforce from here to the cluster's end; a second call does nothing."""
    machine, layout = cluster.machine, cluster.layout
    if machine.runs(NAME):
        return
    # Without it the filter does not see what goes from pod to pod over the bridge.
    machine.run("sh", "-c", "echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables")
    machine.start(
        NAME,
        [
            str(binary(NAME)),
            *("--run-firewall=true", "--run-router=false", "--run-service-proxy=false", "--health-port=0"),
            f"--kubeconfig={cluster.harness_kubeconfig}",
            f"--hostname-override={cluster.node}",
            f"--service-cluster-ip-range={layout.service_range}",
        ],
    )
    what = f"the rules of {NAME}; see {layout.logs}/{NAME}.log"
    wait_until(lambda: f"-A {CHAINS[0]}" in _rules(cluster), what=what)


@contextmanager
def policies_ignored(cluster: BuiltCluster) -> Iterator[None]:
    """While the context lasts the network is a plain bridge, which enforces nothing. Pods must be there."""
    cluster.machine.kill(NAME)
    for chain in CHAINS:
        cluster.machine.run("iptables", "-w", "-F", chain)
    try:
        yield
    finally:
        enforce_policies(cluster)
        wait_until(lambda: "-j KUBE-POD-FW-" in _rules(cluster), what=f"the pods' rules of {NAME}")


def _rules(cluster: BuiltCluster) -> str:
    return cluster.machine.run("iptables", "-w", "-S", CHAINS[0], check=False)
