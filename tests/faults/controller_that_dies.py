"""A real controller that kills itself with SIGKILL at its N-th effect: `controller_that_dies.py FOLDER N`.

Every write to the lab (objects, refs, notes), every launch, stored result and clean-up, every folder that is moved
aside, and the report that a study ends with count as one effect, and the kill falls just before or just after it. N = 0
lives to the end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygit2

from controller.agent.perturb import PerturbAgent
from controller.campaign import Campaign
from controller.executor.local import LocalExecutor
from controller.executor.local.deletion import Trash
from controller.executor.local.try_folder import TryFolder
from controller.judge import make_judge
from controller.lab import commits, ref_files
from controller.lab.study_writer import StudyWriter
from controller.lab.writer import LabWriter
from controller.run import study
from controller.settings.file import load_settings

TRAIN = """\
import sys, time
A = 1.0  # 0 to 100
B = 1.0  # 0 to 100

C = 1.0  # 0 to 100
D = 1.0  # 0 to 100
if __name__ == "__main__":
    print("---")
    noise = hash(time.time()) % 100 / 1e4
    print(f"val_bpb: {2 + (abs(A - 3) + abs(B - 2) + abs(C - 5) + abs(D)) / 10 + noise:.6f}")
"""
SETTINGS = """\
tag: faults
task: {score: log}
budget: {train_seconds: 5, experiments: 5}
judge: {baseline_runs: 2}
deadlines: {log_scored: 60}
"""


def main() -> None:
    """Run the campaign in the folder until its end, or until the chosen effect."""
    folder, last = Path(sys.argv[1]), int(sys.argv[2])
    task, data = folder / "task", folder / "data"
    for made in (task, data):
        made.mkdir(parents=True, exist_ok=True)
    (task / "train.py").write_text(TRAIN)
    (folder / "campaign.yaml").write_text(SETTINGS)
    settings = load_settings(folder / "campaign.yaml", [f"task.folder={task}"])
    count_effects(last)
    lab = LabWriter.open(folder / "lab.git", create=True)
    with lab.lock(now=time.time()):
        executor = LocalExecutor(settings, task_folder=task, data_folder=data, work_folder=folder / "work")
        campaign = Campaign(
            settings=settings,
            lab=lab,
            executor=executor,
            agent=PerturbAgent(settings.agent, accelerator=False),
            judge=make_judge(settings.judge, minimize=True),
            task_files={"train.py": TRAIN},
            brief="Lower it.",
            clock=time.time,
            observe=lambda _: None,
        )
        print(campaign.run().reason)


def count_effects(last: int, *, before: str = "") -> None:
    """Put a counter around every function that changes something outside this process.

    before: name of such a function; the kill falls before it is called, whatever the number of the effect.
    """
    counter = _Counter(last)
    places: list[tuple[Any, str]] = [
        (ref_files, "put_files"),
        (ref_files, "insert_blob"),
        (commits, "write_commit"),
        (LabWriter, "_move_ref"),
        (LabWriter, "_show_ref"),
        (StudyWriter, "_set_ref"),
        (LocalExecutor, "launch"),
        (LocalExecutor, "recorded"),
        (LocalExecutor, "adopt"),
        (TryFolder, "store"),
        (TryFolder, "forget"),
        (Trash, "empty"),
        (study, "write_closing_report"),
        (pygit2, "init_repository"),
    ]
    for owner, name in places:
        effect = getattr(owner, name)
        setattr(owner, name, counter.around(effect) if name != before else lambda *_, **__: kill())


class _Counter:
    def __init__(self, last: int) -> None:
        self._left = last

    def around(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self._tick()
            result = effect(*arguments, **named)
            self._tick()
            return result

        return counted

    def _tick(self) -> None:
        self._left -= 1
        if self._left == 0:
            kill()


def kill() -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
