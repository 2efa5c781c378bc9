"""What a training leaves behind is regular files within bounds, or is refused in one sentence."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from exam import artifact
from exam.errors import DataError

LIMIT = 1000


def test_regular_files_in_folders_are_fine(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/weights").write_bytes(b"x" * LIMIT)
    (tmp_path / "empty").touch()
    assert artifact.find_fault(tmp_path, LIMIT) is None


@pytest.mark.parametrize("depth", ["", "deep/er/"])
@pytest.mark.parametrize(
    ("make", "word"),
    [
        pytest.param(lambda path: path.symlink_to("/etc/passwd"), "symlink", id="symlink"),
        pytest.param(lambda path: path.symlink_to("/etc"), "symlink", id="symlink to a folder"),
        pytest.param(lambda path: os.mkfifo(path), "FIFO", id="FIFO"),
        pytest.param(lambda path: socket.socket(socket.AF_UNIX).bind(os.fspath(path)), "socket", id="socket"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_anything_but_a_regular_file_is_refused_without_being_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, word: str, depth: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(depth or ".").mkdir(parents=True, exist_ok=True)
    Path("weights").write_bytes(b"x")
    assert callable(make)
    make(Path(depth, "other"))

    fault = artifact.find_fault(tmp_path, LIMIT)

    assert fault is not None
    assert word in fault
    assert "'other'" in fault


def test_an_empty_folder_and_empty_files_are_no_artifact(tmp_path: Path) -> None:
    assert "saved nothing" in (artifact.find_fault(tmp_path, LIMIT) or "")
    (tmp_path / "weights").touch()
    assert "saved nothing" in (artifact.find_fault(tmp_path, LIMIT) or "")


def test_size_is_bounded_also_for_files_full_of_holes(tmp_path: Path) -> None:
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(LIMIT + 1)
    assert "larger than 1000 bytes" in (artifact.find_fault(tmp_path, LIMIT) or "")


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "LIMIT_FILES", 3)
    for number in range(4):
        (tmp_path / str(number)).write_bytes(b"x")
    assert "more than 3 files" in (artifact.find_fault(tmp_path, LIMIT) or "")


def test_a_folder_that_was_replaced_by_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/weights").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert "no folder" in (artifact.find_fault(tmp_path / "link", LIMIT) or "")


def test_a_missing_folder_is_a_fault_not_a_crash(tmp_path: Path) -> None:
    assert "cannot be read" in (artifact.find_fault(tmp_path / "none", LIMIT) or "")


def test_the_limit_comes_from_the_environment() -> None:
    assert artifact.limit_bytes({}) == 2 << 30
    assert artifact.limit_bytes({"AUTORESEARCH_ARTIFACT_BYTES": "17"}) == 17
    with pytest.raises(DataError, match="must be a number"):
        artifact.limit_bytes({"AUTORESEARCH_ARTIFACT_BYTES": "many"})
