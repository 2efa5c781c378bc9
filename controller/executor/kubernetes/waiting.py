"""Tells why a try has not started: it waits for room in the quota, a node, an image or a volume.

Pure. The reason is given in words for people, and a wait that ends by itself is told apart from trouble that only an
operator can end. Nothing here limits a wait: deadlines are in the manifests, and `outcome` notices that one passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.domain import LostTo
from controller.executor.kubernetes.errors import OVER_QUOTA
from controller.executor.kubernetes.observation import EndCause, TryEnd, TryProgress, end_of
from controller.executor.kubernetes.pod_status import (
    Object,
    all_statuses,
    condition_of,
    container_spec,
    created_at,
    last_message,
)

IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""Reasons of a waiting container whose image the kubelet cannot get."""

CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
"""Reasons of a waiting container that cannot be created or started as it is configured."""

SANDBOX_REASONS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})
"""Reasons of events about a pod that cannot be set up. It has no container yet whose status could tell of it."""

FAILURES_BEFORE_TROUBLE = 4
"""Number of such failures that are taken for a trouble. The kubelet's pauses double, so it takes about ten seconds."""


def waits_for_pod(job: Object, events: Sequence[Object]) -> TryProgress:
    """The progress of a Job that has no pod: the quota has no room, the pod is refused, or it comes in a moment."""
    # A quota or an admission policy refuses the pod and not the Job, which was accepted; an event on the Job says so.
    refusal = last_message(event for event in events if event.get("reason") == "FailedCreate")
    if OVER_QUOTA in refusal:
        return TryProgress(phase="quota", since=created_at(job), line=refusal)
    trouble = f"the cluster refuses the pod: {refusal}" if refusal else ""
    return TryProgress(phase="starting", since=created_at(job), line=refusal, trouble=trouble)


def waits_for_place(pod: Object) -> TryProgress | None:
    """The progress of a pod that no node can take now; None if it does not wait for that."""
    # The scheduler sets this condition to False with its reasons, and tries again for ever.
    placed = condition_of(pod, "PodScheduled")
    if not _is_false(placed):
        return None
    line = str(placed.get("message") or placed.get("reason") or "waits for a place")
    return TryProgress(phase="unschedulable", since=created_at(pod), line=line)


def waits_for_start(pod: Object, events: Sequence[Object]) -> TryProgress:
    """The progress of a pod whose containers do not run: it waits for an image, its configuration or a volume."""
    failures = [event for event in events if event.get("reason") in SANDBOX_REASONS]
    # The kubelet counts the repetitions of an event in the event itself.
    stuck = any(event.get("count", 1) >= FAILURES_BEFORE_TROUBLE for event in failures)
    line = _first_wait(pod) or last_message(failures)
    trouble = _waiting_trouble(pod) or (f"the pod cannot be set up: {line}" if stuck else "")
    return TryProgress(phase="starting", since=created_at(pod), line=line, trouble=trouble)


def never_started(pod: Object, events: Sequence[Object]) -> TryEnd:
    """The end of a try whose deadline passed before it started."""
    unplaced = condition_of(pod, "PodScheduled")
    why = _first_wait(pod) or (unplaced.get("message") if _is_false(unplaced) else "") or last_message(events)
    reason = f"never started before its deadline: {why}" if why else "never started before its deadline"
    lost_to = _kept_waiting_by(pod, events)
    return end_of(pod, EndCause.NEVER_STARTED, reason, trouble=_waiting_trouble(pod), lost_to=lost_to)


def _kept_waiting_by(pod: Object, events: Sequence[Object]) -> LostTo:
    """The cause for which a try that never started is lost."""
    reasons = {waiting.reason for waiting in _list_waiting(pod)}
    if reasons & IMAGE_REASONS:
        return LostTo.IMAGE
    if reasons & CONFIG_REASONS or any(event.get("reason") in SANDBOX_REASONS for event in events):
        return LostTo.CONFIG
    if _is_false(condition_of(pod, "PodScheduled")):
        return LostTo.UNSCHEDULABLE
    if not pod and OVER_QUOTA in last_message(events):
        return LostTo.QUOTA
    return LostTo.UNKNOWN


@dataclass(frozen=True, slots=True)
class _WaitingContainer:
    """A container that waits for something of its own."""

    name: str

    reason: str
    """One word of the kubelet's, such as ErrImagePull."""

    message: str


def _list_waiting(pod: Object) -> list[_WaitingContainer]:
    """The containers that wait for something of their own; init containers come first."""
    found = []
    for status in all_statuses(pod):
        waiting = status.get("state", {}).get("waiting", {})
        # These reasons only say that the container's turn has not come.
        if waiting and waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            found.append(_WaitingContainer(status["name"], str(waiting["reason"]), str(waiting.get("message", ""))))
    return found


def _first_wait(pod: Object) -> str:
    """The wait of the first container that has one, in words; empty if none has."""
    for waiting in _list_waiting(pod):
        return f"{waiting.reason}: {waiting.message}".strip(": ")
    return ""


def _waiting_trouble(pod: Object) -> str:
    """One sentence on a wait that only an operator can end; empty if there is none."""
    for waiting in _list_waiting(pod):
        name, reason, message = waiting.name, waiting.reason, waiting.message
        if reason in IMAGE_REASONS:
            return f"image {container_spec(pod, name).get('image', '')} cannot be had ({reason}): {message}"
        if reason in CONFIG_REASONS:
            return f"container {name} cannot be made ({reason}): {message}"
    return ""


def _is_false(condition: Object) -> bool:
    return condition.get("status") == "False"
