"""Reads the folder of prepared data: what it says that no sandbox may show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.errors import DataError
from controller.folder import hidden_folders
from controller.folder.prepared_data import read_manifest


def write(data: Path, manifest: object) -> Path:
    (data / "manifest.json").write_text(json.dumps(manifest))
    return data


def test_the_manifest_names_what_is_hidden(tmp_path: Path) -> None:
    assert hidden_folders(tmp_path) == ()
    assert hidden_folders(write(tmp_path, {"files": {}})) == ()
    assert hidden_folders(write(tmp_path, {"hidden": ["idlelib", "test"]})) == ("idlelib", "test")


@pytest.mark.parametrize(
    "manifest", [{"hidden": ["../etc"]}, {"hidden": [""]}, {"hidden": "test"}, [], {"hidden": [1]}]
)
def test_names_that_cannot_be_are_refused(tmp_path: Path, manifest: object) -> None:
    with pytest.raises(DataError, match="manifest"):
        hidden_folders(write(tmp_path, manifest))


def test_the_command_that_makes_data_again_can_be_copied(tmp_path: Path) -> None:
    campaign = tmp_path / "my night"

    with pytest.raises(DataError, match=rf"run `autoresearch prepare '{campaign}'` to make it again"):
        read_manifest(campaign / "data")
