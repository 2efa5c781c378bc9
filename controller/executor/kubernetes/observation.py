"""Types for the state of a try in the cluster: what was observed, its progress while it runs, and its end.

Frozen values only. `outcome` decides which of them describes a try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from controller.domain import LostTo, Outcome
from controller.executor.kubernetes.pod_status import Object, phase_seconds, pod_seconds


class EndCause(StrEnum):
    """The cause of a try's end. A closed set: it stands in the annotation of the Job and in the log."""

    FINISHED = "finished"
    """The main container ended well; the score decides about the attempt."""

    DEADLINE = "deadline"
    """A deadline passed while the agent's code or the exam ran."""

    OOM = "oom"
    """A container of the attempt was killed for its memory."""

    CRASH = "crash"
    """A container of the attempt ended with an error."""

    DISTURBED = "disturbed"
    """Other programs of the node disturbed the training, as its supervisor says in its line."""

    DISK_LIMIT = "disk_limit"
    """The pod used more disk than its limit."""

    EXAMINER_ERROR = "examiner_error"
    """The examiner itself failed."""

    CONFIG_ERROR = "config_error"
    """A container cannot be started as it is configured."""

    DELETED = "deleted"
    """Somebody deleted the Job or the pod."""

    NEVER_STARTED = "never_started"
    """A deadline passed before the training started."""

    PREEMPTED = "preempted"
    """The scheduler gave the place to a pod of higher priority."""

    DRAINED = "drained"
    """The pod was evicted through the API, as `kubectl drain` does."""

    NODE_PRESSURE = "node_pressure"
    """The kubelet ended the pod because its node ran short of memory or disk, or shut down."""

    NODE_LOST = "node_lost"
    """The node does not answer, or is gone."""

    ADMISSION_REJECTED = "admission_rejected"
    """The kubelet refused the pod when it arrived."""


FAULTS: Mapping[EndCause, Outcome] = {
    EndCause.DEADLINE: Outcome.TIMED_OUT,
    EndCause.OOM: Outcome.CRASHED,
    EndCause.CRASH: Outcome.CRASHED,
    EndCause.DISK_LIMIT: Outcome.CRASHED,
}
"""Outcomes of the causes that are the attempt's own fault. The score decides about `finished`; all other causes mean
that the try was lost."""

LOSSES: Mapping[EndCause, LostTo] = {
    EndCause.EXAMINER_ERROR: LostTo.EXAMINER,
    EndCause.CONFIG_ERROR: LostTo.CONFIG,
    EndCause.DISTURBED: LostTo.DISTURBED,
    EndCause.DELETED: LostTo.DELETED,
    EndCause.PREEMPTED: LostTo.PREEMPTED,
    EndCause.DRAINED: LostTo.DRAINED,
    EndCause.NODE_PRESSURE: LostTo.EVICTED,
    EndCause.NODE_LOST: LostTo.NODE_LOST,
    EndCause.ADMISSION_REJECTED: LostTo.ADMISSION,
}
"""What a lost try was lost to, by the cause. For `never_started` it depends on what the try waited for (`waiting`)."""

DISRUPTIONS: Mapping[str, EndCause] = {
    # A pod of higher priority needs the place.
    "PreemptionByScheduler": EndCause.PREEMPTED,
    # `kubectl drain`, and autoscalers that remove a node, ask the eviction API.
    "EvictionByEvictionAPI": EndCause.DRAINED,
    # A node that does not answer gets a taint, and pods that do not tolerate it are deleted.
    "DeletionByTaintManager": EndCause.NODE_LOST,
    # The Node object itself is gone, and with it the kubelet that could end the pod.
    "DeletionByPodGC": EndCause.NODE_LOST,
    # The node runs out of memory, disk or process ids, or shuts down.
    "TerminationByKubelet": EndCause.NODE_PRESSURE,
}
"""Causes by the reason in a pod's condition DisruptionTarget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything that is known of one try at one moment.

    The seconds and the order of events are measured by our own clock. Timestamps in objects cannot tell them: each is
    by the clock of the component that wrote it, and clocks differ by minutes.
    """

    job: Object
    """The Job as last seen."""

    pod: Object = field(default_factory=dict)
    """The pod as last seen, even if it is gone; empty if there was none."""

    job_gone: bool = False
    pod_gone: bool = False

    active_seconds: float = 0.0
    """Seconds since a kubelet was seen to have acknowledged the pod."""

    ending_seconds: float = 0.0
    """Seconds since the pod was seen gone or under deletion; 0 if it is neither."""

    crashed_first: bool = False
    """True if a phase was seen to fail before anybody outside touched the pod."""

    events: Sequence[Object] = ()
    """Warning events about the Job and the pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryProgress:
    """The place of a try that has not ended, for people."""

    phase: str
    """The running phase, or a word for the wait, such as `queued` or `starting`."""

    since: float = 0.0
    """Unix time when the phase began, by a clock of the cluster's control plane; 0 if unknown."""

    line: str = ""
    """The reason of a wait, in the cluster's words; empty if there is none."""

    trouble: str = ""
    """One sentence on a trouble that only an operator can mend; empty if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryEnd:
    """The end of a try in the cluster."""

    cause: EndCause

    reason: str = ""
    """One sentence; empty for `finished`."""

    container: str = ""
    """The container whose log explains the end; empty if none does."""

    exit_code: int | None = None
    """The container's exit code, if that ended the try; else None."""

    whose: str = ""
    """For `deadline`, whose deadline passed, such as `the pod's`; empty otherwise."""

    seconds: float = 0.0
    """Seconds from the kubelet's acknowledgement to the end, by the kubelet's clock; 0 if unknown."""

    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each container that ran and ended."""

    node: str = ""
    """Name of the node; empty if the pod never had one."""

    message: str | None = None
    """The examiner's termination message, which holds the exam's result; None if there is none."""

    oom: str = ""
    """Name of a container that was killed for its memory; empty if none was."""

    unfinished: bool = False
    """True if the pod does not end by itself and would keep its place, so that it has to be ended."""

    trouble: str = ""
    """One sentence on a trouble that only an operator can mend; empty if there is none."""

    lost_to: LostTo | None = None
    """What the try was lost to, if the cause alone does not tell it; else None."""


def end_of(pod: Object, cause: EndCause, reason: str = "", **details: Any) -> TryEnd:
    """The end of a try, with node and times from its pod."""
    return TryEnd(
        cause=cause,
        reason=reason,
        seconds=pod_seconds(pod),
        phase_seconds=dict(phase_seconds(pod)),
        node=str(pod.get("spec", {}).get("nodeName", "")),
        **details,
    )
