"""How a try stands or ended, decided from what the cluster said last.

Pure: (Job, Pod, events) -> `Going` or `Ended`, and (`Ended`, logs) -> `Result`. The order of the tests is
the rule, and the first that matches wins:

1. the main container ended well: nothing that happens to the pod afterwards takes a result back;
2. who ended it: a suspension by the queue, a deletion, the Job's deadline. All three delete pods and
   would read as something else further down;
3. the pod's conditions: a disruption, or no place to run;
4. the pod's own reason: deadline, eviction, rejection by the kubelet;
5. containers, in order; the reason beats the exit code, which the agent's code may choose;
6. no pod at all: events say why.

It refuses to judge the experiment: an infrastructure failure is `lost` with its reason, no fault of the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from controller.domain import LostTo
from controller.executor.kubernetes.objects import (
    Object,
    attempt_statuses,
    condition_of,
    container_spec,
    created_at,
    is_sidecar,
    is_terminal,
    job_end,
    last_message,
    last_started,
    main_status,
    out_of_memory,
    phase_seconds,
    pod_seconds,
    running_since,
    statuses,
    terminated,
    train_started,
    was_started,
)
from controller.executor.kubernetes.verdict import DISRUPTIONS, Cause, Ended, Going, Observation

IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
START_REASONS = frozenset({"StartError", "ContainerCannotRun"})

SANDBOX_REASONS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})
"""Events on a pod that no container status tells of."""

OVER_QUOTA = "exceeded quota"
"""How the API server says that there is no room now: a wait, nobody's fault."""

FAILURES_ARE_TROUBLE = 4
"""Repetitions after which such an event is no hiccup: the kubelet's pauses double, so about ten seconds."""

EXIT_OVERRAN = 124
"""The supervisor's exit code when training overran its budget and left nothing usable."""

EXIT_BAD_DATA = 2
"""The examiner's exit code when the data folder is wrong: another try would meet the same folder."""

PATIENCE = 60.0
"""Seconds to wait for the word of a kubelet or of the Job controller that may never come."""

CANDIDATE_STARTS = 2
"""Restarts without an exam after which a candidate is given up: the kubelet's pauses between them double."""


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
    return _ended(seen.pod, Cause.FINISHED, container=main["name"], message=end.get("message"), oom=oom)


# -- 2 ----------------------------------------------------------------------


def _ended_from_outside(seen: Observation) -> Going | Ended | None:
    if _outlived(seen):
        return _ended(seen.pod, Cause.NODE_LOST, "node lost: the pod outlived its deadline unseen", unfinished=True)
    if seen.job_gone or seen.job.get("metadata", {}).get("deletionTimestamp"):
        return _ended(seen.pod, Cause.DELETED, "deleted by someone: the Job is gone")
    if seen.job.get("spec", {}).get("suspend"):
        return Going(phase="queued", since=created_at(seen.job), line="waits in its queue (the Job is suspended)")
    if job_end(seen.job).get("reason") == "DeadlineExceeded":
        return _deadline(seen.pod, "Job") if train_started(seen.pod) else _never_started(seen.pod, seen.events)
    return None


def _outlived(seen: Observation) -> bool:
    """No kubelet that is there lets a pod live so long, and where all nodes are silent nobody else says so."""
    deadline = seen.pod.get("spec", {}).get("activeDeadlineSeconds")
    late = deadline is not None and seen.active_seconds > deadline + PATIENCE
    return late and not is_terminal(seen.pod)


def _deadline(pod: Object, whose: str) -> Ended:
    container = last_started(pod)
    return _ended(
        pod,
        Cause.DEADLINE,
        f"the {whose}'s deadline passed in {container}" if container else f"the {whose}'s deadline passed",
        container=container,
    )


def _never_started(pod: Object, events: Sequence[Object]) -> Ended:
    unplaced = condition_of(pod, "PodScheduled")
    why = _waiting_for(pod) or (unplaced.get("message") if _is_false(unplaced) else "") or last_message(events)
    reason = f"never started before its deadline: {why}" if why else "never started before its deadline"
    lost_to = _kept_waiting_by(pod, events)
    return _ended(pod, Cause.NEVER_STARTED, reason, trouble=_waiting_trouble(pod), lost_to=lost_to)


def _kept_waiting_by(pod: Object, events: Sequence[Object]) -> LostTo:
    reasons = {reason for _, reason, _ in _waiting(pod)}
    if reasons & IMAGE_REASONS:
        return LostTo.IMAGE
    if reasons & CONFIG_REASONS or any(event.get("reason") in SANDBOX_REASONS for event in events):
        return LostTo.CONFIG
    if _is_false(condition_of(pod, "PodScheduled")):
        return LostTo.UNSCHEDULABLE
    return LostTo.QUOTA if not pod and OVER_QUOTA in last_message(events) else LostTo.UNKNOWN


# -- 3 ----------------------------------------------------------------------


def _disrupted(seen: Observation) -> Going | Ended | None:
    condition = condition_of(seen.pod, "DisruptionTarget")
    if condition.get("status") == "True" and not seen.crashed_first:
        return _disruption(seen, condition)
    placed = condition_of(seen.pod, "PodScheduled")
    if _is_false(placed) and not is_terminal(seen.pod) and not seen.pod_gone:
        line = str(placed.get("message") or placed.get("reason") or "waits for a place")
        return Going(phase="unschedulable", since=created_at(seen.pod), line=line)
    return None


def _disruption(seen: Observation, condition: Object) -> Going | Ended:
    over = is_terminal(seen.pod) or seen.pod_gone or bool(job_end(seen.job))
    if not over and seen.ending_seconds < PATIENCE:
        return Going(phase="terminating", since=created_at(seen.pod), line=str(condition.get("message", "")))
    cause = DISRUPTIONS.get(str(condition.get("reason")), Cause.NODE_PRESSURE)
    said = str(condition.get("message") or seen.pod.get("status", {}).get("message") or condition.get("reason"))
    return _ended(seen.pod, cause, f"{cause.replace('_', ' ')}: {said}", unfinished=not over)


# -- 4 ----------------------------------------------------------------------


def _pod_reason(seen: Observation) -> Ended | None:
    status = seen.pod.get("status", {})
    reason, message = str(status.get("reason", "")), str(status.get("message", "")).strip()
    if reason == "DeadlineExceeded":
        return _deadline(seen.pod, "pod") if train_started(seen.pod) else _never_started(seen.pod, seen.events)
    if reason == "Evicted":
        # A limit that the pod passed itself leaves no condition; pressure on the node does, and came under 3.
        return _ended(seen.pod, Cause.DISK_LIMIT, f"used more disk than it may: {message}")
    if status.get("phase") == "Failed" and not any(map(_was_made, statuses(seen.pod))):
        said = ": ".join(filter(None, (reason, message))) or "no reason given"
        return _ended(seen.pod, Cause.ADMISSION_REJECTED, f"refused by its node: {said}")
    return None


def _was_made(status: Object) -> bool:
    return bool(status.get("state", {}).keys() & {"running", "terminated"})


# -- 5 ----------------------------------------------------------------------


def _containers(seen: Observation) -> Going | Ended | None:
    if not is_terminal(seen.pod):
        return _stuck(seen.pod)
    if (seen.pod.get("metadata", {}).get("deletionTimestamp") or seen.pod_gone) and not seen.crashed_first:
        return _deleted_pod(seen)
    for status in attempt_statuses(seen.pod):
        if out_of_memory(status):
            return _oom(seen.pod, status)
    for status in attempt_statuses(seen.pod):
        end = terminated(status)
        if end and end.get("exitCode") != 0 and not is_sidecar(seen.pod, status["name"]):
            return _failed(seen.pod, status["name"], end)
    return _examiner_failed(seen.pod)


def _stuck(pod: Object) -> Ended | None:
    """What no kubelet ends: an init container out of memory with exit code 0, and a candidate that keeps dying.

    After the first, nothing further is started (seen with Kubernetes 1.34, cgroup v1); after the second, the
    examiner is not, as long as its sidecar is down.
    """
    if any("running" in status.get("state", {}) for status in statuses(pod)) or was_started(main_status(pod)):
        return None
    for status in attempt_statuses(pod):
        if is_sidecar(pod, status["name"]) and status.get("restartCount", 0) >= CANDIDATE_STARTS:
            said = f"{status['name']} exited {status['restartCount']} times before the exam could begin"
            return _ended(pod, Cause.CRASH, said, container=status["name"], unfinished=True)
        if out_of_memory(status):
            return replace(_oom(pod, status), unfinished=True)
    return None


def _deleted_pod(seen: Observation) -> Going | Ended:
    """A deletion without a condition: a human's, unless the Job is about to say that it was its own deadline."""
    if not job_end(seen.job) and seen.ending_seconds < PATIENCE:
        return Going(phase="terminating", since=created_at(seen.pod), line="the pod is being deleted")
    return _ended(seen.pod, Cause.DELETED, "deleted by someone: the pod is gone")


def _oom(pod: Object, status: Object) -> Ended:
    name = status["name"]
    limit = container_spec(pod, name).get("resources", {}).get("limits", {}).get("memory", "its limit")
    return _ended(pod, Cause.OOM, f"out of memory in {name}: it needed more than {limit}", container=name)


def _failed(pod: Object, name: str, end: Object) -> Ended:
    if end.get("reason") in START_REASONS:
        said = f"{name} cannot be started: {end.get('message', '')}"
        return _ended(pod, Cause.CONFIG_ERROR, said, container=name, trouble=said)
    if end.get("exitCode") == EXIT_OVERRAN:
        return _ended(pod, Cause.DEADLINE, f"{name} overran its budget and left nothing usable", container=name)
    return _ended(pod, Cause.CRASH, f"{name} exited with {end.get('exitCode')}", container=name)


def _examiner_failed(pod: Object) -> Ended:
    main = main_status(pod)
    end = terminated(main) or {}
    name = main.get("name", "")
    said = f"{name} itself failed with exit code {end.get('exitCode')}"
    if end.get("reason") in START_REASONS:
        return _failed(pod, name, end)
    if end.get("reason") == "OOMKilled":
        said = f"{name} itself ran out of memory: give executor.kubernetes.examine_memory more"
    serious = end.get("exitCode") == EXIT_BAD_DATA or end.get("reason") == "OOMKilled"
    return _ended(pod, Cause.EXAMINER_ERROR, said, container=name, trouble=said if serious else "")


# -- 6 ----------------------------------------------------------------------


def _without_pod(seen: Observation) -> Going | Ended | None:
    if seen.pod and not seen.pod_gone:
        return None
    if job_end(seen.job) or (seen.pod_gone and seen.ending_seconds >= PATIENCE):
        return _ended(seen.pod, Cause.NODE_LOST, "the pod vanished with its node")
    if seen.pod:
        return Going(phase="terminating", since=created_at(seen.pod), line="the pod is gone, the Job has not said why")
    refusal = last_message(event for event in seen.events if event.get("reason") == "FailedCreate")
    if OVER_QUOTA in refusal:
        return Going(phase="quota", since=created_at(seen.job), line=refusal)
    trouble = f"the cluster refuses the pod: {refusal}" if refusal else ""
    return Going(phase="starting", since=created_at(seen.job), line=refusal, trouble=trouble)


# -- still going ------------------------------------------------------------


def _running(seen: Observation) -> Going:
    running = [status for status in statuses(seen.pod) if "running" in status.get("state", {})]
    if running:
        current = running[-1]
        return Going(phase=current["name"], since=running_since(seen.pod, current))
    failures = [event for event in seen.events if event.get("reason") in SANDBOX_REASONS]
    stuck = any(event.get("count", 1) >= FAILURES_ARE_TROUBLE for event in failures)
    line = _waiting_for(seen.pod) or last_message(failures)
    trouble = _waiting_trouble(seen.pod) or (f"the pod cannot be set up: {line}" if stuck else "")
    return Going(phase="starting", since=created_at(seen.pod), line=line, trouble=trouble)


def _waiting(pod: Object) -> Iterator[tuple[str, str, str]]:
    """(container, reason, message) of what waits for something of its own; init containers come first."""
    for status in statuses(pod):
        waiting = status.get("state", {}).get("waiting", {})
        if waiting and waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            yield status["name"], str(waiting["reason"]), str(waiting.get("message", ""))


def _waiting_for(pod: Object) -> str:
    return next((f"{reason}: {message}".strip(": ") for _, reason, message in _waiting(pod)), "")


def _waiting_trouble(pod: Object) -> str:
    for name, reason, message in _waiting(pod):
        if reason in IMAGE_REASONS:
            return f"image {container_spec(pod, name).get('image', '')} cannot be had ({reason}): {message}"
        if reason in CONFIG_REASONS:
            return f"container {name} cannot be made ({reason}): {message}"
    return ""


def _is_false(condition: Object) -> bool:
    return condition.get("status") == "False"


def _ended(pod: Object, cause: Cause, reason: str = "", **details: Any) -> Ended:
    return Ended(
        cause=cause,
        reason=reason,
        seconds=pod_seconds(pod),
        phase_seconds=dict(phase_seconds(pod)),
        node=str(pod.get("spec", {}).get("nodeName", "")),
        **details,
    )
