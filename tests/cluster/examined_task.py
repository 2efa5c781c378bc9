"""A task with an examiner of its own for tests in pods: its image, with the real exam package, and small settings."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from controller.folder.new_task import TEMPLATES
from tests.cluster.harness import Manifest
from tests.cluster.harness.builder import build_image
from tests.cluster.harness.images import base_image, base_step, image_step
from tests.cluster.harness.oci import Image

REPOSITORY = Path(__file__).parents[2]
T = TypeVar("T")


def examined_image() -> Image:
    """The search task that `new` writes."""
    return _examined(build_image)


def _examined(by: Callable[..., T]) -> T:
    with tempfile.TemporaryDirectory(prefix="autoresearch-examined-") as folder:
        context, hidden = Path(folder), shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / "trainer-image/exam", context / "exam", ignore=hidden)
        shutil.copytree(TEMPLATES / "search", context / "task", ignore=hidden)
        shutil.copy(REPOSITORY / "trainer-image/requirements.txt", context)
        dockerfile = Path(__file__).parent / "images/examined/Dockerfile"
        return by(dockerfile, context, "localhost/autoresearch-examined:test", base=base_image())


PREPARATIONS = [base_step(), image_step("of a task with an examiner of its own", 1, _examined)]

TASK: Manifest = {
    "task": {"examiner": "examiner.py", "metric": "ndcg@10", "direction": "maximize", "reserve_slices": 40},
    "budget": {"train_seconds": 120},
    "deadlines": {"image_pull": 120, "examine": 300},
    "kubernetes": {"memory": "256Mi", "examine_memory": "256Mi", "cpu": "500m", "examine_cpu": "500m"},
}
