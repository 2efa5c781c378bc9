"""The manifests of one try: a Job and the ConfigMap with the files that the agent edited.

Pure: (settings, request, phases) -> plain dicts. It answers for the walls between the phases: what each
container may see, write and use. It refuses to know how or when the manifests are sent.

Whom it distrusts: `train`, `probe` and `candidate` run the agent's code. The containers of a pod share
more than their volumes, so each of them is given its own /tmp and its own /dev/shm, which hides the pod's.
System V objects and message queues stay shared: `exam.candidate` removes them before the agent's code starts.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from controller.domain import TryId, TryRequest
from controller.phases import TASK, Mount, Phase, PhaseName, Volume
from controller.settings import KubernetesSettings, LimitSettings, Settings

Manifest = dict[str, Any]

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "autoresearch"
COMPONENT = "app.kubernetes.io/component"
PREFIX = "autoresearch.dev/"
REQUEST = f"{PREFIX}request"
RECORDED = f"{PREFIX}recorded"

USER = 65532
"""The user that attempts run as: nobody's, and not the image's root."""

NAME_LIMIT = 57
"""Longest name of a Job whose pods, with `-xxxxx` after it, still fit a label's 63 characters."""

CONFIG_MAP_LIMIT = 2**20
"""Bytes of values that the API server takes in one ConfigMap."""

TERMINATION_MESSAGE = "/dev/termination-log"
"""Where the kubelet picks a container's termination message up: it outlives the pod's log."""

GRACE = 10
"""Seconds from TERM to KILL: a process 1 that ignores TERM may not keep a GPU for longer."""

NODE_LOST_SECONDS = 30
"""How long an attempt stays bound to a node that is silent (the cluster's default is 300)."""


def job_name(id: TryId) -> str:
    """Name of the try's Job: the claim on the try, so it depends on nothing but the id."""
    name = f"ar-{id}"
    if len(name) <= NAME_LIMIT:
        return name
    return f"{name[: NAME_LIMIT - 11].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def config_map_name(request: TryRequest) -> str:
    """Named by its content: a kubelet that still holds an immutable ConfigMap of this name serves the old one."""
    return f"{job_name(request.id)}-{request_hash(request)[:10]}"


def campaign_selector(tag: str) -> str:
    """Label selector of everything that a campaign has in the cluster."""
    return f"{MANAGED_BY}={MANAGER},campaign={tag}"


def request_hash(request: TryRequest) -> str:
    """What must agree for a Job found under this name to be this try.

    Over the request, not the manifest: webhooks rewrite manifests, and a new version of the chart must
    still adopt what runs. The baseline's spread is left out, as later baselines refine it.
    """
    identity = [str(request.id), request.commit, request.seed, request.probe_set, sorted(request.files.items())]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def files_size(files: Mapping[str, str]) -> int:
    """Bytes that the edited files take in a ConfigMap, to compare with `CONFIG_MAP_LIMIT`."""
    return sum(len(text.encode()) for text in files.values())


def labels(id: TryId) -> dict[str, str]:
    """Labels for people (`kubectl get jobs -L experiment,attempt`) and for the watches."""
    return {
        MANAGED_BY: MANAGER,
        COMPONENT: "attempt",
        "campaign": id.tag,
        "experiment": str(id.experiment),
        "attempt": str(id.attempt),
        "try": str(id.number),
    }


def build_config_map(settings: Settings, request: TryRequest) -> Manifest:
    """The edited files, immutable; keys are numbers because a path is no valid key."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(settings, request) | {"name": config_map_name(request)},
        "immutable": True,
        "data": {_key(i): text for i, (_, text) in enumerate(sorted(request.files.items()))},
    }


def owner_patch(job: Manifest) -> Manifest:
    """Give the ConfigMap to its Job, so that deleting the Job, by whomever, deletes both."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    return {"metadata": {"ownerReferences": [owner]}}


def build_job(settings: Settings, request: TryRequest, phases: Sequence[Phase]) -> Manifest:
    """The Job of one try. Without TTL: it may not vanish before its result is recorded."""
    cluster = settings.executor.kubernetes
    metadata = _metadata(settings, request)
    deadline = pod_deadline(settings, phases)
    metadata["labels"] |= _queue_labels(cluster)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            # The controller alone decides on another try, after it has seen why this one ended.
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            # The backstop, for pods that no kubelet ever took: it deletes the pod and its logs with it.
            "activeDeadlineSeconds": deadline + math.ceil(settings.deadlines.pending),
            "template": {
                "metadata": {"labels": labels(request.id)},
                "spec": _pod(settings, request, phases) | {"activeDeadlineSeconds": deadline},
            },
        },
    }


def _queue_labels(cluster: KubernetesSettings) -> dict[str, str]:
    """For Kueue. Not its max-exec-time-seconds: that adds up over admissions, and the Job that it ends stays suspended.

    A preempted try begins anew when it is admitted again, and the Job's own deadline begins with it.
    """
    wanted = {
        "kueue.x-k8s.io/queue-name": cluster.kueue_queue,
        "kueue.x-k8s.io/priority-class": cluster.kueue_priority,
    }
    return {label: value for label, value in wanted.items() if value}


def pod_deadline(settings: Settings, phases: Sequence[Phase]) -> int:
    """Seconds from the kubelet's acknowledgement to the kill that keeps pod and logs.

    It starts before the image is pulled. `candidate` runs beside `examine` and adds nothing.
    """
    work = sum(phase.seconds for phase in phases if not phase.restarts)
    return math.ceil(settings.deadlines.image_pull + work + GRACE * len(phases))


def _metadata(settings: Settings, request: TryRequest) -> Manifest:
    return {
        "name": job_name(request.id),
        "namespace": settings.executor.kubernetes.namespace,
        "labels": labels(request.id),
        "annotations": {
            REQUEST: request_hash(request),
            f"{PREFIX}commit": request.commit,
            f"{PREFIX}seed": str(request.seed),
            f"{PREFIX}probe-set": str(request.probe_set),
        },
    }


def _pod(settings: Settings, request: TryRequest, phases: Sequence[Phase]) -> Manifest:
    containers = [_container(settings, request, phase) for phase in phases]
    pod: Manifest = pod_baseline(settings.executor.kubernetes) | {
        "containers": containers[-1:],
        "volumes": _volumes(settings, request, phases),
    }
    if len(containers) > 1:
        pod["initContainers"] = containers[:-1]
    return pod


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
        {"name": "edited", "mountPath": f"{TASK}/{path}", "subPath": _key(i), "readOnly": True}
        for i, path in enumerate(sorted(request.files))
    ]


def _key(index: int) -> str:
    return f"file-{index}"


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
