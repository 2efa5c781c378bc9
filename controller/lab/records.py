"""Writes an experiment as JSON for the lab, and as the message of its commit; reads it back.

Pure. The JSON has the fields of `domain.Experiment`; a field with its default value is left out, so a record of an
older version reads as one where the new fields have their defaults. The lab checks its format number before this.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from controller.domain import (
    AGAIN,
    BASELINE,
    LARGEST_SCORE,
    Attempt,
    Experiment,
    Judgement,
    Outcome,
    Proposal,
)
from controller.text.figures import score_text, sigmas_text
from controller.text.safe_text import LINE, PARAGRAPHS, SENTENCE, one_line, safe_text

FORMAT = 1
"""Number of the format of lab and records. A lab with a higher number was written by a newer version."""

_ADAPTER = TypeAdapter(Experiment)

SHORT_FIELDS = frozenset({"title", "agent", "strategy", "node", "accelerator"})
"""Texts that are a name or a title, and not a sentence."""

PATCH_BEGINS = ("---", "diff -", "Index: ")
"""Where `git mailinfo` takes a line of a mail for the beginning of its patch."""


def experiment_to_json(experiment: Experiment) -> bytes:
    """One experiment as indented JSON, readable with `git notes show`."""
    return _ADAPTER.dump_json(experiment, exclude_defaults=True, indent=1) + b"\n"


def experiment_from_json(data: bytes) -> Experiment:
    """The experiment that `experiment_to_json` wrote. Raises ValueError on anything else.

    Its texts are made safe once more: an earlier version, or another program, may have written raw ones. A score beyond
    the bound is read as a crash: earlier versions recorded numbers of any size, on which judging and
    drawing fail.
    """
    try:
        record = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    experiment = _ADAPTER.validate_python(_make_safe(record))
    attempts = tuple(_bounded(attempt) for attempt in experiment.attempts)
    judgement = experiment.judgement and _without_the_unbounded(experiment.judgement)
    if experiment.number == BASELINE and attempts != experiment.attempts:
        judgement = None  # Without a score it has no verdict: the loop stops for it and says why.
    experiment = replace(experiment, attempts=attempts, judgement=judgement)
    if experiment.retry_of is None and experiment.strategy.startswith(AGAIN):
        # Versions before the field `retry_of` said it in the strategy alone.
        first = experiment.strategy.removeprefix(AGAIN)
        if first.isdecimal():
            return replace(experiment, retry_of=int(first))
    return experiment


def _make_safe(value: Any, field: str = "") -> Any:
    """A value of JSON with safe text in it. field: name of the field that holds it."""
    match value:
        case str() if field == "hypothesis":
            return safe_text(value, limit=PARAGRAPHS).strip()
        case str() if field == "log_tail":
            return safe_text(value)
        case str():
            return one_line(value, LINE if field in SHORT_FIELDS else SENTENCE)
        case list():
            return [_make_safe(each, field) for each in value]
        case dict():
            return {one_line(key): _make_safe(each, key) for key, each in value.items()}
        case _:
            return value


def _bounded(attempt: Attempt) -> Attempt:
    result = attempt.result
    if result is None or result.score is None or abs(result.score.value) <= LARGEST_SCORE:
        return attempt
    reason = f"it scored {result.score.value:g}, beyond {LARGEST_SCORE:g}: no score is meant to be so large"
    return replace(attempt, result=replace(result, outcome=Outcome.CRASHED, reason=reason, score=None))


def _without_the_unbounded(judgement: Judgement) -> Judgement:
    """A judgement whose numbers can be drawn and added up."""
    return replace(
        judgement,
        expected_gain=_bounded_number(judgement.expected_gain),
        spread=_bounded_number(judgement.spread),
        price=_bounded_number(judgement.price),
        level=_bounded_number(judgement.level),
    )


def _bounded_number(value: float | None) -> float | None:
    return value if value is not None and abs(value) <= LARGEST_SCORE else None


def experiment_message(proposal: Proposal, *, tag: str, number: int) -> str:
    """Message of an experiment's commit: title, hypothesis, number and agent."""
    # Git takes the first line as the title, the lines after an empty one as the body, and the last paragraph of a
    # body as trailers.
    body = _quote_body(proposal.hypothesis)
    lines = [proposal.title, "", body, "", f"Experiment: {tag}-{number}", f"Agent: {proposal.agent}"]
    return "\n".join(lines) + "\n"


def lab_book_entry(experiment: Experiment, judgement: Judgement, *, tag: str, metric: str, noise: float | None) -> str:
    """Message of a kept commit: title, hypothesis, scores, number of the experiment, and agent.

    noise: sigma of one run, which says how many digits of a score mean anything; None if it is not known.
    """
    scores = " ".join(score_text(score, noise) for score in experiment.scores)
    gain = judgement.expected_gain
    told = "" if gain is None else f", expected gain {sigmas_text(gain, decimals=2)}"
    lines = [
        experiment.title,
        "",
        _quote_body(experiment.hypothesis),
        "",
        f"{metric} {scores} (n={len(experiment.scores)}{told})",
        "",
        *_told_of_doubt(experiment, judgement, tag=tag),
        *_told_of_merge(judgement),
        f"Experiment: {tag}-{experiment.number} {experiment.commit}",
        f"Agent: {experiment.agent}",
    ]
    return "\n".join(lines) + "\n"


def _told_of_doubt(experiment: Experiment, judgement: Judgement, *, tag: str) -> list[str]:
    """Lines of a commit that takes a kept edit out again: which one, and why."""
    if experiment.doubts is None:
        return []
    return [f"Undoes: {tag}-{experiment.doubts} ({judgement.reason})", ""]


def _told_of_merge(judgement: Judgement) -> list[str]:
    """Lines of a kept commit whose program is not simply the experiment's edit on the incumbent."""
    if judgement.replaces:
        numbers = ", ".join(map(str, judgement.replaces))
        told = [f"Replaces: {numbers} (both change the same lines; this program scored better)"]
        if judgement.carries:
            numbers = ", ".join(map(str, judgement.carries))
            told.append(f"Carries over: {numbers} (kept meanwhile; the scores are those of the program without)")
        return [*told, ""]
    if judgement.onto:
        return ["Merged: with what was kept while it ran; the scores are those of the edit before the merge", ""]
    return []


def _quote_body(text: str) -> str:
    """A hypothesis as the body of a commit's message; a line at which `git am` would end the message is indented."""
    return "\n".join(f" {line}" if line.startswith(PATCH_BEGINS) else line for line in text.split("\n"))
