"""What a try that has not started waits for: room in the quota, a place, an image, a volume.

Pure. It says so in words for people, and tells a wait from trouble that only a human can end. It refuses to say
how long is too long: deadlines stand in the manifests, and `outcome` sees them pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controller.domain import LostTo
from controller.executor.kubernetes.errors import OVER_QUOTA
from controller.executor.kubernetes.objects import (
    Object,
    condition_of,
    container_spec,
    created_at,
    last_message,
    statuses,
)
from controller.executor.kubernetes.verdict import Cause, Ended, Going, end_of

IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})

SANDBOX_REASONS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})
"""Events on a pod that no container status tells of."""

FAILURES_ARE_TROUBLE = 4
"""Repetitions after which such an event is no hiccup: the kubelet's pauses double, so about ten seconds."""


def waits_for_pod(job: Object, events: Sequence[Object]) -> Going:
    """A Job whose pod was not made: no room in the quota, a refusal, or not yet."""
    refusal = last_message(event for event in events if event.get("reason") == "FailedCreate")
    if OVER_QUOTA in refusal:
        return Going(phase="quota", since=created_at(job), line=refusal)
    trouble = f"the cluster refuses the pod: {refusal}" if refusal else ""
    return Going(phase="starting", since=created_at(job), line=refusal, trouble=trouble)


def waits_for_place(pod: Object) -> Going | None:
    """A pod that no node can take now; None where that is not what it waits for."""
    placed = condition_of(pod, "PodScheduled")
    if not _is_false(placed):
        return None
    line = str(placed.get("message") or placed.get("reason") or "waits for a place")
    return Going(phase="unschedulable", since=created_at(pod), line=line)


def waits_for_start(pod: Object, events: Sequence[Object]) -> Going:
    """A pod of which no container runs yet: its image, its configuration or its volumes."""
    failures = [event for event in events if event.get("reason") in SANDBOX_REASONS]
    stuck = any(event.get("count", 1) >= FAILURES_ARE_TROUBLE for event in failures)
    line = _waiting_for(pod) or last_message(failures)
    trouble = _waiting_trouble(pod) or (f"the pod cannot be set up: {line}" if stuck else "")
    return Going(phase="starting", since=created_at(pod), line=line, trouble=trouble)


def never_started(pod: Object, events: Sequence[Object]) -> Ended:
    """The end of one whose deadline passed while it waited."""
    unplaced = condition_of(pod, "PodScheduled")
    why = _waiting_for(pod) or (unplaced.get("message") if _is_false(unplaced) else "") or last_message(events)
    reason = f"never started before its deadline: {why}" if why else "never started before its deadline"
    lost_to = _kept_waiting_by(pod, events)
    return end_of(pod, Cause.NEVER_STARTED, reason, trouble=_waiting_trouble(pod), lost_to=lost_to)


def _kept_waiting_by(pod: Object, events: Sequence[Object]) -> LostTo:
    reasons = {reason for _, reason, _ in _waiting(pod)}
    if reasons & IMAGE_REASONS:
        return LostTo.IMAGE
    if reasons & CONFIG_REASONS or any(event.get("reason") in SANDBOX_REASONS for event in events):
        return LostTo.CONFIG
    if _is_false(condition_of(pod, "PodScheduled")):
        return LostTo.UNSCHEDULABLE
    return LostTo.QUOTA if not pod and OVER_QUOTA in last_message(events) else LostTo.UNKNOWN


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
