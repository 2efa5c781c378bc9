"""The tasks that `autoresearch new` writes, in attempts of the real local executor, and what `doctor` says of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.campaign.preflight import check_start
from controller.cli.doctor.cheats import CHEATS, Manner, with_cheat
from controller.cli.doctor.checkup import check_up
from controller.cli.doctor.exam import try_exam
from controller.cli.doctor.findings import State, is_fit
from controller.cli.doctor.trials import Trials, trials
from controller.domain import Outcome, Provenance
from controller.errors import SettingsError, TaskError
from controller.folder import CampaignFolder
from controller.folder.new_task import TaskKind
from controller.run.prepare import prepare_data
from controller.settings import AgentSettings, CommandSettings
from controller.settings.file import load_settings
from tests.support.examined_tasks import LONGEST_TRAINING, packages_elsewhere, written_task

PAGE_TASK = Path(__file__).resolve().parents[2] / "examples/classifier"
SEALED = (TaskKind.SEARCH, TaskKind.CONTROL, TaskKind.PROTOCOL, TaskKind.SPEED)


@pytest.fixture(scope="module", params=SEALED)
def attempts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    folder, settings = written_task(tmp_path_factory.mktemp("new"), request.param)
    with trials(folder, settings, seconds=LONGEST_TRAINING) as some:
        yield some


def test_a_new_task_is_scored_by_its_examiner_in_sandboxes(attempts: Trials) -> None:
    result = attempts.run()

    assert result.outcome is Outcome.SCORED, result.reason
    assert result.score is not None
    assert result.score.provenance is Provenance.SEALED
    assert result.exam is not None
    assert result.exam.questions is not None
    assert result.exam.numbers["latency_ms"] > 0
    assert list(result.phase_seconds) == ["train", "examine"]


@pytest.mark.parametrize(
    "name", ["looks for the solutions", "writes to the examiner's files", "prints a forged result"]
)
def test_what_only_breaks_rules_in_vain_is_scored_as_honest(attempts: Trials, name: str) -> None:
    cheat = next(cheat for cheat in CHEATS if cheat.name == name)
    result = attempts.run(files={"train.py": with_cheat(attempts.files["train.py"], cheat, Manner.QUESTIONS)})
    assert result.outcome is Outcome.SCORED, result.reason


def test_the_stock_cheats_are_caught_or_gain_nothing(tmp_path: Path) -> None:
    folder, settings = written_task(tmp_path, TaskKind.SEARCH)
    with trials(folder, settings, seconds=LONGEST_TRAINING) as some:
        findings = list(try_exam(some))
    assert is_fit(findings), findings
    caught = {finding.subject for finding in findings if finding.seen.startswith("caught: ")}
    assert caught == {cheat.name for cheat in CHEATS if cheat.rejected and Manner.QUESTIONS in cheat.manners}
    shutil.rmtree(folder.path)


def test_a_task_without_an_exam_has_nothing_to_try(tmp_path: Path) -> None:
    folder, settings = written_task(tmp_path, TaskKind.LOG)
    with (
        trials(folder, settings, seconds=LONGEST_TRAINING) as some,
        pytest.raises(SettingsError, match="any cheat passes"),
    ):
        list(try_exam(some))


def test_a_check_up_of_a_task_without_an_exam_finds_it_fit(tmp_path: Path) -> None:
    folder, settings = written_task(tmp_path, TaskKind.LOG)
    found = {finding.subject: finding for finding in check_up(folder, settings, seconds=LONGEST_TRAINING)}
    assert is_fit(list(found.values())), found
    assert "verified" in found["settings and task"].seen
    assert "obeyed" in found["seed"].seen


def test_a_check_up_names_the_module_that_the_sandbox_does_not_have(tmp_path: Path) -> None:
    folder, settings = written_task(tmp_path, TaskKind.LOG)
    train = tmp_path / "log" / "train.py"
    train.write_text("import not_installed_anywhere\n" + train.read_text())
    found = {finding.subject: finding for finding in check_up(folder, settings, seconds=LONGEST_TRAINING)}
    assert (found["interpreter"].state, found["short run"].state) == (State.BAD, State.BAD)
    assert "not_installed_anywhere" in found["interpreter"].seen


@pytest.mark.parametrize(
    ("program", "state", "told"),
    [("./nowhere", State.BAD, "./nowhere is not found in the sandbox"), ("true", State.GOOD, "true is found")],
)
def test_a_check_up_looks_for_a_program_that_proposes(tmp_path: Path, program: str, state: State, told: str) -> None:
    folder, settings = written_task(tmp_path, TaskKind.LOG)
    agent = AgentSettings(kind="command", command=CommandSettings(run=(program,)))
    findings = check_up(folder, settings.model_copy(update={"agent": agent}), seconds=LONGEST_TRAINING)
    found = next(finding for finding in findings if finding.subject == "agent")
    assert found.state is state
    assert told in found.seen


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("train.py", "def main(): ...", "has no function load(artifact)"),
        ("examiner.py", None, "has no examiner.py, which task.examiner names"),
    ],
)
def test_a_task_that_could_not_be_examined_is_told_before_anything_runs(
    tmp_path: Path, file: str, text: str | None, told: str
) -> None:
    folder, settings = written_task(tmp_path, TaskKind.SEARCH)
    place = tmp_path / "search" / file
    place.unlink()
    if text is not None:
        place.write_text(text)
    with pytest.raises(TaskError) as caught:
        check_start(folder, settings)
    assert told in str(caught.value)


def test_the_classifier_of_the_page_passes_its_exam_and_catches_the_stock_cheats(tmp_path: Path) -> None:
    given = load_settings(PAGE_TASK / "settings.yaml")
    task = given.task.model_copy(update={"mounts": tuple(map(Path, packages_elsewhere()))})
    settings = given.model_copy(update={"task": task})
    folder = CampaignFolder(tmp_path / "digits")
    prepare_data(folder, settings, say=lambda _: None)
    with trials(folder, settings, seconds=LONGEST_TRAINING) as some:
        findings = list(try_exam(some))
    assert [finding for finding in findings if finding.state is not State.GOOD] == []


@pytest.mark.parametrize("name", ["prepare.py", "examiner.py", "train.py", "settings.yaml"])
def test_the_page_shows_each_file_of_its_classifier_as_it_is(name: str) -> None:
    page = (PAGE_TASK.parents[1] / "docs/examiner.md").read_text()
    assert f"\n{(PAGE_TASK / name).read_text().rstrip()}\n```" in page
