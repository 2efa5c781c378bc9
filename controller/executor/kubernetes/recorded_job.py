"""Marks the Job of a recorded try, for people: labels, an annotation, an Event, and a TTL.

Call this only when the lab holds the result, because a Job with a TTL may vanish at any moment.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from controller.domain import Outcome, Result
from controller.executor.kubernetes.client import EVENTS, JOBS, PODS, Client, Object
from controller.executor.kubernetes.errors import Refused
from controller.executor.kubernetes.naming import MANAGER, PREFIX, RECORDED
from controller.executor.kubernetes.observation import TryEnd
from controller.executor.kubernetes.result import label_values
from controller.executor.kubernetes.running_try import RunningTry
from controller.settings import Settings
from controller.text.figures import score_text
from controller.text.safe_text import SENTENCE, one_line

EVENT_MESSAGE_LIMIT = 1000
"""Characters of an Event's message, which kubectl shows on one line; the newer Event API takes at most 1,024."""


def mark_recorded(client: Client, settings: Settings, running: RunningTry, *, now: float) -> None:
    """Mark the Job as recorded, and create an Event with its end. now: Unix time.

    May be repeated. A try that never had a Job, or whose Job is gone, is ignored.
    """
    name, uid, ended, result = running.name, running.uid, running.end, running.result
    if not uid or ended is None or result is None:
        return
    try:
        client.patch(JOBS, name, recorded_patch(settings, ended, result, uid=uid, now=now))
    except Refused as refused:
        if refused.status not in (404, 409):  # deleted meanwhile, or replaced by another of this name
            raise
        return
    _create_event(client, build_event(client.namespace, name, uid, ended, result, now=now))
    if ended.unfinished and running.pod:
        _end_pod(client, running.pod["metadata"]["name"], name, uid)


def _end_pod(client: Client, pod: str, job: str, uid: str) -> None:
    """Have the kubelet end the pod, now or when its node comes back.

    The deadline is one of the few fields of a running pod that may be changed. Unlike a deletion it keeps the logs.
    """
    try:
        client.patch(PODS, pod, {"spec": {"activeDeadlineSeconds": 1}})
    except Refused as refused:
        # A Role without `patch` on pods gives 403. The pod's place in the cluster is worth more than its log.
        if refused.status == 403:
            client.delete(JOBS, job, uid=uid)
        elif refused.status != 404:
            raise


def recorded_patch(settings: Settings, ended: TryEnd, result: Result, *, uid: str, now: float) -> Object:
    """The change of the Job: mark, result and TTL together, so that a crash cannot leave a TTL without a mark.

    The API server refuses it (409) if the Job of this name has another uid.
    """
    cluster = settings.executor.kubernetes
    scored = result.outcome is Outcome.SCORED
    summary = {
        "outcome": str(result.outcome),
        "cause": str(ended.cause),
        "reason": one_line(result.reason, SENTENCE),
        "score": result.score.value if result.score else None,
        "provenance": str(result.score.provenance) if result.score else None,
        "seconds": result.seconds,
        "node": one_line(result.node),
    }
    return {
        "metadata": {
            "uid": uid,
            "labels": dict(label_values(result, settings.task.metric)),
            "annotations": {RECORDED: _timestamp(now), f"{PREFIX}result": json.dumps(summary)},
        },
        "spec": {"ttlSecondsAfterFinished": cluster.keep_succeeded_seconds if scored else cluster.keep_failed_seconds},
    }


def build_event(namespace: str, name: str, uid: str, ended: TryEnd, result: Result, *, now: float) -> Object:
    """An Event on the Job, which `kubectl describe job` shows. Its name is fixed, so a second one is refused."""
    outcome = result.outcome.title().replace("_", "")
    scored = result.outcome is Outcome.SCORED
    value = score_text(result.score.value) if result.score else ""
    where = f" Logs: kubectl logs job/{name} -c {ended.container}" if ended.container and not scored else ""
    message = (one_line(result.reason, EVENT_MESSAGE_LIMIT) or value).rstrip(".") + "." + where
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


def _create_event(client: Client, event: Object) -> None:
    # The API server keeps an Event for an hour by default; the annotation on the Job stays.
    try:
        client.create(EVENTS, event)
    except Refused as refused:
        if refused.reason != "AlreadyExists":
            raise


def _timestamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
