"""The books of model calls: written from many threads, whatever git's own housekeeping does meanwhile."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer

import pytest

from controller.booking import Booking, read_calls
from controller.errors import LabError
from controller.lab import Lab
from controller.money import CallRecord
from controller.writer import LabWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    lab = LabWriter.open(tmp_path / "lab.git", create=True)
    lab.begin("t", {"train.py": "A = 1\n"}, fingerprint="f", settings="", at=1e9)
    return lab.path


def call(number: int) -> CallRecord:
    return CallRecord(
        id=f"c{number}", tag="t", proposal=number % 7, model="m", at=1e9, outcome="end_turn", dollars=0.01, prices=""
    )


def test_sixteen_threads_book_while_the_loop_has_git_pack_and_no_call_is_lost(path: Path) -> None:
    booking, loop = Booking(path, "t"), LabWriter.open(path)
    subprocess.run(["git", "-C", str(path), "config", "gc.auto", "1"], check=True)
    with ThreadPoolExecutor(16) as pool:
        booked = [pool.submit(booking.book, call(number)) for number in range(120)]
        while not all(each.done() for each in booked):
            loop.compact()
    for each in booked:
        each.result()

    assert len(read_calls(Lab.open(path), "t")) == 120
    assert booking.cost.dollars == pytest.approx(1.2)
    assert Booking(path, "t").cost == booking.cost


def test_a_ref_that_is_locked_for_a_moment_is_waited_for(path: Path) -> None:
    booking = Booking(path, "t")
    booking.book(call(1))
    lock = path / "refs" / "calls" / "t.lock"
    lock.touch()
    release = Timer(0.3, lock.unlink)
    release.start()

    booking.book(call(2))

    release.join()
    assert [each.id for each in read_calls(Lab.open(path), "t")] == ["c1", "c2"]


def test_a_lab_that_cannot_be_written_at_all_is_an_error_and_the_call_does_not_count(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.booking.PATIENCE_SECONDS", (0.01,))
    booking = Booking(path, "t")
    booking.book(call(1))
    (path / "refs" / "calls" / "t.lock").touch()

    with pytest.raises(LabError):
        booking.book(call(2))

    assert booking.cost.calls == 1
