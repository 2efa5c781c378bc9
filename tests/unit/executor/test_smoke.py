"""The smoke test sees what a training sees, without an accelerator, and blames a program for its own faults alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.domain import Outcome, Result, TryId
from controller.executor.phases import Volume
from controller.executor.smoke import is_smoke_crash, smoke_phases
from controller.folder import CampaignFolder
from controller.run.wiring import build_executor, build_smoke_test
from tests.support.requests import try_request
from tests.support.scripted import InstantExecutor, settings

REQUEST = try_request("def load_model(folder):\n    return None\n", id=TryId("t", 0, 0, 1))
CRASHED = Result(outcome=Outcome.CRASHED, reason="train ended with exit code 1")


def test_one_step_runs_as_the_training_does_but_for_accelerator_budget_and_supervisor() -> None:
    step, load = smoke_phases(settings("task.score=exam", "budget.train_seconds=300"), REQUEST)

    assert step.command == ("python", "train.py")
    assert not step.accelerator
    assert not step.supervised
    assert step.environment["AUTORESEARCH_SMOKE"] == "1"
    assert float(step.environment["AUTORESEARCH_TRAIN_SECONDS"]) < 5
    assert {mount.subpath for mount in step.mounts if mount.volume is Volume.DATA} == {"train", "tokenizer"}
    assert [mount.writable for mount in load.mounts if mount.volume is Volume.ARTIFACT] == [False]
    assert "import_module('train').load_model" in load.command[-1]
    assert max(step.seconds, load.seconds) <= 60


def test_task_without_an_exam_has_nothing_to_load() -> None:
    [step] = smoke_phases(settings("task.command=make run"), REQUEST)

    assert step.command == ("make", "run")


def test_task_with_an_examiner_file_loads_as_its_candidate_does() -> None:
    chosen = settings("task.score=exam", "task.examiner=marks.py", "task.metric=accuracy", "task.editable=model.py")

    step, load = smoke_phases(chosen, REQUEST)

    assert "import_module('model').load(pathlib.Path(" in load.command[-1]
    assert "marks.py" not in " ".join((*step.command, *load.command))


@pytest.mark.parametrize("kind", ["local", "kubernetes"])
@pytest.mark.parametrize(
    ("train_seconds", "smoke", "tested"),
    [(20, "null", False), (119, "null", False), (120, "null", True), (20, "true", True), (300, "false", False)],
)
def test_smoke_tests_are_on_by_themselves_where_a_training_is_long(
    train_seconds: int, smoke: str, tested: bool, kind: str
) -> None:
    chosen = settings(f"executor.kind={kind}", f"budget.train_seconds={train_seconds}", f"executor.smoke={smoke}")

    assert chosen.smoke_tests is tested


@pytest.mark.parametrize("kind", ["local", "kubernetes"])
def test_campaigns_of_either_executor_hold_smoke_tests_where_they_are_wanted(kind: str, tmp_path: Path) -> None:
    executor = build_executor(CampaignFolder(tmp_path), settings(f"executor.kind={kind}"))

    assert build_smoke_test(executor, wanted=True) is not None
    assert build_smoke_test(executor, wanted=False) is None
    assert build_smoke_test(InstantExecutor(lambda _: CRASHED), wanted=True) is None


@pytest.mark.parametrize(
    ("code", "text", "crashed"),
    [
        pytest.param(1, "NameError: name 'wdith' is not defined", True, id="a name"),
        pytest.param(1, "RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x8 and 16x8)", True, id="a shape"),
        pytest.param(1, "AssertionError: Torch not compiled with CUDA enabled", False, id="no accelerator"),
        pytest.param(1, "RuntimeError: Found no NVIDIA driver on your system.", False, id="no driver"),
        pytest.param(1, "MemoryError", False, id="memory that an accelerator has"),
        pytest.param(137, "", False, id="killed, most likely for its memory"),
    ],
)
def test_only_the_programs_own_fault_is_a_crash(code: int, text: str, crashed: bool) -> None:
    log = f'Traceback (most recent call last):\n  File "train.py", line 3\n{text}\n'

    assert is_smoke_crash(CRASHED, code=code, text=log, metric="val_bpb") is crashed


@pytest.mark.parametrize("result", [None, Result(outcome=Outcome.TIMED_OUT), Result(outcome=Outcome.LOST)])
def test_what_ends_well_or_is_not_to_blame_is_no_crash(result: Result | None) -> None:
    assert not is_smoke_crash(result, code=1, text="", metric="val_bpb")
