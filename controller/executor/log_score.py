"""Reads the score that a training prints about itself, and says why there is none.

The last value behind the metric's name decides: in or after the last line `---` where there is one, anywhere
otherwise. A task whose program writes it otherwise names a regular expression or a JSON file. A value that is no score
(NaN, infinite, out of range, no number) is never passed over in favour of an older one, because the older one belongs
to another state of the model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.domain import LARGEST_SCORE
from controller.executor.phase_output import CUT, TAIL_BYTES
from controller.executor.printed_values import Value, find_values, last_value, names_of_numbers, read_number
from controller.executor.score_file import ScorePlace, place_of, read_score_file
from controller.executor.score_line import Unsearchable, find_last
from controller.executor.units import unit_of
from controller.settings import TaskSettings
from controller.settings.metric import range_text
from controller.text.safe_text import one_line

RULE = "---"

_SUMMARY_LINE = re.compile(r"^([A-Za-z_][A-Za-z0-9_]{0,63}):[ \t]+([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)[ \t]*$")
_HEAD_OF_TIMES = re.compile(r"[ \t]*Name \(time in (\w{1,4})\)[ \t]")
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")

_SHOWN = 80
"""Characters of a printed line that a sentence quotes."""

_NAMED = 12
"""Names of other numbers that a sentence lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRule:
    """The place where a task's score is looked for, and the values that it can have.

    line: a regular expression whose group is the score, in place of the metric's name; empty where there is none.
    place: a file that the training writes, in place of its log.
    """

    metric: str
    least: float = -LARGEST_SCORE
    most: float = LARGEST_SCORE
    line: str = ""
    place: ScorePlace | None = None

    @staticmethod
    def of(task: TaskSettings) -> ScoreRule:
        """The rule of a task."""
        least, most = task.allowed_scores
        place = place_of(task.score_file or "")
        return ScoreRule(metric=task.metric, least=least, most=most, line=task.score_line or "", place=place)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogScore:
    """The score that a log tells: `value`, or None and in `fault` what is wrong, to follow "train ".

    unit: the unit behind it, where it is one that programs scale; then its bounds are not checked here, for they count
    in the unit of the baseline. printed: whether something was printed that is, or looks like, a score.
    """

    value: float | None = None
    unit: str = ""
    fault: str = ""
    printed: bool = True


def read_log_score(text: str, rule: ScoreRule) -> LogScore:
    """The last score in a log that is safe to read. None with the reason where there is none.

    A regular expression is run in a process of its own; all else is computed here.
    """
    if rule.place is not None:
        in_file = read_score_file(text, rule.place)
        if in_file.value is None:
            return LogScore(fault=in_file.fault, printed=False)
        return _bounded(in_file.value, f"left {rule.place} as {in_file.value:g}", rule, in_file.unit)
    if rule.line:
        return _read_by_expression(text, rule)
    return _read_by_name(text, rule)


def _read_by_name(text: str, rule: ScoreRule) -> LogScore:
    lines = text.split("\n")
    found = _last_value(lines[_start(lines, rule.metric) :], rule.metric)
    if found is None:
        return _missing(text, rule.metric)
    value, line = found
    if value.labels:
        told = f"it tells that of {', '.join(value.labels)}: set task.metric to the longer name, or task.score_line"
        return LogScore(fault=f"printed {_quoted(line)} last, which is no score: {told}")
    if value.number is None:
        advice = " (print one, or set task.score_line)" if re.search(r"\d", value.text) else ""
        told = f"'{one_line(value.text, _SHOWN)}' is not one plain number{advice}"
        return LogScore(fault=f"printed {_quoted(line)} last, which is no score: {told}")
    return _bounded(value.number, f"printed {_quoted(line)} last", rule, value.unit)


def _read_by_expression(text: str, rule: ScoreRule) -> LogScore:
    try:
        found = find_last(rule.line, text)
    except Unsearchable:
        return LogScore(fault="printed what task.score_line cannot search in ten seconds: give a simpler expression")
    if found is None:
        return LogScore(fault=f"printed no line that task.score_line fits{_nearby(text)}", printed=False)
    number = read_number(found[0])
    if number is None:
        told = f"the group of task.score_line holds {_quoted(found[0], 30)} there, and that is no number"
        return LogScore(fault=f"printed {_quoted(found[1])} last, which is no score: {told}")
    return _bounded(number, f"printed {_quoted(found[1])} last", rule, unit_of(found[2]))


def _bounded(value: float, how: str, rule: ScoreRule, unit: str = "") -> LogScore:
    """The value as a score, unless it is none: not finite, or out of the metric's range."""
    if not math.isfinite(value):
        return LogScore(fault=f"{how}, which is no score: it is not finite")
    least, most = (-LARGEST_SCORE, LARGEST_SCORE) if unit else (rule.least, rule.most)
    if not least <= value <= most:
        return LogScore(fault=f"{how}, which is no score: {range_text(rule.metric, least, most)}")
    return LogScore(value=value, unit=unit)


def printed_score(text: str, rule: ScoreRule) -> str:
    """The last score that was printed, as a person would quote it, also where no rule stands before it; else empty."""
    values = [value for line in text.split("\n") for value in find_values(line, rule.metric) if value.usable]
    return f"{rule.metric} {values[-1].text}" if values else ""


def read_summary(text: str) -> Mapping[str, float]:
    """Numbers of the `key: value` block after the last line `---`; of a key that comes twice the last one counts."""
    lines = text.split("\n")
    summary: dict[str, float] = {}
    if not any(line.strip() == RULE for line in lines):
        return summary
    for line in lines[_start(lines) :]:
        match = _SUMMARY_LINE.match(line)
        value = _number(match[2]) if match else None
        if match and value is not None and abs(value) <= LARGEST_SCORE:
            summary[match[1]] = value
        elif name := _named_without_number(line):
            summary.pop(name, None)
    return summary


def read_numbers(text: str, names: Iterable[str]) -> Mapping[str, float]:
    """The summary, and the last number behind each of these names, which is looked for as a score is.

    The names are those of guards: a log without a summary, or with other forms of lines, tells them all the same.
    """
    found, lines = dict(read_summary(text)), text.split("\n")
    for name in names:
        told = None if name in found else _last_value(lines[_start(lines, name) :], name)
        if told and told[0].number is not None and abs(told[0].number) <= LARGEST_SCORE:
            found[name] = told[0].number
    return found


def is_score_line(line: str, metric: str) -> bool:
    """True if a line tells a number and no news: one of the summary, the rule, or one that names the metric."""
    stripped = line.strip()
    return stripped == RULE or _SUMMARY_LINE.match(stripped) is not None or _names(stripped, metric)


def last_score_line(lines: Sequence[str], metric: str) -> int | None:
    """Index of the last line that prints a value behind the metric's name; None where none does."""
    return next((i for i in range(len(lines) - 1, -1, -1) if any(find_values(lines[i], metric))), None)


def _start(lines: Sequence[str], metric: str = "") -> int:
    """Index of the first line of the summary: the last rule's, or 0 where there is no rule.

    A rule is a line of three hyphens, or one that begins with them and holds the score. Rules behind which nothing
    else stands close what the one before them opens.
    """
    rules = [index for index, line in enumerate(lines) if _is_rule(line, metric)]
    while (
        len(rules) > 1 and not any(line.strip() for line in lines[rules[-1] + 1 :]) and lines[rules[-1]].strip() == RULE
    ):
        lines = lines[: rules[-1]]
        rules.pop()
    return rules[-1] if rules else 0


def _is_rule(line: str, metric: str) -> bool:
    stripped = line.strip()
    inline = stripped.startswith(RULE) and bool(metric) and any(find_values(stripped, metric))
    return stripped == RULE or inline


def _last_value(lines: Sequence[str], metric: str) -> tuple[Value, str] | None:
    """The last value behind the metric's name, and its line."""
    place = last_score_line(lines, metric)
    if place is None:
        return None
    value = last_value(lines[place], metric)
    if value and not value.unit and re.match(rf"\s*{re.escape(metric)}\s", lines[place]):
        value = replace(value, unit=_unit_of_table(lines[:place]))
    return (value, lines[place]) if value else None


def _unit_of_table(above: Sequence[str]) -> str:
    """The unit in the head of a table of pytest-benchmark, which scales it to its numbers; empty where none is."""
    for place, line in enumerate(reversed(above)):
        if head := _HEAD_OF_TIMES.match(line):
            # One line of hyphens stands below the head, and one below the rows.
            return unit_of(head[1]) if sum(map(_is_ruled, above[len(above) - place :])) == 1 else ""
    return ""


def _is_ruled(line: str) -> bool:
    return line.startswith("----")


def _number(word: str) -> float | None:
    try:
        value = float(word) if _NUMBER.fullmatch(word) else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _named_without_number(line: str) -> str:
    match = re.match(r"^([A-Za-z_][A-Za-z0-9_]{0,63}):[ \t]+(\S+)[ \t]*$", line)
    return match[1] if match and _number(match[2]) is None else ""


# -- what looks like a score ----------------------------------------------------------------------------------------


def _missing(text: str, metric: str) -> LogScore:
    """That nothing was read, what was printed instead, and what to write."""
    lines = text.split("\n")
    place = next((i for i in range(len(lines) - 1, -1, -1) if _names(lines[i], metric)), None)
    # Of a short log this is all; of a long one the reader must know that nobody looked further up.
    where = (
        f" in the last {TAIL_BYTES // 1024} KiB of its log"
        if len(text) > TAIL_BYTES // 2 or text.startswith(CUT)
        else ""
    )
    ruled = any(line.strip() == RULE for line in lines)
    behind = f" after a line {RULE}" if ruled else ""
    missing = f"printed no {metric}{behind}{where}"
    if not text.strip():
        return LogScore(fault=f"printed nothing, and {metric} is looked for in what it prints", printed=False)
    if place is None:
        return LogScore(fault=f"{missing}{_nearby(text) or _bare(lines, metric)}", printed=False)
    lacks = []
    if place < _start(lines, metric):
        lacks.append(f"not after the last line {RULE}")
    if not any(find_values(lines[place], metric)):
        if other := _other_capitals(lines[place], metric):
            return LogScore(
                fault=f"{missing}: found {_quoted(lines[place])}, and capitals count: set task.metric to {other}"
            )
        lacks.append(
            f"not in a form such as '{metric}: 0.5' (else set task.metric, task.score_line or task.score_file)"
        )
    return LogScore(fault=f"{missing}: found {_quoted(lines[place].strip())}, but {' and '.join(lacks)}")


def _bare(lines: Sequence[str], metric: str) -> str:
    """A line that holds the name and no number behind it, such as the head of a table; and what to do, if there is."""
    pattern = rf"(?<!\w){re.escape(metric)}[\"'`*]{{0,3}}(?:[ \t]*(?:$|[,;|:=)\t\u2502\u2503\u2551])|  )"
    line = next((line for line in reversed(lines) if re.search(pattern, line, re.IGNORECASE)), "")
    advice = f"print a line such as '{metric}: 0.5', or set task.score_line or task.score_file"
    return f": found {_quoted(line)}, with no number behind the name: {advice}" if line else ""


def _nearby(text: str) -> str:
    """The names in front of other numbers, one of which may be meant; empty where there are none."""
    names = names_of_numbers(text.split("\n"))[-_NAMED:]
    if not names:
        return ""
    told = one_line(", ".join(names), 200)
    return f": there are numbers behind {told}; set task.metric to the one that is the score"


def _other_capitals(line: str, metric: str) -> str:
    """The metric's name as this line prints it in front of a value, in other capitals than asked for; else empty."""
    found = re.search(re.escape(metric), line, re.IGNORECASE)
    printed = found[0] if found else metric
    return printed if printed != metric and any(find_values(line, printed)) else ""


def _names(line: str, metric: str) -> bool:
    """True if a line names the metric, in capitals or not, and a number behind it."""
    pattern = rf"(?<!\w){re.escape(metric)}(?!\w)[^0-9]{{0,40}}?(?:[0-9]|(?<!\w)(?:nan|inf))"
    return re.search(pattern, line, re.IGNORECASE) is not None


def _quoted(line: str, limit: int = _SHOWN) -> str:
    return f"'{one_line(line.strip(), limit)}'"
