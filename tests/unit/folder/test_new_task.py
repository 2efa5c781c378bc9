"""A new task: settings that load, an examiner that the agent cannot see, and no folder overwritten."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from controller.errors import TaskError
from controller.folder.new_task import TaskKind, tag_of, write_task
from controller.folder.task_folder import task_files
from controller.settings.file import load_settings


@pytest.mark.parametrize("kind", TaskKind)
def test_every_kind_has_settings_that_load_and_files_that_they_name(tmp_path: Path, kind: TaskKind) -> None:
    folder = tmp_path / "My Task"
    write_task(folder, kind)
    settings = load_settings(folder / "settings.yaml")

    assert settings.tag == "my-task"
    assert settings.task.folder == folder
    files = task_files(settings)
    assert {"train.py", "program.md"} <= set(files)
    assert "examiner.py" not in files
    assert (folder / "examiner.py").exists() == bool(settings.task.examiner_file)


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(TaskError, match="is not empty"):
        write_task(tmp_path, TaskKind.SEARCH)
    with pytest.raises(TaskError, match="is a file"):
        write_task(tmp_path / "thesis.txt", TaskKind.SEARCH)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", [TaskKind.LANGUAGE, TaskKind.SEARCH])
def test_a_task_that_the_disk_does_not_take_leaves_no_folder(tmp_path: Path, kind: TaskKind) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, hard))  # Bytes of a file: program.md fits in, train.py does not.
    try:
        with pytest.raises(TaskError, match=r"cannot be written: .*File too large.*: name another folder"):
            write_task(tmp_path / "task", kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "tag"), [("Ranking_2", "ranking-2"), ("ä", "task"), ("x" * 60, "x" * 30)], ids=["signs", "none", "long"]
)
def test_a_tag_is_made_of_any_folders_name(name: str, tag: str) -> None:
    assert tag_of(Path("/somewhere") / name) == tag
