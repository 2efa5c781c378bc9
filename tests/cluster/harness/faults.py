"""Breaks a cluster that the harness built as real clusters break. Each function returns once it is so."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from tests.support.waiting import PATIENCE_S

from .errors import ClusterError

if TYPE_CHECKING:
    from .built import BuiltCluster

CONTROLLERS = ("kube-controller-manager", "kube-scheduler")


class Faults:
    """The faults of one cluster. Connection faults reach those who use `cluster.kubeconfig`, and nobody else."""

    def __init__(self, cluster: BuiltCluster) -> None:
        self.cluster = cluster

    def stop_kubelet(self) -> None:
        """Silence the node: its pods run on unseen; it is NotReady after 51 s, 12 s with quick_node_loss."""
        self.cluster.machine.kill("kubelet")

    def start_kubelet(self) -> None:
        """Let the node come back, and wait until it is Ready with its GPUs."""
        self.cluster.start_component("kubelet")
        self.cluster.wait_until_ready()

    def press_node(self) -> None:
        """Let the kubelet believe that the node's memory is used up: it evicts a pod each ten seconds, and takes none.

        `relieve_node` ends it; the taint on the node lasts for the kubelet's evictionPressureTransitionPeriod more.
        """
        self._restart_kubelet(evictionHard={"memory.available": "99%"})

    def relieve_node(self) -> None:
        """Undo press_node, and wait until pods may come again."""
        self._restart_kubelet()
        self.cluster.wait_for(
            *("node", self.cluster.node),
            until=lambda node: not any("memory-pressure" in taint["key"] for taint in node["spec"].get("taints", ())),
            what="the end of the memory pressure",
        )

    def _restart_kubelet(self, **changes: Any) -> None:
        self.stop_kubelet()
        self.cluster.configure_kubelet(**changes)
        self.start_kubelet()

    def delete_node(self) -> None:
        """Remove the node object under its running kubelet; `restore_node` brings it back."""
        self.cluster.kubectl("delete", "node", self.cluster.node)

    def restore_node(self) -> None:
        """Restart the kubelet, which alone registers the node again, and give it its GPUs."""
        if self.cluster.machine.runs("kubelet"):
            self.stop_kubelet()
        self.start_kubelet()

    def stop_api_server(self) -> None:
        """Kill the API server. A polite SIGTERM would wait a minute for open watches."""
        self.cluster.machine.kill("kube-apiserver", number=signal.SIGKILL)

    def start_api_server(self) -> None:
        """Start it again and wait until it serves; watchers must relist, and may see 403 for a moment."""
        self.cluster.start_component("kube-apiserver")
        self.cluster.wait_until_serving()

    def restart_api_server(self) -> None:
        """Kill it and start it again: about 4 s."""
        self.stop_api_server()
        self.start_api_server()

    def restart_controllers(self) -> None:
        """Restart controller-manager and scheduler, whose watches back off up to a minute after a long outage."""
        for name in CONTROLLERS:
            if self.cluster.machine.runs(name):
                self.cluster.machine.kill(name)
            self.cluster.start_component(name)

    def break_watch(self, seconds: float) -> None:
        """Swallow every connection for that long, as a network partition: nothing arrives and nobody is told.

        Returns at once. Connections of that time stay silent for ever; new ones pass when it is over.
        """
        self._proxy("swallow", seconds=seconds)

    def refuse_connections(self, seconds: float) -> None:
        """Reset every open connection and refuse new ones for that long, as a dead load balancer. Returns at once."""
        self._proxy("cut", seconds=seconds)

    def heal(self) -> None:
        """End either of both before its time."""
        self._proxy("pass", seconds=0)

    @contextmanager
    def pod_network_down(self) -> Iterator[None]:
        """Drop everything that pods send or receive, open connections too; not what the kubelet and its probes do."""
        rules = [["PREROUTING", "-s", self.cluster.layout.pod_range], ["FORWARD", "-d", self.cluster.layout.pod_range]]
        for rule in rules:
            self.cluster.machine.run("iptables", "-w", "-t", "mangle", "-I", *rule, "-j", "DROP")
        try:
            yield
        finally:
            for rule in rules:
                self.cluster.machine.run("iptables", "-w", "-t", "mangle", "-D", *rule, "-j", "DROP")

    def fill_quota(self, namespace: str, resource: str = "pods") -> None:
        """Leave nothing of a resource in a namespace; what it uses already stays. `free_quota` ends it."""
        metadata = {"name": "filled", "namespace": namespace}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {resource: "0"}}}
        self.cluster.apply(quota)
        self.cluster.wait_for(
            *("resourcequota", "filled", f"--namespace={namespace}"),
            until=lambda found: resource in found.get("status", {}).get("hard", {}),
            what=f"the quota on {resource} in {namespace} to be enforced",
        )

    def free_quota(self, namespace: str) -> None:
        """Undo fill_quota."""
        self.cluster.kubectl("delete", "resourcequota", "filled", f"--namespace={namespace}")

    def evict_pod(self, namespace: str, pod: str) -> None:
        """Evict as a drain does, through the API: the pod gets DisruptionTarget, ends and vanishes."""
        metadata = {"name": pod, "namespace": namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
        self.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))

    def _proxy(self, mode: Literal["pass", "cut", "swallow"], *, seconds: float) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(str(self.cluster.layout.proxy_socket))
            connection.sendall(f"{mode} {seconds}\n".encode())
            reply = connection.makefile().readline().strip()
        if reply != "ok":
            raise ClusterError(f"the proxy before the API server refused {mode!r}: {reply!r}")
