"""Outages of the API server, of a node and of the line to them, on a cluster that these tests may break."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from controller.domain import LostTo, Outcome, Result, TryId
from tests.cluster.executor_task import HELD, HOLD, SCORES, Running, TaskNamespace, running, task_namespace_on
from tests.cluster.harness import BuiltCluster, ClusterSpec
from tests.cluster.harness.binaries import program
from tests.cluster.harness.fake_nodes import (
    SELECTOR,
    by_the_clock_of,
    logs_that_say,
    pods_that_succeed,
    start_fake_nodes,
)
from tests.cluster.harness.namespaces import create_pair
from tests.cluster.script_job import script_job
from tests.support.waiting import PATIENCE_S, wait_until

PREPARATIONS = [program("kwok")]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def broken(buildable: None) -> Iterator[BuiltCluster]:
    """A cluster of this module's own, whose silent nodes are noticed soon."""
    # A node under pressure takes pods again at once when it is over, not five minutes later.
    spec = ClusterSpec(quick_node_loss=True, kubelet={"evictionPressureTransitionPeriod": "1s"})
    one = BuiltCluster.start("outages", spec)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def namespace(broken: BuiltCluster) -> Iterator[TaskNamespace]:
    with task_namespace_on(broken, create_pair(broken).runner) as one:
        yield one


@pytest.fixture(autouse=True)
def healed(broken: BuiltCluster) -> Iterator[None]:
    """Undo whatever the test broke."""
    yield
    broken.faults.heal()
    if broken.machine.runs("kwok"):
        broken.machine.kill("kwok")
        broken.kubectl("delete", "nodes", "--selector=kwok.x-k8s.io/node=fake")
    for name, start in (("kube-apiserver", broken.faults.start_api_server), ("kubelet", broken.faults.start_kubelet)):
        if not broken.machine.runs(name):
            start()


def scored_once(namespace: TaskNamespace, one: Running, *, seconds: float = PATIENCE_S) -> bool:
    result = one.result(seconds=seconds)
    print(f"{result.outcome} {result.reason}")
    return result.outcome is Outcome.SCORED and one.ends.empty() and len(namespace.jobs(one.settings.tag)) == 1


def test_restart_of_the_api_server_while_training(namespace: TaskNamespace, broken: BuiltCluster) -> None:
    with running(namespace) as one:
        one.launch(HELD)
        one.wait_for("train")
        broken.faults.restart_api_server()
        namespace.let_go(f"campaign={one.settings.tag}")

        assert scored_once(namespace, one)


def test_launch_while_the_api_server_is_away_happens_once_it_is_back(
    namespace: TaskNamespace, broken: BuiltCluster
) -> None:
    with running(namespace) as one:
        broken.faults.stop_api_server()
        one.launch(SCORES)
        wait_until(lambda: any("does not answer" in p.line for p in one.executor.progress()), what="the refusal")
        broken.faults.start_api_server()

        assert scored_once(namespace, one)


def test_end_during_an_outage_is_read_and_recorded_afterwards(namespace: TaskNamespace, broken: BuiltCluster) -> None:
    with running(namespace) as one:
        request = one.launch(f"{HOLD}; sleep 3; {SCORES}")
        one.wait_for("train")
        namespace.let_go(f"campaign={one.settings.tag}")
        broken.faults.stop_api_server()
        one.wait_for_trouble("lease")
        broken.faults.start_api_server()

        assert scored_once(namespace, one)
        one.executor.recorded(request.id)
        wait_until(
            lambda: namespace.job(request.id)["metadata"]["labels"].get("outcome") == "scored",
            what="the record",
        )
        one.wait_for_no_trouble()


def test_refused_connections_are_met_with_patience(namespace: TaskNamespace, broken: BuiltCluster) -> None:
    with running(namespace) as one:
        one.launch(HELD)
        one.wait_for("train")
        broken.faults.refuse_connections(6)
        namespace.let_go(f"campaign={one.settings.tag}")

        assert scored_once(namespace, one)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("cut", [5, pytest.param(300, marks=pytest.mark.bench)])
def test_silent_line_is_noticed_and_what_happened_meanwhile_is_seen(
    namespace: TaskNamespace, broken: BuiltCluster, cut: int
) -> None:
    """Every open connection stays silent for ever: only the read timeout of the watches can help."""
    with running(namespace) as one:
        request = one.launch(HELD)
        one.wait_for("train")
        broken.faults.break_watch(cut)
        began = time.monotonic()
        namespace.let_go(f"campaign={one.settings.tag}")

        assert scored_once(namespace, one, seconds=cut + 200)
        print(f"line silent for {cut} s: the end of an attempt was seen {time.monotonic() - began:.0f} s after the cut")
        one.executor.recorded(request.id)
        wait_until(
            lambda: namespace.job(request.id)["metadata"]["labels"].get("outcome") == "scored",
            what="the record",
        )
        one.wait_for_no_trouble()


def test_restart_of_the_kubelet_changes_nothing(namespace: TaskNamespace, broken: BuiltCluster) -> None:
    with running(namespace) as one:
        one.launch(HELD)
        one.wait_for("train")
        broken.faults.stop_kubelet()
        broken.faults.start_kubelet()
        namespace.let_go(f"campaign={one.settings.tag}")

        assert scored_once(namespace, one)


@pytest.mark.timeout(900)
def test_silent_node_loses_the_try_and_its_late_pod_counts_for_nothing(
    namespace: TaskNamespace, broken: BuiltCluster
) -> None:
    # Silence is believed when the pod's deadline is long over, so a short one.
    short = {"train_grace": 10, "examine": 2, "image_pull": 10}
    with running(namespace, budget={"train_seconds": 5}, deadlines=short) as one:
        request = one.launch(f"sleep 600; {SCORES}")
        one.wait_for("train")
        broken.faults.stop_kubelet()
        # What the node controller does where other nodes are well; with its only node silent it does nothing.
        broken.kubectl("taint", "node", broken.node, "node.kubernetes.io/unreachable:NoExecute")

        lost = one.result(seconds=400)
        assert lost.outcome is Outcome.LOST
        assert lost.reason.startswith("node lost")
        assert lost.seconds > 0
        one.executor.recorded(request.id)
        broken.faults.start_kubelet()
        broken.try_kubectl("taint", "node", broken.node, "node.kubernetes.io/unreachable:NoExecute-")
        wait_until(lambda: namespace.job(request.id)["status"].get("failed"), what="the late pod to be ended")
        assert one.ends.empty()
        labels = namespace.job(request.id)["metadata"]["labels"]
        assert labels["outcome"] == "lost"


def test_deleted_node_loses_the_try(namespace: TaskNamespace, broken: BuiltCluster) -> None:
    with running(namespace) as one:
        one.launch(f"sleep 600; {SCORES}")
        one.wait_for("train")
        broken.faults.delete_node()
        lost = one.result()
        broken.faults.restore_node()

        assert lost.outcome is Outcome.LOST
        assert lost.reason.startswith("node lost: PodGC")


ENDS_WHEN_TOLD = "trap 'exit 1' TERM; while true; do sleep 0.1 & wait $!; done"


def taken_away_then_scored(one: Running) -> Result:
    """The try is lost and the attempt's second one is scored; returns how the first was lost."""
    lost = one.end()
    assert lost.result.outcome is Outcome.LOST
    one.executor.recorded(lost.id)
    second = TryId(lost.id.tag, lost.id.experiment, lost.id.attempt, 2)
    one.launch(SCORES, id=second)
    end = one.end()
    assert (end.id, end.result.outcome) == (second, Outcome.SCORED)
    return lost.result


def test_pressure_on_the_node_takes_the_try_and_the_next_one_scores(
    namespace: TaskNamespace, broken: BuiltCluster
) -> None:
    with running(namespace) as one:
        one.launch(ENDS_WHEN_TOLD)
        one.wait_for("train")
        broken.faults.press_node()
        wait_until(lambda: not one.ends.empty(), what="the eviction")
        broken.faults.relieve_node()

        lost = taken_away_then_scored(one)
        assert lost.reason.startswith("node pressure: The node was low on resource: memory")
        assert (lost.lost_to, lost.interrupted) == (LostTo.EVICTED, False)


def test_work_of_higher_priority_takes_the_place_and_the_next_try_scores(
    namespace: TaskNamespace, broken: BuiltCluster
) -> None:
    broken.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "urgent"},
            "value": 1000,
        }
    )
    everything = {"limits": {"nvidia.com/gpu": str(broken.spec.gpus)}}
    urgent = script_job("urgent", "true", pod={"priorityClassName": "urgent"}, resources=everything)
    with running(namespace) as one:
        one.launch(ENDS_WHEN_TOLD)
        one.wait_for("train")
        broken.apply(urgent, namespace=namespace.name)

        lost = taken_away_then_scored(one)
        assert lost.reason.startswith("preempted: default-scheduler: preempting to accommodate a higher priority pod")
        assert (lost.lost_to, lost.interrupted) == (LostTo.PREEMPTED, True)


@pytest.mark.parametrize("minutes", [-10, 10])
def test_node_whose_clock_is_minutes_off_is_believed_in_nothing_but_differences(
    namespace: TaskNamespace, broken: BuiltCluster, minutes: int
) -> None:
    """One attempt ends well and one is drained; by the timestamps the latter crashed minutes before the drain."""
    printed = logs_that_say(broken, "loss 1.5", "---", "val_bpb: 1.25")
    stages = by_the_clock_of("fake-000", pods_that_succeed(seconds=30), seconds=60 * minutes)
    start_fake_nodes(broken, nodes=1, gpus=2, pod_stages=[*stages, printed])
    fake = {"node_selector": SELECTOR["nodeSelector"], "tolerations": SELECTOR["tolerations"]}
    with running(namespace, score="log", kubernetes=fake) as one:
        one.launch("", number=1)
        one.launch("", number=2)
        wait_until(
            lambda: [progress.phase for progress in one.executor.progress()] == ["train", "train"],
            what="both in training",
        )
        assert all(0 <= time.time() - progress.started_at < 200 for progress in one.executor.progress())
        [pod] = broken.get("pods", f"--namespace={namespace.name}", f"-lcampaign={one.settings.tag},experiment=2")[
            "items"
        ]
        broken.faults.evict_pod(namespace.name, pod["metadata"]["name"])
        results = {end.id.experiment: end.result for end in (one.end(), one.end())}

    started = datetime.fromisoformat(pod["status"]["startTime"]).timestamp()
    assert abs(started - 60 * minutes - time.time()) < 300, "the node's clock is right"
    assert (results[1].outcome, results[2].outcome) == (Outcome.SCORED, Outcome.LOST)
    assert results[2].reason.startswith("drained")
    assert all(0 <= result.seconds < 300 for result in results.values())
