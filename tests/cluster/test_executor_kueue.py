"""Kueue in front of attempts, the real one: they wait without losing time, make way, begin anew, and score.

Measured with `make bench`, not with `make test`: Kueue alone takes three minutes to build the first time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from controller.domain import Outcome
from tests.cluster.executor_task import SCORES, Running, TaskNamespace, running, task_namespace_on
from tests.cluster.harness import BuiltCluster, Manifest
from tests.cluster.harness.binaries import program
from tests.cluster.harness.kueue import priority, queue, start_kueue
from tests.cluster.harness.namespaces import create_pair
from tests.support.waiting import wait_until

pytestmark = pytest.mark.bench

PREPARATIONS = [program("kueue"), program("helm")]
QUOTAS = {"nvidia.com/gpu": "1", "cpu": "8", "memory": "8Gi", "ephemeral-storage": "64Gi"}
QUEUE: Manifest = {"kueue_queue": "research"}
HURRIED: Manifest = {"image_pull": 1, "train_grace": 1, "examine": 2, "pending": 1}


@pytest.fixture(scope="module")
def namespace(buildable: None) -> Iterator[TaskNamespace]:
    """A cluster with a queue that has one GPU to give."""
    cluster = BuiltCluster.start("kueue")
    try:
        start_kueue(cluster)
        pair = create_pair(cluster)
        cluster.apply(*queue(pair.runner, QUOTAS), priority("low", 10), priority("high", 1000))
        with task_namespace_on(cluster, pair.runner) as one:
            yield one
    finally:
        cluster.stop()


def only_job(namespace: TaskNamespace, one: Running) -> Manifest:
    [job] = namespace.jobs(one.settings.tag)
    return job


def pods(namespace: TaskNamespace, one: Running) -> list[Manifest]:
    found: list[Manifest] = namespace.cluster.get(
        "pods", f"--namespace={namespace.name}", f"-lcampaign={one.settings.tag}"
    )["items"]
    return found


def test_attempt_waits_in_the_queue_for_longer_than_its_deadline_and_scores(namespace: TaskNamespace) -> None:
    budget = {"train_seconds": 5, "experiments": 1}
    with (
        running(namespace, tag="holder", kubernetes=QUEUE, budget={"train_seconds": 90}) as holder,
        running(namespace, tag="waiter", kubernetes=QUEUE, deadlines=HURRIED, budget=budget) as waiter,
    ):
        holder.launch(f"sleep 65; {SCORES}")
        holder.wait_for("train")
        waiter.launch(SCORES)
        began = time.monotonic()

        waiting = waiter.wait_for("queued")
        assert waiting.line == "waits in its queue (the Job is suspended)"
        wait_until(lambda: not holder.ends.empty(), what="the holder's end", seconds=120)
        job = only_job(namespace, waiter)
        assert (job["spec"]["suspend"], job["status"].get("startTime")) == (True, None) or not waiter.ends.empty()
        result = waiter.result()
        waited = time.monotonic() - began

    assert result.outcome is Outcome.SCORED
    assert waited > job["spec"]["activeDeadlineSeconds"]
    print(
        f"waited {waited:.0f} s in the queue, with a deadline of {job['spec']['activeDeadlineSeconds']} s, and scored"
    )


def test_preempted_attempt_goes_back_to_the_queue_and_scores_in_the_end(namespace: TaskNamespace) -> None:
    low, high = ({**QUEUE, "kueue_priority": name} for name in ("low", "high"))
    with (
        running(namespace, tag="humble", kubernetes=low) as humble,
        running(namespace, tag="urgent", kubernetes=high) as urgent,
    ):
        humble.launch(f"echo begun; sleep 6; {SCORES}")
        humble.wait_for("train")
        [first] = pods(namespace, humble)
        urgent.launch(f"sleep 3; {SCORES}")
        began = time.monotonic()
        humble.wait_for("queued")
        print(f"preempted after {time.monotonic() - began:.1f} s")

        assert urgent.result().outcome is Outcome.SCORED
        assert humble.ends.empty(), "the preempted try was given up"
        result = humble.result()
        job = only_job(namespace, humble)
        [second] = pods(namespace, humble)

    assert (result.outcome, result.reason) == (Outcome.SCORED, "")
    assert result.log_tail == "begun\nloss 1.5\n"
    assert 6 <= result.phase_seconds["train"] < 20
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert job["status"].get("failed", 0) == 0


def test_controller_that_starts_while_its_attempt_is_queued_adopts_it(namespace: TaskNamespace) -> None:
    with running(namespace, tag="first-in", kubernetes=QUEUE) as holder:
        holder.launch(f"sleep 8; {SCORES}")
        holder.wait_for("train")
        with running(namespace, tag="left", kubernetes=QUEUE) as first:
            request = first.launch(SCORES)
            first.wait_for("queued")
        with running(namespace, tag="left", adopting=[request], kubernetes=QUEUE) as second:
            second.wait_for("queued")

            assert second.result().outcome is Outcome.SCORED
            assert holder.result().outcome is Outcome.SCORED
