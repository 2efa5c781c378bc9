"""A campaign's activity in words, which never say what is not so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from controller.notices import Activity, Cause, Doing, End, RunningTry, not_running
from controller.ports import Waiting, WaitReason
from controller.reports.activity import activity_details, activity_sentence
from controller.text.figures import clock_text
from tests.support.activities import ACTIVITIES, LIVE, NOW, TRAINS

SOON = clock_text(NOW + 40)
BUSY = Waiting(reason=WaitReason.OVERLOADED, text="overloaded_error: Overloaded", until=NOW + 40)
REST = Waiting(reason=WaitReason.REST, text="it asked to be left alone for a while", until=NOW + 40)
UNPAID = Waiting(reason=WaitReason.OPERATOR, text="the account cannot pay; perturb stands in for claude")


def ended(cause: Cause, reason: str) -> Activity:
    return replace(LIVE, end=End(cause=cause, reason=reason, at=NOW - 60))


@pytest.mark.parametrize(
    ("activity", "doing", "words"),
    [
        pytest.param(Activity(tag="mar8"), Doing.STARTS, "mar8 is starting", id="starts"),
        pytest.param(replace(LIVE, tries=TRAINS), Doing.RUNS, "Experiment 43 of mar8 is training", id="trains"),
        pytest.param(
            replace(LIVE, tries=(RunningTry(0, 1, "train"), RunningTry(0, 2, "train"))),
            Doing.RUNS,
            "The baseline of mar8 is training",
            id="baseline",
        ),
        pytest.param(
            replace(LIVE, tries=(RunningTry(43, 1, "examine"),)),
            Doing.RUNS,
            "Experiment 43 of mar8 is being examined",
            id="examined",
        ),
        pytest.param(
            replace(LIVE, tries=(RunningTry(43, 1, "unschedulable"),)),
            Doing.RUNS,
            "Experiment 43 of mar8 is waiting for a machine",
            id="no machine",
        ),
        pytest.param(
            replace(
                LIVE, tries=(RunningTry(43, 1, "train"), RunningTry(45, 1, "examine"), RunningTry(44, 2, "starting"))
            ),
            Doing.RUNS,
            "Experiments 43, 44 and 45 of mar8 are running",
            id="several",
        ),
        pytest.param(
            replace(LIVE, tries=tuple(RunningTry(n, 1, "train") for n in range(1, 9))),
            Doing.RUNS,
            "8 experiments of mar8 are training",
            id="many",
        ),
        pytest.param(
            replace(LIVE, tries=TRAINS, proposing=1, waiting=(BUSY,)),
            Doing.RUNS,
            f"Experiment 43 of mar8 is training; the agent waits for the API until {SOON}",
            id="trains while the API is busy",
        ),
        pytest.param(
            replace(LIVE, tries=TRAINS, trouble="the account cannot pay", waiting=(UNPAID,)),
            Doing.RUNS,
            "Experiment 43 of mar8 is training; something waits for you",
            id="another agent stands in",
        ),
        pytest.param(
            replace(LIVE, proposing=1, asked_at=NOW - 130),
            Doing.THINKS,
            "The agent of mar8 thinks about the next experiment for 2 min 10 s",
            id="thinks",
        ),
        pytest.param(
            replace(LIVE, proposing=3, asked_at=NOW, waiting=(BUSY,)),
            Doing.THINKS,
            "The agent of mar8 thinks about 2 experiments",
            id="one of three waits",
        ),
        pytest.param(
            replace(LIVE, proposing=1, asked_at=NOW - 9, waiting=(BUSY,)),
            Doing.WAITS,
            f"mar8 waits for the API until {SOON}",
            id="waits for the API",
        ),
        pytest.param(replace(LIVE, waiting=(REST,)), Doing.WAITS, f"mar8 rests until {SOON}", id="rests"),
        pytest.param(
            replace(LIVE, trouble="the account cannot pay", waiting=(UNPAID,)),
            Doing.PAUSED,
            "mar8 is paused and waits for you",
            id="paused",
        ),
        pytest.param(
            replace(ended(Cause.FAILURE, "the unchanged code cannot be scored: boom"), retry_at=NOW + 40),
            Doing.PAUSED,
            f"mar8 is paused and waits for you, tried again at {SOON}",
            id="failed and served",
        ),
        pytest.param(LIVE, Doing.IDLE, "mar8 is idle", id="idle"),
        pytest.param(
            ended(Cause.BUDGET, "8 experiments (budget)"),
            Doing.ENDED,
            "mar8 has ended: 8 experiments (budget)",
            id="ended and served",
        ),
        pytest.param(
            replace(ended(Cause.AGENT, "the agent has nothing left to propose"), alive=False),
            Doing.ENDED,
            "mar8 has ended: the agent has nothing left to propose",
            id="ended",
        ),
        pytest.param(
            replace(ended(Cause.SIGNAL, "interrupted"), alive=False),
            Doing.STOPPED,
            f"mar8 is not running since {clock_text(NOW - 60)}: interrupted",
            id="interrupted",
        ),
        pytest.param(
            replace(LIVE, alive=False, tries=TRAINS),
            Doing.STOPPED,
            "mar8 is not running: process 4121 ended without a word in the middle of experiment 43, "
            f"last heard of at {clock_text(NOW - 1)}",
            id="killed",
        ),
        pytest.param(not_running("mar8"), Doing.STOPPED, "mar8 is not running", id="a clone"),
    ],
)
def test_sentence_says_what_is_so(activity: Activity, doing: Doing, words: str) -> None:
    assert activity.doing is doing
    assert activity_sentence(activity, now=NOW) == words


@pytest.mark.parametrize(
    ("activity", "lines"),
    [
        pytest.param(
            replace(LIVE, trouble="image x cannot be had"),
            ["paused: waits for you because image x cannot be had"],
            id="paused",
        ),
        pytest.param(
            replace(LIVE, trouble="the account cannot pay", tries=TRAINS),
            ["waits for you because the account cannot pay"],
            id="goes on beside it",
        ),
        pytest.param(
            replace(LIVE, proposing=1, waiting=(BUSY,)),
            [f"the agent waits for the API until {SOON}: overloaded_error: Overloaded"],
            id="busy",
        ),
        pytest.param(
            replace(LIVE, heard_at=NOW - 300),
            ["the loop has said nothing for 300 s: is process 4121 suspended, or its disk full?"],
            id="stuck",
        ),
        pytest.param(replace(LIVE, alive=False, trouble="the account cannot pay", waiting=(BUSY,)), [], id="dead"),
    ],
)
def test_lines_say_why(activity: Activity, lines: list[str]) -> None:
    assert list(activity_details(activity, now=NOW)) == lines


@given(ACTIVITIES)
def test_every_set_of_facts_has_words_and_only_a_living_loop_does_anything(activity: Activity) -> None:
    words = activity_sentence(activity, now=NOW)
    why = list(activity_details(activity, now=NOW))

    assert "mar8" in words
    assert "None" not in words + " ".join(why)
    if not activity.alive:
        assert activity.doing in (Doing.ENDED, Doing.STOPPED)
        assert (activity.running, activity.needs, why) == ([], "", [])
