"""Reads the folder of prepared data: what it says that no sandbox may show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.errors import DataError
from controller.folder import hidden_folders


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
