"""Hundreds of nodes that only pretend, by KWOK, beside the real one: for measuring with a thousand pods in flight.

Their pods run nothing. What becomes of a pod is told by stages, KWOK's little state machines; a test that needs other
ends than `Succeeded after a while` passes its own. The real node and its pods are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from .binaries import binary, source_of
from .built import BuiltCluster
from .cluster import Manifest

LABEL = {"kwok.x-k8s.io/node": "fake"}
SELECTOR = {"nodeSelector": LABEL, "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]}
"""What a pod's spec needs in order to be scheduled to a fake node."""


KILLED = """{{ $now := Now }}
containerStatuses:
{{ range .spec.containers }}
- image: {{ .image | Quote }}
  name: {{ .name | Quote }}
  ready: false
  restartCount: 0
  state:
    terminated:
      exitCode: 143
      reason: Error
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
{{ end }}
phase: Failed
"""
"""What a kubelet says of a pod that it was told to end."""


def start_fake_nodes(
    cluster: BuiltCluster, *, nodes: int, gpus: int, pod_stages: Sequence[Manifest] | None = None
) -> None:
    """Add so many Ready nodes with so many GPUs each; they end with the cluster.

    pod_stages: KWOK Stages and ClusterLogs for pods; by default pods_that_succeed(seconds=3).
    """
    stages = [*_node_stages(), *(pods_that_succeed(seconds=3) if pod_stages is None else pod_stages)]
    config = cluster.layout.root / "kwok.yaml"
    config.write_text(yaml.safe_dump_all(stages))
    keys, address = cluster.layout.certificates, cluster.node_address
    cluster.machine.start(
        "kwok",
        [
            str(binary("kwok")),
            f"--config={config}",
            f"--kubeconfig={cluster.harness_kubeconfig}",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            "--cidr=10.89.0.0/16",
            # The API server asks here for the fake pods' logs, and checks that it is a kubelet of its own.
            *(f"--node-ip={address}", "--node-port=10247", f"--server-address={address}:10247"),
            f"--tls-cert-file={keys}/kubelet-server.crt",
            f"--tls-private-key-file={keys}/kubelet-server.key",
            "--node-lease-duration-seconds=40",
        ],
    )
    cluster.apply(*(_node(f"fake-{number:03}", gpus=gpus) for number in range(nodes)))
    # `kubectl wait` looks at all of them in one watch.
    cluster.kubectl("wait", "nodes", "--selector=kwok.x-k8s.io/node=fake", "--for=condition=Ready", "--timeout=180s")


def pods_that_succeed(*, seconds: float, jitter: float = 0.5) -> list[Manifest]:
    """Stages for pods that run for so many seconds, up to `jitter` more, and succeed; deleted ones fail first."""
    complete = _module_stage("pod/fast/pod-complete.yaml")
    complete["spec"]["delay"] = {
        "durationMilliseconds": int(seconds * 1000),
        "jitterDurationMilliseconds": int((seconds + jitter) * 1000),
    }
    return [_module_stage("pod/fast/pod-ready.yaml"), complete, *deleted_pods_fail_first()]


def logs_that_say(cluster: BuiltCluster, *lines: str) -> Manifest:
    """The log of every container of every fake pod, for `pod_stages`."""
    log = cluster.layout.root / "training.log"
    log.write_text("".join(f"2026-11-24T07:30:0{i}.000000000Z stdout F {line}\n" for i, line in enumerate(lines)))
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterLogs",
        "metadata": {"name": "training"},
        "spec": {"logs": [{"logsFile": str(log)}]},
    }


def by_the_clock_of(node: str, stages: Sequence[Manifest], *, seconds: int) -> list[Manifest]:
    """These stages for one fake node (`fake-000`), whose clock is so many seconds ahead; negative: behind."""
    skewed = f'{{{{ $now := now | dateModify "{seconds:+}s" | date "2006-01-02T15:04:05Z07:00" }}}}'
    found: list[Manifest] = json.loads(json.dumps(list(stages)))
    for stage in found:
        stage["metadata"]["name"] += f"-{node}"
        spec = stage["spec"]
        spec["selector"]["matchExpressions"].append({"key": ".spec.nodeName", "operator": "In", "values": [node]})
        if "statusTemplate" in spec["next"]:
            spec["next"]["statusTemplate"] = spec["next"]["statusTemplate"].replace("{{ $now := Now }}", skewed)
    return found


def deleted_pods_fail_first() -> list[Manifest]:
    """Stages for deletion as a kubelet does it: a terminal phase, then the end.

    KWOK's own stage skips the phase, and Jobs that wait for it (podReplacementPolicy: Failed) keep their finalizer.
    """
    return [
        _deletion_stage("pod-fail", operator="NotIn", next_step={"statusTemplate": KILLED}),
        _deletion_stage("pod-delete", operator="In", next_step={"delete": True}),
    ]


def _deletion_stage(name: str, *, operator: str, next_step: dict[str, Any]) -> Manifest:
    deleted = {"key": ".metadata.deletionTimestamp", "operator": "Exists"}
    phase = {"key": ".status.phase", "operator": operator, "values": ["Succeeded", "Failed"]}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": [deleted, phase]},
            "next": next_step,
        },
    }


def _node_stages() -> list[Manifest]:
    names = ("node/fast/node-initialize.yaml", "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml")
    return [_module_stage(name) for name in names]


def _module_stage(name: str) -> Manifest:
    """One of the stages that lie in KWOK's module."""
    folder = source_of("kwok", "sigs.k8s.io/kwok")
    stage: Manifest = yaml.safe_load((folder / "kustomize" / "stage" / name).read_text())
    return stage


def _node(name: str, *, gpus: int) -> Manifest:
    resources = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1Ti", "pods": "250", "nvidia.com/gpu": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": LABEL,
            "labels": {**LABEL, "kubernetes.io/hostname": name},
        },
        "spec": {"taints": [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": resources, "capacity": resources},
    }
