"""What a session's Job and pod mean for the session: its own ends, those that the cluster made, and waits."""

from __future__ import annotations

from typing import Any

import pytest

from controller.executor.kubernetes.job_state import UNSEEN_SECONDS
from controller.executor.kubernetes.session_state import Ended, SessionState
from controller.executor.workshop import SessionCause
from tests.support.kubernetes_objects import INITIALIZING, RUNNING, ended

Thing = dict[str, Any]
JOB: Thing = {"metadata": {"name": "ar-demo-p1-x", "uid": "u-1", "creationTimestamp": "2026-11-24T07:30:00Z"}}


def pod_of(
    fetch: Thing = INITIALIZING,
    program: Thing = INITIALIZING,
    deliver: Thing = INITIALIZING,
    *,
    phase: str = "Running",
    **status: Any,
) -> Thing:
    states = {"fetch": fetch, "program": program}
    return {
        "metadata": {"name": "ar-demo-p1-x-abcde", "uid": "u-2", "creationTimestamp": "2026-11-24T07:30:00Z"},
        "spec": {
            "nodeName": "node-1",
            "initContainers": [{"name": "fetch"}, {"name": "program", "image": "agents:1"}],
            "containers": [{"name": "deliver"}],
        },
        "status": {
            "phase": phase,
            "startTime": "2026-11-24T07:30:05Z",
            "initContainerStatuses": [{"name": name, "state": state} for name, state in states.items()],
            "containerStatuses": [{"name": "deliver", "state": deliver}],
            **status,
        },
    }


def state_of() -> SessionState:
    return SessionState(job=JOB, most_seconds=100, pending_seconds=1800)


def end_of(*pods: Thing, now: float = 0.0, jobs: tuple[Thing, ...] = (JOB,)) -> Ended | None:
    state = state_of()
    state.see(jobs, pods, now=now)
    return state.end((), now=now)


@pytest.mark.parametrize(
    ("pod", "cause", "detail"),
    [
        (pod_of(ended(0), ended(3), phase="Failed"), SessionCause.EXITED, ""),
        (pod_of(ended(0), ended(137, reason="OOMKilled"), phase="Failed"), SessionCause.MEMORY, "out of memory"),
        (pod_of(ended(0), RUNNING, phase="Failed", reason="DeadlineExceeded"), SessionCause.DEADLINE, ""),
        (
            pod_of(ended(0), RUNNING, phase="Failed", reason="Evicted", message="emptyDir folder exceeds 1Gi"),
            SessionCause.OVERSIZE,
            "emptyDir folder exceeds 1Gi",
        ),
        (
            pod_of(ended(1, message="the controller at 10.1.2.3 port 8642 is not reached"), phase="Failed"),
            SessionCause.NOT_STARTED,
            "10.1.2.3 port 8642 is not reached",
        ),
        (
            pod_of(
                ended(0),
                ended(128, reason="StartError", message='exec: "agent": executable file not found in $PATH'),
                phase="Failed",
            ),
            SessionCause.NOT_STARTED,
            "agent.command.run may name programs of its image alone",
        ),
        (
            pod_of(ended(0), ended(0), ended(1, message="answered 413"), phase="Failed"),
            SessionCause.LOST,
            "answered 413",
        ),
        (pod_of(ended(0), ended(0), ended(0), phase="Succeeded"), SessionCause.LOST, ""),
        (
            pod_of(
                ended(0),
                ended(143),
                phase="Failed",
                conditions=[
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "EvictionByEvictionAPI",
                        "message": "drain",
                    }
                ],
            ),
            SessionCause.LOST,
            "drain",
        ),
    ],
)
def test_end_of_a_pod_has_its_cause(pod: Thing, cause: SessionCause, detail: str) -> None:
    end = end_of(pod)

    assert end is not None
    assert end.cause is cause
    assert detail in end.detail


def test_exit_code_and_seconds_are_the_programs() -> None:
    end = end_of(pod_of(ended(0), ended(3), phase="Failed"))

    assert end is not None
    assert (end.code, end.seconds) == (3, 10.0)


def test_job_that_no_watch_has_shown_yet_is_not_gone() -> None:
    assert end_of(jobs=()) is None


def test_job_that_no_watch_shows_was_deleted_before_one_could() -> None:
    state = state_of()
    for now in (0.0, UNSEEN_SECONDS - 1, UNSEEN_SECONDS):
        state.see((), (), now=now)
        end = state.end((), now=now)
        assert (end is not None) == (now == UNSEEN_SECONDS)

    assert end is not None
    assert end.cause is SessionCause.LOST


def test_job_that_somebody_deleted_is_lost() -> None:
    state = state_of()
    state.see((JOB,), (), now=0)
    assert state.end((), now=0) is None
    state.see((), (), now=1)
    end = state.end((), now=1)

    assert end is not None
    assert end.cause is SessionCause.LOST


def test_deadline_counts_from_when_the_program_was_seen_to_run() -> None:
    state = state_of()
    state.see((JOB,), (pod_of(RUNNING),), now=0)
    assert state.end((), now=0) is None
    state.see((JOB,), (pod_of(ended(0), RUNNING),), now=500)
    assert state.end((), now=500) is None
    assert state.end((), now=599) is None
    end = state.end((), now=600)

    assert end == Ended(cause=SessionCause.DEADLINE, seconds=100)


def test_delivering_has_time_of_its_own() -> None:
    state = state_of()
    state.see((JOB,), (pod_of(ended(0), RUNNING),), now=0)
    assert state.end((), now=0) is None
    state.see((JOB,), (pod_of(ended(0), ended(0), RUNNING),), now=99)

    assert state.end((), now=101) is None
    assert state.end((), now=1000) is not None


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (
            pod_of({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}, phase="Pending"),
            "cannot be had (ErrImagePull): no such image",
        ),
        (
            pod_of(
                ended(0), {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling"}}, phase="Pending"
            ),
            "image agents:1 cannot be had (ImagePullBackOff)",
        ),
        (
            pod_of(
                phase="Pending",
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "message": "0/3 nodes are available: no cpu",
                    }
                ],
            ),
            "no place for 300 s: 0/3 nodes are available",
        ),
    ],
)
def test_wait_that_lasts_is_given_up_with_the_clusters_reason(pod: Thing, said: str) -> None:
    state = state_of()
    state.see((JOB,), (pod,), now=0)
    assert state.end((), now=0) is None
    assert state.end((), now=30) is None
    end = state.end((), now=301)

    assert end is not None
    assert end.cause is SessionCause.NOT_STARTED
    assert said in end.detail


def test_quota_that_frees_up_in_time_is_no_end() -> None:
    full = [
        {"reason": "FailedCreate", "message": "exceeded quota: pods=10", "lastTimestamp": "2026-11-24T07:30:00Z"},
    ]
    state = state_of()
    state.see((JOB,), (), now=0)
    assert state.end(full, now=0) is None
    assert state.end(full, now=200) is None
    state.see((JOB,), (pod_of(ended(0), RUNNING),), now=250)
    assert state.end(full, now=250) is None
    assert state.end(full, now=310) is None
