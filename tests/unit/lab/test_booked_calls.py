"""The books of model calls: written from many threads, whatever git's own housekeeping does meanwhile."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from controller.costs.call_totals import CallTotals
from controller.costs.model_calls import CallRecord, Usage
from controller.errors import LabError
from controller.lab import Lab
from controller.lab.booked_calls import BookedCalls, read_calls
from controller.lab.writer import LabWriter


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
    booking, loop = BookedCalls(path, "t"), LabWriter.open(path)
    subprocess.run(["git", "-C", str(path), "config", "gc.auto", "1"], check=True)
    with ThreadPoolExecutor(16) as pool:
        booked = [pool.submit(booking.book, call(number)) for number in range(120)]
        while not all(each.done() for each in booked):
            loop.compact()
    for each in booked:
        each.result()

    assert len(read_calls(Lab.open(path), "t")) == 120
    assert booking.cost.dollars == pytest.approx(1.2)
    assert BookedCalls(path, "t").cost == booking.cost


def test_a_ref_that_is_locked_for_a_moment_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    booking = BookedCalls(path, "t")
    booking.book(call(1))
    lock = path / "refs" / "calls" / "t.lock"
    lock.touch()
    waits = iter([lambda: None, lock.unlink])
    monkeypatch.setattr(time, "sleep", lambda _: next(waits)())

    booking.book(call(2))

    assert list(waits) == [], "the lock was not waited for"
    assert [each.id for each in read_calls(Lab.open(path), "t")] == ["c1", "c2"]


def test_a_lab_that_cannot_be_written_at_all_is_an_error_and_the_call_does_not_count(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.lab.booked_calls.RETRY_SECONDS", (0.01,))
    booking = BookedCalls(path, "t")
    booking.book(call(1))
    (path / "refs" / "calls" / "t.lock").touch()

    with pytest.raises(LabError):
        booking.book(call(2))

    assert booking.cost.calls == 1


def test_a_call_under_way_counts_as_what_it_is_expected_to_cost_and_after_a_crash_as_the_most(path: Path) -> None:
    booking = BookedCalls(path, "t")
    begun = replace(call(1), outcome="begun", dollars=1.3, expected=0.3)
    booking.book(begun)
    under_way = booking.cost.dollars
    after_a_crash = BookedCalls(path, "t").cost.dollars
    booking.book(replace(begun, outcome="end_turn", dollars=0.1, expected=None))

    assert (under_way, after_a_crash) == (0.3, 1.3)
    assert booking.cost.dollars == BookedCalls(path, "t").cost.dollars == pytest.approx(0.1)
    assert booking.cost.calls == 1


def test_refusals_are_counted_by_category_over_restarts(path: Path) -> None:
    booking = BookedCalls(path, "t")
    for number, category in enumerate(["frontier_llm", "frontier_llm", "", "something new"]):
        booking.book(replace(call(number), outcome="refusal", refusal=category))

    assert booking.refusals == BookedCalls(path, "t").refusals == {"frontier_llm": 2, "other": 2}


def test_totals_cost_no_more_with_every_call() -> None:
    totals = CallTotals()
    began = time.thread_time()
    for number in range(60_000):
        totals.put(replace(call(number), usage=Usage(input=1, output=2)))

    assert totals.cost.calls == 60_000
    assert totals.cost.tokens["output"] == 120_000
    assert time.thread_time() - began < 10, "52 ms for each call would be most of an hour"
