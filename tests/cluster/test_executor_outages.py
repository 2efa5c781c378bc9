"""Outages of the API server, of a node and of the line to them, on a cluster that these tests may break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.domain import Outcome
from tests.cluster.executor_task import SCORES, Laboratory, Running, laboratory_on, running
from tests.cluster.harness import BuiltCluster, ClusterSpec, wait_until
from tests.cluster.harness.namespaces import create_pair

pytestmark = [
    pytest.mark.slow,
    # A connection that is reset while TLS begins is left to the garbage collector by Python 3.11's own ssl module.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]

SLOW = f"echo begun; sleep 8; {SCORES}"


@pytest.fixture(scope="module")
def broken(buildable: None) -> Iterator[BuiltCluster]:
    """A cluster of this module's own, whose silent nodes are noticed soon."""
    one = BuiltCluster.start("outages", ClusterSpec(quick_node_loss=True))
    yield one
    one.stop()


@pytest.fixture(scope="module")
def laboratory(broken: BuiltCluster) -> Iterator[Laboratory]:
    with laboratory_on(broken, create_pair(broken).runner) as one:
        yield one


@pytest.fixture(autouse=True)
def healed(broken: BuiltCluster) -> Iterator[None]:
    """Undo whatever the test broke."""
    yield
    broken.faults.heal()
    for name, start in (("kube-apiserver", broken.faults.start_api_server), ("kubelet", broken.faults.start_kubelet)):
        if not broken.machine.runs(name):
            start()


def scored_once(laboratory: Laboratory, one: Running, *, seconds: float = 120) -> bool:
    result = one.result(seconds=seconds)
    return result.outcome is Outcome.SCORED and one.ends.empty() and len(laboratory.jobs(one.settings.tag)) == 1


def test_restart_of_the_api_server_while_training(laboratory: Laboratory, broken: BuiltCluster) -> None:
    with running(laboratory) as one:
        one.launch(SLOW)
        one.wait_for("train")
        broken.faults.restart_api_server()

        assert scored_once(laboratory, one)


def test_launch_while_the_api_server_is_away_happens_once_it_is_back(
    laboratory: Laboratory, broken: BuiltCluster
) -> None:
    with running(laboratory) as one:
        broken.faults.stop_api_server()
        one.launch(SCORES)
        wait_until(
            lambda: any("does not answer" in p.line for p in one.executor.progress()), what="the refusal", seconds=30
        )
        broken.faults.start_api_server()

        assert scored_once(laboratory, one)


def test_end_during_an_outage_is_read_and_recorded_afterwards(laboratory: Laboratory, broken: BuiltCluster) -> None:
    with running(laboratory) as one:
        request = one.launch(f"sleep 3; {SCORES}")
        one.wait_for("train")
        broken.faults.stop_api_server()
        wait_until(lambda: "lease" in one.executor.trouble(), what="the lease to lapse", seconds=30)
        broken.faults.start_api_server()

        assert scored_once(laboratory, one)
        one.executor.recorded(request.id)
        wait_until(
            lambda: laboratory.job(request.id)["metadata"]["labels"].get("outcome") == "scored",
            what="the record",
            seconds=60,
        )
        assert one.executor.trouble() == ""


def test_refused_connections_are_met_with_patience(laboratory: Laboratory, broken: BuiltCluster) -> None:
    with running(laboratory) as one:
        one.launch(SLOW)
        one.wait_for("train")
        broken.faults.refuse_connections(6)

        assert scored_once(laboratory, one)


@pytest.mark.timeout(420)
def test_silent_line_is_noticed_and_what_happened_meanwhile_is_seen(
    laboratory: Laboratory, broken: BuiltCluster
) -> None:
    """Every open connection stays silent for ever: only the read timeout of the watches can help."""
    with running(laboratory) as one:
        one.launch(SLOW)
        one.wait_for("train")
        broken.faults.break_watch(5)

        assert scored_once(laboratory, one, seconds=200)


def test_restart_of_the_kubelet_changes_nothing(laboratory: Laboratory, broken: BuiltCluster) -> None:
    with running(laboratory) as one:
        one.launch(SLOW)
        one.wait_for("train")
        broken.faults.stop_kubelet()
        broken.faults.start_kubelet()

        assert scored_once(laboratory, one)


@pytest.mark.timeout(420)
def test_silent_node_loses_the_try_and_its_late_pod_counts_for_nothing(
    laboratory: Laboratory, broken: BuiltCluster
) -> None:
    with running(laboratory) as one:
        request = one.launch(f"sleep 200; {SCORES}")
        one.wait_for("train")
        broken.faults.stop_kubelet()
        # What the node controller does where other nodes are well; with its only node silent it does nothing.
        broken.kubectl("taint", "node", broken.node, "node.kubernetes.io/unreachable:NoExecute")

        lost = one.result(seconds=240)
        assert lost.outcome is Outcome.LOST
        assert lost.reason.startswith("node lost")
        assert lost.seconds > 0
        one.executor.recorded(request.id)
        broken.faults.start_kubelet()
        broken.try_kubectl("taint", "node", broken.node, "node.kubernetes.io/unreachable:NoExecute-")
        wait_until(
            lambda: laboratory.job(request.id)["status"].get("failed"), what="the late pod to be ended", seconds=60
        )
        assert one.ends.empty()
        labels = laboratory.job(request.id)["metadata"]["labels"]
        assert labels["outcome"] == "lost"


def test_deleted_node_loses_the_try(laboratory: Laboratory, broken: BuiltCluster) -> None:
    with running(laboratory) as one:
        one.launch(f"sleep 200; {SCORES}")
        one.wait_for("train")
        broken.faults.delete_node()
        lost = one.result(seconds=150)
        broken.faults.restore_node()

        assert lost.outcome is Outcome.LOST
        assert lost.reason.startswith("node lost: PodGC")
