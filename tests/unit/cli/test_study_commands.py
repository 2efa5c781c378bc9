"""What the study commands take, and what they refuse in one sentence with exit code 2."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.cli.commands import app
from controller.domain import BASELINE
from controller.errors import AutoresearchError, LabError, LabInUse, SettingsError
from controller.lab.writer import LabWriter
from controller.notices import Activity, activity_to_json
from controller.studies import ablation, rerun
from controller.studies.claim import default_seeds
from tests.support.ended_campaign import make_ended_campaign

PROGRAM = "A = 1.0\nprint(f'val_bpb: {A}')\n"


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """A campaign of which nothing was kept, scored by its log."""
    folder = tmp_path / "demo"
    task = tmp_path / "task"
    task.mkdir()
    (task / "train.py").write_text(PROGRAM)
    make_ended_campaign(folder / "lab.git", "t", PROGRAM, [], levels=[1.0])
    (folder / "campaign.yaml").write_text(
        f"tag: t\ntask: {{score: log, folder: {task}}}\nbudget: {{train_seconds: 5, experiments: 5}}\n"
    )
    return folder


def refusal(*arguments: str) -> AutoresearchError:
    """The error of a command, which `main` turns into a sentence and exit code 2."""
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, AutoresearchError), error
    assert error.exit_code == 2
    return error


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        pytest.param(["claim", "DEMO", "1", "2", "3"], SettingsError, "names no claim", id="three programs"),
        pytest.param(["claim", "DEMO", "head", "0"], SettingsError, "are the same program", id="one program twice"),
        pytest.param(["claim", "DEMO", "head", "7"], LabError, "no experiment 7", id="no such experiment"),
        pytest.param(["claim", "DEMO", "head", "cafe1234"], LabError, "no program 'cafe1234'", id="no such commit"),
        pytest.param(["ablate", "DEMO"], SettingsError, "nothing was kept", id="nothing to leave out"),
        pytest.param(
            ["ablate", "DEMO", "--prune", "--again"], SettingsError, "nothing was kept", id="nothing to prune anew"
        ),
        pytest.param(["aa", "DEMO", "--seeds", "3"], SettingsError, "leaves nothing to judge", id="too few runs"),
        pytest.param(["rerun", "DEMO", "9"], LabError, "no experiment 9", id="no such experiment to run again"),
        pytest.param(["portability", "DEMO", "--pool", "a100"], SettingsError, "at least two places", id="one place"),
        pytest.param(
            ["portability", "DEMO", "--pool", "a", "--pool", "b"], SettingsError, "nodes of a cluster", id="no cluster"
        ),
        pytest.param(
            ["portability", "DEMO", "--preset", "cpu", "--preset", "gpu"], SettingsError, "has no data", id="no data"
        ),
        pytest.param(["portability", "DEMO", "--place", "a100"], SettingsError, "at least two", id="one plain place"),
        pytest.param(
            ["portability", "DEMO", "--place", "a", "--place", "b"],
            SettingsError,
            "so that they are one",
            id="twice one",
        ),
        pytest.param(["claim", "DEMO", "head"], SettingsError, "a claim compares two", id="one program"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(
    campaign: Path, arguments: list[str], kind: type[AutoresearchError], said: str
) -> None:
    before = sorted(campaign.rglob("*.json"))

    error = refusal(*(str(campaign) if word == "DEMO" else word for word in arguments))

    assert isinstance(error, kind)
    assert said in str(error)
    assert sorted(campaign.rglob("*.json")) == before


@pytest.mark.parametrize(
    ("study", "said"),
    [
        pytest.param(
            "", "t is idle, and a study needs the lab to itself: ask again when that has ended", id="campaign"
        ),
        pytest.param("claim-1", "claim-1 of t runs, and a study needs the lab to itself", id="another study"),
    ],
)
def test_beside_whoever_has_the_lab_a_study_is_refused_and_told_what_that_is(
    campaign: Path, study: str, said: str
) -> None:
    lab = LabWriter.open(campaign / "lab.git")
    with lab.lock(now=1e9):
        lab.write_activity(activity_to_json(Activity(tag="t", turned=True, pid=os.getpid(), since=1e9, study=study)))

        error = refusal("rerun", str(campaign), "0")

    assert isinstance(error, LabInUse)
    assert str(error).startswith(said)
    assert f"is in use by pid {os.getpid()} since " in str(error)


def test_on_a_cluster_a_study_needs_no_file_of_the_task_here(campaign: Path) -> None:
    shutil.rmtree(campaign.parent / "task")
    outside = ["--executor", "kubernetes", "--set", "executor.kubernetes.kubeconfig=/nowhere"]

    assert "task folder" in str(refusal("rerun", str(campaign), "0"))
    assert "kubeconfig /nowhere" in str(
        refusal("rerun", str(campaign), "0", *outside, "--set", "executor.kubernetes.image=i")
    )


def test_a_campaign_that_kept_nothing_has_nothing_to_claim(campaign: Path) -> None:
    before = sorted(campaign.rglob("*.json"))

    answer = CliRunner().invoke(app, ["claim", str(campaign)])

    assert (answer.exit_code, answer.exception) == (0, None)
    assert sorted(campaign.rglob("*.json")) == before


@pytest.mark.parametrize(
    ("command", "seeds"),
    [
        ("claim", default_seeds()),
        ("portability", default_seeds()),
        ("ablate", ablation.SEEDS),
        ("rerun", rerun.RERUN_SEEDS),
        ("aa", rerun.AA_SEEDS),
    ],
)
def test_help_tells_the_runs_that_a_study_takes_by_default(command: str, seeds: int) -> None:
    page = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300"}).output

    [line] = [line for line in page.splitlines() if " --seeds " in line]
    assert re.search(rf"empty: {seeds}\b", line)


def test_a_folder_that_holds_no_campaign_is_refused(tmp_path: Path) -> None:
    assert "is no campaign" in str(refusal("claim", str(tmp_path)))


def test_the_baseline_is_experiment_0_by_both_of_its_names(campaign: Path) -> None:
    assert "are the same program" in str(refusal("claim", str(campaign), "baseline", str(BASELINE)))
