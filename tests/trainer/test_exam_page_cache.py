"""Which pages of its files lie in memory tells the code of a container nothing: all of them do, or none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from exam.kit import page_cache

from tests.redteam.candidates.page_cache_note import find_by_mincore, leave, write_cold

BITS = 512


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Cold files in which somebody has left a note, beside what hostile code may put into an artifact."""
    for name in ("large", "folder/small"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_cold(tmp_path / name, BITS)
        leave(tmp_path / name, np.arange(BITS) % 3 == 0)
    (tmp_path / "folder/few").write_bytes(b"few")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("/")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def level(folder: Path) -> list[float]:
    """Share of the ones in each note, after levelling."""
    page_cache.level_files({"AUTORESEARCH_LEVEL_FILES": f"{folder}:{folder / 'missing'}"})
    return [find_by_mincore(folder / name, BITS).mean() for name in ("large", "folder/small")]


def test_every_page_is_there_afterwards(folder: Path) -> None:
    assert level(folder) == [1.0, 1.0]


def test_no_page_is_there_where_memory_is_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "SHARE_OF_MEMORY", 0.0)

    assert level(folder) == [0.0, 0.0]


def test_nothing_is_read_where_the_executor_has_the_kernel_forget(folder: Path) -> None:
    before = find_by_mincore(folder / "large", BITS).mean()

    page_cache.level_files({})

    assert find_by_mincore(folder / "large", BITS).mean() == before < 0.5
