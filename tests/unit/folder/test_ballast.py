"""A ballast takes room that it can give back, and never the room that is needed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from controller.folder import ballast
from controller.folder.ballast import Ballast, is_full


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The room that the disk seems to have, in a list of one, so that a test can change it."""
    left = [2**30]
    monkeypatch.setattr(ballast, "room_on", lambda _: left[0])
    return left


def test_ballast_is_whole_and_given_up_and_made_again(tmp_path: Path, room: list[int]) -> None:
    held = Ballast(tmp_path / "ballast", size=2**20)
    held.keep()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= 2**20

    held.give_up()
    assert not (tmp_path / "ballast").exists()
    room[0] = 2**21
    held.restore()
    assert not (tmp_path / "ballast").exists(), "the disk has too little room to spare"
    held.give_up()
    room[0] = 2**30
    held.restore()
    assert (tmp_path / "ballast").stat().st_size == 2**20


def test_ballast_of_a_dead_controller_is_given_up_on_a_full_disk_and_finished_on_another(
    tmp_path: Path, room: list[int]
) -> None:
    (tmp_path / "ballast").write_bytes(b"x" * 100)
    Ballast(tmp_path / "ballast", size=2**20).keep()
    assert (tmp_path / "ballast").stat().st_size == 2**20

    room[0] = 2**19
    Ballast(tmp_path / "ballast", size=2**20).keep()

    assert os.listdir(tmp_path) == []


def test_no_ballast_is_made_that_nobody_gave_up(tmp_path: Path, room: list[int]) -> None:
    Ballast(tmp_path / "ballast").restore()

    assert os.listdir(tmp_path) == []
    assert room == [2**30]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP])
def test_disk_that_cannot_promise_room_has_none(
    tmp_path: Path, room: list[int], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)

    Ballast(tmp_path / "ballast").keep()

    assert os.listdir(tmp_path) == []
    assert room


def test_full_disk_is_known_by_number_and_by_the_words_of_git() -> None:
    assert is_full(OSError(errno.ENOSPC, "x"))
    assert is_full(RuntimeError("could not write '/lab.git/objects/x': No space left on device"))
    assert not is_full(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
