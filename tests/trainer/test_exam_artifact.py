"""An artifact is files and links to them within bounds, or is refused in one sentence."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from exam.kit import artifact
from exam.kit.artifact import ArtifactLimits
from exam.kit.errors import DataError

LIMITS = ArtifactLimits(bytes=1000, files=8)


def test_regular_files_in_folders_are_fine(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/weights").write_bytes(b"x" * LIMITS.bytes)
    (tmp_path / "empty").touch()
    assert artifact.find_fault(tmp_path, LIMITS) is None


@pytest.mark.parametrize("depth", ["", "deep/er/"])
@pytest.mark.parametrize(
    ("make", "word"),
    [
        pytest.param(lambda path: path.symlink_to("/etc/passwd"), "symlink", id="absolute symlink"),
        pytest.param(lambda path: path.symlink_to(Path("weights").resolve()), "symlink", id="absolute and inside"),
        pytest.param(lambda path: path.symlink_to("../" * 20 + "etc"), "symlink", id="symlink to a folder outside"),
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

    fault = artifact.find_fault(tmp_path, LIMITS)

    assert fault is not None
    assert word in fault
    assert "'other'" in fault


def test_an_empty_folder_and_empty_files_are_no_artifact(tmp_path: Path) -> None:
    assert "saved nothing" in (artifact.find_fault(tmp_path, LIMITS) or "")
    (tmp_path / "weights").touch()
    assert "saved nothing" in (artifact.find_fault(tmp_path, LIMITS) or "")


def test_size_is_bounded_also_for_files_full_of_holes(tmp_path: Path) -> None:
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(LIMITS.bytes + 1)
    assert "larger than 1000 bytes" in (artifact.find_fault(tmp_path, LIMITS) or "")


def test_the_number_of_files_is_bounded_and_folders_count(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"x")
    for number in range(7):
        (tmp_path / str(number)).mkdir()
    assert artifact.find_fault(tmp_path, LIMITS) is None
    (tmp_path / "7").mkdir()
    assert "more than 8 files" in (artifact.find_fault(tmp_path, LIMITS) or "")


def test_relative_links_inside_are_fine(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "blobs/abc").write_bytes(b"x")
    (tmp_path / "snapshots/model").symlink_to("../blobs/abc")
    (tmp_path / "latest").symlink_to("snapshots")
    (tmp_path / "best").symlink_to("latest/model")
    (tmp_path / "later").symlink_to("not/there/yet")
    assert artifact.find_fault(tmp_path, LIMITS) is None


def test_a_link_that_leaves_by_way_of_another_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in/x/y").mkdir(parents=True)
    (tmp_path / "in/weights").write_bytes(b"x")
    (tmp_path / "in/x/y/top").symlink_to("../..")
    (tmp_path / "in/x/y/out").symlink_to("top/..")  # by its text alone it is in/x/y
    fault = artifact.find_fault(tmp_path / "in", LIMITS)
    assert fault is not None
    assert "'out'" in fault


def test_a_folder_that_was_replaced_by_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/weights").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert "no folder" in (artifact.find_fault(tmp_path / "link", LIMITS) or "")


def test_a_missing_folder_is_a_fault_not_a_crash(tmp_path: Path) -> None:
    assert "cannot be read" in (artifact.find_fault(tmp_path / "none", LIMITS) or "")


def test_the_limits_come_from_the_environment() -> None:
    assert artifact.read_limits({}) == ArtifactLimits(bytes=2 << 30, files=10_000)
    told = {"AUTORESEARCH_ARTIFACT_BYTES": "17", "AUTORESEARCH_ARTIFACT_FILES": "3"}
    assert artifact.read_limits(told) == ArtifactLimits(bytes=17, files=3)
    with pytest.raises(DataError, match="must be a number"):
        artifact.read_limits({"AUTORESEARCH_ARTIFACT_BYTES": "many"})
