"""A running try remembers its Job and its pods."""

from __future__ import annotations

from typing import Any

import pytest

from controller.executor.kubernetes.observation import EndCause, TryEnd, TryProgress
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.running_try import JOB_UID, RETRY_SECONDS
from tests.support.kubernetes_objects import running_try


def a_pod(
    uid: str, *, job: str = "job-1", created: str = "1", phase: str = "Running", **metadata: Any
) -> dict[str, Any]:
    labels = {JOB_UID: job}
    return {
        "metadata": {"uid": uid, "labels": labels, "creationTimestamp": created, **metadata},
        "status": {"phase": phase},
    }


def a_job(uid: str = "job-1", *, suspend: bool = False) -> dict[str, Any]:
    return {"metadata": {"uid": uid}, "spec": {"suspend": suspend}}


def test_pod_and_job_of_an_earlier_holder_of_the_name_are_ignored() -> None:
    running = running_try()
    running.see_pod(a_pod("p", job="job-0"), gone=False, now=0)
    running.see_job(a_job("job-0"), gone=True)

    assert (running.pod, running.job, running.job_gone) == ({}, {}, False)


def test_newest_pod_counts() -> None:
    running = running_try()
    running.see_pod(a_pod("new", created="2"), gone=False, now=0)
    running.see_pod(a_pod("old", created="1"), gone=True, now=0)

    assert (running.pod["metadata"]["uid"], running.pod_gone) == ("new", False)


def test_pod_of_a_suspended_job_is_forgotten_and_the_next_one_counts() -> None:
    running = running_try()
    running.see_pod(a_pod("first"), gone=False, now=0)
    running.see_job(a_job(suspend=True), gone=False)
    running.see_pod(a_pod("first", phase="Failed", deletionTimestamp="3"), gone=True, now=1)
    assert (running.pod, running.ending_since) == ({}, None)

    running.see_job(a_job(), gone=False)
    running.see_pod(a_pod("second", created="4"), gone=False, now=2)
    assert running.pod["metadata"]["uid"] == "second"


def test_time_of_an_ending_runs_by_our_own_clock_from_when_it_was_first_seen() -> None:
    running = running_try()
    for now in (5.0, 9.0):
        running.see_pod(a_pod("p", deletionTimestamp="2030"), gone=False, now=now)

    assert running.ending_since == 5.0


def test_silence_says_something_once_the_deadline_and_patience_are_over() -> None:
    running = running_try()
    running.job = a_job()
    pod = a_pod("p", created="2026-11-24T07:30:00Z") | {"spec": {"activeDeadlineSeconds": 100}}
    pod["status"]["startTime"] = "2026-11-24T07:30:00Z"
    running.see_pod(pod, gone=False, now=1000.0)

    for now in (1010.0, 1159.0):
        seen = running.make_observation(now=now, events=())
        assert isinstance(assess(seen), TryProgress)
        assert running.seconds_to_timeout(seen) == pytest.approx(1160.0 - now)
    seen = running.make_observation(now=1161.0, events=())
    lost = assess(seen)
    assert isinstance(lost, TryEnd)
    assert (lost.cause, running.seconds_to_timeout(seen)) == (EndCause.NODE_LOST, -1.0)


def test_pauses_double_up_to_a_minute_and_respect_the_servers_wish() -> None:
    running = running_try()
    pauses = [running.count_failure() for _ in range(12)]

    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == RETRY_SECONDS[1]
    assert running_try().count_failure(asked=30.0) == 30.0
