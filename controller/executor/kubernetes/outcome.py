"""How a try stands or ended, decided from what the cluster said last.

Pure: (Job, Pod, events) -> `Going` or `Ended`. The order of the tests is the rule, and the first that matches wins:

1. the main container ended well: nothing that happens to the pod afterwards takes a result back;
2. who ended it: a suspension by the queue, a deletion, the Job's deadline. All three delete pods and
   would read as something else further down;
3. the pod's conditions: a disruption, or no place to run;
4. the pod's own reason: deadline, eviction, rejection by the kubelet;
5. `containers`, in order;
6. no pod at all: events say why.

What goes on runs, or waits for something (`waiting`).

It refuses to judge the experiment: an infrastructure failure is `lost` with its reason, no fault of the code.
"""

from __future__ import annotations

from controller.executor.kubernetes.containers import find_failed, find_stuck
from controller.executor.kubernetes.objects import (
    Object,
    condition_of,
    created_at,
    is_terminal,
    job_end,
    last_started,
    main_status,
    out_of_memory,
    running_since,
    statuses,
    terminated,
    train_started,
)
from controller.executor.kubernetes.verdict import DISRUPTIONS, Cause, Ended, Going, Observation, end_of
from controller.executor.kubernetes.waiting import never_started, waits_for_place, waits_for_pod, waits_for_start

PATIENCE = 60.0
"""Seconds to wait for the word of a kubelet or of the Job controller that may never come."""


def assess(seen: Observation) -> Going | Ended:
    """The rule of this module: how the try stands."""
    for test in (_finished, _ended_from_outside, _disrupted, _pod_reason, _containers, _without_pod):
        verdict = test(seen)
        if verdict is not None:
            return verdict
    return _running(seen)


# -- 1 ----------------------------------------------------------------------


def _finished(seen: Observation) -> Ended | None:
    main = main_status(seen.pod)
    end = terminated(main)
    if end is None or end.get("exitCode") != 0 or end.get("reason") == "OOMKilled":
        return None
    oom = next((status["name"] for status in statuses(seen.pod) if out_of_memory(status)), "")
    return end_of(seen.pod, Cause.FINISHED, container=main["name"], message=end.get("message"), oom=oom)


# -- 2 ----------------------------------------------------------------------


def _ended_from_outside(seen: Observation) -> Going | Ended | None:
    if _outlived(seen):
        return end_of(seen.pod, Cause.NODE_LOST, "node lost: the pod outlived its deadline unseen", unfinished=True)
    if seen.job_gone or seen.job.get("metadata", {}).get("deletionTimestamp"):
        return end_of(seen.pod, Cause.DELETED, "deleted by someone: the Job is gone")
    if seen.job.get("spec", {}).get("suspend"):
        return Going(phase="queued", since=created_at(seen.job), line="waits in its queue (the Job is suspended)")
    if job_end(seen.job).get("reason") == "DeadlineExceeded":
        return _deadline(seen.pod, "Job") if train_started(seen.pod) else never_started(seen.pod, seen.events)
    return None


def _outlived(seen: Observation) -> bool:
    """No kubelet that is there lets a pod live so long, and where all nodes are silent nobody else says so."""
    deadline = seen.pod.get("spec", {}).get("activeDeadlineSeconds")
    late = deadline is not None and seen.active_seconds > deadline + PATIENCE
    return late and not is_terminal(seen.pod)


def _deadline(pod: Object, whose: str) -> Ended:
    container = last_started(pod)
    return end_of(
        pod,
        Cause.DEADLINE,
        f"the {whose}'s deadline passed in {container}" if container else f"the {whose}'s deadline passed",
        container=container,
    )


# -- 3 ----------------------------------------------------------------------


def _disrupted(seen: Observation) -> Going | Ended | None:
    condition = condition_of(seen.pod, "DisruptionTarget")
    if condition.get("status") == "True" and not seen.crashed_first:
        return _disruption(seen, condition)
    return None if is_terminal(seen.pod) or seen.pod_gone else waits_for_place(seen.pod)


def _disruption(seen: Observation, condition: Object) -> Going | Ended:
    over = is_terminal(seen.pod) or seen.pod_gone or bool(job_end(seen.job))
    if not over and seen.ending_seconds < PATIENCE:
        return Going(phase="terminating", since=created_at(seen.pod), line=str(condition.get("message", "")))
    cause = DISRUPTIONS.get(str(condition.get("reason")), Cause.NODE_PRESSURE)
    said = str(condition.get("message") or seen.pod.get("status", {}).get("message") or condition.get("reason"))
    return end_of(seen.pod, cause, f"{cause.replace('_', ' ')}: {said}", unfinished=not over)


# -- 4 ----------------------------------------------------------------------


def _pod_reason(seen: Observation) -> Ended | None:
    status = seen.pod.get("status", {})
    reason, message = str(status.get("reason", "")), str(status.get("message", "")).strip()
    if reason == "DeadlineExceeded":
        return _deadline(seen.pod, "pod") if train_started(seen.pod) else never_started(seen.pod, seen.events)
    if reason == "Evicted":
        # A limit that the pod passed itself leaves no condition; pressure on the node does, and came under 3.
        return end_of(seen.pod, Cause.DISK_LIMIT, f"used more disk than it may: {message}")
    if status.get("phase") == "Failed" and not any(map(_was_made, statuses(seen.pod))):
        said = ": ".join(filter(None, (reason, message))) or "no reason given"
        return end_of(seen.pod, Cause.ADMISSION_REJECTED, f"refused by its node: {said}")
    return None


def _was_made(status: Object) -> bool:
    return bool(status.get("state", {}).keys() & {"running", "terminated"})


# -- 5 ----------------------------------------------------------------------


def _containers(seen: Observation) -> Going | Ended | None:
    if not is_terminal(seen.pod):
        return find_stuck(seen.pod)
    if (seen.pod.get("metadata", {}).get("deletionTimestamp") or seen.pod_gone) and not seen.crashed_first:
        return _deleted_pod(seen)
    return find_failed(seen.pod)


def _deleted_pod(seen: Observation) -> Going | Ended:
    """A deletion without a condition: a human's, unless the Job is about to say that it was its own deadline."""
    if not job_end(seen.job) and seen.ending_seconds < PATIENCE:
        return Going(phase="terminating", since=created_at(seen.pod), line="the pod is being deleted")
    return end_of(seen.pod, Cause.DELETED, "deleted by someone: the pod is gone")


# -- 6 ----------------------------------------------------------------------


def _without_pod(seen: Observation) -> Going | Ended | None:
    if seen.pod and not seen.pod_gone:
        return None
    if job_end(seen.job) or (seen.pod_gone and seen.ending_seconds >= PATIENCE):
        return end_of(seen.pod, Cause.NODE_LOST, "the pod vanished with its node")
    if seen.pod:
        return Going(phase="terminating", since=created_at(seen.pod), line="the pod is gone, the Job has not said why")
    return waits_for_pod(seen.job, seen.events)


# -- still going ------------------------------------------------------------


def _running(seen: Observation) -> Going:
    running = [status for status in statuses(seen.pod) if "running" in status.get("state", {})]
    if running:
        current = running[-1]
        return Going(phase=current["name"], since=running_since(seen.pod, current))
    return waits_for_start(seen.pod, seen.events)
