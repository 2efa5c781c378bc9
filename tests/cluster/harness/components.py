"""Command line and configuration of each component of the cluster. Pure: a layout and a specification in, text out.

Every flag that is not obvious says what fails without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .layout import Layout

PAUSE_IMAGE = "localhost/pause:1"


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """The choices of a test about its cluster.

    gpus: what the node pretends to have of nvidia.com/gpu, None for no such resource;
    quick_node_loss: a silent node is NotReady after 12 s instead of 50, at some risk of false alarms;
    kubelet: more of its configuration, for instance podPidsLimit (512 here); arguments: more flags, by component.
    """

    gpus: int | None = 4
    quick_node_loss: bool = False
    kubelet: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


DEFAULT = ClusterSpec()


def commands(layout: Layout, spec: ClusterSpec, *, binaries: Mapping[str, str]) -> dict[str, list[str]]:
    """The argument vector of every component, in the order of their start."""
    builders = {
        "containerd": _containerd,
        "etcd": _etcd,
        "kube-apiserver": _api_server,
        "kube-controller-manager": _controller_manager,
        "kube-scheduler": _scheduler,
        "kubelet": _kubelet,
        "kube-proxy": _proxy,
    }
    return {
        name: [binaries.get(name, name), *builder(layout, spec), *spec.arguments.get(name, ())]
        for name, builder in builders.items()
    }


def files(layout: Layout, spec: ClusterSpec) -> dict[str, str]:
    """The configuration files, by their path below the layout's root."""
    return {
        "containerd.toml": CONTAINERD.format(root=layout.root, socket=layout.containerd_socket, pause=PAUSE_IMAGE),
        # Without the CRI plugin, which would bring the last run's pods back before they can be removed.
        "containerd-cleaning.toml": CONTAINERD_CLEANING.format(socket=layout.containerd_socket),
        "cni/net.d/10-test.conflist": json.dumps(_network(layout), indent=1),
        "kubelet.json": json.dumps(_kubelet_configuration(layout, spec), indent=1),
        "scheduler.json": json.dumps(_scheduler_configuration(layout), indent=1),
        "resolv.conf": "",
    }


CONTAINERD_CLEANING = """version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
"""

# restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot write a negative oom_score_adj, and every
# sandbox fails with "can't get final child's PID from pipe: EOF".
CONTAINERD = """version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{root}/cni/bin"
conf_dir = "{root}/cni/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def _containerd(layout: Layout, _spec: ClusterSpec) -> list[str]:
    return [f"--config={layout.root}/containerd.toml"]


def _etcd(layout: Layout, _spec: ClusterSpec) -> list[str]:
    return [
        f"--data-dir={layout.root}/etcd/data",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--quota-backend-bytes=2147483648",
    ]


def _api_server(layout: Layout, _spec: ClusterSpec) -> list[str]:
    keys = layout.certificates
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={layout.node_address}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={layout.service_range}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={keys}/ca.crt",
        f"--tls-cert-file={keys}/api-server.crt",
        f"--tls-private-key-file={keys}/api-server.key",
        # By address: nothing resolves the node's name, and `kubectl logs` would fail.
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={keys}/ca.crt",
        f"--kubelet-client-certificate={keys}/api-server-to-kubelet.crt",
        f"--kubelet-client-key={keys}/api-server-to-kubelet.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys}/service-account.key",
        f"--service-account-signing-key-file={keys}/service-account.key",
        f"--requestheader-client-ca-file={keys}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={keys}/front-proxy.crt",
        f"--proxy-client-key-file={keys}/front-proxy.key",
        # Debian's etcd 3.4 has no RequestWatchProgress: newer clients would fail and back off.
        "--feature-gates=WatchList=false",
    ]


def _controller_manager(layout: Layout, spec: ClusterSpec) -> list[str]:
    keys, config = layout.certificates, f"{layout.root}/controller-manager.kubeconfig"
    quick = ["--node-monitor-grace-period=12s", "--node-monitor-period=2s"] if spec.quick_node_loss else []
    return [
        *(f"--{use}kubeconfig={config}" for use in ("", "authentication-", "authorization-")),
        f"--root-ca-file={keys}/ca.crt",
        f"--service-account-private-key-file={keys}/service-account.key",
        f"--cluster-signing-cert-file={keys}/ca.crt",
        f"--cluster-signing-key-file={keys}/ca.key",
        # It starts beside the API server, whose roles are not loaded yet.
        "--authentication-tolerate-lookup-failure=true",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        # The default of 20 requests per second makes only 8 pods per second.
        *("--kube-api-qps=300", "--kube-api-burst=500", "--concurrent-job-syncs=10"),
        *quick,
    ]


def _scheduler(layout: Layout, _spec: ClusterSpec) -> list[str]:
    config = f"{layout.root}/scheduler.kubeconfig"
    return [
        f"--config={layout.root}/scheduler.json",
        *(f"--{use}kubeconfig={config}" for use in ("authentication-", "authorization-")),
        # Seen once: a pod whose claim was bound while it was looked at is not looked at again for five minutes.
        "--pod-max-in-unschedulable-pods-duration=20s",
    ]


def _kubelet(layout: Layout, _spec: ClusterSpec) -> list[str]:
    return [
        f"--config={layout.root}/kubelet.json",
        f"--kubeconfig={layout.root}/kubelet.kubeconfig",
        f"--hostname-override={layout.node_name}",
        f"--node-ip={layout.node_address}",
    ]


def _proxy(layout: Layout, _spec: ClusterSpec) -> list[str]:
    return [
        f"--kubeconfig={layout.root}/proxy.kubeconfig",
        f"--hostname-override={layout.node_name}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={layout.pod_range}",
        # Zero leaves the machine's connection tracking as it is.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]


def _kubelet_configuration(layout: Layout, spec: ClusterSpec) -> dict[str, Any]:
    keys = layout.certificates
    quick = {"nodeLeaseDurationSeconds": 8, "nodeStatusUpdateFrequency": "4s"} if spec.quick_node_loss else {}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        # Two kubelets on one machine must not share /kubepods.
        "cgroupRoot": f"/{layout.cgroup}",
        "failSwapOn": False,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{keys}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{keys}/kubelet-server.crt",
        "tlsPrivateKeyFile": f"{keys}/kubelet-server.key",
        "resolvConf": f"{layout.root}/resolv.conf",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "podPidsLimit": 512,
        "maxPods": 200,
        # The default of a minute is how long an overfull emptyDir goes unseen.
        "volumeStatsAggPeriod": "5s",
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
        **quick,
        **spec.kubelet,
    }


def _scheduler_configuration(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": f"{layout.root}/scheduler.kubeconfig", "qps": 300, "burst": 500},
    }


def _network(layout: Layout) -> dict[str, Any]:
    """The pods' network: a bridge, host ports, and last the plugin that enlists pods of enforced namespaces."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": layout.pod_range}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "test", "plugins": [bridge, portmap, {"type": "enlist-pod"}]}
