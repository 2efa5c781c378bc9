"""No smoke test runs beside an exam, and no exam waits longer than a smoke test takes to end."""

from __future__ import annotations

import threading

from controller.executor.local.exam_hours import ExamHours
from tests.support.waiting import wait_until


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
    thread.join(20)

    assert began.is_set()
    with hours.hold_smoke_test(seconds=0.01) as next_hour:
        assert next_hour is not None
