"""Sessions as Jobs, on a stand-in for the cluster: what comes back, what is told, and what is left of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.errors import AgentError, SandboxError, SettingsError
from controller.executor.kubernetes import ClusterWorkshop
from controller.executor.kubernetes.leftovers import delete_jobs
from controller.executor.kubernetes.naming import proposals_selector
from controller.executor.kubernetes.workshop import find_own_address
from controller.executor.workshop import Session, SessionCause
from tests.support.kubernetes_api import Reply, ScriptedApi, client_of
from tests.support.proposal_cluster import ProposalCluster, cluster_settings, cluster_workshop, proposal_cluster
from tests.support.waiting import PATIENCE_S, wait_until

FOREVER = "import time; time.sleep(3600)"


def session_of(program: str, *, seconds: float = PATIENCE_S) -> Session:
    return Session(
        command=("python", "-c", program),
        environment={"AUTORESEARCH_PROPOSAL": "7"},
        files={"train.py": "WIDTH = 4\n", "experiments/0001/edit.diff": "+WIDTH = 3\n"},
        wanted={"train.py": 100, "proposal.json": 100},
        seconds=seconds,
        number=7,
    )


@pytest.fixture
def place() -> Iterator[tuple[ClusterWorkshop, ProposalCluster]]:
    with cluster_workshop() as (workshop, _, cluster):
        yield workshop, cluster


def test_wanted_files_come_back_with_what_was_printed(place: tuple[ClusterWorkshop, ProposalCluster]) -> None:
    workshop, cluster = place
    program = """
print("found", open("experiments/0001/edit.diff").read())
open("train.py", "a").write("WIDTH = 5\\n")
open("other.py", "w").write("mine")
"""

    end = workshop.run(session_of(program), serve=None)

    assert (end.cause, end.code) == (SessionCause.EXITED, 0)
    assert end.files == {"train.py": b"WIDTH = 4\nWIDTH = 5\n"}
    assert end.faults == {"proposal.json": "is not there"}
    assert "found +WIDTH = 3" in end.output
    assert cluster.names("jobs") == []


def test_failed_program_has_its_code_and_its_last_words(place: tuple[ClusterWorkshop, ProposalCluster]) -> None:
    workshop, cluster = place

    end = workshop.run(session_of("print('no idea today'); raise SystemExit(3)"), serve=None)

    assert (end.cause, end.code, end.files) == (SessionCause.EXITED, 3, {})
    assert "no idea today" in end.output
    assert cluster.names("jobs") == []


def test_program_without_end_is_killed_at_its_deadline(place: tuple[ClusterWorkshop, ProposalCluster]) -> None:
    workshop, cluster = place

    end = workshop.run(session_of(FOREVER, seconds=1.0), serve=None)

    assert end.cause is SessionCause.DEADLINE
    assert cluster.names("jobs") == []


def test_stop_ends_every_session_and_leaves_no_job(place: tuple[ClusterWorkshop, ProposalCluster]) -> None:
    workshop, cluster = place
    with ThreadPoolExecutor(3) as threads:
        runs = [threads.submit(workshop.run, session_of(FOREVER), serve=None) for _ in range(3)]
        wait_until(lambda: len(cluster.names("pods")) == 3, what="three pods")
        workshop.stop()
        ends = [run.result(PATIENCE_S) for run in runs]

    assert {end.cause for end in ends} == {SessionCause.STOPPED}
    assert cluster.names("jobs") == []
    assert workshop.run(session_of("pass"), serve=None).cause is SessionCause.STOPPED
    assert len(cluster.created) == 3


def test_refused_job_is_told_and_none_is_left(place: tuple[ClusterWorkshop, ProposalCluster]) -> None:
    workshop, cluster = place
    cluster.refusal = 403, "exceeded quota: count/jobs.batch=2000"

    end = workshop.run(session_of("pass"), serve=None)

    assert end.cause is SessionCause.NOT_STARTED
    assert "exceeded quota" in end.detail
    cluster.refusal = None
    assert workshop.run(session_of("pass"), serve=None).cause is SessionCause.EXITED


def test_image_that_cannot_be_had_is_told_after_a_while() -> None:
    waiting = {"name": "fetch", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    settings = cluster_settings()
    quick = settings.model_copy(update={"deadlines": settings.deadlines.model_copy(update={"pending": 1.0})})
    with proposal_cluster() as (cluster, client):
        cluster.held = {"phase": "Pending", "initContainerStatuses": [waiting]}
        workshop = ClusterWorkshop(quick, client=client, warn=lambda _: None)
        end = workshop.run(session_of("pass"), serve=None)
        workshop.stop()

        assert end.cause is SessionCause.NOT_STARTED
        assert "cannot be had (ErrImagePull): no such image" in end.detail
        assert cluster.names("jobs") == []


def test_jobs_of_an_earlier_controller_are_deleted_when_the_next_takes_over() -> None:
    with proposal_cluster() as (cluster, client), ThreadPoolExecutor(1) as threads:
        workshop = ClusterWorkshop(cluster_settings(), client=client, warn=lambda _: None)
        run = threads.submit(workshop.run, session_of(FOREVER), serve=None)
        wait_until(lambda: cluster.names("pods"), what="a pod")
        delete_jobs(client, proposals_selector("demo"))

        assert cluster.names("jobs") == []
        assert run.result(PATIENCE_S).cause is SessionCause.LOST
        workshop.stop()


def test_start_says_which_rights_are_missing() -> None:
    api = ScriptedApi()
    api.answer("GET", "/version", Reply(body={"major": "1", "minor": "34"}))
    denied = Reply(status=201, body={"status": {"allowed": False}})
    api.answer("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", denied)
    with client_of(api) as client, pytest.raises(AgentError, match="may not create jobs"):
        ClusterWorkshop(cluster_settings(), client=client, warn=lambda _: None).check(("agent",))


def test_start_asks_for_an_image() -> None:
    settings = cluster_settings()
    cluster = settings.executor.kubernetes.model_copy(update={"image": ""})
    without = settings.model_copy(update={"executor": settings.executor.model_copy(update={"kubernetes": cluster})})

    with pytest.raises(SettingsError, match="image is not set"):
        ClusterWorkshop(without, warn=lambda _: None).check(("agent",))


def test_port_that_is_taken_is_told_with_the_setting() -> None:
    with cluster_workshop() as (first, _, _):
        port = int(first.gateway_url.rpartition(":")[2])
        with cluster_workshop(port=port) as (second, _, _), pytest.raises(SandboxError, match=r"agent\.command\.port"):
            second.run(session_of("pass"), serve=None)


def test_address_that_no_pod_reaches_is_told_with_the_setting() -> None:
    with pytest.raises(SandboxError, match=r"agent\.command\.address"):
        find_own_address("https://127.0.0.1:6443")
