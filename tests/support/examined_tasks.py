"""Tasks with an examiner of their own: exams as processes without sandboxes, and the tasks that `new` writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from controller.cli.doctor.trials import shorten
from controller.folder import CampaignFolder
from controller.folder.new_task import TaskKind, write_task
from controller.run.prepare import prepare_data
from controller.settings import Settings
from controller.settings.file import load_settings
from tests.support.waiting import PATIENCE_S

KIT = Path(__file__).resolve().parents[2] / "trainer-image"
MARK = "@@RESULT v1 "
LONGEST_TRAINING = 120.0
"""Seconds. All of these end by themselves within a few, and the machine may be busy."""

EXAMINER = """
import json

from exam.examiner import Array, Questions


class Doubles(Questions):
    metric = "right"
    direction = "maximize"
    asks = Array("float32", (3,))
    answers = Array("float32", (3,))
    answer_seconds = 60.0

    def items(self, folder):
        return json.loads((folder / "items.json").read_text())

    def question(self, item):
        return item

    def mark(self, item, answer, spent):
        return {"right": float(abs(answer - [2 * x for x in item]).max() < 1e-3), "waited": spent.wall_seconds}
"""
"""Asks for twice the array, and marks 1 or 0."""


@dataclass(frozen=True)
class Ended:
    """The end of one exam."""

    result: dict[str, Any]
    """Fields of the result line; empty if there is none."""
    code: int
    """Exit code of the examiner."""
    log: str


@dataclass(frozen=True)
class ExaminedTask:
    """A task folder with data, whose exams run as plain processes."""

    root: Path

    def write(self, examiner: str = EXAMINER, *, items: int = 24) -> ExaminedTask:
        """Write examiner and data: three numbers an item, drawn anew, and a slice of the reserve."""
        from exam.sealing import seal

        draw = np.random.default_rng(1)
        for part in ("validation", "holdout", "reserve/000"):
            (self.root / "data" / part).mkdir(parents=True)
            numbers = draw.random((items, 3)).round(3).tolist()
            (self.root / "data" / part / "items.json").write_text(json.dumps(numbers))
        seal(self.root / "data")
        (self.root / "task").mkdir()
        (self.root / "artifact").mkdir()
        (self.root / "artifact" / "model").write_text("2")
        (self.root / "task" / "examiner.py").write_text(textwrap.dedent(examiner))
        return self

    def hold(self, source: str, *flags: str, holdout: bool = False, seconds: float = PATIENCE_S) -> Ended:
        """Hold one exam of an agent's file; flags: for the candidate."""
        (self.root / "task" / "train.py").write_text(textwrap.dedent(source))
        work = self.root / f"work{time.monotonic_ns()}"
        for name in ("socket", "examine"):
            (work / name).mkdir(parents=True)
        for name in ("validation", "holdout", "manifest.json"):
            (work / "examine" / name).symlink_to(self.root / "data" / name)
        (work / "examine" / "reserve").symlink_to(self.root / "data/reserve/000")
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        told = kept | {"PYTHONPATH": str(KIT), "PYTHONUNBUFFERED": "1", "AUTORESEARCH_SOCKET": str(work / "socket")}
        # Python takes a compiled file for current by its source's size and second: the next exam may come within one.
        told["PYTHONDONTWRITEBYTECODE"] = "1"
        asked = told | {
            "AUTORESEARCH_DATA": str(work / "examine"),
            "AUTORESEARCH_RESULT": str(work / "result"),
            "AUTORESEARCH_ATTEMPT": "t-e0001-a1-t1",
            "AUTORESEARCH_RESERVE": "000",
            **({"AUTORESEARCH_HOLDOUT": "1"} if holdout else {}),
        }
        serving = told | {"AUTORESEARCH_ARTIFACT": str(self.root / "artifact")}
        task, until = self.root / "task", time.monotonic() + seconds
        # A log for each, as in the product: two that write one file at once tear each other's lines apart.
        with (work / "examine.log").open("w") as log, (work / "candidate.log").open("w") as other:
            examine = [sys.executable, "-m", "exam.kit.examine", "examiner.py"]
            candidate = [sys.executable, "-m", "exam.kit.candidate", *flags]
            examiner = subprocess.Popen(examine, cwd=task, env=asked, stdout=log, stderr=log)
            serves: subprocess.Popen[bytes] | None = None
            while examiner.poll() is None and time.monotonic() < until:
                if serves is None or serves.poll() is not None:
                    serves = subprocess.Popen(candidate, cwd=task, env=serving, stdout=other, stderr=other)
                time.sleep(0.01)
            for process in filter(None, (examiner, serves)):
                process.terminate()
                process.wait(PATIENCE_S)
        said = (work / "examine.log").read_text(errors="replace")
        answered = (work / "candidate.log").read_text(errors="replace")
        lines = [line.removeprefix(MARK) for line in said.splitlines() if line.startswith(MARK)]
        return Ended(
            json.loads(lines[-1]) if lines and examiner.returncode == 0 else {}, examiner.returncode, said + answered
        )


def packages_elsewhere() -> tuple[str, ...]:
    """The environment that holds numpy, where it is not the interpreter's own: a checkout may share another's."""
    place = Path(np.__file__).resolve().parents[1]
    own = place.is_relative_to(sys.prefix) or place.is_relative_to("/usr")
    return () if own else (str(place.parents[2]),)


def written_task(root: Path, kind: TaskKind, *overrides: str) -> tuple[CampaignFolder, Settings]:
    """A task as `new` writes it, with its data, and settings for short trainings."""
    write_task(root / kind, kind)
    folder = CampaignFolder(root / kind / "campaign")
    given = load_settings(root / kind / "settings.yaml", overrides)
    task = given.task.model_copy(update={"mounts": tuple(map(Path, packages_elsewhere()))})
    settings = shorten(given.model_copy(update={"task": task}), LONGEST_TRAINING)
    if task.score == "exam":
        prepare_data(folder, settings, say=lambda _: None)
    return folder, settings
