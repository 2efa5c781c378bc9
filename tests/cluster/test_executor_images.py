"""The two images as they are shipped, and the sealed exam as it is held in a Pod: torch, data and all.

Slow the first time: the trainer's image has 5 GB. Both are cached by what they are made of.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controller.domain import Outcome, Provenance
from controller.executor.kubernetes.pod import USER, container_security
from controller.executor.kubernetes.prepare import prepare_on_cluster
from tests.cluster.executor_task import Laboratory, laboratory_on, running
from tests.cluster.harness import BuiltCluster, Manifest, NamespacePair
from tests.cluster.harness.builder import build_image
from tests.cluster.harness.images import base_image
from tests.cluster.harness.oci import Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
TASK = ROOT / "trainer-image"


def controller_image() -> Image:
    return build_image(ROOT / "Dockerfile", ROOT, "localhost/autoresearch-controller:test", base=base_image())


def trainer_image() -> Image:
    return build_image(TASK / "Dockerfile", TASK, "localhost/autoresearch-trainer:test", base=base_image())


PREPARATIONS = [controller_image, trainer_image]


@pytest.fixture
def laboratory(built_cluster: BuiltCluster, namespaces: NamespacePair) -> Iterator[Laboratory]:
    with laboratory_on(built_cluster, namespaces.runner) as one:
        yield one


def said_by(laboratory: Laboratory, image: str, *arguments: str) -> str:
    """What the image's entry point prints, under Pod Security `restricted` and a read-only root."""
    pod: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "check"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "dnsPolicy": "Default",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "runAsNonRoot": True},
            "containers": [
                {"name": "check", "image": image, "args": list(arguments), "securityContext": container_security()}
            ],
        },
    }
    laboratory.cluster.apply(pod, namespace=laboratory.namespace)
    laboratory.kubectl("wait", "pod/check", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s")
    return laboratory.kubectl("logs", "check")


def test_controllers_image_runs_as_nobody_and_tells_its_version(laboratory: Laboratory) -> None:
    image = laboratory.cluster.import_image(controller_image())

    assert said_by(laboratory, image, "--version").startswith("autoresearch ")


def test_trainers_image_runs_as_nobody_and_tells_its_versions(laboratory: Laboratory) -> None:
    said = said_by(laboratory, laboratory.cluster.import_image(trainer_image()), "--check")

    assert said.endswith("ok\n")
    assert {"python", "torch", "numpy", "cuda"} <= {line.split()[0] for line in said.splitlines()}


def test_images_name_nobody_as_their_user() -> None:
    for image in (controller_image(), trainer_image()):
        config = json.loads(
            image.blob(json.loads(image.blob(image.digest).read_text())["config"]["digest"]).read_text()
        )
        assert config["config"]["User"] == f"{USER}:{USER}"


SIZES: Manifest = {
    "kubernetes": {
        "cpu": "1500m",
        "memory": "3Gi",
        "examine_cpu": "400m",
        "examine_memory": "1Gi",
        "shared_memory": "64Mi",
    },
    "limits": {"artifact_gb": 1, "scratch_gb": 1},
    "deadlines": {"image_pull": 60, "probe": 180, "examine": 400},
}


def test_sealed_exam_scores_the_shipped_task_in_a_pod(laboratory: Laboratory) -> None:
    laboratory.image = laboratory.cluster.import_image(trainer_image())
    overrides = {**SIZES, "budget": {"train_seconds": 20, "experiments": 1}}
    prepare_on_cluster(laboratory.settings("real", **overrides), say=print)
    with running(laboratory, tag="real", **overrides) as one:
        result = one.run((TASK / "train.py").read_text(), seconds=600)

    assert result.outcome is Outcome.SCORED, result.reason
    assert result.score is not None
    assert result.score.provenance is Provenance.SEALED
    assert result.exam is not None
    assert (result.exam.flag, result.exam.hits, result.exam.restart) == (None, 0, 0.0)
    assert 0 < result.score.value < 8
    assert "step" in result.log_tail


def test_whole_campaign_runs_from_the_command_line(laboratory: Laboratory, tmp_path: Path) -> None:
    laboratory.image = laboratory.cluster.import_image(trainer_image())
    budget = {"train_seconds": 8, "experiments": 1}
    settings = laboratory.settings("whole", **SIZES, budget=budget, judge={"baseline_runs": 2, "max_runs": 1})
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_defaults=True)))
    for verb in ("prepare", "run"):
        command = [sys.executable, "-m", "controller.cli", verb, str(tmp_path / "whole"), "--settings", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr

    outcomes = {job["metadata"]["labels"]["outcome"] for job in laboratory.jobs("whole")}
    assert len(laboratory.jobs("whole")) == 3
    assert outcomes <= {"scored", "crashed", "timed_out"}
    assert "stopped: 1 experiment" in done.stdout
