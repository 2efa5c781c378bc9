"""What a clone of a repository leaves out is told before a training fails on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import TaskError
from controller.folder.missing_parts import missing_parts
from controller.folder.task_folder import task_files
from controller.settings.file import load_settings

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def test_whole_folder_lacks_nothing(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("x = 1\n")
    (tmp_path / "note.md").write_text("Files begin with version https://git-lfs.github.com/spec/v1\n")

    assert missing_parts(tmp_path) == []


def test_pointers_of_git_lfs_are_told_with_what_to_do(tmp_path: Path) -> None:
    for name in ("data/a.bin", "data/b.bin", ".cache/c.bin", "node_modules/d.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(POINTER)

    assert missing_parts(tmp_path) == [
        f"task folder {tmp_path}: of data/a.bin and 1 more only the pointer is there: run `git lfs pull` in the folder"
    ]


@pytest.mark.parametrize(("inside", "empty"), [((), True), (("lib.py",), False)])
def test_empty_submodule_is_told(tmp_path: Path, inside: tuple[str, ...], empty: bool) -> None:
    (tmp_path / ".gitmodules").write_text('[submodule "lib"]\n\tpath = vendor/lib\n\turl = https://x/lib\n')
    (tmp_path / "vendor/lib").mkdir(parents=True)
    for name in inside:
        (tmp_path / "vendor/lib" / name).touch()

    assert bool(missing_parts(tmp_path)) == empty


def test_pointer_that_should_be_edited_is_refused_as_one(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(POINTER)
    settings = load_settings(None, [f"task.folder={tmp_path}", "task.score=log"])

    with pytest.raises(TaskError, match=r"of train\.py only the pointer of git-lfs is there: run `git lfs pull`"):
        task_files(settings)
