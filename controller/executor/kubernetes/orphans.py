"""Finds and puts away orphans: Jobs of the campaign that belong to no try of this controller.

An earlier controller left them behind when it died. A Job that runs is deleted. A Job that ended was recorded in the
lab just before its controller died, so it is only labelled, and kept as long as a failed one for people to look at.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence

from controller.errors import ClusterError
from controller.executor.kubernetes.caches import Caches
from controller.executor.kubernetes.client import JOBS, Client, Object
from controller.executor.kubernetes.naming import RECORDED, SMOKE
from controller.executor.kubernetes.observation import Observation, TryEnd
from controller.executor.kubernetes.outcome import assess

LOG = logging.getLogger("autoresearch.kubernetes")

AT_ONCE = 20
"""Orphans put away in one go, so that a thousand of them do not keep a worker thread from running tries."""


def put_away_orphans(client: Client, caches: Caches, *, ours: Collection[str], keep_seconds: int) -> bool:
    """Put away some orphans, the oldest first. Returns True if there were any: then there may be more.

    ours: names of all tries that this controller ever launched or adopted. keep_seconds: how long an ended one is kept.
    """
    orphans = find_orphans(caches.every_job(), ours=ours)
    try:
        for job in orphans[:AT_ONCE]:
            name = job["metadata"]["name"]
            LOG.warning("orphan", extra={"job": name})
            _put_away(client, job, caches.pods(name), keep_seconds=keep_seconds)
    except ClusterError as error:
        LOG.warning("sweep stopped", extra={"error": str(error)})
    return bool(orphans)


def find_orphans(jobs: Iterable[Object], *, ours: Collection[str]) -> list[Object]:
    """Jobs that are not in `ours`, the oldest first."""
    return sorted(
        (job for job in jobs if _is_orphan(job, ours)), key=lambda job: str(job["metadata"]["creationTimestamp"])
    )


def _put_away(client: Client, job: Object, pods: Sequence[Object], *, keep_seconds: int) -> None:
    """Delete the Job if it runs, else label it and have it removed after `keep_seconds`."""
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    if not _has_ended(job, pods):
        client.delete(JOBS, name, uid=uid)
        return
    # A uid in a patch is a precondition: the API server refuses the patch for a later Job of this name.
    change = {
        "metadata": {"uid": uid, "labels": {"outcome": "orphan"}, "annotations": {RECORDED: "orphan"}},
        # Counts from the end of the Job, also if it is set later.
        "spec": {"ttlSecondsAfterFinished": keep_seconds},
    }
    client.patch(JOBS, name, change)


def _has_ended(job: Object, pods: Sequence[Object]) -> bool:
    # The pods are looked at too, because the Job's own status follows its pod's end by a second or more.
    observations = [Observation(job=job, pod=pod) for pod in pods] or [Observation(job=job)]
    return any(isinstance(assess(observation), TryEnd) for observation in observations)


def _is_orphan(job: Object, ours: Collection[str]) -> bool:
    metadata = job["metadata"]
    if SMOKE in metadata.get("labels", {}):
        # The smoke tests that this controller runs are no tries, and an earlier one's were deleted when it took over.
        return False
    known = metadata["name"] in ours or RECORDED in metadata.get("annotations", {})
    return not known and "deletionTimestamp" not in metadata
