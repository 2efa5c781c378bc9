"""What a phase printed, read with distrust."""

from __future__ import annotations

import json
import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Outcome
from controller.scores import last_error, read_exam_report, read_log_score, read_summary, safe_tail

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
    "seconds": {"startup": 2.0, "exam": 3.0, "probe_scoring": 0.1, "restart": 1.0},
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


UPSTREAM = (
    "step 00001 (1.0%) | loss: 9.1\rstep 00002 (2.0%) | loss: 8.7\rstep 00953 | loss: 3.1\n"
    "---\n"
    "val_bpb:          0.997900\n"
    "training_seconds: 300.1\n"
    "peak_vram_mb:     45060.2\n"
    "mfu_percent:      39.80\n"
    "num_steps:        953\n"
    "note:             not a number\n"
)


def test_upstreams_summary_is_read_behind_its_rewritten_progress_line() -> None:
    assert read_summary(UPSTREAM) == {
        "val_bpb": 0.9979,
        "training_seconds": 300.1,
        "peak_vram_mb": 45060.2,
        "mfu_percent": 39.8,
        "num_steps": 953.0,
    }
    assert read_log_score(UPSTREAM, "val_bpb") == 0.9979


@pytest.mark.parametrize(
    ("log", "score"),
    [
        pytest.param("val_bpb: 0.9\n", None, id="no rule"),
        pytest.param("val_bpb: 0.9\n---\n", None, id="before the rule"),
        pytest.param("---\nval_bpb: 0.9\n---\nval_bpb: 0.8\n", 0.8, id="after the last rule"),
        pytest.param("---\nval_bpb: 0.9\nval_bpb: 0.8\n", 0.8, id="last line"),
        pytest.param("---\nval_bpb: nan\n", None, id="NaN"),
        pytest.param("---\nval_bpb: 1e999\n", None, id="infinity"),
        pytest.param("---\r\nval_bpb: 0.9\r\n", 0.9, id="Windows line ends"),
        pytest.param("99%\r---\nnoise\rval_bpb: 0.9\n", 0.9, id="rewritten lines"),
        pytest.param("---\n\x1b[1mval_bpb: 0.9\x1b[0m\n", 0.9, id="in colour"),
        pytest.param("---\nbest_val_bpb: 0.9\n", None, id="another name"),
    ],
)
def test_log_score_is_the_last_number_after_the_rule(log: str, score: float | None) -> None:
    assert read_log_score(log, "val_bpb") == score


@pytest.mark.parametrize(
    ("log", "error"),
    [
        ("Traceback (most recent call last):\n  File\nValueError: HEAD_DIM must divide\n", "HEAD_DIM must divide"),
        ("Traceback (most recent call last):\n  File\nKeyError: 'x'\n\ntrailing\n", "KeyError: 'x'"),
        ("Traceback (most recent call last):\n  File\nAssertionError\n", "AssertionError"),
        (2 * "Traceback (most recent call last):\n  File\nOSError: 2\n\n" + "last", "OSError: 2"),
        (
            "Traceback (most recent call last):\n  F\ntorch.OutOfMemoryError: CUDA out of memory.\n",
            "torch.OutOfMemoryError: CUDA out of memory.",
        ),
        ("loss is NaN\n\n", "loss is NaN"),
        ("\x1b[31mred\x1b[0m\x00", "red"),
        ("", ""),
    ],
)
def test_last_error_is_the_sentence_that_helps(log: str, error: str) -> None:
    assert last_error(log) == error


@given(st.text())
def test_last_error_is_one_short_safe_line(log: str) -> None:
    error = last_error(log)

    assert len(error) <= 300
    assert not any(unicodedata.category(c)[0] == "C" for c in error)


@given(st.binary(max_size=400), st.integers(min_value=1, max_value=100))
def test_tail_is_short_and_safe_whatever_the_bytes(data: bytes, limit: int) -> None:
    tail = safe_tail(data, limit)

    assert len(tail.encode()) <= limit
    assert not any(unicodedata.category(c)[0] == "C" for c in tail.replace("\n", "").replace("\t", ""))


def test_tail_starts_with_a_whole_line() -> None:
    assert safe_tail(b"first\nsecond\nthird\n", 14) == "second\nthird\n"
    assert safe_tail(b"0123456789", 4) == "6789"
    assert safe_tail("ends in é".encode(), 1) == ""


def test_terminal_commands_and_rewrites_leave_the_text_alone() -> None:
    log = b"\x1b]0;title\x07plain \x1b[1;31mred\x1b[0m\n10%\r20%\r30%\n\x1b(Bend\n"

    assert safe_tail(log, 4096) == "plain red\n30%\nend\n"


@pytest.mark.parametrize("metric", ["val_bpb", "accuracy"])
@given(st.floats(min_value=1e-3, max_value=1e3))
def test_printed_score_is_read_as_printed(metric: str, value: float) -> None:
    assert read_log_score(f"---\n{metric}: {value!r}\n", metric) == value
