"""A small but real task: text, the data folder made from it, and one real training, once per session."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from tests.trainer.small_task import NAME, NOT_ASCII, TASK, Training, losses, run_prepare, run_train

ENOUGH_STEPS = 20

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # these tests are about the CPU's preset, on any machine
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin starve the other tests
sys.path.insert(0, str(TASK))  # the image runs with the task folder as its current one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test comes first waits for the training, which a busy machine may have to run again."""
    for item in items:
        if "training" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def task_folder() -> Path:
    """The folder of prepare.py, train.py and exam/."""
    return TASK


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some hundred real documents, one of them in several scripts."""
    folder = tmp_path_factory.mktemp("text")
    library = Path(sysconfig.get_path("stdlib"))
    for package in ("asyncio", "email", "http", "importlib", "json", "logging", "unittest", "xml"):
        for path in (library / package).rglob("*.py"):
            (folder / "_".join(path.relative_to(library).parts)).write_bytes(path.read_bytes())
    (folder / "scripts.txt").write_text(NOT_ASCII * 20)
    return folder


@pytest.fixture(scope="session")
def marked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sixty documents that sign every line with their number, so any piece of text tells where it is from."""
    root = tmp_path_factory.mktemp("marked")
    (root / "text").mkdir()
    for number in range(60):
        words = (f"doc{number:04d} {NAME[line % 10]} {NAME[line * number % 10]}\n" for line in range(20 + 5 * number))
        (root / "text" / f"{number}.txt").write_text("".join(words))
    result = run_prepare(root / "data", "--vocabulary", "300", source=root / "text")
    assert result.returncode == 0, result.stderr
    return root / "text", root / "data"


@pytest.fixture(scope="session")
def data_folder(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data folder: V = 512, T = 32, S = 24, N = 16, K = 3."""
    data = tmp_path_factory.mktemp("prepared") / "data"
    result = run_prepare(data, source=text_folder)
    assert result.returncode == 0, result.stderr
    return data


@pytest.fixture(scope="session")
def train_seconds() -> float:
    """A budget of about six seconds; more on a machine so busy that importing torch alone takes many."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return 4 + 2 * (time.monotonic() - start)


@pytest.fixture(scope="session")
def training(data_folder: Path, train_seconds: float, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A real training of train.py as it stands, with seed 1, and a budget that this machine has room for.

    Beside busy neighbours the imports and a first step may take longer than a short budget, or leave too little of it
    to learn anything. A training that does not keep its budget misses a long one as well.
    """
    for seconds in (train_seconds, 3 * train_seconds, 9 * train_seconds):
        done = run_train(TASK, data_folder, tmp_path_factory.mktemp("trained") / "artifact", seconds=seconds, seed=1)
        if done.kept_its_budget and len(losses(done)) >= ENOUGH_STEPS:
            break
    return done


@pytest.fixture(scope="session")
def artifact(training: Training) -> Path:
    """The artifact of that training."""
    assert training.returncode == 0, training.output
    return training.artifact
