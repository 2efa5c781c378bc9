"""No smoke test and no program that proposes runs beside an exam; the exam goes first as far as the machine allows."""

from __future__ import annotations

import threading
from pathlib import Path

from controller.executor.local.exam_hours import ExamHours
from controller.executor.local.freezer import Freezer
from tests.support.waiting import PATIENCE_S, wait_until


def test_smoke_test_waits_for_the_exam_to_be_over() -> None:
    hours = ExamHours()

    with hours.hold_exam(), hours.hold_smoke_test(seconds=0.01) as during:
        assert during is None
    with hours.hold_smoke_test(seconds=0.01) as after:
        assert after is not None
        assert not after.is_set


def test_exam_ends_the_smoke_tests_under_way_and_begins_when_they_are_gone() -> None:
    hours, began = ExamHours(), threading.Event()

    def examine() -> None:
        with hours.hold_exam():
            began.set()

    thread = threading.Thread(target=examine)
    with hours.hold_smoke_test(seconds=1) as exam_begins:
        assert exam_begins is not None
        thread.start()
        wait_until(lambda: exam_begins.is_set, what="the word that an exam begins")
        assert not began.is_set()
    thread.join(PATIENCE_S)

    assert began.is_set()
    with hours.hold_smoke_test(seconds=0.01) as next_hour:
        assert next_hour is not None


def freezer_in(folder: Path) -> Freezer:
    """A freezer that stands still as soon as it is asked to."""
    (folder / "freezer.state").write_text("THAWED")
    return Freezer(folder, 1)


def test_program_stands_still_until_the_last_exam_is_over_and_only_that_is_counted(tmp_path: Path) -> None:
    hours, freezer = ExamHours(), freezer_in(tmp_path)

    with hours.hold_program(freezer, give_up=lambda: False) as program:
        assert program is not None
        with hours.hold_exam() as first:
            with hours.hold_exam() as second:
                assert (first, second) == (True, True)
                states = [freezer.is_frozen]
            states += [freezer.is_frozen]
        states += [freezer.is_frozen]
        stood = program.still_seconds
        assert stood > 0
        assert program.still_seconds == stood
    assert states == [True, True, False]


def test_program_begins_when_the_exam_is_over_or_not_at_all_if_it_is_given_up(tmp_path: Path) -> None:
    hours, began = ExamHours(), threading.Event()

    def propose() -> None:
        with hours.hold_program(freezer_in(tmp_path), give_up=lambda: False):
            began.set()

    thread = threading.Thread(target=propose)
    with hours.hold_exam():
        with hours.hold_program(None, give_up=lambda: True) as given_up:
            assert given_up is None
        thread.start()
        assert not began.wait(0.1)
    thread.join(PATIENCE_S)

    assert began.is_set()


def test_exam_and_program_that_cannot_be_frozen_take_turns() -> None:
    hours, began, over = ExamHours(), threading.Event(), threading.Event()

    def examine() -> None:
        with hours.hold_exam() as held:
            assert held
            began.set()
            over.wait(PATIENCE_S)

    thread = threading.Thread(target=examine)
    with hours.hold_program(None, give_up=lambda: False):
        with hours.hold_exam(give_up=lambda: True) as given_up:
            assert not given_up
        thread.start()
        assert not began.wait(0.1)
    wait_until(began.is_set, what="the exam to begin when the program is gone")
    with hours.hold_program(None, give_up=lambda: True) as beside:
        assert beside is None
    over.set()
    thread.join(PATIENCE_S)


def test_program_that_does_not_freeze_keeps_the_exam_waiting(tmp_path: Path) -> None:
    hours = ExamHours()

    with (
        hours.hold_program(Freezer(tmp_path / "missing", 1), give_up=lambda: False) as program,
        hours.hold_exam(give_up=lambda: True) as held,
    ):
        assert not held
        assert program is not None
        assert program.still_seconds == 0
