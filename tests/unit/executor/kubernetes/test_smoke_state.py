"""What a smoke test's Job and pod say about the program, and for how long the cluster is waited for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.kubernetes.observation import TryProgress
from controller.executor.kubernetes.smoke_job import PLACE_SECONDS, run_seconds, start_seconds
from controller.executor.kubernetes.smoke_state import (
    TROUBLE_SECONDS,
    Failed,
    NotHeld,
    Passed,
    SmokeEnd,
    SmokeState,
    keeps_waiting,
    tell_crash,
)
from tests.support.kubernetes_objects import DRAIN, INITIALIZING, RUNNING, ended, kubernetes_settings

Thing = dict[str, Any]
JOB: Thing = {"metadata": {"name": "ar-demo-smoke-x", "uid": "u-1", "creationTimestamp": "2026-11-24T07:30:00Z"}}
SETTINGS = kubernetes_settings()
FULL = "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
UNPLACED: Thing = {
    "phase": "Pending",
    "startTime": None,
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": FULL}],
    "initContainerStatuses": [],
    "containerStatuses": [],
}
PULLING: Thing = {"waiting": {"reason": "ContainerCreating"}}
NO_IMAGE: Thing = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}


def pod_of(step: Thing = INITIALIZING, load: Thing = INITIALIZING, *, phase: str = "Running", **status: Any) -> Thing:
    return {
        "metadata": {"name": "ar-demo-smoke-x-abcde", "uid": "u-2", "creationTimestamp": "2026-11-24T07:30:00Z"},
        "spec": {
            "nodeName": "node-1",
            "initContainers": [{"name": "train", "image": "trainer:1"}],
            "containers": [{"name": "candidate"}],
        },
        "status": {
            "phase": phase,
            "startTime": "2026-11-24T07:30:05Z",
            "initContainerStatuses": [{"name": "train", "state": step}],
            "containerStatuses": [{"name": "candidate", "state": load}],
            **status,
        },
    }


def end_of(*pods: Thing, jobs: tuple[Thing, ...] = (JOB,)) -> SmokeEnd | None:
    state = SmokeState(job=JOB, settings=SETTINGS)
    state.see(jobs, pods, now=0.0)
    return state.end((), now=0.0)


def after(seconds: float, pod: Thing) -> SmokeEnd | None:
    """The end where the watches show this pod all the time."""
    state = SmokeState(job=JOB, settings=SETTINGS)
    end = None
    for now in (0.0, seconds):
        state.see((JOB,), (pod,), now=now)
        end = state.end((), now=now)
    return end


@pytest.mark.parametrize(
    ("pod", "end"),
    [
        pytest.param(pod_of(ended(1), phase="Failed"), Failed("train", 1), id="the step fails"),
        pytest.param(pod_of(ended(0), ended(2), phase="Failed"), Failed("candidate", 2), id="loading fails"),
        pytest.param(pod_of(ended(0), ended(0), phase="Succeeded"), Passed(), id="both end well"),
        pytest.param(pod_of(ended(124), phase="Failed"), Passed(), id="longer than its supervisor waits"),
        pytest.param(pod_of(ended(137, reason="OOMKilled"), phase="Failed"), Passed(), id="memory of the step"),
        pytest.param(
            pod_of(ended(0), ended(137, reason="OOMKilled"), phase="Failed"), Passed(), id="memory of the loading"
        ),
        pytest.param(pod_of(RUNNING, phase="Failed", reason="DeadlineExceeded"), Passed(), id="the pod's deadline"),
        pytest.param(pod_of(RUNNING, phase="Failed", reason="Evicted", message="exceeds 1Gi"), Passed(), id="disk"),
    ],
)
def test_only_a_program_that_ends_with_an_error_has_failed(pod: Thing, end: SmokeEnd) -> None:
    assert end_of(pod) == end


@pytest.mark.parametrize(
    ("pod", "lasting"),
    [
        pytest.param(pod_of(ended(143), phase="Failed", conditions=[DRAIN]), False, id="a drained node"),
        pytest.param(
            pod_of(ended(128, reason="StartError", message="exec: no such file"), phase="Failed"), True, id="no program"
        ),
        pytest.param(
            pod_of(ended(0), ended(128, reason="StartError", message="exec"), phase="Failed"), True, id="no loading"
        ),
        pytest.param(
            pod_of(phase="Failed", reason="OutOfcpu", initContainerStatuses=[], containerStatuses=[]),
            True,
            id="refused by its node",
        ),
    ],
)
def test_what_the_cluster_did_says_nothing_about_the_program(pod: Thing, lasting: bool) -> None:
    end = end_of(pod)

    assert isinstance(end, NotHeld)
    assert end.reason
    assert end.lasting is lasting


def test_deleted_job_says_nothing_about_the_program_and_one_not_shown_yet_is_not_deleted() -> None:
    state = SmokeState(job=JOB, settings=SETTINGS)
    state.see((), (), now=0.0)
    assert state.end((), now=0.0) is None
    state.see((JOB,), (pod_of(RUNNING),), now=1.0)
    state.see((), (), now=2.0)

    assert isinstance(state.end((), now=2.0), NotHeld)


@pytest.mark.parametrize(
    ("pod", "most", "words"),
    [
        pytest.param(pod_of(**UNPLACED), PLACE_SECONDS, "no place within 30 s", id="no node"),
        pytest.param(pod_of(NO_IMAGE, phase="Pending"), TROUBLE_SECONDS, "cannot be had", id="no image"),
        pytest.param(pod_of(PULLING, phase="Pending"), start_seconds(SETTINGS), "did not start", id="a long pull"),
    ],
)
def test_every_wait_for_the_cluster_has_an_end_that_is_told(pod: Thing, most: float, words: str) -> None:
    assert after(most - 1, pod) is None
    end = after(most, pod)

    assert isinstance(end, NotHeld)
    assert words in end.reason
    assert end.lasting


def test_no_place_names_the_schedulers_reason_and_the_setting() -> None:
    end = after(PLACE_SECONDS, pod_of(**UNPLACED))

    assert isinstance(end, NotHeld)
    assert "didn't match pod anti-affinity rules" in end.reason
    assert "executor.kubernetes.smoke_node_selector" in end.reason


def test_suspended_job_waits_no_longer_than_one_without_a_node() -> None:
    state = SmokeState(job=JOB | {"spec": {"suspend": True}}, settings=SETTINGS)
    assert state.end((), now=0.0) is None

    assert isinstance(state.end((), now=PLACE_SECONDS), NotHeld)


def test_a_place_that_comes_late_leaves_the_whole_time_for_the_start() -> None:
    state = SmokeState(job=JOB, settings=SETTINGS)
    state.see((JOB,), (pod_of(**UNPLACED),), now=0.0)
    assert state.end((), now=0.0) is None
    state.see((JOB,), (pod_of(PULLING, phase="Pending"),), now=PLACE_SECONDS - 1)

    assert state.end((), now=PLACE_SECONDS - 1) is None
    assert state.end((), now=PLACE_SECONDS + start_seconds(SETTINGS) - 2) is None


def test_what_runs_longer_than_it_may_has_passed() -> None:
    assert after(run_seconds(SETTINGS) - 1, pod_of(RUNNING)) is None
    assert after(run_seconds(SETTINGS), pod_of(RUNNING)) == Passed()
    assert after(run_seconds(SETTINGS), pod_of(ended(0), RUNNING)) == Passed()


@given(
    seen=st.lists(
        st.sampled_from(
            [
                pod_of(**UNPLACED),
                pod_of(PULLING, phase="Pending"),
                pod_of(NO_IMAGE, phase="Pending"),
                pod_of(RUNNING),
                pod_of(ended(0), RUNNING),
            ]
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_is_shown_last_it_ends_in_bounded_time(seen: list[Thing]) -> None:
    state = SmokeState(job=JOB, settings=SETTINGS)
    end, now = None, 0.0
    for pod in seen:
        state.see((JOB,), (pod,), now=now)
        end = end or state.end((), now=now)
        now += 1
    now += max(PLACE_SECONDS, start_seconds(SETTINGS), run_seconds(SETTINGS))
    end = end or state.end((), now=now)

    assert end is not None
    assert not isinstance(end, Failed)


TRACE = 'Traceback (most recent call last):\n  File "train.py", line 3\n'


def test_crash_is_told_with_its_sentence_and_its_log() -> None:
    crash = tell_crash(SETTINGS, Failed("train", 1), TRACE + "NameError: name 'widht' is not defined\n")

    assert crash is not None
    assert "NameError: name 'widht' is not defined" in crash.reason
    assert crash.log.startswith(TRACE)


@pytest.mark.parametrize(
    ("code", "words"),
    [(1, "AssertionError: Torch not compiled with CUDA enabled"), (1, "MemoryError"), (137, ""), (0, "")],
)
def test_what_the_place_explains_is_no_crash(code: int, words: str) -> None:
    assert tell_crash(SETTINGS, Failed("train", code), TRACE + words) is None


@pytest.mark.parametrize(
    ("phase", "line", "waits"),
    [
        ("unschedulable", "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.", True),
        ("unschedulable", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", False),
        ("quota", "exceeded quota: runs, requested: pods=1, used: pods=10, limited: pods=10", True),
        ("quota", "exceeded quota: runs, requested: requests.nvidia.com/gpu=1, used: 8, limited: 8", False),
        ("train", "", False),
    ],
)
def test_attempt_that_waits_for_the_place_of_a_smoke_test_is_known(phase: str, line: str, waits: bool) -> None:
    assert keeps_waiting(TryProgress(phase=phase, line=line)) is waits
