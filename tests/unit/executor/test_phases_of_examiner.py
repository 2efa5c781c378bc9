"""The phases of a task with an examiner of its own: who sees what, on one machine and in a pod."""

from __future__ import annotations

from typing import Any

from controller.domain import TryId, TryRequest
from controller.executor.kubernetes.job import build_config_map, build_job
from controller.executor.phases import PhaseName, Volume, data_parts, phases
from controller.settings import Settings

TASK = {"examiner": "examiner.py", "metric": "accuracy", "direction": "maximize", "reserve_slices": 2}


def settings_of(**task: Any) -> Settings:
    kubernetes = {"image": "registry.test/mine:1"}
    return Settings.model_validate(
        {"tag": "t", "task": {**TASK, **task}, "executor": {"kind": "kubernetes", "kubernetes": kubernetes}}
    )


def request_of(**changes: Any) -> TryRequest:
    return TryRequest(id=TryId("t", 1, 1, 1), commit="c", files={"train.py": "pass"}, seed=1, probe_set=0, **changes)


def test_there_is_no_probe_and_the_examiner_alone_sees_its_file_and_the_test_data() -> None:
    train, candidate, examine = phases(settings_of(), request_of(reserve=1))

    assert [phase.name for phase in (train, candidate, examine)] == ["train", "candidate", "examine"]
    assert (train.hides, candidate.hides, examine.hides) == (("examiner.py",), ("examiner.py",), ())
    seen = {
        phase.name: [m.subpath for m in phase.mounts if m.volume is Volume.DATA]
        for phase in (train, candidate, examine)
    }
    assert seen == {
        PhaseName.TRAIN: ["train"],
        PhaseName.CANDIDATE: [],
        PhaseName.EXAMINE: ["validation", "manifest.json", "reserve/001"],
    }


def test_the_examiner_is_told_what_the_settings_call_the_metric_and_who_answers_is_the_agents_module() -> None:
    _, candidate, examine = phases(settings_of(), request_of(holdout=True))

    assert examine.command == ("python", "-m", "exam.kit.examine", "examiner.py")
    assert examine.environment["AUTORESEARCH_METRIC"] == "accuracy"
    assert examine.environment["AUTORESEARCH_DIRECTION"] == "maximize"
    assert examine.environment["AUTORESEARCH_HOLDOUT"] == "1"
    assert candidate.command == ("python", "-m", "exam.kit.candidate", "--module", "train")


def test_a_program_may_answer_in_place_of_python() -> None:
    _, candidate, _ = phases(settings_of(serve="./server --quick"), request_of())
    assert candidate.command == ("python", "-m", "exam.kit.candidate", "--program", "./server", "--quick")


def test_every_part_of_the_data_is_known_before_a_try_needs_it() -> None:
    assert data_parts(settings_of()) == ("train", "validation", "manifest.json", "reserve/000", "reserve/001")


def test_a_pod_covers_the_examiners_file_where_the_agents_code_runs() -> None:
    settings, request = settings_of(), request_of()
    pod = build_job(settings, request, phases(settings, request))["spec"]["template"]["spec"]

    assert build_config_map(settings, request)["data"]["hidden"] == ""
    for container in (*pod["initContainers"], *pod["containers"]):
        covered = {m["mountPath"]: m["subPath"] for m in container["volumeMounts"] if m["name"] == "edited"}
        assert covered.get("/task/examiner.py") == ("hidden" if container["name"] != "examine" else None)
