"""Paths of attached files: what is written under a path is found again, and old labs stay readable."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.lab.attachments import TryLog, log_path, sort_logs, transcript_path

NUMBERS = st.integers(1, 2_000)


@given(experiment=NUMBERS, attempt=NUMBERS, number=NUMBERS)
def test_a_log_path_tells_attempt_and_try(experiment: int, attempt: int, number: int) -> None:
    log = TryLog.read(log_path(experiment, attempt, number), b"boom")

    assert log is not None
    assert (log.attempt, log.number, log.text) == (attempt, number, "boom")


def test_the_log_of_attempt_ten_comes_after_the_log_of_attempt_two() -> None:
    files = [(log_path(3, attempt, 1), b"") for attempt in (1, 10, 2)]

    assert [log.name for log in sort_logs(files)] == ["a1-t1.log", "a2-t1.log", "a10-t1.log"]


def test_a_transcript_is_no_log() -> None:
    assert sort_logs([(transcript_path(3), b"{}"), (log_path(3, 1, 2), b"\xff")]) == [
        TryLog("000003/a1-t2.log", 1, 2, "\N{REPLACEMENT CHARACTER}")
    ]
