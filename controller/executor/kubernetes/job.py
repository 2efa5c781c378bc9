"""Builds the manifests of one try: a Job around its pod, and a ConfigMap with the files that the agent edited.

Pure: settings, request and phases in, plain dicts out. The Job's own fields say here how it ends, that it is never
repeated, and how it is queued; `pod` builds the pod.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from controller.domain import TryRequest
from controller.executor.kubernetes.naming import (
    HIDDEN,
    PREFIX,
    REQUEST,
    config_map_name,
    file_keys,
    job_name,
    labels,
    request_hash,
)
from controller.executor.kubernetes.pod import Manifest, build_pod, pod_deadline
from controller.executor.phases import Phase, trusted_files
from controller.settings import KubernetesSettings, Settings

CONFIG_MAP_LIMIT = 2**20
"""Largest sum of the values of a ConfigMap, in bytes; the API server refuses more."""


def files_size(files: Mapping[str, str]) -> int:
    """Bytes of the edited files in a ConfigMap, to be compared with `CONFIG_MAP_LIMIT`."""
    return sum(len(text.encode()) for text in files.values())


def build_config_map(settings: Settings, request: TryRequest) -> Manifest:
    """The ConfigMap with the edited files. Immutable, so that nobody changes what an attempt trains.

    An empty file in it stands in place of files of the image that only the examiner may see.
    """
    covers = {HIDDEN: ""} if trusted_files(settings.task) else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(settings.executor.kubernetes.namespace, request) | {"name": config_map_name(request)},
        "immutable": True,
        "data": {key: request.files[path] for path, key in file_keys(request).items()} | covers,
    }


def owner_patch(job: Manifest) -> Manifest:
    """The change that makes the Job own the ConfigMap: the garbage collector then deletes it with the Job."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    return {"metadata": {"ownerReferences": [owner]}}


def build_job(settings: Settings, request: TryRequest, phases: Sequence[Phase]) -> Manifest:
    """The Job of one try. It has no TTL yet, because it must not vanish before its result is recorded."""
    cluster = settings.executor.kubernetes
    metadata = _metadata(settings.executor.kubernetes.namespace, request)
    metadata["labels"] |= _queue_labels(cluster)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            # The Job controller makes no second pod: only our controller decides on another try, by why this one ended.
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            # After a suspension the next pod is made only when the last one has ended: two would train at once.
            "podReplacementPolicy": "Failed",
            # Later than the pod's own deadline, which begins only when a kubelet takes the pod. The Job's deadline
            # deletes the pod together with its logs.
            "activeDeadlineSeconds": pod_deadline(settings.deadlines.image_pull, phases)
            + math.ceil(settings.deadlines.pending),
            "template": {
                "metadata": {"labels": labels(request.id)},
                "spec": build_pod(settings, request, phases),
            },
        },
    }


def _queue_labels(cluster: KubernetesSettings) -> dict[str, str]:
    """Labels for Kueue, if the settings name a queue.

    A preempted try begins anew when it is admitted again, and so does the Job's deadline. Kueue's label
    max-exec-time-seconds is not set: it adds up the time of all admissions, and then leaves the Job suspended.
    """
    wanted = {
        "kueue.x-k8s.io/queue-name": cluster.kueue_queue,
        "kueue.x-k8s.io/priority-class": cluster.kueue_priority,
    }
    return {label: value for label, value in wanted.items() if value}


def _metadata(namespace: str, request: TryRequest) -> Manifest:
    return {
        "name": job_name(request.id),
        "namespace": namespace,
        "labels": labels(request.id),
        "annotations": {
            REQUEST: request_hash(request),
            f"{PREFIX}commit": request.commit,
            f"{PREFIX}seed": str(request.seed),
            f"{PREFIX}probe-set": str(request.probe_set),
            **({} if request.reserve is None else {f"{PREFIX}reserve": str(request.reserve)}),
        },
    }
