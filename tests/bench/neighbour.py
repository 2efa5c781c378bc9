"""Measures what a training gets done beside a neighbour: an honest one, and one with sixteen busy processes."""

from __future__ import annotations

import os
from pathlib import Path

from controller.domain import TryId
from tests.support.local_task import TaskFolders, make_folders, running
from tests.support.requests import try_request

SECONDS = 5
"""Of one training."""

REPEATED = 3
"""Times that each pair is measured; the least disturbed one of each kind counts, as others may use this machine."""

WORK = """
import os, time
for _ in range({processes} - 1):
    if os.fork() == 0:
        os.setsid()  # where the kernel groups tasks by session, each of these counts as much as the neighbour
        while True: pass
end, rounds = time.monotonic() + {seconds}, 0
while time.monotonic() < end:
    sum(range(10_000))
    rounds += 1
print("---")
print("val_bpb:", float(rounds))
"""


def measure(folder: Path) -> dict[str, float]:
    """How many times slower a training is beside each neighbour: with shares, and with equal weights alone."""
    folders = make_folders(folder)
    cores = len(os.sched_getaffinity(0))
    numbers = {"cores": float(cores)}
    experiment = 0
    for name, setting in (("shares (default)", ()), ("equal weights alone", (f"executor.limits.cpus={cores}",))):
        for beside, processes in (("an honest neighbour", 1), ("a hog of 16 processes", 16)):
            experiment += 2
            both = _run_beside(folders, experiment, processes, setting)
            numbers[f"{name}: slowed by {beside}"] = both
    return numbers


def _run_beside(folders: TaskFolders, number: int, processes: int, setting: tuple[str, ...]) -> float:
    """How many times slower a training is than the same training alone under the same settings."""
    overrides = ("task.score=log", "executor.slots=2", *setting)
    alone, beside = [], []
    for again in range(1000, 1000 * REPEATED + 1, 1000):
        alone.append(_rounds(folders, [(number + again + 500, 1)], overrides))
        beside.append(_rounds(folders, [(number + again, 1), (number + again + 1, processes)], overrides))
    return max(alone) / max(beside)


def _rounds(folders: TaskFolders, trainings: list[tuple[int, int]], overrides: tuple[str, ...]) -> float:
    """Rounds that the first training got done while the others ran."""
    with running(folders, *overrides) as (executor, ends):
        for experiment, processes in trainings:
            source = WORK.format(processes=processes, seconds=SECONDS)
            executor.launch(try_request(source, id=TryId("t", experiment, 1, 1)))
        while True:
            ended = ends.arrived.get(timeout=120)
            if ended.id.experiment == trainings[0][0]:
                return ended.result.summary["val_bpb"]
