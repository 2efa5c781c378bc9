"""The campaign's own settings file: written whole or not at all, wherever it lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import SettingsError
from controller.folder import CampaignFolder
from controller.settings import Device


def choose(folder: CampaignFolder, given: Path) -> None:
    folder.choose_settings(given, [], here=lambda: Device.CPU)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "train.py").write_text("x = 1\n")
    file = tmp_path / "given.yaml"
    file.write_text("tag: a\ntask: {folder: task, score: log}\n")
    return file


def test_a_full_disk_leaves_the_settings_as_they_were(tmp_path: Path, given: Path) -> None:
    folder = CampaignFolder(tmp_path / "c")
    choose(folder, given)
    before = folder.settings.read_bytes()
    given.write_text(given.read_text() + "budget: {hours: 3}\n")
    (folder.path / ".campaign.yaml.new").symlink_to("/dev/full")

    with pytest.raises(SettingsError, match=r"cannot write .*: No space left on device; give another folder"):
        choose(folder, given)

    assert folder.settings.read_bytes() == before
    assert [path.name for path in folder.path.iterdir()] == ["campaign.yaml"]


def test_settings_that_are_kept_elsewhere_stay_there(tmp_path: Path, given: Path) -> None:
    folder = CampaignFolder(tmp_path / "c")
    folder.path.mkdir()
    (tmp_path / "kept.yaml").write_text("tag: a\n")
    folder.settings.symlink_to(tmp_path / "kept.yaml")

    choose(folder, given)

    assert folder.settings.is_symlink()
    assert "score: log" in (tmp_path / "kept.yaml").read_text()


@pytest.mark.parametrize("place", ["path", "lab_override", "data_override"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(SettingsError, match=r"the name of .*/c\ufffd is no UTF-8 text: rename that folder"):
        CampaignFolder(**{"path": tmp_path} | {place: tmp_path / "c\udcff"})
