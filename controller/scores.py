"""Read what a phase printed: the examiner's verdict, a task's own score, a summary, a log's tail.

Pure, and the same for every executor. Refuses to guess: whatever is doubtful about an exam's result rejects
the attempt, with one sentence that says why. Output of an agent's code is distrusted: it may be binary,
hold terminal commands or imitate ours, so it is made safe before anybody sees it.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.domain import ExamReport, Outcome

MARK = "@@RESULT v1 "
LONGEST_MESSAGE = 4096
"""Bytes of a termination message that Kubernetes keeps."""

UNREADABLE_LOG = "the examiner's log could not be read"

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC and other strings: titles, links
    r"|\x1b[ -/]*[0-~]"  # two-byte escapes
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.MULTILINE,
)
_SUMMARY_LINE = re.compile(r"^([A-Za-z_][A-Za-z0-9_]{0,63}):[ \t]+([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)[ \t]*$")
_EXCEPTION_LINE = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?([A-Za-z_]\w*)(?:: ?(.*))?$")
_SAY_IT_ALL = frozenset({"AssertionError", "ValueError", "RuntimeError", "Exception", "SystemExit"})
"""Exceptions whose name adds nothing to their message."""

_FAR = 1e6
"""Beyond every loss or score that is meant: a larger one is an accident or an attack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamReading:
    """What an exam amounts to: SCORED with `value`, or REJECTED with one sentence in `reason`."""

    outcome: Outcome
    exam: ExamReport
    reason: str = ""
    value: float | None = None


class _Doubtful(Exception):
    """A result that may not count; the text says why."""


def read_exam_report(
    log_text: str | None, message: str | None, expected_attempt: str, *, metric: str = "val_bpb"
) -> ExamReading:
    """Compare the examiner's log with its termination message and take the result that both hold.

    log_text: None (or nothing but white space) where the log could not be read: flagged, and the message stands.
    message: None where the examiner left none: rejects, as do a disagreement, a wrong attempt, a repeated
    result line, and numbers that cannot be.
    """
    try:
        line = _line_of_message(message)
        flag = _compare_with_log(log_text, line)
        return _read(_decode(line, expected_attempt), metric=metric, flag=flag)
    except _Doubtful as doubt:
        return ExamReading(outcome=Outcome.REJECTED, exam=ExamReport(test="result"), reason=str(doubt))


def read_summary(log: str) -> Mapping[str, float]:
    """Finite numbers of the `key: value` block that upstream prints after its last `---`; empty without one."""
    found = (_SUMMARY_LINE.match(line) for line in _after_rule(log))
    numbers = ((match[1], _number(match[2])) for match in found if match)
    return {key: value for key, value in numbers if value is not None}


def read_log_score(log: str, metric: str) -> float | None:
    """The last finite `metric: value` after the last `---`, or None: what a task says about itself."""
    return read_summary(log).get(metric)


def last_error(log: str) -> str:
    """One line for people: the exception of the last traceback, else the last line printed, else nothing."""
    lines = safe_text(log).splitlines()
    start = max((i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")), default=-1)
    raised = next((line for line in lines[start + 1 :] if line and not line[0].isspace()), "") if start >= 0 else ""
    line = _without_name(raised) if raised else next((line for line in reversed(lines) if line.strip()), "")
    return shorten(line)


def shorten(line: str, limit: int = 300) -> str:
    """A safe single line of at most `limit` characters."""
    flat = " ".join(safe_text(line).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def safe_tail(data: bytes, limit: int) -> str:
    """The end of a log as text that is safe to show, at most `limit` bytes of UTF-8, from a line's start if it can."""
    text = safe_text(data[-4 * limit :].decode("utf-8", errors="replace"))
    cut = text.encode()[-limit:].decode("utf-8", errors="ignore")
    if len(cut) == len(text):
        return cut
    _, newline, rest = cut.partition("\n")
    return rest if newline and rest else cut


def safe_text(text: str) -> str:
    """Without terminal commands and invisible characters; of a rewritten progress line only its last state."""
    plain = _ESCAPES.sub("", text).replace("\r\n", "\n")
    lines = (_last_rewrite(line) for line in plain.split("\n"))
    return "\n".join(line if line.isprintable() else _visible(line) for line in lines)


def _visible(line: str) -> str:
    return "".join(c for c in line if c == "\t" or unicodedata.category(c)[0] != "C")


def _last_rewrite(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part.strip()), "")


def _after_rule(log: str) -> list[str]:
    lines = safe_text(log).split("\n")
    rule = max((i for i, line in enumerate(lines) if line.strip() == "---"), default=len(lines))
    return lines[rule + 1 :]


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _without_name(line: str) -> str:
    match = _EXCEPTION_LINE.match(line)
    return match[2] if match and match[2] and match[1] in _SAY_IT_ALL else line


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
        raise _Doubtful(f"the examiner's result belongs to another attempt ({shorten(str(report.get('attempt')), 60)})")
    return report


def _refuse_constant(name: str) -> float:
    raise _Doubtful(f"the examiner's result holds {name}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _Doubtful("the examiner's result names a field twice")
    return dict(pairs)


def _read(report: Mapping[str, Any], *, metric: str, flag: str | None) -> ExamReading:
    # No text that is worth testing on costs nothing at all: bits per byte are above 0.
    least = 1e-9 if metric == "val_bpb" else -_FAR
    exam = ExamReport(
        raw=_measured(report, "raw_bpb", least=least),
        holdout=_measured(report, "holdout_bpb", least=least),
        inflation=_measured(report, "inflation"),
        inflation_error=_measured(report, "inflation_error", least=0.0),
        hits=_count(report, "hits"),
        spread=_measured(report, "spread", least=0.0),
        restart=_measured(report, "restart"),
        restart_error=_measured(report, "restart_error", least=0.0),
        probes=_count(report, "probes"),
        tokens=_count(report, "tokens"),
        data=_word(report, "data"),
        test=_word(report, "test"),
        flag=flag,
    )
    value = _measured(report, metric, least=least)
    match report.get("verdict"):
        case "scored" if value is not None and exam.test is None:
            return ExamReading(outcome=Outcome.SCORED, exam=exam, value=value)
        case "scored":
            raise _Doubtful(f"the examiner's result is scored but holds {'a failed test' if exam.test else 'no score'}")
        case "rejected":
            why = _word(report, "explanation") or f"failed the exam's {exam.test or 'unnamed'} test"
            return ExamReading(outcome=Outcome.REJECTED, exam=exam, reason=shorten(why))
        case _:
            raise _Doubtful("the examiner's result has no verdict")


def _measured(report: Mapping[str, Any], key: str, *, least: float = -_FAR) -> float | None:
    value = report.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Doubtful(f"the examiner's {key} is not a number")
    if not least <= value <= _FAR:
        raise _Doubtful(f"the examiner's {key} is out of range")
    return float(value)


def _count(report: Mapping[str, Any], key: str) -> int | None:
    value = report.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise _Doubtful(f"the examiner's {key} is not a count")
    return value


def _word(report: Mapping[str, Any], key: str) -> str | None:
    value = report.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _Doubtful(f"the examiner's {key} is not a text")
    return shorten(value) or None
