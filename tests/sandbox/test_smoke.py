"""The smoke test in real sandboxes: it takes one step, saves and loads, leaves nothing behind and takes no slot."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from controller.executor.local import smoke as smoke_tests
from controller.ports import SmokeCrash, Untested
from tests.support.local_task import EXAMINE, TaskFolders, make_folders, make_request, processes_with, running
from tests.support.waiting import PATIENCE_S, wait_until

SANDBOXES = pytest.mark.parametrize("sandbox", ["executor.sandbox=bubblewrap", "executor.sandbox=none"])
GOOD = """
    import os
    from pathlib import Path

    def load_model(artifact_dir):
        return Path(artifact_dir, "weights").read_text()

    if __name__ == "__main__":
        assert os.environ["AUTORESEARCH_SMOKE"] == "1"
        assert os.nice(0) == 19, "it has the lowest priority"
        steps, budget = 0, float(os.environ["AUTORESEARCH_TRAIN_SECONDS"])
        while steps == 0 or steps * 10 < budget:
            steps += 1
        Path(os.environ["AUTORESEARCH_ARTIFACT"], "weights").write_text(f"{steps} step")
"""


@pytest.fixture
def folders(tmp_path: Path) -> TaskFolders:
    return make_folders(tmp_path)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes longer passes, and a smoke test gets what others leave of the CPUs."""
    monkeypatch.setattr(smoke_tests, "SMOKE_SECONDS", PATIENCE_S)


def smoke(folders: TaskFolders, train: str, *overrides: str) -> str:
    """What became of the smoke test of a train.py: a sentence, empty if it passed."""
    with running(folders, *overrides) as (executor, _):
        crash = executor.smoke({"train.py": textwrap.dedent(train)})
    assert list(folders.work.glob("smoke-*")) == [], "it leaves nothing behind"
    assert crash is not Untested.UNTESTED
    return crash.reason if crash else ""


@SANDBOXES
def test_program_that_steps_saves_and_loads_passes(folders: TaskFolders, sandbox: str) -> None:
    assert smoke(folders, GOOD, sandbox) == ""


@SANDBOXES
def test_crash_of_the_step_is_told_with_its_error(folders: TaskFolders, sandbox: str) -> None:
    reason = smoke(folders, GOOD.replace("steps += 1", "steps += widht"), sandbox)

    assert "NameError: name 'widht' is not defined" in reason


def test_artifact_that_cannot_be_loaded_is_a_crash(folders: TaskFolders) -> None:
    reason = smoke(folders, GOOD.replace('Path(artifact_dir, "weights")', 'Path(artifact_dir, "wieghts")'))

    assert "wieghts" in reason


def test_task_without_an_exam_is_tested_too(folders: TaskFolders) -> None:
    train = "import os\nprint(os.environ['AUTORESEARCH_SMOKE'])\nraise KeyError('no such layer')\n"

    assert "no such layer" in smoke(folders, train, "task.score=log")


def test_smoke_test_under_way_ends_with_the_campaign(folders: TaskFolders) -> None:
    mark = f"--smoke-mark-{uuid4().hex}"  # of this run: another one may go on beside it
    program = "import time\nprint('began', flush=True)\ntime.sleep(600)\n"
    with (
        running(folders, "task.score=log", f"task.command=python train.py {mark}") as (executor, _),
        ThreadPoolExecutor(1) as threads,
    ):
        testing = threads.submit(executor.smoke, {"train.py": program})
        wait_until(lambda: bool(processes_with(mark)), what="the smoke test's process")
        executor.stop()
        crash = testing.result(PATIENCE_S)

    assert crash is None
    assert processes_with(mark) == []


def test_no_smoke_test_runs_beside_an_exam_and_its_verdict_comes_after(folders: TaskFolders) -> None:
    said = textwrap.dedent(GOOD).replace("steps += 1", "print(open('/proc/self/status').read()) or widht")
    over = 'Path(os.environ["AUTORESEARCH_RESULT"]).with_name("over")'
    folders.write("exam/examine.py", EXAMINE + f"\n    import time; time.sleep(2)\n    {over}.touch()\n")
    request = make_request()
    with running(folders) as (executor, ends):
        executor.launch(request)
        message = folders.work / str(request.id) / "message"
        wait_until(lambda: any(p.phase == "examine" for p in executor.progress()), what="the exam")
        crash = executor.smoke({"train.py": said})
        was_over = (message / "over").exists() or not ends.arrived.empty()
        ends.wait()

    assert was_over, "it ran beside the exam"
    assert isinstance(crash, SmokeCrash)
    assert "widht" in crash.reason
