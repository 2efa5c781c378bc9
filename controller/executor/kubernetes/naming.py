"""What a try is called in the cluster: the names, labels and annotations by which it is found again.

Pure, and the one place for these words: what is created under a name, what a watch asks for and what an earlier
controller left must agree on them. It refuses to know what the named objects hold.
"""

from __future__ import annotations

import hashlib
import json

from controller.domain import TryId, TryRequest

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "autoresearch"
COMPONENT = "app.kubernetes.io/component"
PREFIX = "autoresearch.dev/"
REQUEST = f"{PREFIX}request"
RECORDED = f"{PREFIX}recorded"

NAME_LIMIT = 57
"""Longest name of a Job whose pods, with `-xxxxx` after it, still fit a label's 63 characters."""


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


def file_keys(request: TryRequest) -> dict[str, str]:
    """Key of each edited file in the ConfigMap, by its path: numbers, because a path is no valid key."""
    return {path: f"file-{i}" for i, path in enumerate(sorted(request.files))}


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
