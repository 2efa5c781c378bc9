"""The probe's answer file is a regular file of the right size, or a rejection: never a hang, never a crash."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exam.kit.errors import Rejection
from exam.language.probe_answers import LOGITS, read_logits


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_link(path: Path, target: str) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to(target)


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    path = tmp_path / LOGITS
    np.arange(12, dtype="<f2").tofile(path)
    return path


def test_a_file_of_the_right_size_is_read_as_it_is(answers: Path) -> None:
    logits = read_logits(answers.parent, rows=3, vocabulary=4)
    np.testing.assert_array_equal(logits, np.arange(12).reshape(3, 4))


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(Path.unlink, id="missing"),
        pytest.param(lambda path: os.truncate(path, 23), id="short"),
        pytest.param(lambda path: os.truncate(path, 25), id="long"),
        pytest.param(lambda path: os.truncate(path, 1 << 42), id="four terabytes of holes"),
        pytest.param(lambda path: replace_by_link(path, "real"), id="a link to good answers"),
        pytest.param(lambda path: replace_by_link(path, "/dev/zero"), id="a link to an endless device"),
        pytest.param(replace_by_fifo, id="a FIFO that nobody writes"),
        pytest.param(replace_by_folder, id="a folder"),
    ],
)
@pytest.mark.timeout(120)
def test_anything_else_is_rejected(answers: Path, harm: Callable[[Path], None]) -> None:
    harm(answers)
    with pytest.raises(Rejection, match="the probe's answers") as caught:
        read_logits(answers.parent, rows=3, vocabulary=4)
    assert caught.value.test == "protocol"
