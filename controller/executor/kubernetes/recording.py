"""What a recorded try leaves in the cluster for people: labels, an annotation, an Event, and a time to go.

Called after the lab holds the result, and only then: a Job with a TTL may vanish at any moment.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from controller.domain import Outcome, Result, TryRequest
from controller.executor.kubernetes.client import EVENTS, JOBS, PODS, Client, Object
from controller.executor.kubernetes.errors import Refused
from controller.executor.kubernetes.naming import MANAGER, PREFIX, RECORDED, job_name
from controller.executor.kubernetes.result import label_values
from controller.executor.kubernetes.verdict import Ended
from controller.settings import Settings

EVENT_MESSAGE_LIMIT = 1000


def record(
    client: Client,
    settings: Settings,
    request: TryRequest,
    uid: str,
    pod: str,
    ended: Ended,
    result: Result,
    *,
    now: float,
) -> None:
    """Mark the Job as recorded and say in an Event how it went. May be repeated; a Job that is gone is left so."""
    name = job_name(request.id)
    try:
        client.patch(JOBS, name, recorded_patch(settings, ended, result, uid=uid, now=now))
    except Refused as refused:
        if refused.status not in (404, 409):  # deleted meanwhile, or replaced by another of this name
            raise
        return
    _say(client, build_event(client.namespace, name, uid, ended, result, now=now))
    if ended.unfinished and pod:
        _end(client, pod, name, uid)


def _end(client: Client, pod: str, job: str, uid: str) -> None:
    """Have the kubelet end the pod, at once or when its node comes back. Unlike a deletion this keeps its logs."""
    try:
        client.patch(PODS, pod, {"spec": {"activeDeadlineSeconds": 1}})
    except Refused as refused:
        if refused.status == 403:  # a Role without `patch` on pods: the place is worth more than the log
            client.delete(JOBS, job, uid=uid)
        elif refused.status != 404:
            raise


def recorded_patch(settings: Settings, ended: Ended, result: Result, *, uid: str, now: float) -> Object:
    """One change that holds the result, so that no crash can leave a TTL without a mark. `uid` must match."""
    cluster = settings.executor.kubernetes
    scored = result.outcome is Outcome.SCORED
    summary = {
        "outcome": str(result.outcome),
        "cause": str(ended.cause),
        "reason": result.reason,
        "score": result.score.value if result.score else None,
        "provenance": str(result.score.provenance) if result.score else None,
        "seconds": result.seconds,
        "node": result.node,
    }
    return {
        "metadata": {
            "uid": uid,
            "labels": dict(label_values(result, settings.task.metric)),
            "annotations": {RECORDED: _timestamp(now), f"{PREFIX}result": json.dumps(summary)},
        },
        "spec": {"ttlSecondsAfterFinished": cluster.keep_succeeded_seconds if scored else cluster.keep_failed_seconds},
    }


def build_event(namespace: str, name: str, uid: str, ended: Ended, result: Result, *, now: float) -> Object:
    """An Event on the Job, as `kubectl describe job` shows it. Its name makes a repetition a no-op."""
    outcome = result.outcome.title().replace("_", "")
    scored = result.outcome is Outcome.SCORED
    value = f"{result.score.value:.6f}" if result.score else ""
    where = f" Logs: kubectl logs job/{name} -c {ended.container}" if ended.container and not scored else ""
    message = (result.reason or value).rstrip(".") + "." + where
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{name}.{hashlib.sha256(f'{uid} {outcome}'.encode()).hexdigest()[:10]}",
            "namespace": namespace,
        },
        "involvedObject": {"apiVersion": "batch/v1", "kind": "Job", "namespace": namespace, "name": name, "uid": uid},
        "type": "Normal" if scored else "Warning",
        "reason": f"Attempt{outcome}",
        "message": message[:EVENT_MESSAGE_LIMIT],
        "source": {"component": MANAGER},
        "firstTimestamp": _timestamp(now),
        "lastTimestamp": _timestamp(now),
        "count": 1,
    }


def _say(client: Client, event: Object) -> None:
    try:
        client.create(EVENTS, event)
    except Refused as refused:
        if refused.reason != "AlreadyExists":
            raise


def _timestamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
