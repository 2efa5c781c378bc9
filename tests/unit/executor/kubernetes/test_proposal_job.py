"""The Job of a program that proposes: the whole manifest, and the walls around the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from controller.executor import porter
from controller.executor.kubernetes.naming import NAME_LIMIT, campaign_selector, proposal_name, proposals_selector
from controller.executor.kubernetes.proposal_job import DELIVER, FETCH, PROGRAM, Place, build_proposal_job
from controller.executor.workshop import Session
from controller.settings import Settings
from tests.support.proposal_cluster import cluster_settings

EXPECTED = Path(__file__).parent / "manifests" / "job-proposal.json"
PLACE = Place(id="0badcafe", address="10.1.2.3", port=8642, key="porter-1")
SESSION = Session(
    command=("/opt/agent/bin/agent", "-p", "Read TASK.md; cost $(HOME)"),
    environment={"ANTHROPIC_BASE_URL": "http://10.1.2.3:8642", "ANTHROPIC_API_KEY": "sk-proposal-1"},
    files={"train.py": "WIDTH = 4\n"},
    wanted={"train.py": 2**20, "proposal.json": 2**16},
    seconds=900,
    number=12,
    bearer="sk-proposal-1",
)


def job_of(settings: Settings | None = None) -> dict[str, Any]:
    return build_proposal_job(settings or cluster_settings(image="agents:1", run="agent"), SESSION, PLACE)


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod


def containers(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in (*pod_of(job)["initContainers"], *pod_of(job)["containers"])}


def test_whole_manifest() -> None:
    told = json.dumps(job_of()).replace(json.dumps(Path(porter.__file__).read_text())[1:-1], "THE PORTER")

    assert json.loads(EXPECTED.read_text()) == json.loads(told)


def test_porter_runs_before_and_after_the_program_in_the_image_of_attempts() -> None:
    job = job_of()

    assert list(containers(job)) == [FETCH, PROGRAM, DELIVER]
    assert [one["image"] for one in containers(job).values()] == ["trainer:1", "agents:1", "trainer:1"]
    assert [m.get("readOnly", False) for m in containers(job)[DELIVER]["volumeMounts"]] == [True]


def test_program_has_neither_the_porters_bearer_nor_a_volume_of_others() -> None:
    program = containers(job_of())[PROGRAM]

    assert PLACE.key not in json.dumps(program)
    assert {mount["mountPath"] for mount in program["volumeMounts"]} == {"/task", "/tmp", "/dev/shm"}
    assert all("emptyDir" in volume for volume in pod_of(job_of())["volumes"])


def test_the_porter_has_no_bearer_of_a_model() -> None:
    for name in (FETCH, DELIVER):
        assert SESSION.bearer not in json.dumps(containers(job_of())[name])


def test_pod_has_the_walls_of_an_attempt() -> None:
    pod = pod_of(job_of())

    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["dnsConfig"] == {"nameservers": ["127.0.0.1"]}
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(job_of()).values():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        }
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_words_that_look_like_variables_reach_the_program_as_they_are() -> None:
    assert containers(job_of())[PROGRAM]["command"][-1] == "Read TASK.md; cost $$(HOME)"


def test_pod_ends_by_itself_after_its_program_had_its_time_and_the_job_after_the_pod() -> None:
    job = job_of()

    assert pod_of(job)["activeDeadlineSeconds"] > SESSION.seconds
    assert job["spec"]["activeDeadlineSeconds"] > pod_of(job)["activeDeadlineSeconds"]
    assert job["spec"]["ttlSecondsAfterFinished"] > 0


def test_nodes_of_proposals_may_be_others_than_those_of_trainings() -> None:
    changed = cluster_settings(node_selector={"pool": "agents"})
    cluster = changed.executor.kubernetes.model_copy(
        update={
            "node_selector": {"pool": "gpus"},
            "affinity": {"nodeAffinity": {}},
            "resource_claims": ({"name": "gpu"},),
        }
    )
    own = changed.model_copy(update={"executor": changed.executor.model_copy(update={"kubernetes": cluster})})
    same = own.model_copy(update={"agent": cluster_settings().agent})

    assert pod_of(job_of(own))["nodeSelector"] == {"pool": "agents"}
    assert "affinity" not in pod_of(job_of(own))
    assert pod_of(job_of(same))["nodeSelector"] == {"pool": "gpus"}
    assert "resourceClaims" not in pod_of(job_of(same))


def test_no_name_is_longer_than_it_may_be() -> None:
    assert len(proposal_name("t" * 30, 10**9, "0badcafe")) <= NAME_LIMIT


def test_jobs_of_proposals_are_no_tries_for_any_executor() -> None:
    labels = job_of()["metadata"]["labels"]

    assert "proposal" in labels
    assert proposals_selector("demo").endswith(",proposal")
    for studies in (True, False):
        assert "!proposal" in campaign_selector("demo", studies=studies).split(",")
