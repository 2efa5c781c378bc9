"""Builds the pod of one try: its phases as containers, and the walls between them.

Pure. The manifest says what each container may see, write and use, and how long all of them may take.

`train` and `candidate` run the agent's code, which is not trusted. The containers of a pod share more than
their volumes: /dev/shm and the System V IPC objects belong to the pod. So each container gets its own /tmp, and its
own /dev/shm in place of the pod's. System V objects and message queues stay shared; the candidate's supervisor removes
them before the agent's code starts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from controller.domain import TryRequest
from controller.executor.kubernetes.naming import HIDDEN, config_map_name, file_keys
from controller.executor.kubernetes.pod_status import COPY
from controller.executor.kubernetes.pod_witness import witness_order
from controller.executor.phases import ARTIFACT, TASK, Mount, Phase, PhaseName, Volume
from controller.settings import ExecutorSettings, KubernetesSettings, LimitSettings, Settings

Manifest = dict[str, Any]

USER = 65532
"""User and group id of every container. No system user has it, and Pod Security `restricted` refuses root."""

TERMINATION_MESSAGE = "/dev/termination-log"
"""File from which the kubelet copies a container's last message into the pod's status, which outlives the log."""

GRACE = 10
"""Seconds from TERM to KILL. Short, because the first process of a container may ignore TERM and keep its GPU."""

COPY_SECONDS = 60
"""Seconds that copying the task folder may take: a gigabyte of small files on a slow disk."""

_COPIED, _EDITED = "/copied", "/edited"
"""Where the copying container sees the attempt's own task folder, and the edited files."""

# The files of an image belong to root and may be read-only: only a copy belongs to the attempt's user. The folder of
# the volume itself belongs to root as well, so that only what is in it can be given other rights. Each edited
# file is a link into the volume of the ConfigMap, which cp follows.
_COPY_FILES = f"""\
set -e
if test -d {TASK}; then cp -R {TASK}/. {_COPIED}/; fi
while test $# -gt 0; do
  place="{_COPIED}/$2"
  mkdir -p -- "${{place%/*}}"
  rm -rf -- "$place"
  cp -- "{_EDITED}/$1" "$place"
  shift 2
done
for entry in {_COPIED}/* {_COPIED}/.[!.]* {_COPIED}/..?*; do
  if test -e "$entry" && ! test -L "$entry"; then chmod -R u+rwX "$entry"; fi
done"""

NODE_LOST_SECONDS = 30
"""Seconds that a pod stays on a node that does not answer. The default of Kubernetes is 300, of lost GPU time."""


def build_pod(
    settings: Settings, request: TryRequest, phases: Sequence[Phase], *, config_map: str | None = None
) -> Manifest:
    """The spec of a try's pod. The last phase is the main container; the others run before or beside it.

    config_map: name of the one with the edited files; None for the try's own.
    """
    containers = [_build_container(settings.executor, request, phase) for phase in phases]
    if any(phase.writes_to_task for phase in phases):
        containers.insert(0, _build_copy(settings.executor.kubernetes, request))
    pod: Manifest = pod_baseline(settings.executor.kubernetes) | {
        "containers": containers[-1:],
        "volumes": _volumes(settings.executor, phases, config_map=config_map or config_map_name(request)),
        "activeDeadlineSeconds": pod_deadline(settings.deadlines.image_pull, phases),
    }
    if len(containers) > 1:
        pod["initContainers"] = containers[:-1]
    return pod


def pod_deadline(image_pull: float, phases: Sequence[Phase]) -> int:
    """Seconds after which the kubelet kills the pod. The pod and its logs are kept then.

    Its clock starts when the kubelet acknowledges the pod, so it includes pulling the image. `candidate` runs beside
    `examine` and adds no time. image_pull: seconds granted to pulling it.
    """
    work = sum(phase.seconds for phase in phases if not phase.restarts)
    work += COPY_SECONDS if any(phase.writes_to_task for phase in phases) else 0
    return math.ceil(image_pull + work + GRACE * len(phases))


def pod_baseline(cluster: KubernetesSettings) -> Manifest:
    """The part of the spec that all our pods share: no token for the API, no root, no DNS."""
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
        # By default the kubelet puts the address of every Service of the namespace into the environment.
        "enableServiceLinks": False,
        # A resolver would be a way out, because looked-up names can carry data. So lookups go to the pod itself.
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # The default changes the owner of every file of a volume at each start, which takes minutes for large data.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [
            *(_tolerate_briefly(taint) for taint in ("not-ready", "unreachable")),
            *(dict(toleration) for toleration in cluster.tolerations),
        ],
    }


def _tolerate_briefly(taint: str) -> Manifest:
    """Tolerate a taint that the node controller sets on a silent node, but only for NODE_LOST_SECONDS."""
    return {
        "key": f"node.kubernetes.io/{taint}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": NODE_LOST_SECONDS,
    }


def _build_copy(cluster: KubernetesSettings, request: TryRequest) -> Manifest:
    """The container that fills the attempt's own task folder: the image's files, and over them the edited ones."""
    pairs = [word for path, key in file_keys(request).items() for word in (key, path)]
    amounts = {"cpu": cluster.cpu, "memory": cluster.memory, "ephemeral-storage": "128Mi"}
    return {
        "name": COPY,
        "image": cluster.image,
        "imagePullPolicy": cluster.image_pull_policy,
        "command": ["sh", "-c", _COPY_FILES, "sh", *pairs],
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": str(Volume.TASK), "mountPath": _COPIED},
            {"name": "edited", "mountPath": _EDITED, "readOnly": True},
        ],
        "terminationMessagePath": TERMINATION_MESSAGE,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _build_container(executor: ExecutorSettings, request: TryRequest, phase: Phase) -> Manifest:
    cluster, limits = executor.kubernetes, executor.limits
    container: Manifest = {
        "name": str(phase.name),
        "image": cluster.image,
        "imagePullPolicy": cluster.image_pull_policy,
        "command": list(phase.command),
        "workingDir": TASK,
        "env": _environment(phase, witness_order(executor, request, phase)),
        "resources": _resources(cluster, limits, phase),
        # A candidate that restarts must not find notes of the one before. An emptyDir lives as long as the pod; only
        # the container's own writable layer is new after a restart, so that is where its /tmp is.
        "securityContext": container_security(read_only_root=not phase.restarts),
        "volumeMounts": _mounts(cluster.data_folder, request, phase),
        "terminationMessagePath": TERMINATION_MESSAGE,
        # The examiner's message is its result and nothing else. For the others the kubelet takes the end of the log.
        "terminationMessagePolicy": "File" if phase.name is PhaseName.EXAMINE else "FallbackToLogsOnError",
    }
    # An init container with restartPolicy Always is a sidecar: the next one starts when it runs, not when it ended.
    return container | ({"restartPolicy": "Always"} if phase.restarts else {})


def container_security(*, read_only_root: bool = True) -> Manifest:
    """The security context that Pod Security `restricted` demands of a container, with a read-only root in addition."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": read_only_root,
        "runAsNonRoot": True,
    }


def _environment(phase: Phase, order: dict[str, str]) -> list[Manifest]:
    level = {"AUTORESEARCH_LEVEL_FILES": f"/:{ARTIFACT}"} if phase.receives_messages else {}
    always = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    plain = {**always, **level, **order, **phase.environment}
    if "AUTORESEARCH_RESULT" in plain:
        plain["AUTORESEARCH_RESULT"] = TERMINATION_MESSAGE
    # Libraries make as many threads as the node has cores, and the kernel then throttles them to the container's limit.
    # A divisor of 1 rounds a fraction of a CPU up.
    threads = {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        {"name": "OMP_NUM_THREADS", "valueFrom": threads},
    ]


def _resources(cluster: KubernetesSettings, limits: LimitSettings, phase: Phase) -> Manifest:
    """Requests and limits of a container. They are equal, which makes the pod Guaranteed: it is evicted last."""
    amounts = {
        "cpu": cluster.cpu if phase.accelerator else cluster.examine_cpu,
        "memory": cluster.memory if phase.accelerator else cluster.examine_memory,
        "ephemeral-storage": mebibytes(_disk_gb(limits, phase)),
    }
    if not phase.accelerator:
        return {"requests": amounts, "limits": dict(amounts)}
    amounts |= dict(cluster.extra_resources)
    if cluster.gpus:
        amounts[cluster.gpu_resource] = str(cluster.gpus)
    claims = [{"name": claim["name"]} for claim in cluster.resource_claims]
    return {"requests": amounts, "limits": dict(amounts)} | ({"claims": claims} if claims else {})


def _disk_gb(limits: LimitSettings, phase: Phase) -> float:
    """Disk of one container in GiB.

    The pod as a whole, with its volumes, may use the largest of these limits, because those of init containers do not
    add up. So the limit of `train` covers all volumes.
    """
    own = limits.scratch_gb + 0.1  # 0.1 for the log
    if phase.name is PhaseName.TRAIN:
        copy = limits.task_gb if phase.writes_to_task else 0.0
        return own + limits.artifact_gb + copy + 2 * limits.scratch_gb
    return own


def _mounts(data_folder: str, request: TryRequest, phase: Phase) -> list[Manifest]:
    # The result needs no volume here: the kubelet reads it from TERMINATION_MESSAGE.
    mounts = [_mount(data_folder, mount) for mount in phase.mounts if mount.volume is not Volume.RESULT]
    if phase.edited and not phase.writes_to_task:
        mounts += _edited_mounts(request)
    # Over the image's file: a container cannot take a mount away.
    mounts += [
        {"name": "edited", "mountPath": f"{TASK}/{path}", "subPath": HIDDEN, "readOnly": True} for path in phase.hides
    ]
    if not phase.restarts:
        mounts.append({"name": f"tmp-{phase.name}", "mountPath": "/tmp"})
    shared_memory: Manifest = {"name": f"shm-{phase.name}", "mountPath": "/dev/shm"}
    if phase.restarts:
        # Like /tmp above: a volume outlives the restart of its container.
        shared_memory["readOnly"] = True
    return [*mounts, shared_memory]


def _mount(data_folder: str, mount: Mount) -> Manifest:
    place: Manifest = {"name": str(mount.volume), "mountPath": mount.path}
    if mount.volume is Volume.DATA:
        place["subPath"] = f"{data_folder}/{mount.subpath}".rstrip("/")
    return place if mount.writable else place | {"readOnly": True}


def _edited_mounts(request: TryRequest) -> list[Manifest]:
    """The edited files, each mounted by itself over the image's own file of that name."""
    return [
        {"name": "edited", "mountPath": f"{TASK}/{path}", "subPath": key, "readOnly": True}
        for path, key in file_keys(request).items()
    ]


def _volumes(executor: ExecutorSettings, phases: Sequence[Phase], *, config_map: str) -> list[Manifest]:
    cluster, limits = executor.kubernetes, executor.limits
    sizes = {
        Volume.TASK: mebibytes(limits.task_gb),
        Volume.ARTIFACT: mebibytes(limits.artifact_gb),
        Volume.SOCKET: "16Mi",
    }
    used = {mount.volume for phase in phases for mount in phase.mounts}
    volumes: list[Manifest] = [
        {"name": "data", "persistentVolumeClaim": {"claimName": cluster.data_claim, "readOnly": True}},
        # task.command may name an edited file as a program.
        {"name": "edited", "configMap": {"name": config_map, "defaultMode": 0o555}},
    ]
    for volume, size in sizes.items():
        if volume in used:
            volumes.append(empty_dir(str(volume), size))
    scratch = mebibytes(limits.scratch_gb)
    volumes += [empty_dir(f"tmp-{phase.name}", scratch) for phase in phases if not phase.restarts]
    # `Memory` makes it a tmpfs, whose pages count against the memory of the container that writes them.
    volumes += [empty_dir(f"shm-{phase.name}", cluster.shared_memory, medium="Memory") for phase in phases]
    return volumes


def empty_dir(name: str, size: str, medium: str = "") -> Manifest:
    """A volume that begins empty and ends with the pod. medium: `Memory` for a tmpfs."""
    return {"name": name, "emptyDir": {"sizeLimit": size} | ({"medium": medium} if medium else {})}


def mebibytes(gigabytes: float) -> str:
    """An amount in GiB as Kubernetes writes it, in whole MiB."""
    return f"{math.ceil(gigabytes * 1024)}Mi"
