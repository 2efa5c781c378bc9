"""The activity of a campaign: what a loop writes of itself, and what another process may tell of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Progress, TryId
from controller.notices import (
    Activity,
    Doing,
    RunningTry,
    activity_from_json,
    activity_to_json,
    current_activity,
    not_running,
    with_phases,
)
from tests.support.activities import ACTIVITIES, LIVE, NOW, TRAINS


@given(ACTIVITIES)
def test_an_activity_that_was_written_is_read_as_it_was(activity: Activity) -> None:
    assert activity_from_json(activity_to_json(activity)) == activity


@given(ACTIVITIES, st.none() | st.tuples(st.integers(0, 9), st.floats(0, 2e9)))
def test_word_of_a_process_that_holds_the_lab_no_more_never_says_that_something_runs(
    last: Activity, holder: tuple[int, float] | None
) -> None:
    known = current_activity("mar8", activity_to_json(replace(last, alive=True)), holder=holder)

    assert known.alive == (holder is not None)
    if holder != (last.pid, last.since):
        assert known.running == []
        assert known.doing in (Doing.STARTS, Doing.ENDED, Doing.STOPPED)


@pytest.mark.parametrize("word", [None, b"", b"{", b'{"tag": "mar8", "future": 1}', b"\xff\xfe", b"[]"])
def test_a_word_that_cannot_be_read_is_none(word: bytes | None) -> None:
    assert current_activity("mar8", word, holder=None) == not_running("mar8")
    assert current_activity("mar8", word, holder=(7, NOW)).doing is Doing.STARTS


def test_the_lab_of_another_campaign_says_nothing_of_this_one() -> None:
    other = replace(LIVE, tag="apr1", tries=TRAINS)

    assert current_activity("mar8", activity_to_json(other), holder=(other.pid, other.since)) == not_running("mar8")


def test_phases_that_tries_have_reached_since_the_loop_turned_are_told() -> None:
    launched = replace(LIVE, tries=(RunningTry(43, 1), RunningTry(44, 1, "train")))
    now = [Progress(id=TryId("mar8", 43, 1, 1), phase="train", started_at=NOW, phase_seconds=300)]

    assert with_phases(launched, now).tries == (RunningTry(43, 1, "train"), RunningTry(44, 1, "train"))
