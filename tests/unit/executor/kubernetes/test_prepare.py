"""The Job that prepares data: what it is recognised by, and what it may use."""

from __future__ import annotations

from typing import Any

import pytest

from controller.executor.kubernetes.pod import pod_baseline
from controller.executor.kubernetes.prepare import READERS, RECIPE, build_prepare_job
from controller.settings import KubernetesSettings, Settings


def job(*, prepare: tuple[str, ...] = (), **kubernetes: Any) -> dict[str, Any]:
    fields = {"image": "trainer:1", **kubernetes}
    return build_prepare_job(
        Settings.model_validate(
            {"task": {"prepare": prepare}, "executor": {"kind": "kubernetes", "kubernetes": fields}}
        )
    )


def recipe(**fields: Any) -> str:
    found: str = job(**fields)["metadata"]["annotations"][RECIPE]
    return found


def test_recipe_is_what_decides_about_the_data() -> None:
    others = [
        recipe(image="trainer:2"),
        recipe(data_folder="other"),
        recipe(data_claim="other"),
        recipe(prepare=("--preset", "gpu")),
    ]

    assert len({recipe(), *others}) == 1 + len(others)
    assert recipe() == recipe(cpu="8", memory="64Gi", tolerations=({"key": "gpu", "operator": "Exists"},), gpus=8)


def test_disk_is_limited_and_no_node_needs_to_set_it_all_aside() -> None:
    [container] = job(prepare_disk="80Gi")["spec"]["template"]["spec"]["containers"]

    assert container["resources"]["limits"]["ephemeral-storage"] == "80Gi"
    assert container["resources"]["requests"]["ephemeral-storage"] == "1Gi"


@pytest.mark.parametrize("label", ["app.kubernetes.io/component", "autoresearch.dev/role"])
def test_pod_is_known_as_the_one_that_may_fetch_data(label: str) -> None:
    assert job()["spec"]["template"]["metadata"]["labels"][label] == "prepare"


def test_pod_alone_is_in_the_group_that_may_read_the_text_of_exams() -> None:
    context = job()["spec"]["template"]["spec"]["securityContext"]
    assert context["supplementalGroups"] == [READERS]
    assert context["runAsUser"] == context["runAsGroup"] != READERS
    assert "supplementalGroups" not in pod_baseline(KubernetesSettings())["securityContext"]
