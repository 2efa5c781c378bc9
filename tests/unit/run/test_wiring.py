"""What is told of a place before anything is spent there."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.folder import CampaignFolder
from controller.run.wiring import warnings_of_place
from controller.settings.file import load_settings


@pytest.mark.parametrize(
    ("kind", "score", "warned"),
    [
        pytest.param("kubernetes", "log", True, id="a training in a pod by itself"),
        pytest.param("kubernetes", "exam", False, id="a pod with our supervisor"),
        pytest.param("local", "log", False, id="measured from outside of the sandbox"),
    ],
)
def test_a_campaign_whose_machines_nobody_measures_is_told_so(
    tmp_path: Path, kind: str, score: str, warned: bool
) -> None:
    settings = load_settings(None, [f"executor.kind={kind}"]).executor

    told = warnings_of_place(CampaignFolder(tmp_path), settings, score=score)

    assert any("nobody measures" in line for line in told) == warned
