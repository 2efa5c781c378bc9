"""Finds the container that failed a try, and the cause.

Pure. `outcome` asks only if nobody outside ended the pod. The kubelet's reason counts for more than the exit code,
because the agent's code may choose its exit code.
"""

from __future__ import annotations

import re
from dataclasses import replace

from controller.executor.attempt_end import KILLED, OVERRAN, exit_of, memory_ran_out, perhaps_out_of_memory
from controller.executor.kubernetes.observation import EndCause, TryEnd, end_of
from controller.executor.kubernetes.pod_status import (
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
from controller.executor.phases import PhaseName

START_REASONS = frozenset({"StartError", "ContainerCannotRun"})
"""Reasons of a container whose process could not be started, by containerd and by older runtimes."""

EXIT_BAD_DATA = 2
"""The examiner's exit code when the data folder is wrong: another try would meet the same folder."""

CANDIDATE_RESTARTS = 2
"""Restarts of a candidate, before the exam could begin, after which it is given up. The kubelet doubles its pause
before each restart, so waiting for more would cost minutes of GPU time."""


def find_stuck(pod: Object) -> TryEnd | None:
    """The end of a pod that is stuck, and that no kubelet ends; None if it is not stuck.

    There are two cases. An init container ran out of memory with exit code 0: the kubelet then starts nothing further
    (seen with Kubernetes 1.34 on cgroup v1). Or the candidate keeps dying: the kubelet starts no main container while
    a sidecar is down.
    """
    if was_started(main_status(pod)):
        return None
    if any("running" in status.get("state", {}) for status in statuses(pod)):
        return None
    for status in attempt_statuses(pod):
        if is_sidecar(pod, status["name"]) and status.get("restartCount", 0) >= CANDIDATE_RESTARTS:
            said = f"{status['name']} exited {status['restartCount']} times before the exam could begin"
            return end_of(pod, EndCause.CRASH, said, container=status["name"], unfinished=True)
        if out_of_memory(status):
            return replace(_oom(pod, status), unfinished=True)
    return None


def find_failed(pod: Object) -> TryEnd:
    """The end of a failed pod: that of the attempt's first failed container, else that of the examiner."""
    for status in attempt_statuses(pod):
        if out_of_memory(status):
            return _oom(pod, status)
    for status in attempt_statuses(pod):
        end = terminated(status)
        if end and end.get("exitCode") != 0 and not is_sidecar(pod, status["name"]):
            return _container_failed(pod, status["name"], end)
    return _examiner_failed(pod)


def _oom(pod: Object, status: Object) -> TryEnd:
    name = status["name"]
    return end_of(pod, EndCause.OOM, memory_ran_out(name, _memory_limit(pod, name)), container=name)


def _memory_limit(pod: Object, name: str) -> str:
    return str(container_spec(pod, name).get("resources", {}).get("limits", {}).get("memory", "its limit"))


def _container_failed(pod: Object, name: str, end: Object) -> TryEnd:
    if end.get("reason") in START_REASONS:
        said = f"{name} cannot be started: {end.get('message', '')}{_advice(end)}"
        return end_of(pod, EndCause.CONFIG_ERROR, said, container=name, trouble=said)
    code = int(end.get("exitCode", 0))
    # This exit code has its meaning only for the supervisor of an examined training. A training without one may choose
    # any code.
    overran = code == OVERRAN and name == PhaseName.TRAIN and name != main_status(pod).get("name")
    said = f"{name} ended with {exit_of(code)}"
    # The kubelet can note a container's end before it hears from the kernel that memory was the cause.
    if code == KILLED:
        said += f"; {perhaps_out_of_memory(_memory_limit(pod, name))}"
    return end_of(pod, EndCause.DEADLINE if overran else EndCause.CRASH, said, container=name, exit_code=code)


def _advice(end: Object) -> str:
    """A hint for a program that the runtime did not find; empty if it found it."""
    # The texts of runc and crun.
    missing = re.search(r"executable file not found|no such file or directory", str(end.get("message", "")))
    return "; task.command may use the programs of the image and of the task folder alone" if missing else ""


def _examiner_failed(pod: Object) -> TryEnd:
    main = main_status(pod)
    end = terminated(main) or {}
    name = main.get("name", "")
    said = f"{name} itself failed with {exit_of(int(end.get('exitCode', 0)))}"
    if end.get("reason") in START_REASONS:
        return _container_failed(pod, name, end)
    if end.get("reason") == "OOMKilled":
        said = f"{name} itself ran out of memory: give executor.kubernetes.examine_memory more"
    serious = end.get("exitCode") == EXIT_BAD_DATA or end.get("reason") == "OOMKilled"
    return end_of(pod, EndCause.EXAMINER_ERROR, said, container=name, trouble=said if serious else "")
