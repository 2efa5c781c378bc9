"""The holder of a lab is told to those outside, and readers never stand in a writer's way."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from controller.errors import LabInUse
from controller.lab import locks, presence

NOW = 1_900_000_000.0


def test_a_lab_that_nobody_has_written_to_is_free_and_says_nothing(tmp_path: Path) -> None:
    assert presence.find_holder(tmp_path) is None
    assert presence.read_activity(tmp_path) is None


def test_the_newest_activity_replaces_the_one_before(tmp_path: Path) -> None:
    for data in (b"first", b"second"):
        presence.write_activity(tmp_path, data)

    assert presence.read_activity(tmp_path) == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["activity.json"]


def test_an_activity_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / ".activity.json").mkdir()

    presence.write_activity(tmp_path, b"first")

    assert presence.read_activity(tmp_path) is None


def test_readers_never_keep_a_writer_from_the_lab(tmp_path: Path) -> None:
    over = threading.Event()

    def ask() -> None:
        # Each holds the lock for an instant. Without a pause one of them would hold it at nearly every moment.
        while not over.wait(0.002):
            presence.find_holder(tmp_path)

    readers = [threading.Thread(target=ask) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(30):
            with locks.hold_writer_lock(tmp_path, now=NOW, patience=0.0):
                assert presence.find_holder(tmp_path) == (os.getpid(), NOW)
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert presence.find_holder(tmp_path) is None


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with (
        locks.hold_writer_lock(tmp_path, now=NOW, patience=0.0),
        pytest.raises(LabInUse, match=f"in use by pid {os.getpid()} "),
        locks.hold_writer_lock(tmp_path, now=NOW, patience=0.0),
    ):
        pass
