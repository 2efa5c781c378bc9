"""Which of a pod's containers failed the try, and how.

Pure, and asked only when nobody outside ended the pod (`outcome` has the order). A reason that the kubelet gives
beats the exit code, which the agent's code may choose.
"""

from __future__ import annotations

from dataclasses import replace

from controller.executor.kubernetes.objects import (
    Object,
    attempt_statuses,
    container_spec,
    is_sidecar,
    main_status,
    out_of_memory,
    statuses,
    terminated,
    was_started,
)
from controller.executor.kubernetes.verdict import Cause, Ended, end_of

START_REASONS = frozenset({"StartError", "ContainerCannotRun"})

EXIT_OVERRAN = 124
"""The supervisor's exit code when training overran its budget and left nothing usable."""

EXIT_BAD_DATA = 2
"""The examiner's exit code when the data folder is wrong: another try would meet the same folder."""

EXIT_KILLED = 137
"""By signal 9. The kubelet can note a container's end before it hears from the kernel that memory was the cause."""

CANDIDATE_STARTS = 2
"""Restarts without an exam after which a candidate is given up: the kubelet's pauses between them double."""


def find_stuck(pod: Object) -> Ended | None:
    """What no kubelet ends: an init container out of memory with exit code 0, and a candidate that keeps dying.

    After the first, nothing further is started (seen with Kubernetes 1.34, cgroup v1); after the second, the
    examiner is not, as long as its sidecar is down.
    """
    if any("running" in status.get("state", {}) for status in statuses(pod)) or was_started(main_status(pod)):
        return None
    for status in attempt_statuses(pod):
        if is_sidecar(pod, status["name"]) and status.get("restartCount", 0) >= CANDIDATE_STARTS:
            said = f"{status['name']} exited {status['restartCount']} times before the exam could begin"
            return end_of(pod, Cause.CRASH, said, container=status["name"], unfinished=True)
        if out_of_memory(status):
            return replace(_oom(pod, status), unfinished=True)
    return None


def find_failed(pod: Object) -> Ended:
    """Which container failed a pod that is over: the first of the attempt's that did, else the examiner itself."""
    for status in attempt_statuses(pod):
        if out_of_memory(status):
            return _oom(pod, status)
    for status in attempt_statuses(pod):
        end = terminated(status)
        if end and end.get("exitCode") != 0 and not is_sidecar(pod, status["name"]):
            return _container_failed(pod, status["name"], end)
    return _examiner_failed(pod)


def _oom(pod: Object, status: Object) -> Ended:
    name = status["name"]
    said = f"out of memory in {name}: it needed more than {_memory_limit(pod, name)}"
    return end_of(pod, Cause.OOM, said, container=name)


def _memory_limit(pod: Object, name: str) -> str:
    return str(container_spec(pod, name).get("resources", {}).get("limits", {}).get("memory", "its limit"))


def _container_failed(pod: Object, name: str, end: Object) -> Ended:
    if end.get("reason") in START_REASONS:
        said = f"{name} cannot be started: {end.get('message', '')}"
        return end_of(pod, Cause.CONFIG_ERROR, said, container=name, trouble=said)
    if end.get("exitCode") == EXIT_OVERRAN:
        return end_of(pod, Cause.DEADLINE, f"{name} overran its budget and left nothing usable", container=name)
    said = f"{name} exited with {end.get('exitCode')}"
    if end.get("exitCode") == EXIT_KILLED:
        said += f": killed, most likely out of memory in {name}, whose limit is {_memory_limit(pod, name)}"
    return end_of(pod, Cause.CRASH, said, container=name)


def _examiner_failed(pod: Object) -> Ended:
    main = main_status(pod)
    end = terminated(main) or {}
    name = main.get("name", "")
    said = f"{name} itself failed with exit code {end.get('exitCode')}"
    if end.get("reason") in START_REASONS:
        return _container_failed(pod, name, end)
    if end.get("reason") == "OOMKilled":
        said = f"{name} itself ran out of memory: give executor.kubernetes.examine_memory more"
    serious = end.get("exitCode") == EXIT_BAD_DATA or end.get("reason") == "OOMKilled"
    return end_of(pod, Cause.EXAMINER_ERROR, said, container=name, trouble=said if serious else "")
