"""Reading the Pod, Job and Event objects of the Kubernetes API: plain questions, answered from their fields.

Pure, and without opinion: what an answer means for a try is `outcome`'s business. Missing fields are normal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from math import inf
from typing import Any

Object = Mapping[str, Any]


def statuses(pod: Object) -> list[Object]:
    """Container statuses in the order in which they run."""
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def main_status(pod: Object) -> Object:
    """Status of the container whose end ends the pod."""
    return next(iter(pod.get("status", {}).get("containerStatuses", ())), {})


def attempt_statuses(pod: Object) -> list[Object]:
    """Containers that run the agent's code: all but the examiner, which only stands beside others."""
    found = statuses(pod)
    return found[:-1] if len(found) > 1 else found


def terminated(status: Object) -> Object | None:
    """How a container ended, or None while it has not."""
    found: Object | None = status.get("state", {}).get("terminated")
    return found


def was_started(status: Object) -> bool:
    """Whether its process ever ran; a failed start is stamped 1970."""
    state = status.get("state", {})
    return "running" in state or moment(state.get("terminated", {}).get("startedAt")) > 0


def out_of_memory(status: Object) -> bool:
    """Whether it, or its last incarnation, was ended for its memory; the exit code may still be 0."""
    ends = (status.get("state", {}).get("terminated", {}), status.get("lastState", {}).get("terminated", {}))
    return any(end.get("reason") == "OOMKilled" for end in ends)


def is_terminal(pod: Object) -> bool:
    """Whether the kubelet is done with the pod."""
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def train_started(pod: Object) -> bool:
    """Whether the first container ever ran."""
    found = statuses(pod)
    return bool(found) and was_started(found[0])


def last_started(pod: Object) -> str:
    """The container that a deadline met: one that still runs, or the last that was started."""
    started = [status["name"] for status in statuses(pod) if was_started(status)]
    return started[-1] if started else ""


def container_spec(pod: Object, name: str) -> Object:
    """What was asked for this container."""
    spec = pod.get("spec", {})
    containers = (*spec.get("initContainers", ()), *spec.get("containers", ()))
    return next((container for container in containers if container["name"] == name), {})


def is_sidecar(pod: Object, name: str) -> bool:
    """A sidecar is killed when the examiner is done; its exit code means nothing."""
    return container_spec(pod, name).get("restartPolicy") == "Always"


def condition_of(thing: Object, kind: str) -> Object:
    """A condition of a Pod or Job, empty where there is none."""
    conditions = thing.get("status", {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def job_end(job: Object) -> Object:
    """The condition that says the Job is over, or about to be; empty while it is not."""
    ends = (condition_of(job, kind) for kind in ("Failed", "FailureTarget", "Complete", "SuccessCriteriaMet"))
    return next((end for end in ends if end.get("status") == "True"), {})


def is_finished(job: Object) -> bool:
    """Whether the Job controller is done with it."""
    return any(condition_of(job, kind).get("status") == "True" for kind in ("Failed", "Complete"))


def is_disturbed(pod: Object) -> bool:
    """Whether somebody outside takes the pod away: what its containers do from then on means nothing."""
    disrupted = condition_of(pod, "DisruptionTarget").get("status") == "True"
    return disrupted or "deletionTimestamp" in pod.get("metadata", {})


def has_failed(pod: Object) -> bool:
    """Whether a container that runs the agent's code has ended badly; a sidecar's end means nothing."""
    phases = (status for status in attempt_statuses(pod) if not is_sidecar(pod, status["name"]))
    return any(end.get("exitCode") != 0 for end in map(terminated, phases) if end)


def running_since(pod: Object, status: Object) -> float:
    """When this container started, by the clock of the scheduler: what its node says are only differences."""
    placed = moment(condition_of(pod, "PodScheduled").get("lastTransitionTime")) or created_at(pod)
    started = moment(status.get("state", {}).get("running", {}).get("startedAt"))
    return placed + max(0.0, started - moment(pod.get("status", {}).get("startTime")))


def last_message(events: Iterable[Object]) -> str:
    """Words of the newest event."""
    ordered = sorted(events, key=lambda event: moment(event.get("lastTimestamp") or event.get("eventTime")))
    return str(ordered[-1].get("message", "")) if ordered else ""


def created_at(thing: Object) -> float:
    """Seconds since the epoch, by the clock of the API server."""
    return moment(thing.get("metadata", {}).get("creationTimestamp"))


def moment(text: str | None) -> float:
    """Seconds since the epoch, 0 where there is no time."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def pod_seconds(pod: Object) -> float:
    """From the kubelet's acknowledgement to the last container's end, by the clock of one node."""
    start = moment(pod.get("status", {}).get("startTime"))
    ends = [moment(end.get("finishedAt")) for end in map(terminated, statuses(pod)) if end]
    return _plausible(pod, max(ends, default=start) - start)


def phase_seconds(pod: Object) -> Iterator[tuple[str, float]]:
    """Seconds of each container that ran, both ends by one node's clock."""
    for status in statuses(pod):
        end = terminated(status)
        if end and was_started(status):
            yield status["name"], _plausible(pod, moment(end.get("finishedAt")) - moment(end.get("startedAt")))


def _plausible(pod: Object, seconds: float) -> float:
    """A clock that was set meanwhile can say anything; no pod lives before its start, or for longer than it may."""
    spec = pod.get("spec", {})
    most = spec.get("activeDeadlineSeconds", inf) + spec.get("terminationGracePeriodSeconds", 0)
    return float(min(max(0.0, seconds), most))
