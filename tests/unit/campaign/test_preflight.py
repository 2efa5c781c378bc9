"""Data that do not hold what an exam asks: one sentence says which part is missing and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.campaign.preflight import require_data_parts
from controller.errors import DataError
from tests.support.scripted import settings

CHOSEN = ("task.score=exam", "task.probe_sets=1")


def make_parts(folder: Path, *, slices: int) -> Path:
    """A data folder with every part but the reserve's, and so many slices of that."""
    names = ("train", "tokenizer", "validation", "holdout", "probes/00/questions", "manifest.json")
    for name in (*names, *(f"reserve/{number:03d}" for number in range(slices))):
        (folder / name).mkdir(parents=True)
    return folder


def test_data_of_an_earlier_version_are_told_in_one_sentence(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", slices=0)
    with pytest.raises(DataError) as caught:
        require_data_parts(data, settings(*CHOSEN))
    said = str(caught.value)
    assert f"data folder {data} has no reserve, so an older version made it: begin a new campaign with new data" in said
    assert "sets task.reserve_slices to 0" in said
    assert "\n" not in said
    require_data_parts(data, settings(*CHOSEN, "task.reserve_slices=0"))


def test_a_smaller_reserve_than_the_settings_name_is_told_with_the_setting(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", slices=3)
    require_data_parts(data, settings(*CHOSEN, "task.reserve_slices=3"))
    with pytest.raises(DataError, match=r"has no reserve/003, and task.reserve_slices is 4: run `autoresearch prepare"):
        require_data_parts(data, settings(*CHOSEN, "task.reserve_slices=4"))
