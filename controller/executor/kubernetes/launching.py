"""Creates the Job of a try exactly once, however often this is repeated.

The API server lets a name be taken only once, and the Job's name follows from the try alone. If the name is taken by
this very try, the Job is adopted.

The ConfigMap is created first, because the kubelet starts no pod whose ConfigMap is missing. It gets the Job as its
owner afterwards, when the Job's uid is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from controller.domain import TryRequest
from controller.errors import ClusterError
from controller.executor.kubernetes.client import CONFIG_MAPS, JOBS, Client, Object
from controller.executor.kubernetes.errors import Refused
from controller.executor.kubernetes.job import CONFIG_MAP_LIMIT, build_config_map, build_job, files_size, owner_patch
from controller.executor.kubernetes.naming import RECORDED, REQUEST, config_map_name, request_hash
from controller.executor.kubernetes.pod_status import is_finished
from controller.executor.phases import Phase
from controller.settings import Settings


class Conflict(ClusterError):
    """The Job's name is taken by something else.

    lasting: True if only an operator can remove it, False if it is being deleted.
    """

    def __init__(self, text: str, *, lasting: bool) -> None:
        super().__init__(text)
        self.lasting = lasting


def too_large(request: TryRequest) -> str:
    """One sentence if these files do not fit into a ConfigMap, which is a fault of the edit; else empty."""
    size = files_size(request.files)
    if size <= CONFIG_MAP_LIMIT:
        return ""
    return f"the edited files have {size:,} bytes; a try carries at most {CONFIG_MAP_LIMIT:,}"


def launch(
    client: Client, settings: Settings, request: TryRequest, plan: Sequence[Phase], *, known: Sequence[Object]
) -> Object:
    """Create the try's Job or adopt it, and return it. known: Jobs of this name that a watch has delivered.

    Raises Conflict if the name is taken, Refused and Unavailable as the client does.
    """
    job = next((found for found in known if _is_job_of(request, found)), None)
    if job is None:
        _create_config_map(client, build_config_map(settings, request))
        job = _create_job(client, request, build_job(settings, request, plan))
    _set_owner(client, request, job)
    return job


def _is_job_of(request: TryRequest, found: Object) -> bool:
    """True if this Job was made for this request, and is not being deleted."""
    metadata = found["metadata"]
    same = metadata.get("annotations", {}).get(REQUEST) == request_hash(request)
    # An object with a deletionTimestamp waits for its finalizers only, and nothing can keep it.
    return same and "deletionTimestamp" not in metadata


def _create_job(client: Client, request: TryRequest, manifest: Object) -> Object:
    try:
        return client.create(JOBS, manifest)
    except Refused as refused:
        # A name stays taken until its object is gone, so this may be one that is being deleted.
        if refused.reason != "AlreadyExists":
            raise
    found = client.get(JOBS, manifest["metadata"]["name"])
    if not _is_job_of(request, found):
        _free_name(client, found)
    return found


def _free_name(client: Client, found: Object) -> NoReturn:
    """Delete another try's Job of the same name if it is recorded. Always raises Conflict: the name is still taken."""
    name, metadata = found["metadata"]["name"], found["metadata"]
    if "deletionTimestamp" in metadata:
        raise Conflict(f"Job {name} is being deleted", lasting=False)
    if RECORDED in metadata.get("annotations", {}) and is_finished(found):
        # With the uid as a precondition the server refuses if another Job has taken the name since.
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
        # The name contains a hash of the content, so a ConfigMap of this name has this content.
        if refused.reason != "AlreadyExists":
            raise


def _set_owner(client: Client, request: TryRequest, job: Object) -> None:
    # The garbage collector deletes an object once all of its owners are gone.
    try:
        client.patch(CONFIG_MAPS, config_map_name(request), owner_patch(job))
    except Refused as refused:
        # Somebody deleted it. A pod that still needs it reports that in its status.
        if refused.status != 404:
            raise
