"""The words in which a try's state is told: what was observed, that it goes on, or why it ended.

Values only; `outcome` decides between them, and nothing here looks at a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from controller.domain import LostTo, Outcome
from controller.executor.kubernetes.objects import Object, phase_seconds, pod_seconds


class Cause(StrEnum):
    """Why a try ended; the closed set that metrics count and Events name."""

    FINISHED = "finished"
    DEADLINE = "deadline"
    OOM = "oom"
    CRASH = "crash"
    DISK_LIMIT = "disk_limit"
    EXAMINER_ERROR = "examiner_error"
    CONFIG_ERROR = "config_error"
    DELETED = "deleted"
    NEVER_STARTED = "never_started"
    PREEMPTED = "preempted"
    DRAINED = "drained"
    NODE_PRESSURE = "node_pressure"
    NODE_LOST = "node_lost"
    ADMISSION_REJECTED = "admission_rejected"


FAULTS: Mapping[Cause, Outcome] = {
    Cause.DEADLINE: Outcome.TIMED_OUT,
    Cause.OOM: Outcome.CRASHED,
    Cause.CRASH: Outcome.CRASHED,
    Cause.DISK_LIMIT: Outcome.CRASHED,
}
"""What is the attempt's own fault. `finished` is decided by the score; everything else took the try away."""

LOSSES: Mapping[Cause, LostTo] = {
    Cause.EXAMINER_ERROR: LostTo.EXAMINER,
    Cause.CONFIG_ERROR: LostTo.CONFIG,
    Cause.DELETED: LostTo.DELETED,
    Cause.PREEMPTED: LostTo.PREEMPTED,
    Cause.DRAINED: LostTo.DRAINED,
    Cause.NODE_PRESSURE: LostTo.EVICTED,
    Cause.NODE_LOST: LostTo.NODE_LOST,
    Cause.ADMISSION_REJECTED: LostTo.ADMISSION,
}
"""What took the try away. `never_started` says itself what it waited for."""

DISRUPTIONS: Mapping[str, Cause] = {
    "PreemptionByScheduler": Cause.PREEMPTED,
    "EvictionByEvictionAPI": Cause.DRAINED,
    "DeletionByTaintManager": Cause.NODE_LOST,
    "DeletionByPodGC": Cause.NODE_LOST,
    "TerminationByKubelet": Cause.NODE_PRESSURE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known of one try. `pod` is the last object that a watch delivered, even if the pod is gone.

    active_seconds, ending_seconds: how long, by our own clock, the pod has been acknowledged by a kubelet, and gone or
    under deletion. crashed_first: our watch saw a phase fail before anybody outside touched the pod. Neither can be
    read from timestamps: each is by the clock of its writer, and clocks differ by minutes.
    """

    job: Object
    pod: Object = field(default_factory=dict)
    job_gone: bool = False
    pod_gone: bool = False
    active_seconds: float = 0.0
    ending_seconds: float = 0.0
    crashed_first: bool = False
    events: Sequence[Object] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """Not ended. `phase` and `line` are for people; `trouble` is set when only a human can help.

    since: when the phase began, Unix time by a clock of the cluster's control plane, 0 where nobody knows.
    """

    phase: str
    since: float = 0.0
    line: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Ended, and why. `container` is the one whose log explains it.

    seconds: from the kubelet's acknowledgement to the end, by the kubelet's clock.
    unfinished: its pod has not ended by itself and would hold its place: it must be told to.
    lost_to: what took it away, where the cause alone does not say.
    """

    cause: Cause
    reason: str = ""
    container: str = ""
    seconds: float = 0.0
    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    node: str = ""
    message: str | None = None
    oom: str = ""
    unfinished: bool = False
    trouble: str = ""
    lost_to: LostTo | None = None


def end_of(pod: Object, cause: Cause, reason: str = "", **details: Any) -> Ended:
    """Ended, with what the pod itself tells: its node and its times."""
    return Ended(
        cause=cause,
        reason=reason,
        seconds=pod_seconds(pod),
        phase_seconds=dict(phase_seconds(pod)),
        node=str(pod.get("spec", {}).get("nodeName", "")),
        **details,
    )
