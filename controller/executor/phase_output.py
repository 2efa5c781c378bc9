"""Reads the output of a phase: the examiner's verdict, and the end of a training's log.

Pure, and the same for every executor. Nothing is guessed: whatever is doubtful about an exam's result rejects the
attempt, with one sentence that says why. A log becomes safe text here, once, before anything is read from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.domain import ExamReport, Outcome
from controller.executor.progress_lines import thin_progress
from controller.executor.score_file import split_off_file
from controller.settings.metric import LARGEST_LOSS, allowed_scores
from controller.text.safe_text import one_line, safe_tail

MARK = "@@RESULT v1 "
LONGEST_MESSAGE = 4096
"""Bytes of a termination message that Kubernetes keeps."""

UNREADABLE_LOG = "the examiner's log could not be read"

TAIL_BYTES = 65_536
"""Length of the end of a training's log from which everything is read and which the lab keeps, in bytes of UTF-8.

Every executor takes the same length, so that one log means the same wherever it was written."""

READ_BYTES = 4 * TAIL_BYTES
"""Bytes at the end of a log from which that text is made: colours and rewritten progress lines fall away."""

MOST_NUMBERS = 24
"""Numbers beside the metric: fifteen of an examiner's author, and those that the kit measures itself."""

LONGEST_NUMBER = 60
"""Characters of the name of such a number: they stand in tables."""

CRASHED = "crash"
"""The exam's test that a candidate fails whose process ends by itself, as in exam/kit/errors.py."""

CUT = "[what was printed before this was not kept]"
"""First line of the end of a log that is longer: thinned of its progress lines, the end may be short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamReading:
    """The result of an exam: SCORED with `value`, or REJECTED or CRASHED with one sentence in `reason`."""

    outcome: Outcome
    exam: ExamReport
    reason: str = ""
    value: float | None = None


class _Doubtful(Exception):
    """A result that may not count; the text says why."""


def read_exam_report(
    log_text: str | None,
    message: str | None,
    expected_attempt: str,
    *,
    metric: str = "val_bpb",
    allowed: tuple[float, float] | None = None,
) -> ExamReading:
    """Compare the examiner's log with its termination message and take the result that both hold.

    log_text: None (or nothing but white space) where the log could not be read: flagged, and the message stands.
    message: None where the examiner left none: rejects, as do a disagreement, a wrong attempt, a repeated
    result line, and numbers that cannot be. allowed: least and most of the metric; None: what its name tells.
    """
    try:
        line = _line_of_message(message)
        flag = _compare_with_log(log_text, line)
        return _read(_decode(line, expected_attempt), metric=metric, flag=flag, allowed=allowed)
    except _Doubtful as doubt:
        return ExamReading(outcome=Outcome.REJECTED, exam=ExamReport(test="result"), reason=str(doubt))


def read_tail(log: bytes) -> str:
    """The end of a training's log as text that is safe to show: what all is read from."""
    if len(log) < READ_BYTES:
        return safe_tail(_thinned(log), TAIL_BYTES)
    return f"{CUT}\n{safe_tail(_thinned(log[-READ_BYTES:]), TAIL_BYTES - len(CUT) - 1)}"


def _thinned(log: bytes) -> bytes:
    """The log without most of its progress lines. A file behind it stays whole: its lines may differ in numbers too."""
    printed, file = split_off_file(log)
    return thin_progress(printed) + file


def _line_of_message(message: str | None) -> str:
    if message is None or not message.strip():
        raise _Doubtful("the examiner left no result")
    line = message.strip()
    if len(line.encode(errors="replace")) > LONGEST_MESSAGE or not line.startswith(MARK) or "\n" in line:
        raise _Doubtful("the examiner's termination message is not one result line")
    return line


def _compare_with_log(log: str | None, line: str) -> str | None:
    if log is None or not log.strip():
        return UNREADABLE_LOG
    printed = [found.strip() for found in log.split("\n") if found.startswith("@@RESULT")]
    if len(printed) > 1:
        raise _Doubtful("the examiner's log holds more than one result")
    if printed != [line]:
        raise _Doubtful("the examiner's log and its termination message disagree")
    return None


def _decode(line: str, expected_attempt: str) -> Mapping[str, Any]:
    try:
        report = json.loads(line.removeprefix(MARK), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _Doubtful("the examiner's result is not valid JSON") from error
    if not isinstance(report, dict):
        raise _Doubtful("the examiner's result is not a JSON object")
    if report.get("attempt") != expected_attempt:
        named = one_line(str(report.get("attempt")), 60)
        raise _Doubtful(f"the examiner's result belongs to another attempt ({named})")
    return report


def _refuse_constant(name: str) -> float:
    raise _Doubtful(f"the examiner's result holds {name}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _Doubtful("the examiner's result names a field twice")
    return dict(pairs)


def _read(
    report: Mapping[str, Any], *, metric: str, flag: str | None, allowed: tuple[float, float] | None
) -> ExamReading:
    least, most = allowed or allowed_scores(metric)
    exam = ExamReport(
        raw=_measured(report, "raw_bpb", least=least, most=most),
        holdout=_measured(report, "holdout" if "holdout" in report else "holdout_bpb", least=least, most=most),
        inflation=_measured(report, "inflation"),
        inflation_error=_measured(report, "inflation_error", least=0.0),
        hits=_count(report, "hits"),
        spread=_measured(report, "spread", least=0.0),
        restart=_measured(report, "restart"),
        restart_error=_measured(report, "restart_error", least=0.0),
        freshness=_measured(report, "freshness"),
        asked_error=_measured(report, "asked_error", least=0.0),
        freshness_error=_measured(report, "freshness_error", least=0.0),
        probes=_count(report, "probes"),
        tokens=_count(report, "tokens"),
        questions=_count(report, "questions"),
        score_error=_measured(report, "score_error", least=0.0),
        numbers=_numbers(report),
        seconds_per_answer=_measured(report, "seconds_per_answer", least=0.0),
        answer_memory_gb=_measured(report, "answer_memory_gb", least=0.0),
        data=_word(report, "data"),
        test=_word(report, "test"),
        flag=flag,
    )
    value = _measured(report, metric, least=least, most=most)
    match report.get("verdict"):
        case "scored" if value is not None and exam.test is None:
            return ExamReading(outcome=Outcome.SCORED, exam=exam, value=value)
        case "scored":
            raise _Doubtful(f"the examiner's result is scored but holds {'a failed test' if exam.test else 'no score'}")
        case "rejected":
            why = _word(report, "explanation") or f"failed the exam's {exam.test or 'unnamed'} test"
            outcome = Outcome.CRASHED if exam.test == CRASHED else Outcome.REJECTED
            return ExamReading(outcome=outcome, exam=exam, reason=one_line(why))
        case _:
            raise _Doubtful("the examiner's result has no verdict")


def _measured(
    report: Mapping[str, Any], key: str, *, least: float = -LARGEST_LOSS, most: float = LARGEST_LOSS
) -> float | None:
    value = report.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Doubtful(f"the examiner's {key} is not a number")
    if not least <= value <= most:
        raise _Doubtful(f"the examiner's {key} is out of range")
    return float(value)


def _count(report: Mapping[str, Any], key: str) -> int | None:
    value = report.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise _Doubtful(f"the examiner's {key} is not a count")
    return value


def _numbers(report: Mapping[str, Any]) -> dict[str, float]:
    given = report.get("numbers") or {}
    if not isinstance(given, dict) or len(given) > MOST_NUMBERS:
        raise _Doubtful("the examiner's numbers are no short table")
    found = {one_line(name, LONGEST_NUMBER): _measured(given, name) for name in given}
    return {name: value for name, value in found.items() if value is not None}


def _word(report: Mapping[str, Any], key: str) -> str | None:
    value = report.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _Doubtful(f"the examiner's {key} is not a text")
    return one_line(value) or None
