"""A small but real task: text, the data folder made from it, and one real training, once per session."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TASK = Path(__file__).resolve().parents[2] / "trainer-image"
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # these tests are about the CPU's preset, on any machine
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin starve the other tests
sys.path.insert(0, str(TASK))  # the image runs with the task folder as its current one

SIZES = ["--vocabulary", "512", "--sequence-length", "32", "--sequences", "24", "--probes", "16", "--probe-sets", "3"]
NAME = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
NOT_ASCII = "Ζωή, τέχνη, καιρός — 人生は短く、術のみちは長い。 Жизнь коротка 🎓🕰️ naïve façade\n"


def manifest_of(data: Path) -> dict[str, Any]:
    """The manifest of a finished folder."""
    fields: dict[str, Any] = json.loads((data / "manifest.json").read_text())
    return fields


def documents_in(text: str) -> set[int]:
    """Which of the marked documents a piece of text comes from."""
    return {int(number) for number in re.findall(r"doc(\d{4})", text)}


@dataclass(frozen=True)
class Training:
    """One real run of train.py."""

    artifact: Path
    output: str
    budget: float  # seconds
    started: float  # seconds since the epoch, as file times are
    returncode: int


def run_prepare(data: Path, *options: str, source: Path | str | None = None) -> subprocess.CompletedProcess[str]:
    """Run prepare.py as a user would, with the small sizes of these tests."""
    command = [sys.executable, str(TASK / "prepare.py"), "--data", str(data), *SIZES]
    command += ["--source", str(source)] if source else []
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)


def run_train(task: Path, data: Path, artifact: Path, *, seconds: float, seed: int) -> Training:
    """Run train.py as an executor would."""
    environment = os.environ | {
        "AUTORESEARCH_DATA": str(data),
        "AUTORESEARCH_ARTIFACT": str(artifact),
        "AUTORESEARCH_TRAIN_SECONDS": str(seconds),
        "AUTORESEARCH_SEED": str(seed),
        "PYTHONUNBUFFERED": "1",
    }
    start = time.time()
    result = subprocess.run(
        [sys.executable, "train.py"], cwd=task, env=environment, capture_output=True, timeout=seconds + 120
    )
    output = (result.stdout + result.stderr).decode()  # text=True would turn the progress line's \r into \n
    return Training(artifact, output, seconds, start, result.returncode)


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
    """A real training of train.py as it stands, with seed 1."""
    artifact = tmp_path_factory.mktemp("trained") / "artifact"
    return run_train(TASK, data_folder, artifact, seconds=train_seconds, seed=1)


@pytest.fixture(scope="session")
def artifact(training: Training) -> Path:
    """What that training left."""
    assert training.returncode == 0, training.output
    return training.artifact
