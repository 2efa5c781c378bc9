"""The two images as they are shipped, and the sealed exam as it is held in a Pod: torch, data and all.

Slow the first time: the trainer's image has 5 GB. Both are cached by what they are made of.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import yaml

from controller.domain import Outcome, Provenance
from controller.executor.kubernetes.pod import USER, container_security
from controller.executor.kubernetes.prepare import prepare_on_cluster
from tests.chart.images import CONTROLLER, controller_image
from tests.cluster.executor_task import TaskNamespace, running
from tests.cluster.harness import Manifest
from tests.cluster.harness.builder import build_image
from tests.cluster.harness.images import base_image, base_step, image_step
from tests.cluster.harness.oci import Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TASK = Path(__file__).parents[2] / "trainer-image"
T = TypeVar("T")


def trainer_image() -> Image:
    return _trainer(build_image)


def _trainer(by: Callable[..., T]) -> T:
    return by(TASK / "Dockerfile", TASK, "localhost/autoresearch-trainer:test", base=base_image())


PREPARATIONS = [base_step(), CONTROLLER, image_step("of the trainer, with torch", 6, _trainer)]


def said_by(own_namespace: TaskNamespace, image: str, *arguments: str) -> str:
    """Output of the image's entry point, under Pod Security `restricted` and a read-only root."""
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
    own_namespace.cluster.apply(pod, namespace=own_namespace.name)
    ended = own_namespace.cluster.wait_for(
        *("pod", "check", f"--namespace={own_namespace.name}"),
        until=lambda found: found["status"].get("phase") in ("Succeeded", "Failed"),
        what="the end of the pod",
        seconds=600,
    )
    said = own_namespace.kubectl("logs", "check")
    assert ended["status"]["phase"] == "Succeeded", said
    return said


def test_controllers_image_runs_as_nobody_and_tells_its_version(own_namespace: TaskNamespace) -> None:
    image = own_namespace.cluster.import_image(controller_image())

    assert said_by(own_namespace, image, "--version").startswith("autoresearch ")


def test_trainers_image_runs_as_nobody_and_tells_its_versions(own_namespace: TaskNamespace) -> None:
    said = said_by(own_namespace, own_namespace.cluster.import_image(trainer_image()), "--check")

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
    "deadlines": {"image_pull": 120, "train_grace": 120, "examine": 900},
}


BEGINS = '\nif __name__ == "__main__":'
LOOK = """
import os, sysconfig
for name in ("lib2to3", "pydoc_data"):
    try:
        found = os.listdir(os.path.join(sysconfig.get_path("stdlib"), name))
    except OSError:
        continue
    raise SystemExit(f"{name} can be read: {found}")
"""
"""Stands before the training begins: it looks for the text of its exam in Python's own library, and fails if it is
there."""


def test_sealed_exam_scores_the_shipped_task_in_a_pod(own_namespace: TaskNamespace) -> None:
    own_namespace.image = own_namespace.cluster.import_image(trainer_image())
    overrides = {**SIZES, "budget": {"train_seconds": 120, "experiments": 1}}
    prepare_on_cluster(own_namespace.settings("real", **overrides), say=print)
    with running(own_namespace, tag="real", **overrides) as one:
        program = (TASK / "train.py").read_text()
        result = one.run(program.replace(BEGINS, LOOK + BEGINS), seconds=900)

    assert result.outcome is Outcome.SCORED, result.reason
    assert result.score is not None
    assert result.score.provenance is Provenance.SEALED
    assert result.exam is not None
    assert (result.exam.flag, result.exam.hits, result.exam.restart) == (None, 0, 0.0)
    assert 0 < result.score.value < 8
    assert "step" in result.log_tail


def test_whole_campaign_runs_from_the_command_line(own_namespace: TaskNamespace, tmp_path: Path) -> None:
    own_namespace.image = own_namespace.cluster.import_image(trainer_image())
    budget = {"train_seconds": 40, "experiments": 1}
    # The node's GPUs are only counted, and the trainer image of the tests trains on CPUs.
    task = {"score": "exam", "preset": "cpu"}
    judge = {"baseline_runs": 2, "max_runs": 1}
    settings = own_namespace.settings("whole", **SIZES, task=task, budget=budget, judge=judge)
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)))
    for verb in ("prepare", "run"):
        command = [sys.executable, "-m", "controller.cli", verb, str(tmp_path / "whole"), "--settings", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr

    outcomes = [job["metadata"]["labels"]["outcome"] for job in own_namespace.jobs("whole")]
    # A training that a busy machine disturbs is lost, and run again.
    assert len([outcome for outcome in outcomes if outcome != "lost"]) == 3
    assert set(outcomes) <= {"scored", "crashed", "timed_out", "lost"}
    assert "stopped: 1 experiment" in done.stdout
