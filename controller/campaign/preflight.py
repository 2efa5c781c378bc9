"""Looks at settings, task and budget before anything is spent, so that a mistake is told in one sentence at once.

It reads files and starts nothing. What only a sandbox or a cluster can tell is looked at by the executor when it
starts, and what only an agent knows by the agent.
"""

from __future__ import annotations

from pathlib import Path

from controller.costs.slots import SlotPrices
from controller.edits import novelty, syntax
from controller.errors import DataError, SettingsError, TaskError
from controller.executor.phases import data_parts
from controller.folder import CampaignFolder, prepare_command, task_files, task_folder
from controller.folder.ballast import room_on
from controller.folder.missing_parts import missing_parts
from controller.lab import Lab
from controller.settings import ExecutorSettings, Settings

LEAST_FREE_MB = {"local": 128, "kubernetes": 16}
"""Megabytes that the disk of a campaign must have free, by executor.

Tries on this machine end where less than half of the first is left; those of a cluster leave only records here."""

EXAM_MODULES = ("supervise", "candidate", "examine")
"""The examiner's programs, one for each phase of an examined attempt."""


def check_start(folder: CampaignFolder, settings: Settings) -> list[str]:
    """Warnings for the operator. Raises SettingsError or TaskError where the campaign could not get anywhere."""
    files = task_files(settings)
    editable = {name: files[name] for name in settings.task.editable}
    exam = settings.task.score == "exam"
    if fault := novelty.find_baseline_fault(editable, needs_load_model=settings.task.needs_load_model):
        raise TaskError(f"task folder {task_folder(settings)}: {fault}")
    local = settings.executor.kind == "local"
    if exam and local:
        _require_examiner(task_folder(settings), settings)
    begun = _has_begun(folder, settings.tag)
    if local and not begun:
        _refuse_work_of_others(folder.work)
    # What fills the disk of a campaign that has begun may be its own last try, which the executor deletes when it
    # starts. If that does not help, it launches nothing and says why.
    if not (begun and local):
        require_disk(folder.path, settings.executor)
    warnings = [] if begun else _require_room_for_baseline(settings)
    if local:
        warnings += missing_parts(task_folder(settings))
    if local and not exam and not folder.data.is_dir() and _prepares_data(task_folder(settings)):
        warnings.append(
            f"the task has a prepare.py and there is no folder {folder.data}: a training that reads "
            f"{settings.task.data_path} finds it empty; put its data into {folder.data}"
        )
    return warnings


def _prepares_data(task: Path) -> bool:
    """True for a task that makes data and has none: no folder beside its program holds any."""
    data = task / "data"
    return (task / "prepare.py").is_file() and not (data.is_dir() and any(data.iterdir()))


def _refuse_work_of_others(work: Path) -> None:
    """Raise SettingsError where the place of the tries holds something else: the executor empties parts of it."""
    ours = all((work / name).is_dir() for name in ("etc", "trash"))
    if work.is_dir() and any(work.iterdir()) and not ours:
        raise SettingsError(
            f"{work} holds files of something else, and a campaign keeps its tries there: give the campaign a folder "
            "of its own"
        )


def require_data_parts(data: Path, settings: Settings) -> None:
    """Raise DataError if a part of the data is missing that a phase of the exam reads."""
    missing = [part for part in data_parts(settings) if not (data / part).exists()]
    if missing:
        if missing[0] == "reserve/000":
            raise DataError(
                f"data folder {data} has no reserve, so an older version made it: begin a new campaign with new data, "
                "or go on with that version; a task whose examiner has no reserve sets task.reserve_slices to 0"
            )
        again = f"run `{prepare_command(data)}` to make it again"
        numbers = {"probes": f"probe_sets is {settings.task.probe_sets}"}
        numbers["reserve"] = f"reserve_slices is {settings.task.reserve_slices}"
        number = numbers.get(missing[0].partition("/")[0], "")
        sets = f", and task.{number}" if number else ""
        raise DataError(f"data folder {data} has no {missing[0]}{sets}: {again}")


def _require_examiner(task: Path, settings: Settings) -> None:
    if file := settings.task.examiner_file:
        if not (task / file).is_file():
            raise TaskError(
                f"task folder {task} has no {file}, which task.examiner names: write it (docs/examiner.md), or have "
                "`autoresearch new` write a task to begin with"
            )
        _require_load(task, settings)
        return
    place = task.joinpath(*settings.task.examiner.split("."))
    missing = [name for name in EXAM_MODULES if not (place / f"{name}.py").is_file()]
    if missing:
        raise TaskError(
            f"task folder {task} has no {place.relative_to(task)}/{missing[0]}.py, and task.score is exam: "
            "add the examiner (docs/tasks.md), or set task.score to log to read scores from the training's own log"
        )


def _require_load(task: Path, settings: Settings) -> None:
    """Raise TaskError where the file that is to answer the examiner has no function `load`."""
    if settings.task.serve:
        return
    file = next(name for name in settings.task.editable if name.endswith(".py"))
    tree = syntax.parse((task / file).read_text(encoding="utf-8"))
    if tree and "load" not in syntax.top_level_names(tree.body):
        raise TaskError(
            f"{task / file} has no function load(artifact), which the exam calls for what answers its questions: add "
            "it, or set task.serve to a program that answers (docs/examiner.md)"
        )


def require_disk(campaign: Path, executor: ExecutorSettings) -> None:
    """Raise SettingsError where the disk of a campaign is too full for what its attempts leave there."""
    least = LEAST_FREE_MB[executor.kind]
    existing = next(path for path in (campaign.absolute(), *campaign.absolute().parents) if path.exists())
    free = room_on(existing) // 2**20
    if free < least:
        raise SettingsError(
            f"the disk of {campaign} has {free} MB free and a campaign needs {least}: free some, or give another folder"
        )


def _has_begun(folder: CampaignFolder, tag: str) -> bool:
    """True if the lab knows the campaign: then its baseline has run, or its budget is what it was begun with."""
    return folder.lab.exists() and tag in Lab.open(folder.lab).tags()


def _require_room_for_baseline(settings: Settings) -> list[str]:
    """A warning where the budget may end within the baseline. Raises SettingsError where it is sure to.

    An examined training takes all of its seconds. One without an exam may end earlier, so that only the first one
    is certain.
    """
    budget, wanted = settings.budget, settings.judge.baseline_runs
    certain = wanted if settings.task.score == "exam" else 1
    for limit, room in _rooms(settings).items():
        value = f"budget.{limit} {getattr(budget, limit):g}"
        need = f"{wanted} runs of {budget.train_seconds:g} s (judge.baseline_runs, budget.train_seconds)"
        if room < certain:
            raise SettingsError(f"{value} has no room for the baseline, which takes {need}: raise it")
        if room < wanted:
            return [f"{value} may end within the baseline, which takes up to {need}"]
    return []


def _rooms(settings: Settings) -> dict[str, int]:
    """Baseline runs that fit each limit of the budget, no run longer than its training."""
    budget, hours = settings.budget, settings.budget.train_seconds / 3600
    prices = SlotPrices.of(settings)
    rooms = {}
    if budget.hours is not None:
        rooms["hours"] = int(budget.hours / hours) * settings.executor.slots
    if budget.gpu_hours is not None:
        rooms["gpu_hours"] = int(budget.gpu_hours / (hours * prices.size))
    _, dearest = prices.range
    if budget.dollars is not None and dearest > 0:
        rooms["dollars"] = int(budget.dollars / (hours * dearest))
    return rooms
