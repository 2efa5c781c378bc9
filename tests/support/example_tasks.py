"""The tasks in examples/: their ideas as edits of train.py, and attempts of them by the real local executor."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from pathlib import Path

from controller.cli.doctor.trials import Trials, trials
from controller.domain import Outcome, Result
from controller.folder import CampaignFolder
from controller.run.prepare import prepare_data
from controller.settings.file import load_settings
from tests.support.examined_tasks import LONGEST_TRAINING, packages_elsewhere

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
KEPT = {
    "search": ("01", "02", "03"),
    "speed": ("01", "02"),
    "protocol": ("01", "03", "04", "05"),
    "control": ("01", "02", "03"),
}
"""Ideas that are worth something, by the first two digits of their names."""


def idea(task: str, number: str) -> Path:
    """The patch of this number."""
    return next((EXAMPLES / task / "ideas").glob(f"{number}-*.patch"))


def edited(task: str, work: Path, *numbers: str) -> dict[str, str]:
    """The task's train.py with these ideas in it; fails where one does not apply."""
    work.mkdir()
    (work / "train.py").write_text((EXAMPLES / task / "train.py").read_text())
    for number in numbers:
        done = subprocess.run(
            ["git", "apply", "-p1", str(idea(task, number))], cwd=work, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{number}: {done.stderr}"
    return {"train.py": (work / "train.py").read_text()}


def attempts_of(task: str, root: Path, *prepare: str) -> Generator[Trials]:
    """Attempts of an example with less data."""
    given = load_settings(EXAMPLES / task / "settings.yaml")
    changed = {"mounts": tuple(map(Path, packages_elsewhere())), "prepare": prepare}
    # A training that is cut off scores otherwise; the longest takes 6 s of a CPU, and the machine may be busy.
    budget = given.budget.model_copy(update={"train_seconds": LONGEST_TRAINING})
    settings = given.model_copy(update={"task": given.task.model_copy(update=changed), "budget": budget})
    folder = CampaignFolder(root / task)
    prepare_data(folder, settings, say=lambda _: None)
    with trials(folder, settings, seconds=LONGEST_TRAINING) as some:
        yield some


def score_of(result: Result) -> float:
    """Its score; fails where it has none."""
    assert result.outcome is Outcome.SCORED, result.reason
    assert result.score is not None
    return result.score.value
