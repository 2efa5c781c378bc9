"""The Job of a smoke test: the whole manifest, its place, and the walls around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import TryId
from controller.executor.kubernetes.job import build_config_map, build_job
from controller.executor.kubernetes.naming import NAME_LIMIT, campaign_selector, smoke_name, smoke_selector
from controller.executor.kubernetes.quantities import amount
from controller.executor.kubernetes.smoke_job import (
    ACCELERATOR,
    PLACE_SECONDS,
    build_smoke_files,
    build_smoke_job,
    smoke_request,
)
from controller.executor.phases import phases
from controller.settings import Settings
from tests.support.kubernetes_objects import kubernetes_settings
from tests.support.requests import try_request

EXPECTED = Path(__file__).parent / "manifests"
FILES = {"train.py": "def load_model(folder):\n    return None\n"}
REQUIRED, PREFERRED = (f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred"))


def job_of(settings: Settings | None = None) -> dict[str, Any]:
    settings = settings or kubernetes_settings()
    return build_smoke_job(settings, smoke_request(settings, FILES), "0badcafe")


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod


def containers(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    pod = pod_of(job)
    return {one["name"]: one for one in (*pod.get("initContainers", ()), *pod["containers"])}


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


@pytest.mark.parametrize("score", ["exam", "log"])
def test_whole_manifest(score: str) -> None:
    told = job_of(kubernetes_settings(score=score))

    assert json.loads((EXPECTED / f"job-smoke-{score}.json").read_text()) == told


def test_one_step_runs_behind_the_trainings_supervisor_then_a_fresh_container_loads() -> None:
    step, load = containers(job_of()).values()

    assert (step["name"], load["name"]) == ("train", "candidate")
    assert step["command"][:4] == ["python", "-m", "exam.supervise", "--"]
    assert step["command"][-3:] == ["1", "python", "train.py"]
    assert environment(step)["AUTORESEARCH_SMOKE"] == "1"
    assert "load_model" in load["command"][-1]
    assert [m.get("readOnly") for m in load["volumeMounts"] if m["name"] == "artifact"] == [True]


def test_it_sees_what_a_training_sees_and_nothing_of_the_exam() -> None:
    settings = kubernetes_settings()
    training = build_job(settings, try_request(""), phases(settings, try_request("")))

    mounts = [sorted(m["mountPath"] for m in containers(job)["train"]["volumeMounts"]) for job in (job_of(), training)]
    assert mounts[0] == mounts[1]
    assert not any(
        "probes" in json.dumps(one) or "validation" in json.dumps(one) for one in containers(job_of()).values()
    )


def test_pod_has_the_walls_of_an_attempt() -> None:
    settings = kubernetes_settings(runtime_class_name="gvisor", priority_class_name="research")
    request = try_request("")
    attempt, smoke = pod_of(build_job(settings, request, phases(settings, request))), pod_of(job_of(settings))

    for wall in (
        "securityContext",
        "dnsPolicy",
        "dnsConfig",
        "enableServiceLinks",
        "automountServiceAccountToken",
        "serviceAccountName",
        "runtimeClassName",
        "priorityClassName",
        "restartPolicy",
    ):
        assert attempt[wall] == smoke[wall]
    for container in containers(job_of(settings)).values():
        assert container["securityContext"] == attempt["initContainers"][0]["securityContext"]


AMOUNTS = st.builds("{}{}".format, st.integers(1, 4000), st.sampled_from(["m", ""]))
MEMORIES = st.builds("{}{}".format, st.integers(1, 4000), st.sampled_from(["Mi", "Gi", "G"]))


@given(
    cpu=AMOUNTS, examine_cpu=AMOUNTS, memory=MEMORIES, examine_memory=MEMORIES, score=st.sampled_from(["exam", "log"])
)
def test_no_container_asks_for_an_accelerator_nor_for_more_than_it_may_use(score: str, **amounts: str) -> None:
    settings = kubernetes_settings(
        score=score, gpus=8, extra_resources={"example.com/mig": "1"}, resource_claims=[{"name": "gpu"}], **amounts
    )
    job = job_of(settings)

    assert "resourceClaims" not in pod_of(job)
    for container in containers(job).values():
        asked, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert set(container["resources"]) == {"requests", "limits"}
        assert set(asked) == set(limits) == {"cpu", "memory", "ephemeral-storage"}
        assert all(amount(asked[kind]) <= amount(limits[kind]) for kind in asked)


def test_an_image_that_shows_every_gpu_shows_none() -> None:
    for container in containers(job_of()).values():
        assert environment(container)["NVIDIA_VISIBLE_DEVICES"] == "void"
        assert environment(container)["CUDA_VISIBLE_DEVICES"] == ""


def test_job_runs_once_and_ends_and_goes_by_itself() -> None:
    job = job_of()

    assert job["spec"]["backoffLimit"] == 0
    assert pod_of(job)["activeDeadlineSeconds"] >= 60
    assert job["spec"]["activeDeadlineSeconds"] == pod_of(job)["activeDeadlineSeconds"] + PLACE_SECONDS
    assert job["spec"]["ttlSecondsAfterFinished"] > 0


def test_where_there_is_an_exam_no_attempt_of_the_campaign_is_beside_it_on_a_node() -> None:
    own = {"topologyKey": "rack", "labelSelector": {}}
    settings = kubernetes_settings(affinity={"podAntiAffinity": {REQUIRED: [own]}})
    [kept, term] = pod_of(job_of(settings))["affinity"]["podAntiAffinity"][REQUIRED]
    request = try_request("", id=TryId("demo", 1, 1, 1))
    attempt = build_job(settings, request, phases(settings, request))

    assert kept == own
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"].items() <= attempt["spec"]["template"]["metadata"]["labels"].items()
    assert "namespaces" not in term
    assert "affinity" not in pod_of(job_of(kubernetes_settings(score="log")))


def test_labels_that_name_an_accelerator_are_not_asked_of_a_node_and_others_are() -> None:
    settings = kubernetes_settings(
        node_selector={
            "nvidia.com/gpu.product": "H200",
            "cloud.google.com/gke-accelerator": "nvidia-h200",
            "kubernetes.io/arch": "amd64",
            "pool": "sandboxes",
        },
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}],
    )
    pod = pod_of(job_of(settings))

    assert pod["nodeSelector"] == {"kubernetes.io/arch": "amd64", "pool": "sandboxes"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists"} in pod["tolerations"]


def test_own_nodes_take_the_place_of_those_of_attempts() -> None:
    settings = kubernetes_settings(
        score="log",
        node_selector={"pool": "gpus"},
        affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone"}]}]}}},
        smoke_node_selector={"pool": "cpus"},
    )
    pod = pod_of(job_of(settings))

    assert pod["nodeSelector"] == {"pool": "cpus"}
    assert "affinity" not in pod


KEYS = st.sampled_from(["zone", "pool", "nvidia.com/gpu.product", "gke-accelerator", "instance-gpu-name"])
TERMS = st.lists(
    st.fixed_dictionaries(
        {"matchExpressions": st.lists(st.fixed_dictionaries({"key": KEYS, "operator": st.just("Exists")}), min_size=1)}
    ),
    min_size=1,
    max_size=3,
)


@given(terms=TERMS, wishes=TERMS)
def test_of_node_affinity_every_condition_stays_but_those_on_accelerators(terms: list[Any], wishes: list[Any]) -> None:
    nodes = {
        REQUIRED: {"nodeSelectorTerms": terms},
        PREFERRED: [{"weight": 1, "preference": wish} for wish in wishes],
    }
    settings = kubernetes_settings(score="log", affinity={"nodeAffinity": nodes})
    left = pod_of(job_of(settings)).get("affinity", {}).get("nodeAffinity", {})

    def others(term: dict[str, Any]) -> list[Any]:
        return [one for one in term["matchExpressions"] if not ACCELERATOR.search(one["key"])]

    kept = [others(term) for term in terms]
    # A term with nothing left is met by every node, and so is a list with such a term.
    expected = kept if all(kept) else []
    assert [t["matchExpressions"] for t in left.get(REQUIRED, {}).get("nodeSelectorTerms", [])] == expected
    assert [w["preference"]["matchExpressions"] for w in left.get(PREFERRED, [])] == [
        rest for rest in map(others, wishes) if rest
    ]


def test_edited_files_belong_to_the_job_from_the_first() -> None:
    settings = kubernetes_settings()
    request, job = smoke_request(settings, FILES), job_of()
    files = build_smoke_files(settings, request, job | {"metadata": job["metadata"] | {"uid": "u-1"}})

    assert files["data"] == build_config_map(settings, request)["data"]
    assert files["immutable"] is True
    assert files["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": "u-1"}
    ]
    [volume] = [one for one in pod_of(job)["volumes"] if one["name"] == "edited"]
    assert volume["configMap"]["name"] == files["metadata"]["name"]


def test_smoke_tests_are_neither_tries_nor_proposals() -> None:
    labels = job_of()["metadata"]["labels"]
    attempt = build_job(kubernetes_settings(), try_request(""), phases(kubernetes_settings(), try_request("")))

    assert labels["app.kubernetes.io/component"] != attempt["metadata"]["labels"]["app.kubernetes.io/component"]
    assert not {"experiment", "attempt", "try", "proposal", "study"} & set(labels)
    assert not any("kueue" in key for key in labels)
    assert smoke_selector("demo").endswith(",smoke")
    assert "smoke" not in attempt["metadata"]["labels"]
    assert "study" in campaign_selector("demo", studies=True).split(","), "a controller of studies sees none"


def test_no_name_is_longer_than_it_may_be() -> None:
    assert len(smoke_name("t" * 30, "0badcafe")) <= NAME_LIMIT
