"""Decides from the last known Job, pod and events whether a try goes on or ended, and by what.

Pure: `Observation` in, `TryProgress` or `TryEnd` out. The tests are made in this order, and the first that matches
decides:

1. The main container ended well. Nothing that happens to the pod afterwards takes the result back.
2. Somebody ended it from outside: the queue suspended the Job, somebody deleted it, or its deadline passed. All three
   delete the pod, so the later tests would take them for something else.
3. The pod's conditions: a disruption, or no node to run on.
4. The pod's own reason: its deadline, an eviction, a refusal by the kubelet.
5. The containers, in the order in which they run (`containers`).
6. There is no pod; events tell why.

If no test matches, the try runs or waits for something (`waiting`). A failure of the infrastructure is `lost` with its
reason, and never a fault of the agent's code.
"""

from __future__ import annotations

from controller.executor.attempt_end import over_disk, overdue
from controller.executor.kubernetes.containers import find_failed, find_stuck
from controller.executor.kubernetes.observation import DISRUPTIONS, EndCause, Observation, TryEnd, TryProgress, end_of
from controller.executor.kubernetes.pod_status import (
    COPY,
    Object,
    condition_of,
    copy_failure,
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
from controller.executor.kubernetes.waiting import never_started, waits_for_place, waits_for_pod, waits_for_start

SILENCE_SECONDS = 60.0
"""Seconds without a report after which a kubelet or the Job controller counts as silent. Both report within seconds if
they are alive."""


def assess(seen: Observation) -> TryProgress | TryEnd:
    """The progress of a try that goes on, or its end."""
    for test in (_finished, _ended_from_outside, _disrupted, _pod_reason, _containers, _without_pod):
        answer = test(seen)
        if answer is not None:
            return answer
    return _running(seen)


# -- 1 ----------------------------------------------------------------------


def _finished(seen: Observation) -> TryEnd | None:
    main = main_status(seen.pod)
    end = terminated(main)
    if end is None or end.get("exitCode") != 0 or end.get("reason") == "OOMKilled":
        return None
    oom = next((status["name"] for status in statuses(seen.pod) if out_of_memory(status)), "")
    return end_of(seen.pod, EndCause.FINISHED, container=main["name"], message=end.get("message"), oom=oom)


# -- 2 ----------------------------------------------------------------------


def _ended_from_outside(seen: Observation) -> TryProgress | TryEnd | None:
    if _outlived(seen):
        return end_of(seen.pod, EndCause.NODE_LOST, "node lost: the pod outlived its deadline unseen", unfinished=True)
    if seen.job_gone or seen.job.get("metadata", {}).get("deletionTimestamp"):
        return end_of(seen.pod, EndCause.DELETED, "deleted by someone: the Job is gone")
    if seen.job.get("spec", {}).get("suspend"):
        return TryProgress(phase="queued", since=created_at(seen.job), line="waits in its queue (the Job is suspended)")
    if job_end(seen.job).get("reason") == "DeadlineExceeded":
        return _deadline(seen.pod, "Job") if train_started(seen.pod) else never_started(seen.pod, seen.events)
    return None


def _outlived(seen: Observation) -> bool:
    """True if the pod lives longer than its deadline allows. A living kubelet would have ended it.

    If all nodes are silent at once, the node controller evicts no pods, so this is the only sign.
    """
    deadline = seen.pod.get("spec", {}).get("activeDeadlineSeconds")
    late = deadline is not None and seen.active_seconds > deadline + SILENCE_SECONDS
    return late and not is_terminal(seen.pod)


def _deadline(pod: Object, whose: str) -> TryEnd:
    container = last_started(pod)
    # The sentence does not tell how long it ran, because a node's clock may have been set meanwhile.
    said = overdue(container or "it", whose=f"the {whose}'s")
    return end_of(pod, EndCause.DEADLINE, said, container=container, whose=f"the {whose}'s")


# -- 3 ----------------------------------------------------------------------


def _disrupted(seen: Observation) -> TryProgress | TryEnd | None:
    condition = condition_of(seen.pod, "DisruptionTarget")
    if condition.get("status") == "True" and not seen.crashed_first:
        return _disruption(seen, condition)
    if is_terminal(seen.pod) or seen.pod_gone:
        return None
    return waits_for_place(seen.pod)


def _disruption(seen: Observation, condition: Object) -> TryProgress | TryEnd:
    over = is_terminal(seen.pod) or seen.pod_gone or bool(job_end(seen.job))
    if not over and seen.ending_seconds < SILENCE_SECONDS:
        return TryProgress(phase="terminating", since=created_at(seen.pod), line=str(condition.get("message", "")))
    cause = DISRUPTIONS.get(str(condition.get("reason")), EndCause.NODE_PRESSURE)
    said = str(condition.get("message") or seen.pod.get("status", {}).get("message") or condition.get("reason"))
    return end_of(seen.pod, cause, f"{cause.replace('_', ' ')}: {said}", unfinished=not over)


# -- 4 ----------------------------------------------------------------------


def _pod_reason(seen: Observation) -> TryEnd | None:
    status = seen.pod.get("status", {})
    reason, message = str(status.get("reason", "")), str(status.get("message", "")).strip()
    if reason == "DeadlineExceeded":
        return _deadline(seen.pod, "pod") if train_started(seen.pod) else never_started(seen.pod, seen.events)
    if reason == "Evicted":
        # The kubelet sets no condition when a pod exceeds its own limit. Pressure on the node sets one: that is test 3.
        return end_of(seen.pod, EndCause.DISK_LIMIT, over_disk(message))
    if (failure := copy_failure(seen.pod)) and is_terminal(seen.pod):
        said = "the task folder of the image could not be copied, for which it needs sh, cp and chmod: "
        said += str(failure.get("message") or failure.get("reason") or f"exit code {failure.get('exitCode')}").strip()
        return end_of(seen.pod, EndCause.CONFIG_ERROR, said, container=COPY, trouble=said)
    if status.get("phase") == "Failed" and not any(map(_was_made, statuses(seen.pod))):
        said = ": ".join(filter(None, (reason, message))) or "no reason given"
        return end_of(seen.pod, EndCause.ADMISSION_REJECTED, f"refused by its node: {said}")
    return None


def _was_made(status: Object) -> bool:
    return bool(status.get("state", {}).keys() & {"running", "terminated"})


# -- 5 ----------------------------------------------------------------------


def _containers(seen: Observation) -> TryProgress | TryEnd | None:
    if not is_terminal(seen.pod):
        return find_stuck(seen.pod)
    if (seen.pod.get("metadata", {}).get("deletionTimestamp") or seen.pod_gone) and not seen.crashed_first:
        return _deleted_pod(seen)
    return find_failed(seen.pod)


def _deleted_pod(seen: Observation) -> TryProgress | TryEnd:
    """A deletion without a condition. A person did it, unless the Job is about to report its own deadline."""
    if not job_end(seen.job) and seen.ending_seconds < SILENCE_SECONDS:
        return TryProgress(phase="terminating", since=created_at(seen.pod), line="the pod is being deleted")
    return end_of(seen.pod, EndCause.DELETED, "deleted by someone: the pod is gone")


# -- 6 ----------------------------------------------------------------------


def _without_pod(seen: Observation) -> TryProgress | TryEnd | None:
    if seen.pod and not seen.pod_gone:
        return None
    if job_end(seen.job) or (seen.pod_gone and seen.ending_seconds >= SILENCE_SECONDS):
        return end_of(seen.pod, EndCause.NODE_LOST, "the pod vanished with its node")
    if seen.pod:
        return TryProgress(
            phase="terminating", since=created_at(seen.pod), line="the pod is gone, the Job has not said why"
        )
    return waits_for_pod(seen.job, seen.events)


# -- still going ------------------------------------------------------------


def _running(seen: Observation) -> TryProgress:
    running = [status for status in statuses(seen.pod) if "running" in status.get("state", {})]
    if running:
        current = running[-1]
        return TryProgress(phase=current["name"], since=running_since(seen.pod, current))
    return waits_for_start(seen.pod, seen.events)
