"""The task that ships, made small: its programs run as a user and an executor run them, on little text."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE_S

TASK = Path(__file__).resolve().parents[2] / "trainer-image"

SIZES = [
    "--vocabulary",
    "512",
    "--sequence-length",
    "32",
    "--sequences",
    "24",
    "--probes",
    "16",
    "--probe-sets",
    "3",
    "--reserve-slices",
    "4",
    "--reserve-sequences",
    "6",
]
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

    @property
    def kept_its_budget(self) -> bool:
        """True if the artifact was complete in time, by the file's date and by the summary that follows it."""
        weights, told = (
            self.artifact / "weights.pt",
            re.search(r"^total_seconds: +([\d.]+)$", self.output, re.MULTILINE),
        )
        if not weights.exists() or told is None:
            return False
        return max(weights.stat().st_mtime - self.started, float(told[1])) <= self.budget


def losses(training: Training) -> list[str]:
    """The loss of each step as the progress line showed it."""
    return re.findall(r"loss: ([\d.]+)", training.output)


def run_prepare(data: Path, *options: str, source: Path | str | None = None) -> subprocess.CompletedProcess[str]:
    """Run prepare.py as a user would, with the small sizes of these tests."""
    command = [sys.executable, str(TASK / "prepare.py"), "--data", str(data), *SIZES]
    command += ["--source", str(source)] if source else []
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=PATIENCE_S)


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
        [sys.executable, "train.py"], cwd=task, env=environment, capture_output=True, timeout=seconds + PATIENCE_S
    )
    output = (result.stdout + result.stderr).decode()  # text=True would turn the progress line's \r into \n
    return Training(artifact, output, seconds, start, result.returncode)
