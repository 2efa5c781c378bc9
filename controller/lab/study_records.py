"""Keeps studies in the lab, apart from experiments: nothing that reads a campaign's records meets them.

    refs/studies/<tag>/records           <study>/study.json, the plan; <study>/arm-<n>.json, the runs of one arm
    refs/study-logs/<tag>                the ends of the trainings' logs; no mirror gets them
    refs/studies/<tag>/programs/<study>  programs that a study made, one ref each
    refs/heads/pruned/<tag>/<study>      what `ablate --prune` proposes, as a branch

Pure: bytes in, values out. `reader` and `writer` move them.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import TypeAdapter

from controller.lab.records import experiment_from_json, experiment_to_json
from controller.studies.study import Study, StudyRecord

RECORDS = "refs/studies/{tag}/records"
LOGS = "refs/study-logs/{tag}"
PROGRAM = "refs/studies/{tag}/programs/{study}/{name}"
PRUNED = "refs/heads/pruned/{tag}/{study}"

_ADAPTER = TypeAdapter(Study)


def plan_path(study: Study) -> str:
    """Path of a study's plan."""
    return f"{_folder(study)}/study.json"


def arm_path(study: Study, arm: int) -> str:
    """Path of the runs of the arm of this number, from 1."""
    return f"{_folder(study)}/arm-{arm:03d}.json"


def study_log_path(study: Study, path: str) -> str:
    """Path of a training's log among the logs of all studies."""
    return f"{_folder(study)}/{path}"


def study_to_json(study: Study) -> bytes:
    """The plan as indented JSON."""
    return _ADAPTER.dump_json(study, exclude_defaults=True, indent=1) + b"\n"


def record_to_files(record: StudyRecord) -> dict[str, bytes]:
    """Every file of a study, by path."""
    files = {plan_path(record.study): study_to_json(record.study)}
    for run in record.runs:
        files[arm_path(record.study, run.number)] = experiment_to_json(run)
    return files


def records_from_files(files: Iterable[tuple[str, bytes]]) -> list[StudyRecord]:
    """Every study by number. Raises ValueError on anything that was not written by `record_to_files`."""
    plans: dict[str, Study] = {}
    arms: dict[str, dict[str, bytes]] = {}
    for path, data in files:
        folder, _, name = path.partition("/")
        if name == "study.json":
            plans[folder] = _ADAPTER.validate_json(data)
        else:
            arms.setdefault(folder, {})[name] = data
    records = []
    for folder, study in plans.items():
        runs = tuple(experiment_from_json(data) for _, data in sorted(arms.get(folder, {}).items()))
        if len(runs) != len(study.arms):
            raise ValueError(f"study {study.name} has {len(study.arms)} arms and runs of {len(runs)}")
        records.append(StudyRecord(study=study, runs=runs))
    return sorted(records, key=lambda record: record.study.number)


def _folder(study: Study) -> str:
    return f"{study.number:06d}"
