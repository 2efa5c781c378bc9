"""Builds a Job of ours that is no try: it runs once, is waited for, and goes by itself if nobody deletes it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from controller.executor.kubernetes.pod import Manifest

KEPT_SECONDS = 600
"""Seconds after which an ended Job goes that no controller has deleted, as after the last one's end."""


def build_short_job(
    namespace: str,
    name: str,
    pod: Manifest,
    *,
    labels: Mapping[str, str],
    place_seconds: float,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """The Job around a pod, which has a deadline of its own. annotations: of the pod.

    place_seconds: how long the pod may wait for a node.
    """
    of_pod = {"labels": dict(labels)} | ({"annotations": dict(annotations)} if annotations else {})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            # The pod's own deadline begins when a kubelet takes it; this one ends a pod that never gets a node.
            "activeDeadlineSeconds": pod["activeDeadlineSeconds"] + math.ceil(place_seconds),
            # Set from the start: what it left is in the lab, and nothing of it in the Job.
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": of_pod, "spec": pod},
        },
    }
