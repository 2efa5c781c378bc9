"""Clocks that are minutes apart: the node's, the API server's and the controller's. None of it decides anything."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.kubernetes.observation import EndCause, Observation, TryEnd, TryProgress
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.running_try import JOB_UID
from tests.support.kubernetes_objects import (
    DRAIN,
    FAILED,
    OBSERVED,
    RUNNING,
    ended,
    make_job,
    make_pod,
    recorded,
    running_try,
)

Thing = dict[str, Any]
Shift = Callable[[], int]

SECONDS = st.integers(-7200, 7200)
NAMES = sorted(path.stem for path in OBSERVED.glob("pod-*.json"))
NEVER = "1970-01-01T00:00:00Z"
OF_THE_CONTROL_PLANE = {"PodScheduled"}


def shifted(text: str, seconds: int) -> str:
    if text == NEVER:  # how a kubelet says that a container never started, whatever its clock
        return text
    moved = datetime.fromisoformat(text) + timedelta(seconds=seconds)
    return moved.strftime("%Y-%m-%dT%H:%M:%SZ")


def kubelet_times(pod: Thing) -> Iterator[tuple[Thing, str]]:
    """Every place of a pod in which its kubelet wrote a time."""
    status = pod["status"]
    for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        for state in (container.get("state", {}), container.get("lastState", {})):
            yield from ((one, key) for one in state.values() for key in ("startedAt", "finishedAt") if one.get(key))
    for condition in status.get("conditions", ()):
        by_kubelet = condition["type"] != "DisruptionTarget" or condition.get("reason") == "TerminationByKubelet"
        if by_kubelet and condition["type"] not in OF_THE_CONTROL_PLANE and condition.get("lastTransitionTime"):
            yield condition, "lastTransitionTime"
    if status.get("startTime"):
        yield status, "startTime"


def with_times(pod: Thing, shift: Shift) -> Thing:
    moved = copy.deepcopy(pod)
    for holder, key in list(kubelet_times(moved)):
        holder[key] = shifted(holder[key], shift())
    return moved


def job_of(name: str) -> Thing:
    """The Job that was recorded beside this pod, else one that runs."""
    found = OBSERVED / f"{name.replace('pod-', 'job-', 1).removesuffix('-last-seen')}.json"
    return recorded(found.stem) if found.exists() else make_job()


@given(name=st.sampled_from(NAMES), seconds=SECONDS)
def test_node_whose_clock_is_off_gives_the_same_end_and_the_same_durations(name: str, seconds: int) -> None:
    pod, job = recorded(name), job_of(name)

    skewed = with_times(pod, lambda: seconds)

    assert assess(Observation(job=job, pod=skewed)) == assess(Observation(job=job, pod=pod))


@given(name=st.sampled_from(NAMES), shifts=st.lists(SECONDS, min_size=20, max_size=20))
def test_node_whose_clock_is_set_while_a_pod_runs_gives_the_same_end_and_no_absurd_durations(
    name: str, shifts: list[int]
) -> None:
    job, pod = job_of(name), {"spec": {"activeDeadlineSeconds": 600, "terminationGracePeriodSeconds": 10}}
    pod |= recorded(name)

    skewed = with_times(pod, partial(next, cycle(shifts)))
    plain, seen = (assess(Observation(job=job, pod=one)) for one in (pod, skewed))

    assert type(seen) is type(plain)
    if isinstance(seen, TryEnd) and isinstance(plain, TryEnd):
        assert (seen.cause, seen.reason, seen.container) == (plain.cause, plain.reason, plain.container)
        assert all(0 <= value <= 610 for value in (seen.seconds, *seen.phase_seconds.values()))


def of_job(pod: Thing, **metadata: Any) -> Thing:
    named = pod["metadata"] | {"uid": "pod-1", "labels": {JOB_UID: "job-1"}} | metadata
    return pod | {"metadata": named}


def cause_after(*pods: Thing) -> EndCause:
    """The cause that is read from a pod that the watch showed in these states."""
    running = running_try()
    for now, pod in enumerate(pods):
        running.see_pod(of_job(pod), gone=False, now=float(now))
    end = assess(Observation(job=FAILED, pod=running.pod, crashed_first=running.crashed_first))
    assert isinstance(end, TryEnd), end
    return end.cause


@given(seconds=SECONDS)
def test_what_came_first_crash_or_drain_is_told_by_the_order_of_events_whatever_the_nodes_clock(seconds: int) -> None:
    running = make_pod(RUNNING)
    crashed = make_pod(ended(1))
    evicted = make_pod(RUNNING, conditions=(DRAIN,), deleted=True)
    gone = make_pod(ended(1), phase="Failed", conditions=(DRAIN,), deleted=True)

    def skew(*pods: Thing) -> list[Thing]:
        return [with_times(pod, lambda: seconds) for pod in pods]

    assert cause_after(*skew(running, crashed, gone)) is EndCause.CRASH
    assert cause_after(*skew(running, evicted, gone)) is EndCause.DRAINED
    # A controller that was not there cannot know, and blames nobody.
    assert cause_after(*skew(gone)) is EndCause.DRAINED


def test_candidate_that_was_restarted_long_before_a_drain_is_no_crash() -> None:
    restarting = make_pod(ended(0), ended(1), RUNNING)
    gone = make_pod(ended(0), ended(137), ended(137), phase="Failed", conditions=(DRAIN,), deleted=True)

    assert cause_after(restarting, gone) is EndCause.DRAINED


@given(cluster=SECONDS, node=SECONDS)
def test_time_in_a_phase_is_ours_where_we_saw_it_begin(cluster: int, node: int) -> None:
    pod = with_times(make_pod(RUNNING), lambda: node)
    began = datetime.fromisoformat("2026-11-24T07:30:00Z").timestamp() + cluster
    running = running_try()
    for later in (0.0, 30.0, 60.0):
        going = assess(Observation(job=make_job(), pod=pod))
        assert isinstance(going, TryProgress)
        running.set_progress(going, now=began + later)

    assert running.phase_at == began


@given(node=SECONDS)
def test_adopted_try_shows_how_long_its_phase_lasts_already_whatever_the_nodes_clock(node: int) -> None:
    placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-24T07:30:01Z"}
    pod = with_times(make_pod(RUNNING, conditions=(placed,)), lambda: node)
    running = running_try(adopted=True)

    running.set_progress(TryProgress(phase="launching", line="the API does not answer"), now=1.0)
    going = assess(Observation(job=make_job(), pod=pod))
    assert isinstance(going, TryProgress)
    now = datetime.fromisoformat("2026-11-24T07:33:00Z").timestamp()
    running.set_progress(going, now=now)
    assert now - running.phase_at == 174.0  # placed at :01; the kubelet took it at :05 and began to train at :10

    running.set_progress(TryProgress(phase="examine", since=now - 500), now=now + 1)
    assert running.phase_at == now + 1


@pytest.mark.parametrize("first", ["living", "dead"])
@given(seconds=SECONDS)
def test_living_pod_of_a_resumed_job_counts_whichever_api_server_stamped_it(first: str, seconds: int) -> None:
    living = of_job(make_pod(RUNNING), uid="new", creationTimestamp=shifted("2026-11-24T07:30:00Z", seconds))
    dead = of_job(make_pod(ended(137), phase="Failed", deleted=True), uid="old")
    running = running_try()
    for pod in (living, dead) if first == "living" else (dead, living):
        running.see_pod(pod, gone=False, now=0.0)

    assert running.pod["metadata"]["uid"] == "new"
