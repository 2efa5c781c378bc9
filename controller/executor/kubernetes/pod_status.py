"""Answers plain questions about Pod, Job and Event objects from their fields.

Pure. `outcome` decides what an answer means for a try. Missing fields are normal: the API server leaves out whatever
is empty, and a young object has no status yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from math import inf
from typing import Any

Object = Mapping[str, Any]
"""A Kubernetes object as parsed JSON, to be read only."""


COPY = "copy-task"
"""The container that copies the task folder before the first phase; it runs no code of the agent's."""


def all_statuses(pod: Object) -> list[Object]:
    """Statuses of all containers in the order in which they run: init containers come first."""
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def statuses(pod: Object) -> list[Object]:
    """Statuses of the containers that are phases of the attempt, in the order in which they run."""
    return [status for status in all_statuses(pod) if status.get("name") != COPY]


def copy_failure(pod: Object) -> Object | None:
    """The end of the container that copies the task folder, where it failed; else None."""
    end = next((terminated(status) for status in all_statuses(pod) if status.get("name") == COPY), None)
    return end if end and end.get("exitCode") != 0 else None


def main_status(pod: Object) -> Object:
    """Status of the main container (`examine`), whose end ends the pod; empty if there is none yet."""
    return next(iter(pod.get("status", {}).get("containerStatuses", ())), {})


def attempt_statuses(pod: Object) -> list[Object]:
    """Statuses of the containers that run the agent's code: all but the last one, the examiner.

    A task without an exam has one container, which runs the agent's code.
    """
    found = statuses(pod)
    return found[:-1] if len(found) > 1 else found


def terminated(status: Object) -> Object | None:
    """The end of a container (exit code, reason, times); None if it has not ended."""
    found: Object | None = status.get("state", {}).get("terminated")
    return found


def was_started(status: Object) -> bool:
    """True if the container's process ever ran. The kubelet dates a failed start 1970."""
    state = status.get("state", {})
    return "running" in state or moment(state.get("terminated", {}).get("startedAt")) > 0


def out_of_memory(status: Object) -> bool:
    """True if this container, or the one that it replaced, was killed for its memory.

    On cgroup v1 the kernel kills only the largest process, so the exit code may still be 0.
    """
    # The kubelet keeps the end of a container that it has restarted in lastState.
    ends = (status.get("state", {}).get("terminated", {}), status.get("lastState", {}).get("terminated", {}))
    return any(end.get("reason") == "OOMKilled" for end in ends)


def is_terminal(pod: Object) -> bool:
    """True if all containers have ended for good. The phase never changes after that."""
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def train_started(pod: Object) -> bool:
    """True if the first container, `train`, ever ran."""
    found = statuses(pod)
    return bool(found) and was_started(found[0])


def last_started(pod: Object) -> str:
    """Name of the container that was started last; empty if none was. A deadline ended this one."""
    # Statuses are in the order of the spec, in which the kubelet starts the containers.
    started = [status["name"] for status in statuses(pod) if was_started(status)]
    return started[-1] if started else ""


def container_spec(pod: Object, name: str) -> Object:
    """The container's part of the pod's spec; empty if there is no such container."""
    spec = pod.get("spec", {})
    containers = (*spec.get("initContainers", ()), *spec.get("containers", ()))
    return next((container for container in containers if container["name"] == name), {})


def is_sidecar(pod: Object, name: str) -> bool:
    """True for a restartable init container. The kubelet kills it after the main one: its exit code means nothing."""
    return container_spec(pod, name).get("restartPolicy") == "Always"


def condition_of(thing: Object, kind: str) -> Object:
    """A condition of a Pod or Job by its type; empty if there is none."""
    # The field may be there and null.
    conditions = thing.get("status", {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def job_end(job: Object) -> Object:
    """The condition by which the Job is over or about to be; empty if it goes on.

    FailureTarget and SuccessCriteriaMet come before the pods are gone, Failed and Complete after.
    """
    for kind in ("Failed", "FailureTarget", "Complete", "SuccessCriteriaMet"):
        condition = condition_of(job, kind)
        if condition.get("status") == "True":
            return condition
    return {}


def is_finished(job: Object) -> bool:
    """True if the Job has ended and its pods are gone or terminal."""
    return any(condition_of(job, kind).get("status") == "True" for kind in ("Failed", "Complete"))


def is_disturbed(pod: Object) -> bool:
    """True if somebody outside takes the pod away. Its containers are killed then: their exit codes mean nothing."""
    # An eviction, a preemption or a lost node sets the condition; a deletion by a person or the Job controller
    # does not.
    disrupted = condition_of(pod, "DisruptionTarget").get("status") == "True"
    return disrupted or "deletionTimestamp" in pod.get("metadata", {})


def has_failed(pod: Object) -> bool:
    """True if a container that runs the agent's code ended with an error. Sidecars do not count."""
    for status in attempt_statuses(pod):
        end = terminated(status)
        if end and end.get("exitCode") != 0 and not is_sidecar(pod, status["name"]):
            return True
    return False


def running_since(pod: Object, status: Object) -> float:
    """Unix time when this container started, by the clock of the control plane.

    The node's clock may be minutes off. So only the difference of two of its times is used, and added to the time at
    which the scheduler placed the pod.
    """
    placed = moment(condition_of(pod, "PodScheduled").get("lastTransitionTime")) or created_at(pod)
    started = moment(status.get("state", {}).get("running", {}).get("startedAt"))
    return placed + max(0.0, started - moment(pod.get("status", {}).get("startTime")))


def last_message(events: Iterable[Object]) -> str:
    """Message of the newest event; empty if there is none."""
    # An Event of the newer API has eventTime, and no lastTimestamp.
    ordered = sorted(events, key=lambda event: moment(event.get("lastTimestamp") or event.get("eventTime")))
    return str(ordered[-1].get("message", "")) if ordered else ""


def created_at(thing: Object) -> float:
    """Unix time of creation in seconds, by the clock of the API server."""
    return moment(thing.get("metadata", {}).get("creationTimestamp"))


def moment(text: str | None) -> float:
    """Unix time in seconds of a timestamp in RFC 3339; 0 if there is none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def pod_seconds(pod: Object) -> float:
    """Seconds from the kubelet's acknowledgement of the pod to the last container's end, by the clock of its node."""
    start = moment(pod.get("status", {}).get("startTime"))
    ends = []
    for status in statuses(pod):
        end = terminated(status)
        if end:
            ends.append(moment(end.get("finishedAt")))
    return _plausible(pod, max(ends, default=start) - start)


def phase_seconds(pod: Object) -> Iterator[tuple[str, float]]:
    """Name and seconds of each container that ran and ended, by the clock of its node."""
    for status in statuses(pod):
        end = terminated(status)
        if end and was_started(status):
            yield status["name"], _plausible(pod, moment(end.get("finishedAt")) - moment(end.get("startedAt")))


def _plausible(pod: Object, seconds: float) -> float:
    """The seconds, limited to what is possible: they can be any number if a node's clock was set meanwhile."""
    spec = pod.get("spec", {})
    most = spec.get("activeDeadlineSeconds", inf) + spec.get("terminationGracePeriodSeconds", 0)
    return float(min(max(0.0, seconds), most))
