"""The manifests of one try: a Job around its pod, and the ConfigMap with the files that the agent edited.

Pure: (settings, request, phases) -> plain dicts. It answers for how the Job ends, repeats and is queued. It
refuses to know how or when the manifests are sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from controller.domain import TryRequest
from controller.executor.kubernetes.naming import (
    PREFIX,
    REQUEST,
    config_map_name,
    file_keys,
    job_name,
    labels,
    request_hash,
)
from controller.executor.kubernetes.pod import Manifest, build_pod, pod_deadline
from controller.phases import Phase
from controller.settings import KubernetesSettings, Settings

CONFIG_MAP_LIMIT = 2**20
"""Bytes of values that the API server takes in one ConfigMap."""


def files_size(files: Mapping[str, str]) -> int:
    """Bytes that the edited files take in a ConfigMap, to compare with `CONFIG_MAP_LIMIT`."""
    return sum(len(text.encode()) for text in files.values())


def build_config_map(settings: Settings, request: TryRequest) -> Manifest:
    """The edited files, immutable."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(settings, request) | {"name": config_map_name(request)},
        "immutable": True,
        "data": {key: request.files[path] for path, key in file_keys(request).items()},
    }


def owner_patch(job: Manifest) -> Manifest:
    """Give the ConfigMap to its Job, so that deleting the Job, by whomever, deletes both."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    return {"metadata": {"ownerReferences": [owner]}}


def build_job(settings: Settings, request: TryRequest, phases: Sequence[Phase]) -> Manifest:
    """The Job of one try. Without TTL: it may not vanish before its result is recorded."""
    cluster = settings.executor.kubernetes
    metadata = _metadata(settings, request)
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
            "activeDeadlineSeconds": pod_deadline(settings, phases) + math.ceil(settings.deadlines.pending),
            "template": {
                "metadata": {"labels": labels(request.id)},
                "spec": build_pod(settings, request, phases),
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
