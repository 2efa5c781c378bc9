"""The pod of one try: its phases as containers, and the walls between them.

Pure. It answers for what each container may see, write and use, and how long all of them may take.

Whom it distrusts: `train`, `probe` and `candidate` run the agent's code. The containers of a pod share
more than their volumes, so each of them is given its own /tmp and its own /dev/shm, which hides the pod's.
System V objects and message queues stay shared: `exam.candidate` removes them before the agent's code starts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from controller.domain import TryRequest
from controller.executor.kubernetes.naming import config_map_name, file_keys
from controller.phases import TASK, Mount, Phase, PhaseName, Volume
from controller.settings import KubernetesSettings, LimitSettings, Settings

Manifest = dict[str, Any]

USER = 65532
"""The user that attempts run as: nobody's, and not the image's root."""

TERMINATION_MESSAGE = "/dev/termination-log"
"""Where the kubelet picks a container's termination message up: it outlives the pod's log."""

GRACE = 10
"""Seconds from TERM to KILL: a process 1 that ignores TERM may not keep a GPU for longer."""

NODE_LOST_SECONDS = 30
"""How long an attempt stays bound to a node that is silent (the cluster's default is 300)."""


def build_pod(settings: Settings, request: TryRequest, phases: Sequence[Phase]) -> Manifest:
    """The spec of a try's pod: the last phase is the main container, and the others run before or beside it."""
    containers = [_container(settings, request, phase) for phase in phases]
    pod: Manifest = pod_baseline(settings.executor.kubernetes) | {
        "containers": containers[-1:],
        "volumes": _volumes(settings, request, phases),
        "activeDeadlineSeconds": pod_deadline(settings, phases),
    }
    if len(containers) > 1:
        pod["initContainers"] = containers[:-1]
    return pod


def pod_deadline(settings: Settings, phases: Sequence[Phase]) -> int:
    """Seconds from the kubelet's acknowledgement to the kill that keeps pod and logs.

    It starts before the image is pulled. `candidate` runs beside `examine` and adds nothing.
    """
    work = sum(phase.seconds for phase in phases if not phase.restarts)
    return math.ceil(settings.deadlines.image_pull + work + GRACE * len(phases))


def pod_baseline(cluster: KubernetesSettings) -> Manifest:
    """Everything that a pod of ours has whatever it runs: no token, no root, no names to look up."""
    optional = {
        "runtimeClassName": cluster.runtime_class_name,
        "priorityClassName": cluster.priority_class_name,
        "nodeSelector": dict(cluster.node_selector),
        "affinity": dict(cluster.affinity),
        "imagePullSecrets": [{"name": name} for name in cluster.image_pull_secrets],
        "resourceClaims": [dict(claim) for claim in cluster.resource_claims],
    }
    return {key: value for key, value in optional.items() if value} | {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE,
        "serviceAccountName": cluster.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Nothing to resolve is needed, and a resolver would be a way out: lookups go to the pod itself.
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [
            *(_until_lost(taint) for taint in ("not-ready", "unreachable")),
            *(dict(toleration) for toleration in cluster.tolerations),
        ],
    }


def _until_lost(taint: str) -> Manifest:
    return {
        "key": f"node.kubernetes.io/{taint}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": NODE_LOST_SECONDS,
    }


def _container(settings: Settings, request: TryRequest, phase: Phase) -> Manifest:
    cluster = settings.executor.kubernetes
    container: Manifest = {
        "name": str(phase.name),
        "image": cluster.image,
        "imagePullPolicy": cluster.image_pull_policy,
        "command": list(phase.command),
        "workingDir": TASK,
        "env": _environment(phase),
        "resources": _resources(settings, phase),
        # A container that restarts must forget. Only its image's own layer is thrown away with it, so that is
        # where its /tmp lies: an emptyDir would carry notes from one incarnation of the candidate to the next.
        "securityContext": container_security(read_only_root=not phase.restarts),
        "volumeMounts": _mounts(settings, request, phase),
        "terminationMessagePath": TERMINATION_MESSAGE,
        # The examiner's message is its result and nothing else; the others' is the end of their log.
        "terminationMessagePolicy": "File" if phase.name is PhaseName.EXAMINE else "FallbackToLogsOnError",
    }
    return container | ({"restartPolicy": "Always"} if phase.restarts else {})


def container_security(*, read_only_root: bool = True) -> Manifest:
    """What Pod Security `restricted` asks of a container, and a read-only root on top."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": read_only_root,
        "runAsNonRoot": True,
    }


def _environment(phase: Phase) -> list[Manifest]:
    plain = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **phase.environment}
    if "AUTORESEARCH_RESULT" in plain:
        plain["AUTORESEARCH_RESULT"] = TERMINATION_MESSAGE
    # Libraries size their thread pools by the node's cores, which the limit then throttles.
    threads = {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        {"name": "OMP_NUM_THREADS", "valueFrom": threads},
    ]


def _resources(settings: Settings, phase: Phase) -> Manifest:
    """Requests equal limits, so the pod is Guaranteed and the last to be evicted."""
    cluster = settings.executor.kubernetes
    amounts = {
        "cpu": cluster.cpu if phase.accelerator else cluster.examine_cpu,
        "memory": cluster.memory if phase.accelerator else cluster.examine_memory,
        "ephemeral-storage": _mebibytes(_disk_gb(settings.executor.limits, phase)),
    }
    if not phase.accelerator:
        return {"requests": amounts, "limits": dict(amounts)}
    amounts |= dict(cluster.extra_resources)
    if cluster.gpus:
        amounts[cluster.gpu_resource] = str(cluster.gpus)
    claims = [{"name": claim["name"]} for claim in cluster.resource_claims]
    return {"requests": amounts, "limits": dict(amounts)} | ({"claims": claims} if claims else {})


def _disk_gb(limits: LimitSettings, phase: Phase) -> float:
    """Disk of one container in GiB. The pod may use the largest of these, so `train`'s covers every volume."""
    own = limits.scratch_gb + 0.1
    return own + limits.artifact_gb + 3 * limits.scratch_gb if phase.name is PhaseName.TRAIN else own


def _mounts(settings: Settings, request: TryRequest, phase: Phase) -> list[Manifest]:
    scratch = [] if phase.restarts else [{"name": f"tmp-{phase.name}", "mountPath": "/tmp"}]
    memory: Manifest = {"name": f"shm-{phase.name}", "mountPath": "/dev/shm"}
    return [
        *(_mount(settings, mount) for mount in phase.mounts if mount.volume is not Volume.RESULT),
        *(_edited(request) if phase.edited else []),
        *scratch,
        memory | ({"readOnly": True} if phase.restarts else {}),
    ]


def _mount(settings: Settings, mount: Mount) -> Manifest:
    place: Manifest = {"name": str(mount.volume), "mountPath": mount.path}
    if mount.volume is Volume.DATA:
        place["subPath"] = f"{settings.executor.kubernetes.data_folder}/{mount.subpath}".rstrip("/")
    return place if mount.writable else place | {"readOnly": True}


def _edited(request: TryRequest) -> list[Manifest]:
    return [
        {"name": "edited", "mountPath": f"{TASK}/{path}", "subPath": key, "readOnly": True}
        for path, key in file_keys(request).items()
    ]


def _volumes(settings: Settings, request: TryRequest, phases: Sequence[Phase]) -> list[Manifest]:
    cluster, limits = settings.executor.kubernetes, settings.executor.limits
    sizes = {
        Volume.ARTIFACT: _mebibytes(limits.artifact_gb),
        Volume.ANSWERS: _mebibytes(limits.scratch_gb),
        Volume.SOCKET: "16Mi",
    }
    used = {mount.volume for phase in phases for mount in phase.mounts}
    return [
        {"name": "data", "persistentVolumeClaim": {"claimName": cluster.data_claim, "readOnly": True}},
        {"name": "edited", "configMap": {"name": config_map_name(request), "defaultMode": 0o444}},
        *(_empty(str(volume), size) for volume, size in sizes.items() if volume in used),
        *(_empty(f"tmp-{phase.name}", _mebibytes(limits.scratch_gb)) for phase in phases if not phase.restarts),
        *(_empty(f"shm-{phase.name}", cluster.shared_memory, medium="Memory") for phase in phases),
    ]


def _empty(name: str, size: str, medium: str = "") -> Manifest:
    return {"name": name, "emptyDir": {"sizeLimit": size} | ({"medium": medium} if medium else {})}


def _mebibytes(gigabytes: float) -> str:
    return f"{math.ceil(gigabytes * 1024)}Mi"
