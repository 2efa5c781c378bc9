"""Names, labels and annotations of a try's objects in the cluster, by which it is found again.

Pure. All code that creates, watches or adopts objects takes the names from here, because a later controller must find
what an earlier one created.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection

from controller.domain import TryId, TryRequest

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "autoresearch"
COMPONENT = "app.kubernetes.io/component"
PREFIX = "autoresearch.dev/"
"""Prefix of our annotations and labels, as Kubernetes asks for: names without one belong to the user."""

REQUEST = f"{PREFIX}request"
"""Annotation of a Job: the hash of the request that it was made for."""

RECORDED = f"{PREFIX}recorded"
"""Annotation of a Job: when its result was recorded in the lab."""

PROPOSAL = "proposal"
"""Label of what belongs to a program that proposes, with the number of its proposal. No try has it."""

SMOKE = "smoke"
"""Label of what belongs to a smoke test, with its id. No try has it."""

NAME_LIMIT = 57
"""Longest name of a Job, in characters. Its pod's name has six more, and must fit into the 63 of a label's value."""


OWN_LABELS = ("campaign", "experiment", "study", "arm", "attempt", "try", PROPOSAL, SMOKE)
"""Keys of the labels by which a try is found again. No metric may take one of them."""

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
"""Grammar of a label's value, and of its key without a prefix."""


def is_label(key: str, value: str) -> bool:
    """True if the API server accepts this label. It refuses the whole object for one wrong label."""
    return _LABEL.fullmatch(key) is not None and _LABEL.fullmatch(value) is not None


def job_name(id: TryId) -> str:
    """Name of the try's Job. It follows from the id alone, so that a new controller finds the same Job."""
    # A tag may be long. The hash keeps two long ones apart whose beginnings agree.
    name = f"ar-{id}"
    if len(name) <= NAME_LIMIT:
        return name
    return f"{name[: NAME_LIMIT - 11].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def config_map_name(request: TryRequest) -> str:
    """Name of the try's ConfigMap, with a hash of its content in it.

    A kubelet caches an immutable ConfigMap by its name, and would serve an old one to a new pod.
    """
    return f"{job_name(request.id)}-{request_hash(request)[:10]}"


def campaign_selector(tag: str, *, studies: bool = False, unfinished: Collection[str] = ()) -> str:
    """Label selector of all objects of a campaign's experiments, or of its studies.

    A controller that runs a study leaves the campaign's Jobs alone, and a campaign's those of studies: the Jobs that
    one of them does not know are still to be adopted by the other. unfinished: names of studies that are left alone
    for the same reason.
    """
    spared = f",study notin ({','.join(sorted(unfinished))})" if studies and unfinished else ""
    return f"{MANAGED_BY}={MANAGER},campaign={tag},{'study' if studies else '!study'},!{PROPOSAL}{spared}"


def proposals_selector(tag: str) -> str:
    """Label selector of all objects of a campaign's programs that propose."""
    return f"{MANAGED_BY}={MANAGER},campaign={tag},{PROPOSAL}"


def proposal_name(tag: str, number: int, id: str) -> str:
    """Name of the Job of a program that proposes. id: drawn at random, so that none comes twice."""
    return f"ar-{tag}-p{number}-{id}"


def smoke_selector(tag: str) -> str:
    """Label selector of all objects of a campaign's smoke tests. Its executor's watches show them too."""
    return f"{MANAGED_BY}={MANAGER},campaign={tag},{SMOKE}"


def smoke_name(tag: str, id: str) -> str:
    """Name of the Job of a smoke test, and of its ConfigMap. id: drawn at random, so that none comes twice."""
    return f"ar-{tag}-smoke-{id}"


def request_hash(request: TryRequest) -> str:
    """Hash of a request. A Job with the name of a try is that try if this hash agrees.

    It covers the request and not the manifest: webhooks rewrite manifests, and a controller of a later version must
    still adopt running tries. The baseline's noise is left out, because later baselines refine it.
    """
    identity: list[object] = [str(request.id), request.commit, request.seed, request.probe_set]
    identity.append(sorted(request.files.items()))
    # Left out where nothing is asked beside validation: Jobs of versions that knew nothing else are adopted too.
    if request.reserve is not None or request.holdout:
        identity += [request.reserve, request.holdout]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


ATTEMPT = "attempt"
"""Component of the pods that run attempts, those of studies included."""

HIDDEN = "hidden"
"""Key of an empty file in the ConfigMap, which covers files that a container must not see."""


def file_keys(request: TryRequest) -> dict[str, str]:
    """Key of each edited file in the ConfigMap, by its path. A key may contain no slash, so the files are numbered."""
    return {path: f"file-{i}" for i, path in enumerate(sorted(request.files))}


def labels(id: TryId) -> dict[str, str]:
    """Labels of a try's objects, for the watches and for people (`kubectl get jobs -L experiment,attempt`)."""
    # Values of labels are text. The API server refuses an object with a number in its place.
    what = {"study": id.study, "arm": str(id.experiment)} if id.study else {"experiment": str(id.experiment)}
    return {
        MANAGED_BY: MANAGER,
        COMPONENT: ATTEMPT,
        "campaign": id.tag,
        **what,
        "attempt": str(id.attempt),
        "try": str(id.number),
    }
