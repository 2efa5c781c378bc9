"""Smoke tests as Jobs, on a stand-in for the cluster whose clock the test turns: what is waited for, told and left."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.executor.kubernetes.caches import Caches, Handlers
from controller.executor.kubernetes.naming import campaign_selector
from controller.executor.kubernetes.smoke import REST_SECONDS, SmokeRuns
from controller.executor.kubernetes.smoke_job import PLACE_SECONDS, run_seconds
from controller.ports import SmokeCrash, Untested
from tests.support.kubernetes_objects import RUNNING, ended, kubernetes_settings
from tests.support.proposal_cluster import ProposalCluster, proposal_cluster
from tests.support.waiting import PATIENCE_S, wait_until

FILES = {"train.py": "print(1)\n"}
SETTINGS = kubernetes_settings(score="log")
FULL = "0/2 nodes are available: 2 Insufficient cpu."
UNPLACED = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": FULL}],
}


def status_of(state: dict[str, Any], *, phase: str = "Running") -> dict[str, Any]:
    return {"phase": phase, "containerStatuses": [{"name": "train", "state": state}]}


@dataclass
class Place:
    """Smoke tests on the stand-in, and what the test decides."""

    cluster: ProposalCluster
    now: float = 0.0
    crowded: bool = False
    told: list[str] = field(default_factory=list)
    looked: list[float] = field(default_factory=list)
    """The clock at each look at a smoke test."""
    runs: SmokeRuns = field(init=False)

    def hold(self, *, advance: float = 0.0) -> SmokeCrash | Untested | None:
        """Hold a smoke test; the clock is turned on once its pod is there."""
        with ThreadPoolExecutor(1) as threads:
            testing = threads.submit(self.runs.run, FILES)
            if advance:
                wait_until(lambda: self.cluster.names("pods"), what="the pod")
                # The first look starts the wait that is over after this.
                looks = len(self.looked)
                wait_until(lambda: len(self.looked) > looks + 1, what="a look at it")
                self.now += advance
            return testing.result(PATIENCE_S)

    def is_crowded(self) -> bool:
        """Asked at each look."""
        self.looked.append(self.now)
        return self.crowded


@contextmanager
def place_of() -> Iterator[Place]:
    with proposal_cluster() as (cluster, client):
        place = Place(cluster)

        def changed(*_: object) -> None:
            place.runs.tell_news()

        caches = Caches(client, campaign_selector("demo"), Handlers(job=changed, pod=changed, event=changed))
        place.runs = SmokeRuns(
            SETTINGS,
            client=client,
            caches=caches,
            crowded=place.is_crowded,
            warn=place.told.append,
            monotonic=lambda: place.now,
        )
        caches.start()
        try:
            yield place
        finally:
            place.runs.stop(PATIENCE_S)
            caches.stop()


@pytest.fixture
def place() -> Iterator[Place]:
    with place_of() as one:
        yield one


def test_crash_comes_back_with_its_log_and_files_come_after_the_job_that_owns_them(place: Place) -> None:
    place.cluster.held = status_of(ended(1), phase="Failed")
    place.cluster.said = b"step 1\nNameError: name 'widht' is not defined\n"

    crash = place.hold()

    assert isinstance(crash, SmokeCrash)
    assert "name 'widht' is not defined" in crash.reason
    assert crash.log.startswith("step 1")
    [job], [files] = place.cluster.created, place.cluster.files
    assert files["data"] == {"file-0": "print(1)\n"}
    assert files["metadata"]["ownerReferences"][0]["name"] == job["metadata"]["name"]
    assert place.cluster.names("jobs") == []


def test_program_that_works_passes(place: Place) -> None:
    place.cluster.held = status_of(ended(0), phase="Succeeded")

    assert place.hold() is None
    assert place.cluster.names("jobs") == []


def test_crash_whose_log_is_gone_is_not_told(place: Place) -> None:
    place.cluster.held = status_of(ended(1), phase="Failed")
    place.cluster.said = b"unable to retrieve container logs for containerd://1"

    assert place.hold() is Untested.UNTESTED


def test_what_runs_too_long_passes_and_is_deleted(place: Place) -> None:
    place.cluster.held = status_of(RUNNING)

    assert place.hold(advance=run_seconds(SETTINGS)) is None
    assert place.cluster.names("jobs") == []


def test_without_a_place_none_is_tried_for_a_while_and_the_operator_is_told_once(place: Place) -> None:
    place.cluster.held = UNPLACED

    assert place.hold(advance=PLACE_SECONDS) is Untested.UNTESTED
    assert place.hold() is Untested.UNTESTED
    assert len(place.cluster.created) == 1
    place.now += REST_SECONDS
    assert place.hold(advance=PLACE_SECONDS) is Untested.UNTESTED

    assert len(place.cluster.created) == 2
    assert place.cluster.names("jobs") == []
    [line] = place.told
    assert FULL.rstrip(".") in line


def test_refused_job_is_no_crash(place: Place) -> None:
    place.cluster.refusal = (403, "exceeded quota: runs, requested: count/jobs.batch=1")

    assert place.hold() is Untested.UNTESTED
    assert ["exceeded quota" in line for line in place.told] == [True]


def test_attempt_that_waits_for_its_place_goes_first_and_nobody_is_told(place: Place) -> None:
    place.cluster.held = status_of(RUNNING)
    with ThreadPoolExecutor(1) as threads:
        testing = threads.submit(place.runs.run, FILES)
        wait_until(lambda: place.cluster.names("pods"), what="the pod")
        place.crowded = True
        assert testing.result(PATIENCE_S) is Untested.UNTESTED
    assert place.cluster.names("jobs") == []

    assert place.hold() is Untested.UNTESTED
    assert len(place.cluster.created) == 1, "none begins while one waits"
    place.crowded = False
    place.cluster.held = status_of(ended(0), phase="Succeeded")
    assert place.hold() is None
    assert place.told == []


def test_edit_that_no_config_map_takes_is_left_to_its_attempt(place: Place) -> None:
    assert place.runs.run({"train.py": "#" * 2**21}) is Untested.UNTESTED
    assert place.cluster.created == []


def test_stop_ends_one_under_way_and_lets_none_begin(place: Place) -> None:
    place.cluster.held = status_of(RUNNING)
    with ThreadPoolExecutor(1) as threads:
        testing = threads.submit(place.runs.run, FILES)
        wait_until(lambda: place.cluster.names("pods"), what="the pod")
        place.runs.stop(PATIENCE_S)

        assert place.cluster.names("jobs") == []
        assert testing.result(PATIENCE_S) is Untested.UNTESTED
    assert place.runs.run(FILES) is Untested.UNTESTED
    assert len(place.cluster.created) == 1
