"""Bringing one try into the cluster exactly once, however often this is repeated.

The Job's name is the claim: whoever finds it taken looks whether it is this very try, and adopts it then.
The ConfigMap goes first, as no pod may start without it; it is given to the Job afterwards (a suspended
Job would give the uid earlier, but suspension belongs to the queue).
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.domain import TryRequest
from controller.errors import ClusterError
from controller.executor.kubernetes.client import CONFIG_MAPS, JOBS, Client, Object
from controller.executor.kubernetes.errors import Refused
from controller.executor.kubernetes.job import CONFIG_MAP_LIMIT, build_config_map, build_job, files_size, owner_patch
from controller.executor.kubernetes.naming import RECORDED, REQUEST, config_map_name, request_hash
from controller.executor.kubernetes.objects import is_finished
from controller.phases import Phase
from controller.settings import Settings


class Conflict(ClusterError):
    """The name is taken by something else. `lasting`: only a human can clear it, else it is on its way out."""

    def __init__(self, text: str, *, lasting: bool) -> None:
        super().__init__(text)
        self.lasting = lasting


def too_large(request: TryRequest) -> str:
    """Why these files cannot be sent at all, or nothing: a fault of the edit, not of the cluster."""
    size = files_size(request.files)
    if size <= CONFIG_MAP_LIMIT:
        return ""
    return f"the edited files have {size:,} bytes; a try carries at most {CONFIG_MAP_LIMIT:,}"


def launch(
    client: Client, settings: Settings, request: TryRequest, plan: Sequence[Phase], *, known: Sequence[Object]
) -> Object:
    """Create the try's Job or adopt it; returns it. `known`: Jobs of this name that a watch has shown.

    Raises Conflict when the name is taken, Refused and Unavailable as the client does.
    """
    job = next((found for found in known if _is_this(found, request)), None)
    if job is None:
        _create_config_map(client, build_config_map(settings, request))
        job = _create_job(client, request, build_job(settings, request, plan))
    _give_config_map(client, request, job)
    return job


def _is_this(found: Object, request: TryRequest) -> bool:
    metadata = found["metadata"]
    same = metadata.get("annotations", {}).get(REQUEST) == request_hash(request)
    return same and "deletionTimestamp" not in metadata


def _create_job(client: Client, request: TryRequest, manifest: Object) -> Object:
    try:
        return client.create(JOBS, manifest)
    except Refused as refused:
        if refused.reason != "AlreadyExists":
            raise
    found = client.get(JOBS, manifest["metadata"]["name"])
    if _is_this(found, request):
        return found
    return _make_way(client, found)


def _make_way(client: Client, found: Object) -> Object:
    """Another try's Job has our name: one that is recorded is history and may go, anything else may not."""
    name, metadata = found["metadata"]["name"], found["metadata"]
    if "deletionTimestamp" in metadata:
        raise Conflict(f"Job {name} is being deleted", lasting=False)
    if RECORDED in metadata.get("annotations", {}) and is_finished(found):
        client.delete(JOBS, name, uid=metadata["uid"])
        raise Conflict(f"Job {name} of an earlier campaign is being deleted", lasting=False)
    raise Conflict(
        f"Job {name} exists and is not this try (another commit or seed): delete it, or choose another tag",
        lasting=True,
    )


def _create_config_map(client: Client, manifest: Object) -> None:
    try:
        client.create(CONFIG_MAPS, manifest)
    except Refused as refused:
        if refused.reason != "AlreadyExists":  # one of this name has this content
            raise


def _give_config_map(client: Client, request: TryRequest, job: Object) -> None:
    try:
        client.patch(CONFIG_MAPS, config_map_name(request), owner_patch(job))
    except Refused as refused:
        if refused.status != 404:  # somebody deleted it; a pod that still needs it will say so
            raise
