"""A claim in real sandboxes: the holdout is asked, and nobody who proposes hears of it."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from controller.campaign import Campaign
from controller.cli.studies import FIRST, HEAD, ablation_planner, claim_planner, prune_planner
from controller.costs.slots import SlotPrices
from controller.domain import Proposal
from controller.errors import DataError, LabInUse, SettingsError, TaskError
from controller.folder import CampaignFolder
from controller.lab import Lab
from controller.lab.writer import LabWriter
from controller.notices import Activity, Cause, End, activity_to_json, current_activity
from controller.ports import Abandoned, ProposalRequest
from controller.reports.activity import activity_sentence
from controller.run.study import run_study
from controller.settings import Device, Settings
from controller.studies.ablation import Worth, weigh_edits
from controller.studies.claim import answer_claim
from controller.studies.comparison import Word
from controller.studies.study import StudyRecord
from controller.studies.study_tables import plan_lines
from controller.studies.wording import claim_lines, claim_plan_lines
from tests.support.ended_campaign import make_ended_campaign
from tests.support.judges import judge_of
from tests.support.local_task import EXAMINE, TaskFolders, make_folders
from tests.support.needs import need_bubblewrap
from tests.support.scripted import InstantExecutor, NumberAgent, scored

TRAIN = """
import os
LEVEL = 2.0
seed = int(os.environ["AUTORESEARCH_SEED"])
with open(os.environ["AUTORESEARCH_ARTIFACT"] + "/score", "w") as file:
    file.write(f"{LEVEL + seed % 1000 / 1e5:.5f}")


def load_model(folder):
    return None
"""
HOLDOUT = """
    if os.environ.get("AUTORESEARCH_HOLDOUT"):
        assert Path(os.environ["AUTORESEARCH_DATA"], "holdout", "content").is_file()
        report["holdout_bpb"] = heard[0] + 0.0421
"""


@pytest.fixture
def folders(tmp_path: Path) -> TaskFolders:
    """A task whose examiner reports the holdout where it is asked, and a campaign folder with its settings."""
    need_bubblewrap()
    made = make_folders(tmp_path)
    made.write("train.py", TRAIN)
    examine = textwrap.dedent(EXAMINE).replace("line = ", textwrap.dedent(HOLDOUT) + "line = ")
    made.write("exam/examine.py", examine)
    (made.data / "manifest.json").write_text('{"files": {}}')
    settings = f"""
        tag: t
        task: {{folder: {made.task}, probe_sets: 1, reserve_slices: 1, preset: cpu}}
        budget: {{train_seconds: 30, experiments: 5}}
    """
    (made.campaign / "campaign.yaml").write_text(textwrap.dedent(settings))
    make_ended_campaign(made.campaign / "lab.git", "t", TRAIN, [{"LEVEL = 2.0": "LEVEL = 1.9"}], levels=[2.0, 1.9])
    return made


def settings_of(folders: TaskFolders, *overrides: str) -> tuple[CampaignFolder, Settings]:
    folder = CampaignFolder(folders.campaign)
    return folder, folder.choose_settings(None, overrides, here=lambda: Device.CPU)


def claim(folders: TaskFolders, sides: Sequence[str] = (HEAD, FIRST), *overrides: str) -> StudyRecord:
    folder, settings = settings_of(folders, *overrides)
    make_plan = claim_planner(*sides, seeds=3, validation=False)
    return run_study(folder, settings, make_plan, claim_plan_lines, again=False, err=Console(stderr=True))


def test_a_claim_is_answered_by_the_holdout_and_leaves_the_campaign_as_it_was(folders: TaskFolders) -> None:
    lab = Lab.open(folders.campaign / "lab.git")
    experiments, head = lab.experiments("t"), lab.incumbent("t")

    record = claim(folders)

    _, settings = settings_of(folders)
    answer = answer_claim(record, sign=-1.0)
    assert answer.word is Word.BETTER
    assert answer.comparison is not None
    assert abs(answer.comparison.effect - 0.1) < 0.02
    assert all(1.94 < score < 1.96 for score in record.scores(1)), "the holdout's scores, not validation's"
    assert claim_lines(record, settings.task, SlotPrices.of(settings), [record])[0].startswith("better: head ")
    assert lab.experiments("t") == experiments
    assert lab.incumbent("t") == head
    assert lab.studies("t") == [record]
    assert "better: head " in (folders.campaign / "report.md").read_text()


def test_a_claim_takes_nothing_from_the_reserve(folders: TaskFolders) -> None:

    record = claim(folders)

    tries = [tried for run in record.runs for attempt in run.attempts for tried in attempt.tries]
    assert all(tried.reserve is None for tried in tries)


def test_a_claim_beside_a_running_campaign_is_refused(folders: TaskFolders) -> None:
    lab = LabWriter.open(folders.campaign / "lab.git")

    with lab.lock(now=time.time()), pytest.raises(LabInUse, match="is in use by pid"):
        claim(folders)


def test_a_claim_that_the_budget_has_no_room_for_is_refused_before_anything_runs(folders: TaskFolders) -> None:

    with pytest.raises(SettingsError, match="raise it with --set budget"):
        claim(folders, (HEAD, FIRST), "budget.gpu_hours=0.01")

    assert Lab.open(folders.campaign / "lab.git").studies("t") == []


def test_status_says_that_a_study_runs_and_afterwards_how_the_campaign_ended(folders: TaskFolders) -> None:
    folder, settings = settings_of(folders)
    ended = End(cause=Cause.BUDGET, reason="8 experiments (budget)", at=1e9)
    LabWriter.open(folder.lab).write_activity(activity_to_json(Activity(tag="t", turned=True, end=ended)))
    lab, heard = Lab.open(folder.lab), []

    class Listening(Console):
        def print(self, *objects: object, **_: object) -> None:
            if "run 1" in str(objects[0]):
                heard.append(current_activity("t", lab.read_activity(), holder=lab.find_holder()))

    make_plan = claim_planner(HEAD, FIRST, seeds=2, validation=False)
    run_study(folder, settings, make_plan, claim_plan_lines, again=False, err=Listening(stderr=True))

    assert activity_sentence(heard[0], now=2e9) == "claim-1 of t runs"
    after = current_activity("t", lab.read_activity(), holder=lab.find_holder())
    assert activity_sentence(after, now=2e9) == "t has ended: 8 experiments (budget)"


def test_a_program_against_itself_is_refused(folders: TaskFolders) -> None:

    with pytest.raises(SettingsError, match="are the same program"):
        claim(folders, (FIRST, "0"))


def test_data_without_a_holdout_are_told_before_anything_runs(folders: TaskFolders) -> None:
    (folders.data / "holdout" / "content").unlink()
    (folders.data / "holdout").rmdir()

    with pytest.raises(DataError, match="has no holdout to ask"):
        claim(folders)


def test_an_examiner_that_says_nothing_of_the_holdout_is_told_at_its_first_exam(folders: TaskFolders) -> None:
    folders.write("exam/examine.py", EXAMINE)

    with pytest.raises(TaskError, match="reported no holdout"):
        claim(folders)

    [record] = Lab.open(folders.campaign / "lab.git").studies("t")
    assert sum(len(run.attempts) for run in record.runs) == 1


MANY = """
import os
A = 1.0

# A and B stand apart, so that leaving one out leaves the other
B = 1.0

# so does C
C = 1.0
seed = int(os.environ["AUTORESEARCH_SEED"])
with open(os.environ["AUTORESEARCH_ARTIFACT"] + "/score", "w") as file:
    file.write(f"{1 + A + B / 100 + C + seed % 1000 / 1e6:.5f}")


def load_model(folder):
    return None
"""


def test_an_ablation_finds_the_edit_that_counts_and_prunes_the_one_that_does_not(folders: TaskFolders) -> None:
    shutil.rmtree(folders.campaign / "lab.git")
    folders.write("train.py", MANY)
    edits = [{"A = 1.0": "A = 0.5"}, {"B = 1.0": "B = 1.1"}, {"C = 1.0": "C = 0.9"}, {"C = 0.9": "C = 0.8"}]
    make_ended_campaign(folders.campaign / "lab.git", "t", MANY, edits, levels=[3.0, 2.5, 2.5, 2.4, 2.3])
    folder, settings = settings_of(folders)
    lab, err = Lab.open(folder.lab), Console(stderr=True)
    head = lab.incumbent("t")

    ablated = run_study(folder, settings, ablation_planner(seeds=2), plan_lines, again=False, err=err)

    worths = {each.experiment: each for each in weigh_edits(ablated, sign=-1.0)}
    assert worths[1].word is Worth.HELPS
    assert worths[1].effect == pytest.approx(0.5, abs=0.01)
    assert not worths[2].stays
    assert ablated.study.notes == ("3 cannot be left out: what was kept after it changes the same lines.",)

    make_plan = prune_planner(ablated, seeds=3, validation=False)
    claimed = run_study(folder, settings, make_plan, claim_plan_lines, again=False, err=err)

    pruned = lab.find_commit(f"refs/heads/pruned/t/{claimed.study.name}")
    assert pruned == claimed.study.arms[0].commit
    text = lab.source(pruned, "train.py")
    assert "A = 0.5" in text
    assert "B = 1.0" in text
    assert "C = 0.8" in text
    assert answer_claim(claimed, sign=-1.0).word is Word.BETTER
    assert all(score > 0.04 for score in claimed.scores(1)), "the claim of a pruned head asks the holdout"
    assert lab.incumbent("t") == head, "the campaign's own branch stays where it is"


def test_what_studies_measured_reaches_no_proposer(folders: TaskFolders) -> None:
    record = claim(folders)
    holdout_scores = [f"{score:.5f}" for arm in (1, 2) for score in record.scores(arm)]
    folder, settings = settings_of(folders)
    asked: list[ProposalRequest] = []

    class Listener(NumberAgent):
        def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
            asked.append(request)
            return Abandoned(reason="heard enough", exhausted=True)

    campaign = Campaign(
        settings=settings,
        lab=LabWriter.open(folder.lab),
        executor=InstantExecutor(lambda _: scored(2.0)),
        agent=Listener(),
        judge=judge_of("ledger"),
        task_files={"train.py": TRAIN, "program.md": "Lower it.\n"},
        brief="Lower it.\n",
        clock=time.time,
        observe=lambda _: None,
        wait_seconds=0.02,
    )
    campaign.run()

    [request] = asked
    heard = repr(request) + "".join(request.notebook.log_tail(experiment) for experiment in request.experiments)
    assert [score for score in holdout_scores if score in heard] == []
    assert record.study.name not in heard
