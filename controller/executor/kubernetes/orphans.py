"""Jobs of a campaign that no try of ours claims: what an earlier controller left behind when it died.

One that runs is removed. One that ended was recorded in the lab a moment before its controller died: it is labelled
and kept as long as a failed one, so that a human can still look.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence

from controller.errors import ClusterError
from controller.executor.kubernetes.caches import Caches
from controller.executor.kubernetes.client import JOBS, Client, Object
from controller.executor.kubernetes.naming import RECORDED
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.verdict import Ended, Observation

LOG = logging.getLogger("autoresearch.kubernetes")

AT_ONCE = 20


def sweep(client: Client, caches: Caches, *, ours: Collection[str], keep_seconds: int) -> bool:
    """Put away some of them, the oldest first. Returns whether there were any, so that it pays to look again."""
    orphans = find_orphans(caches.every_job(), ours=ours)
    try:
        for job in orphans[:AT_ONCE]:
            name = job["metadata"]["name"]
            LOG.warning("orphan", extra={"job": name})
            put_away(client, job, caches.pods(name), keep_seconds=keep_seconds)
    except ClusterError as error:
        LOG.warning("sweep stopped", extra={"error": str(error)})
    return bool(orphans)


def find_orphans(jobs: Iterable[Object], *, ours: Collection[str]) -> list[Object]:
    """The oldest first. ours: names of all tries that this controller ever launched or adopted."""
    return sorted(
        (job for job in jobs if _is_orphan(job, ours)), key=lambda job: str(job["metadata"]["creationTimestamp"])
    )


def put_away(client: Client, job: Object, pods: Sequence[Object], *, keep_seconds: int) -> None:
    """Delete it if it runs, else label it and let it go after `keep_seconds`."""
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    # The Job controller takes seconds to say what its pod says at once.
    if not any(isinstance(assess(Observation(job=job, pod=pod)), Ended) for pod in pods or ({},)):
        client.delete(JOBS, name, uid=uid)
        return
    change = {
        "metadata": {"uid": uid, "labels": {"outcome": "orphan"}, "annotations": {RECORDED: "orphan"}},
        "spec": {"ttlSecondsAfterFinished": keep_seconds},
    }
    client.patch(JOBS, name, change)


def _is_orphan(job: Object, ours: Collection[str]) -> bool:
    metadata = job["metadata"]
    known = metadata["name"] in ours or RECORDED in metadata.get("annotations", {})
    return not known and "deletionTimestamp" not in metadata
