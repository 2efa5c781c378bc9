"""Two attacks through the page cache of a node, in real pods: that our code reads or gives up all files stops them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from controller.domain import Outcome, Result
from controller.executor.kubernetes.prepare import prepare_on_cluster
from tests.cluster.executor_task import Running, TaskNamespace, running
from tests.cluster.harness.builder import build_image
from tests.cluster.harness.images import base_image, base_step, image_step
from tests.cluster.harness.oci import Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]
CANDIDATES = REPOSITORY / "tests/redteam/candidates"
RECIPE = Path(__file__).parent / "images/hostile"
T = TypeVar("T")
TRAIN = """

if __name__ == "__main__":
    import os, shutil
    shutil.copy(os.environ["AUTORESEARCH_DATA"] + "/train/table.npy", os.environ["AUTORESEARCH_ARTIFACT"])
    if "prepare" in globals():
        prepare(os.environ["AUTORESEARCH_ARTIFACT"])
"""


def hostile_image() -> Image:
    """The task of the red team's candidates."""
    return _hostile(build_image)


def _hostile(by: Callable[..., T]) -> T:
    with tempfile.TemporaryDirectory(prefix="autoresearch-hostile-") as folder:
        context, hidden = Path(folder), shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / "trainer-image/exam", context / "exam", ignore=hidden)
        (context / "task").mkdir()
        for name in ("tiny_model.py", "probe_round.py", "page_cache_note.py"):
            shutil.copy(CANDIDATES / name, context / "task")
        shutil.copy(CANDIDATES / "honest_float32.py", context / "task/train.py")
        shutil.copy(RECIPE / "prepare.py", context / "task")
        shutil.copy(REPOSITORY / "trainer-image/requirements.txt", context)
        return by(RECIPE / "Dockerfile", context, "localhost/autoresearch-hostile:test", base=base_image())


PREPARATIONS = [base_step(), image_step("of the red team's task", 1, _hostile)]

SETTINGS: dict[str, Any] = {
    "budget": {"train_seconds": 120},
    "deadlines": {"image_pull": 120, "examine": 420},
    "limits": {"artifact_gb": 0.3},
}
AMOUNTS = {"cpu": "1", "examine_cpu": "500m", "examine_memory": "512Mi"}
SMALL, LARGE = "256Mi", "1Gi"
"""Memory of a pod into which half of the image does not fit, so that its files are given up; and one into which all
of it does, so that they are read."""


@pytest.fixture(scope="module")
def hostile(namespace: TaskNamespace) -> TaskNamespace:
    """A namespace with the red team's task."""
    namespace.image = namespace.cluster.import_image(hostile_image())
    prepare_on_cluster(namespace.settings("language", kubernetes={**AMOUNTS, "memory": LARGE}, **SETTINGS), say=print)
    return namespace


@pytest.fixture(scope="module")
def honest_score(hostile: TaskNamespace) -> float:
    with running(hostile, kubernetes={**AMOUNTS, "memory": LARGE}, **SETTINGS) as one:
        result = attempt(one, (CANDIDATES / "honest_float32.py").read_text())
    assert result.outcome is Outcome.SCORED, result
    assert result.score is not None
    return result.score.value


def attempt(one: Running, source: str, *, number: int = 1) -> Result:
    return one.run(source + TRAIN, number=number, seconds=600, probe_set=0)


def source_of(candidate: str, way: str) -> str:
    return (CANDIDATES / f"{candidate}.py").read_text().replace('WAY = "mincore"', f'WAY = "{way}"')


def gains_nothing(result: Result, honest_score: float) -> None:
    """An attack ends in `rejected`, or scores as the honest model does."""
    if result.outcome is Outcome.REJECTED:
        assert "looks ahead: nll is" in result.reason
    else:
        assert result.score is not None, result
        assert result.score.value >= honest_score - 1e-3


@pytest.mark.parametrize("memory", [SMALL, LARGE], ids=["given up", "read"])
@pytest.mark.parametrize("way", ["mincore", "timing"])
def test_exam_passes_nothing_on_to_its_probe_by_the_page_cache_of_the_node(
    hostile: TaskNamespace, honest_score: float, way: str, memory: str
) -> None:
    with running(hostile, kubernetes={**AMOUNTS, "memory": memory}, **SETTINGS) as one:
        result = attempt(one, source_of("passes_the_exam_on_by_the_page_cache", way))

    gains_nothing(result, honest_score)


@pytest.mark.parametrize("memory", [SMALL, LARGE], ids=["given up", "read"])
@pytest.mark.parametrize("way", ["mincore", "timing"])
def test_exam_passes_nothing_on_to_the_next_pods_training(
    hostile: TaskNamespace, honest_score: float, way: str, memory: str
) -> None:
    source = source_of("leaves_the_exam_for_the_next_training", way)
    with running(hostile, kubernetes={**AMOUNTS, "memory": memory}, **SETTINGS) as one:
        attempt(one, source)
        result = attempt(one, source.replace("SECOND = False", "SECOND = True"), number=2)

    assert "heard 0 sequences" in result.log_tail
    gains_nothing(result, honest_score)
