"""The files that patterns name are those of the start, and a campaign goes on with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.errors import TaskError
from controller.folder import CampaignFolder, expand_globs, task_files
from controller.settings import Device, Settings
from controller.settings.file import load_settings


def task_with(tmp_path: Path, editable: list[str]) -> Settings:
    task = tmp_path / "task"
    for name in ("src/a.py", "src/b.py", "src/deep/c.py", ".hidden/d.py", "conf/x.toml", "odd[1].py"):
        (task / name).parent.mkdir(parents=True, exist_ok=True)
        (task / name).write_text("x = 1\n")
    return Settings.model_validate({"task": {"folder": task, "editable": editable, "score": "log"}})


@pytest.mark.parametrize(
    ("editable", "files"),
    [
        (["src/*.py"], ("src/a.py", "src/b.py")),
        (["src/b.py", "src/*.py"], ("src/b.py", "src/a.py")),
        (["**/*.py"], ("odd[1].py", "src/a.py", "src/b.py", "src/deep/c.py")),
        (["conf/*.toml", "src/?.py"], ("conf/x.toml", "src/a.py", "src/b.py")),
        (["odd[1].py"], ("odd[1].py",)),
        (["src/**"], ("src/a.py", "src/b.py", "src/deep/c.py")),
    ],
)
def test_patterns_stand_for_the_files_that_fit_them(
    tmp_path: Path, editable: list[str], files: tuple[str, ...]
) -> None:
    assert expand_globs(task_with(tmp_path, editable)).task.editable == files


def test_pattern_that_fits_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"task.editable 'lib/\*' fits no file of task folder"):
        expand_globs(task_with(tmp_path, ["lib/*"]))


@pytest.mark.parametrize(
    ("task", "seen"),
    [
        ({"examiner": "examiner.py", "editable": ["*.py"]}, "examiner.py"),
        ({"examiner": "examiner.py", "editable": ["train.py", "link.py"]}, "link.py"),
        ({"examiner": "examiner.py", "readable": ["*"]}, "examiner.py"),
        ({"examiner": "marks", "editable": ["train.py", "marks/*.py"]}, "marks/probe.py"),
        ({"examiner": "marks", "editable": ["**/*.py"]}, "marks/probe.py"),
    ],
)
def test_examiner_is_not_among_the_files_of_the_agent_whatever_takes_it_in(
    tmp_path: Path, task: dict[str, object], seen: str
) -> None:
    for name in ("train.py", "examiner.py", "marks/probe.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / "link.py").symlink_to("examiner.py")
    file = tmp_path / "s.yaml"
    file.write_text(json.dumps({"tag": "t", "task": {"folder": ".", "metric": "loss", "readable": [], **task}}))

    with pytest.raises(TaskError, match=f"takes in {seen}, which belongs to the examiner"):
        CampaignFolder(tmp_path / "c").choose_settings(file, [], here=lambda: Device.CPU)


def test_file_that_is_no_text_is_named_alone(tmp_path: Path) -> None:
    settings = task_with(tmp_path, ["src/a.py", "src/b.py"])
    (tmp_path / "task/src/b.py").write_bytes(b"# caf\xe9\n")

    with pytest.raises(TaskError, match=r": src/b\.py is no UTF-8 text \(invalid continuation byte at byte 5\)"):
        task_files(settings)


def test_campaign_goes_on_with_the_files_that_it_began_with(tmp_path: Path) -> None:
    task_with(tmp_path, ["src/*.py"])
    file = tmp_path / "s.yaml"
    file.write_text("tag: t\ntask: {folder: task, score: log, editable: ['src/*.py']}\n")
    campaign = CampaignFolder(tmp_path / "c")

    begun = campaign.choose_settings(file, [], here=lambda: Device.CPU)
    (tmp_path / "task/src/later.py").write_text("x = 1\n")

    assert campaign.choose_settings(None, [], here=lambda: Device.CPU).task.editable == begun.task.editable
    assert load_settings(campaign.settings).task.editable == ("src/a.py", "src/b.py")


def test_file_in_place_of_the_task_folder_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("x = 1\n")
    settings = load_settings(None, [f"task.folder={tmp_path}/train.py", "task.score=log"])

    with pytest.raises(TaskError, match=r"train\.py is a file: set task\.folder to the folder that holds it"):
        task_files(settings)
