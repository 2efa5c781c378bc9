"""The examiner's verdict is read with distrust."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Outcome
from controller.executor.phase_output import read_exam_report

ATTEMPT = "mar8-e0042-a1-t1"
REPORT = {
    "attempt": ATTEMPT,
    "verdict": "scored",
    "test": None,
    "explanation": None,
    "val_bpb": 0.9912,
    "raw_bpb": 0.9911,
    "holdout_bpb": 0.9987,
    "inflation": -0.00002,
    "inflation_error": 0.0001,
    "hits": 0,
    "spread": 0.0021,
    "restart": 0.00001,
    "restart_error": 0.00002,
    "probes": 512,
    "sequences": 4096,
    "tokens": 1048576,
    "bytes": 4400000,
    "data": "3f9c",
    "seconds_per_answer": 2.3e-05,
    "answer_memory_gb": 0.61,
    "seconds": {"startup": 2.0, "exam": 3.0, "restart": 1.0, "probe": 0.1},
}


def line(**changes: object) -> str:
    return "@@RESULT v1 " + json.dumps(REPORT | changes)


def test_scored_exam_is_read_whole() -> None:
    reading = read_exam_report(f"loading\n{line()}\n", line() + "\n", ATTEMPT)

    assert (reading.outcome, reading.reason, reading.value) == (Outcome.SCORED, "", 0.9912)
    exam = reading.exam
    assert (exam.raw, exam.holdout, exam.inflation, exam.inflation_error) == (0.9911, 0.9987, -0.00002, 0.0001)
    assert (exam.hits, exam.spread, exam.restart, exam.restart_error) == (0, 0.0021, 0.00001, 0.00002)
    assert (exam.probes, exam.tokens, exam.data, exam.test, exam.flag) == (512, 1048576, "3f9c", None, None)
    assert (exam.seconds_per_answer, exam.answer_memory_gb) == (2.3e-05, 0.61)


def test_single_hit_is_scored_for_the_controller_to_ask_again() -> None:
    reading = read_exam_report(line(hits=1), line(hits=1), ATTEMPT)

    assert (reading.outcome, reading.exam.hits) == (Outcome.SCORED, 1)


def test_rejected_exam_keeps_its_measurements_and_the_examiners_sentence() -> None:
    text = line(verdict="rejected", test="inflation", explanation="looks ahead", inflation=1.38, val_bpb=0.4127)

    reading = read_exam_report(text, text, ATTEMPT)

    assert (reading.outcome, reading.reason, reading.exam.test) == (Outcome.REJECTED, "looks ahead", "inflation")
    assert reading.exam.inflation == 1.38


def test_other_metric_is_taken_under_its_own_name_and_may_be_negative() -> None:
    text = line(val_bpb=None, reward=-3.5)

    assert read_exam_report(text, text, ATTEMPT, metric="reward").value == -3.5


@pytest.mark.parametrize("log", [None, "", " \n"], ids=["unreachable", "empty", "blank"])
def test_unreadable_log_is_flagged_and_the_message_stands(log: str | None) -> None:
    reading = read_exam_report(log, line(), ATTEMPT)

    assert reading.outcome is Outcome.SCORED
    assert reading.exam.flag == "the examiner's log could not be read"


@pytest.mark.parametrize(
    ("log", "message", "reason"),
    [
        pytest.param(line(), None, "left no result", id="no message"),
        pytest.param(line(), "", "left no result", id="empty message"),
        pytest.param(line(val_bpb=0.5), line(), "disagree", id="log disagrees"),
        pytest.param("loading\n", line(), "disagree", id="log without a result"),
        pytest.param(f"{line()}\n{line()}", line(), "more than one result", id="duplicate"),
        pytest.param(f"{line(val_bpb=0.5)}\n{line()}", line(), "more than one result", id="forged first"),
        pytest.param(None, f"{line()}\n{line()}", "not one result line", id="two lines in the message"),
        pytest.param(None, "0.9912", "not one result line", id="no mark"),
        pytest.param(None, line(explanation="x" * 5000), "not one result line", id="message too long"),
        pytest.param(None, "@@RESULT v1 {", "not valid JSON", id="torn JSON"),
        pytest.param(None, "@@RESULT v1 [1]", "not a JSON object", id="no object"),
        pytest.param(None, "@@RESULT v1 " + "[" * 3000, "not valid JSON", id="nested without end"),
        pytest.param(None, line(attempt="mar8-e0042-a1-t2"), "another attempt", id="another attempt"),
        pytest.param(None, line().replace("0.9912", "NaN"), "holds NaN", id="NaN"),
        pytest.param(None, line().replace("0.9912", "-Infinity"), "holds -Infinity", id="infinity"),
        pytest.param(None, line().replace("0.9912", "1e999"), "out of range", id="overflow"),
        pytest.param(None, line(val_bpb=0.0), "out of range", id="perfect"),
        pytest.param(None, line(val_bpb=-1.0), "out of range", id="negative"),
        pytest.param(None, line(spread=-0.1), "out of range", id="negative spread"),
        pytest.param(None, line(seconds_per_answer=-1.0), "out of range", id="negative time"),
        pytest.param(None, line(val_bpb="0.9"), "not a number", id="text for a number"),
        pytest.param(None, line(val_bpb=True), "not a number", id="boolean for a number"),
        pytest.param(None, line(hits=-1), "not a count", id="negative count"),
        pytest.param(None, line(hits=1.5), "not a count", id="fractional count"),
        pytest.param(None, line(val_bpb=None), "no score", id="scored without a score"),
        pytest.param(None, line(test="hits"), "a failed test", id="scored with a failed test"),
        pytest.param(None, line(verdict="splendid"), "no verdict", id="unknown verdict"),
        pytest.param(None, line()[:-1] + ', "val_bpb": 0.1}', "names a field twice", id="field twice"),
    ],
)
def test_doubtful_result_rejects_and_says_why(log: str | None, message: str | None, reason: str) -> None:
    reading = read_exam_report(log, message, ATTEMPT)

    assert reading.outcome is Outcome.REJECTED
    assert reason in reading.reason
    assert reading.value is None


@given(st.text() | st.none(), st.text() | st.none())
def test_no_text_but_the_examiners_own_is_ever_scored(log: str | None, message: str | None) -> None:
    assert read_exam_report(log, message, ATTEMPT).outcome is Outcome.REJECTED


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists), st.sampled_from(sorted(REPORT)))
def test_any_value_in_any_field_gives_a_reading_with_finite_numbers(value: object, key: str) -> None:
    text = line(**{key: value})

    reading = read_exam_report(None, text, ATTEMPT)

    assert reading.value is None or math.isfinite(reading.value)
    assert (reading.value is not None) == (reading.outcome is Outcome.SCORED)
