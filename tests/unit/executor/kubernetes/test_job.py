"""The manifests: the whole Job of an exam and of a log-scored task, and the walls between the phases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import BaselineNoise, TryId, TryRequest
from controller.executor.kubernetes.job import build_config_map, build_job, owner_patch
from controller.executor.kubernetes.launching import too_large
from controller.executor.kubernetes.naming import NAME_LIMIT, REQUEST, config_map_name, job_name, request_hash
from controller.executor.kubernetes.pod import pod_deadline
from controller.executor.phases import phases
from controller.settings import Settings
from tests.support.kubernetes_objects import kubernetes_settings
from tests.support.requests import try_request

EXPECTED = Path(__file__).parent / "manifests"
TAGS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", fullmatch=True)
IDS = st.builds(TryId, TAGS, st.integers(0, 10**9), st.integers(1, 10**6), st.integers(1, 10**6))


def request_of(**changes: Any) -> TryRequest:
    """The try whose manifests are recorded."""
    fields: dict[str, Any] = {
        "id": TryId("demo", 3, 1, 1),
        "commit": "c0ffee",
        "seed": 7,
        "probe_set": 5,
        "reserve": 17,
        "baseline": BaselineNoise(spread=0.0025),
    }
    return try_request(**(fields | changes))


def job_of(settings: Settings | None = None, request: TryRequest | None = None) -> dict[str, Any]:
    settings, request = settings or kubernetes_settings(), request or request_of()
    return build_job(settings, request, phases(settings, request))


def containers(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    pod = job["spec"]["template"]["spec"]
    return {one["name"]: one for one in (*pod.get("initContainers", ()), *pod["containers"])}


def mounts(job: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    return {mount["mountPath"]: mount for mount in containers(job)[name]["volumeMounts"]}


@pytest.mark.parametrize("score", ["exam", "log"])
def test_whole_manifest(score: str) -> None:
    settings = kubernetes_settings(score=score)

    assert json.loads((EXPECTED / f"job-{score}.json").read_text()) == job_of(settings)


def test_whole_config_map() -> None:
    request = request_of(files={"train.py": "a", "model/block.py": "b"})

    assert build_config_map(kubernetes_settings(), request) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": job_of(request=request)["metadata"] | {"name": config_map_name(request)},
        "immutable": True,
        "data": {"file-0": "b", "file-1": "a"},
    }


def test_config_map_is_given_to_its_job() -> None:
    patch = owner_patch({"metadata": {"name": "ar-x", "uid": "u-1"}})

    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "ar-x", "uid": "u-1"}
    assert patch == {"metadata": {"ownerReferences": [owner]}}


def test_edited_files_are_everywhere_but_with_the_examiner() -> None:
    job = job_of(request=request_of(files={"train.py": "a", "model/block.py": "b"}))

    for name in ("train", "candidate"):
        assert mounts(job, name)["/task/model/block.py"]["subPath"] == "file-0"
        assert mounts(job, name)["/task/train.py"]["readOnly"]
    assert not [path for path in mounts(job, "examine") if path.startswith("/task")]


def test_only_the_examiner_sees_the_test_set() -> None:
    job = job_of(request=request_of(holdout=True))
    secret = ("validation", "holdout", "reserve", "answers", "manifest")

    for name in ("train", "candidate"):
        seen = [m.get("subPath", "") for m in mounts(job, name).values() if m["name"] == "data"]
        assert not [path for path in seen if any(word in path for word in secret)]
    assert {"data/validation", "data/holdout", "data/reserve/017", "data/probes/05"} <= {
        m.get("subPath") for m in mounts(job, "examine").values()
    }


def test_a_campaigns_examiner_does_not_see_the_holdout_and_sees_one_slice_of_the_reserve() -> None:
    seen = [m.get("subPath", "") for m in mounts(job_of(), "examine").values()]

    assert not [path for path in seen if "holdout" in path]
    assert [path for path in seen if "reserve" in path] == ["data/reserve/017"]


def test_data_is_never_writable_and_never_whole() -> None:
    job = job_of()
    [claim] = [v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "data"]
    of_data = [m for name in containers(job) for m in mounts(job, name).values() if m["name"] == "data"]

    assert claim["persistentVolumeClaim"]["readOnly"]
    assert all(m["readOnly"] and m["subPath"].startswith("data/") for m in of_data)


def test_nothing_writable_outlives_the_candidate() -> None:
    job = job_of()

    assert [path for path, mount in mounts(job, "candidate").items() if not mount.get("readOnly")] == []
    assert not containers(job)["candidate"]["securityContext"]["readOnlyRootFilesystem"]
    assert containers(job)["candidate"]["restartPolicy"] == "Always"


def test_no_two_containers_share_tmp_or_shared_memory() -> None:
    job = job_of()
    places = [
        mounts(job, name)[path]["name"]
        for name in containers(job)
        for path in ("/tmp", "/dev/shm")
        if path in mounts(job, name)
    ]

    assert len(places) == len(set(places)) == 5


def test_result_travels_in_the_termination_message_of_the_examiner_alone() -> None:
    examine = containers(job_of())["examine"]
    environment = {entry["name"]: entry.get("value") for entry in examine["env"]}

    assert environment["AUTORESEARCH_RESULT"] == examine["terminationMessagePath"] == "/dev/termination-log"
    assert examine["terminationMessagePolicy"] == "File"
    assert environment["AUTORESEARCH_ATTEMPT"] == "demo-e0003-a1-t1"


def test_requests_equal_limits_and_the_examiner_has_no_gpu() -> None:
    job = job_of(kubernetes_settings(gpus=2, gpu_resource="amd.com/gpu", extra_resources={"example.test/nic": "1"}))

    for name, container in containers(job).items():
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert container["resources"]["limits"].get("amd.com/gpu") == (None if name == "examine" else "2")
        assert container["resources"]["limits"].get("example.test/nic") == (None if name == "examine" else "1")


def test_resource_claims_reach_the_pod_and_the_containers_that_compute() -> None:
    job = job_of(kubernetes_settings(gpus=0, resource_claims=({"name": "gpu", "resourceClaimTemplateName": "one"},)))

    assert job["spec"]["template"]["spec"]["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "one"}]
    assert containers(job)["train"]["resources"]["claims"] == [{"name": "gpu"}]
    assert "claims" not in containers(job)["examine"]["resources"]


def test_queue_is_asked_for_by_labels_of_the_job_and_its_deadline_is_left_to_kubernetes() -> None:
    def labels(**settings: str) -> dict[str, str]:
        found: dict[str, str] = job_of(kubernetes_settings(**settings))["metadata"]["labels"]
        return {key.partition("/")[2]: value for key, value in found.items() if key.startswith("kueue")}

    assert labels() == {}
    assert labels(kueue_queue="lab") == {"queue-name": "lab"}
    assert labels(kueue_queue="lab", kueue_priority="low") == {"queue-name": "lab", "priority-class": "low"}
    assert "suspend" not in job_of(kubernetes_settings(kueue_queue="lab"))["spec"]


def test_pods_own_fields_pass_through() -> None:
    pod = job_of(
        kubernetes_settings(
            node_selector={"pool": "a100"},
            runtime_class_name="nvidia",
            priority_class_name="low",
            image_pull_secrets=("registry",),
            tolerations=({"key": "gpu", "operator": "Exists"},),
            affinity={"nodeAffinity": {}},
        )
    )["spec"]["template"]["spec"]

    assert (pod["nodeSelector"], pod["runtimeClassName"]) == ({"pool": "a100"}, "nvidia")
    assert (pod["priorityClassName"], pod["imagePullSecrets"]) == ("low", [{"name": "registry"}])
    assert pod["tolerations"][-1] == {"key": "gpu", "operator": "Exists"}
    assert pod["affinity"] == {"nodeAffinity": {}}


def test_backstop_comes_after_the_deadline_that_keeps_logs() -> None:
    settings = kubernetes_settings()
    job = job_of(settings)
    deadline = job["spec"]["template"]["spec"]["activeDeadlineSeconds"]

    assert deadline == pod_deadline(settings.deadlines.image_pull, phases(settings, request_of()))
    assert job["spec"]["activeDeadlineSeconds"] == deadline + 1800


@given(IDS)
def test_name_fits_and_is_a_valid_name(id: TryId) -> None:
    name = job_name(id)

    assert name.startswith("ar-")
    assert len(name) <= NAME_LIMIT
    assert not name.endswith("-")


@given(IDS, IDS)
def test_different_tries_have_different_names(one: TryId, other: TryId) -> None:
    assert (job_name(one) == job_name(other)) == (str(one) == str(other))


def test_longest_tag_keeps_a_readable_name() -> None:
    assert job_name(TryId("a" * 30, 9999, 12, 3)) == f"ar-{'a' * 30}-e9999-a12-t3"


@pytest.mark.parametrize(
    "change",
    [
        {"commit": "other"},
        {"seed": 8},
        {"probe_set": 6},
        {"reserve": 18},
        {"holdout": True},
        {"files": {"train.py": "other"}},
    ],
    ids=str,
)
def test_another_request_has_another_hash(change: dict[str, Any]) -> None:
    assert request_hash(request_of()) != request_hash(request_of(**change))


def test_hash_survives_new_settings_and_a_refined_baseline() -> None:
    annotations = job_of(kubernetes_settings(memory="64Gi"))["metadata"]["annotations"]

    assert annotations[REQUEST] == request_hash(request_of(baseline=None))


def test_other_files_under_the_same_try_have_another_config_map() -> None:
    """Seen on a real node: a kubelet served the deleted ConfigMap's text to a new pod that named it again."""
    one, other = request_of(), request_of(files={"train.py": "other"})

    assert job_name(one.id) == job_name(other.id)
    assert config_map_name(one) != config_map_name(other)


@pytest.mark.parametrize(("size", "fits"), [(2**20, True), (2**20 + 1, False)])
def test_files_beyond_a_config_map_are_the_edits_own_fault(size: int, fits: bool) -> None:
    assert (too_large(request_of(files={"train.py": "x" * size})) == "") is fits


def test_attempt_without_an_exam_has_a_folder_of_its_own_with_the_edited_files() -> None:
    request = request_of(files={"train.py": "a", "model/block.py": "b"})
    job = job_of(kubernetes_settings(score="log"), request)
    copy, train = containers(job)["copy-task"], mounts(job, "train")

    assert train["/task"] == {"name": "task", "mountPath": "/task"}
    assert not [path for path in train if path.startswith("/task/")]
    assert copy["command"][4:] == ["file-0", "model/block.py", "file-1", "train.py"]
    assert mounts(job, "copy-task")["/edited"]["readOnly"]
    assert "nvidia.com/gpu" not in copy["resources"]["limits"]
    [volume] = [v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "task"]
    assert volume == {"name": "task", "emptyDir": {"sizeLimit": "1024Mi"}}
