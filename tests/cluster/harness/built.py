"""The cluster that the harness builds itself: one real node in namespaces of its own on this machine."""

from __future__ import annotations

import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE_S, wait_until

from . import slots
from .binaries import binary
from .certificates import kubeconfig, make_certificates
from .cluster import Cluster, set_gpus, tail
from .components import DEFAULT, ClusterSpec, commands, files
from .containerd import Containerd
from .enforcement import enforced_network
from .errors import ClusterError
from .faults import Faults
from .images import busybox_image, pause_image
from .layout import Layout
from .machine import Machine
from .oci import Image

COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
CNI_PLUGINS = Path("/usr/lib/cni")
HERE = Path(__file__).parent
ORPHANED_LOGS = HERE.parents[2] / "build" / "cluster-logs"


class BuiltCluster(Cluster):
    """A running cluster. layout: where it lies; spec: how it was asked for; machine: its namespaces.

    Ends with `stop`. Unless it was started with keep, it also ends with the process that started it.
    """

    def __init__(self, layout: Layout, spec: ClusterSpec, machine: Machine) -> None:
        self.layout = layout
        self.spec = spec
        self.machine = machine
        self.kubeconfig = layout.kubeconfig
        self.containerd = Containerd(layout, machine)
        self.faults = Faults(self)
        self._stopped = False

    @classmethod
    def start(
        cls, name: str, spec: ClusterSpec = DEFAULT, *, keep: bool = False, slot: int = slots.LONELY
    ) -> BuiltCluster:
        """Start a cluster and wait until its node is Ready; about 7 s on two cores.

        name: any, it shows in the node's name; keep: run on after the caller's end; slot: the place to take, or the
        next free one. Raises ClusterError with the last words of the components when it does not come up.
        """
        for program in COMPONENTS:
            binary(program)
        layout = slots.claim(name, wanted=slot)
        slots.make_control_groups(layout)
        cluster = cls(layout, spec, Machine.boot(layout, keep=keep))
        try:
            cluster._bring_up()
        except Exception as error:
            kept = cluster.keep_logs()
            cluster.stop()
            raise ClusterError(f"cluster {name} did not start ({error}); logs: {kept}") from error
        if keep:
            slots.disown(layout)
        return cluster

    @classmethod
    def attach(cls, name: str) -> BuiltCluster:
        """The kept cluster of that name, which another process started. Raises ClusterError if none runs."""
        layout = slots.kept(name)
        if layout is None:
            raise ClusterError(f"no cluster named {name} runs: python -m tests.cluster.harness up --name {name}")
        return cls.attach_to(layout)

    @classmethod
    def attach_to(cls, layout: Layout) -> BuiltCluster:
        """The cluster that runs in this place."""
        recorded = json.loads((layout.root / "spec.json").read_text())
        return cls(layout, ClusterSpec(**recorded), Machine.find(layout))

    def stop(self) -> None:
        """End every process of the cluster and remove all but its image store. A second call does nothing."""
        if not self._stopped:
            self._stopped = True  # its place may be another's from here on
            self.machine.end()
            slots.release(self.layout)

    @property
    def harness_kubeconfig(self) -> Path:
        return self.layout.direct_kubeconfig

    @property
    def kubectl_program(self) -> str:
        return str(binary("kubectl"))

    @property
    def node(self) -> str:
        """The name of its only node."""
        return self.layout.node_name

    @property
    def node_address(self) -> str:
        """Its address, reachable from this machine and from pods."""
        return self.layout.node_address

    @property
    def host_address(self) -> str:
        """Address at which pods reach servers of this machine that listen on every address."""
        return self.layout.host_address

    @property
    def logs(self) -> Path:
        """The folder of the components' logs; gone after `stop`, see keep_logs."""
        return self.layout.logs

    def keep_logs(self) -> Path:
        """Copy the components' logs to where they outlive the cluster; returns the folder."""
        target = ORPHANED_LOGS / f"{self.layout.name}-{time.strftime('%Y%m%dT%H%M%S')}-{self.layout.slot}"
        shutil.copytree(self.layout.logs, target, dirs_exist_ok=True)
        return target

    def import_image(self, image: Image) -> str:
        return self.containerd.import_image(image)

    def enforce_network(self, namespace: str) -> AbstractContextManager[None]:
        """While the context lasts, pods of that namespace can reach nothing and nothing can reach them."""
        return enforced_network(self, namespace)

    def start_component(self, name: str) -> None:
        """Start a component that does not run, as it was started at first."""
        self.machine.start(name, self._commands()[name])

    def configure_kubelet(self, **changes: Any) -> None:
        """Write its configuration as the specification has it, with these fields changed; its next start reads it."""
        changed = replace(self.spec, kubelet={**self.spec.kubelet, **changes})
        (self.layout.root / "kubelet.json").write_text(files(self.layout, changed)["kubelet.json"])

    def wait_until_serving(self, *, seconds: float = PATIENCE_S) -> None:
        """Wait until the API server says it is ready."""

        def serving() -> bool:
            if "kube-apiserver" in self.machine.ended():
                raise ClusterError(
                    "kube-apiserver ended: " + "\n".join(tail(self.logs / "kube-apiserver.log", lines=5))
                )
            try:
                return self.try_kubectl("get", "--raw", "/readyz", seconds=10).returncode == 0
            except ClusterError:
                return False  # a server that is still starting may take a connection and answer nothing

        wait_until(serving, what="the API server's /readyz", seconds=seconds)

    def wait_until_ready(self, *, seconds: float = PATIENCE_S) -> None:
        """Wait until the node is Ready, and give it its GPUs."""
        self.wait_for("node", self.node, until=node_is_ready, what=f"node {self.node} to be Ready", seconds=seconds)
        if self.spec.gpus is not None:
            set_gpus(self, self.spec.gpus, node=self.node)

    def _bring_up(self) -> None:
        layout = self.layout
        make_certificates(layout)
        self._write_files()
        plan = self._commands()
        with ThreadPoolExecutor() as pool:
            store = pool.submit(self._start_containerd, plan["containerd"])
            for name in ("etcd", "kube-apiserver", "faulty-proxy", "kube-controller-manager", "kube-scheduler"):
                self.machine.start(name, plan[name])
            store.result()
        for name in ("kubelet", "kube-proxy"):
            self.machine.start(name, plan[name])
        self.wait_until_serving()
        self.wait_until_ready()

    def _start_containerd(self, argv: list[str]) -> None:
        self.containerd.start(argv)
        for image in (pause_image(), busybox_image()):
            self.containerd.import_image(image)

    def _commands(self) -> dict[str, list[str]]:
        paths = {name: str(binary(name)) for name in COMPONENTS}
        proxy = [sys.executable, "-I", str(HERE / "proxy.py"), str(self.layout.proxy_socket)]
        proxy += [self.layout.node_address, "7443", "6443"]
        return {**commands(self.layout, self.spec, binaries=paths), "faulty-proxy": proxy}

    def _write_files(self) -> None:
        root = self.layout.root
        spec = json.dumps(asdict(self.spec))
        for name, text in {"spec.json": spec, **files(self.layout, self.spec), **self._kubeconfigs()}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        plugins = root / "cni" / "bin"
        plugins.mkdir(parents=True)
        for plugin in CNI_PLUGINS.iterdir():
            (plugins / plugin.name).symlink_to(plugin)
        script = plugins / "enlist-pod"
        script.write_text(f"#!{sys.executable} -IS\n{(HERE / 'enlist_pod.py').read_text()}")
        script.chmod(0o755)

    def _kubeconfigs(self) -> dict[str, str]:
        keys, server = self.layout.certificates, self.layout.api_server
        users = ("controller-manager", "scheduler", "proxy", "kubelet")
        return {
            **{f"{user}.kubeconfig": kubeconfig(keys, user, server=server) for user in users},
            self.layout.direct_kubeconfig.name: kubeconfig(keys, "admin", server=server),
            self.layout.kubeconfig.name: kubeconfig(keys, "admin", server=self.layout.faulty_api_server),
        }


def node_is_ready(node: dict[str, object]) -> bool:
    """True if a Node's condition Ready is True."""
    status = node.get("status")
    conditions = status.get("conditions", []) if isinstance(status, dict) else []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
