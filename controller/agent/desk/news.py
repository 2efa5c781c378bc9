"""Writes the part of the history that changes with every proposal: what runs, the incumbent, notes, noise, failures.

Pure, except that the tail of one log is read from the notebook.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from controller.agent.desk import strategy
from controller.agent.desk.experiment_text import (
    CATEGORIES,
    category_of,
    fence_log,
    format_line,
    format_scores,
    has_failed,
)
from controller.agent.desk.history import Tried, group_by_constant, never_ran
from controller.agent.desk.measurements import newest_result, tell_speed
from controller.domain import BASELINE, Experiment, Verdict
from controller.ports import NOTES_CHARACTERS, ProposalRequest
from controller.text.figures import score_text, sigma_text
from controller.text.safe_text import one_line

REPEATED = 25
"""Most constants in the list of those that were changed often."""

REPEATED_VALUES = 6
"""Newest changes shown for each of them."""

NEVER_RAN = 5
"""Newest edits told that never ran; an older one has been overtaken."""

LINEAGE = 40
"""Newest kept experiments shown in the lineage of the incumbent."""

RECENT_FAILURES = 20
"""Newest verdicts among which the last failure is looked for; an older one has nothing to do with the next proposal."""


def tell_news(
    request: ProposalRequest, tried: Sequence[Tried], *, recent: Sequence[Tried], judged: Sequence[Tried]
) -> str:
    """The news in sections; one without content is left out.

    recent: the newest verdicts, which stand in no block of the archive yet. judged: all experiments with a verdict, in
    the order of the verdicts.
    """
    running = [t for t in tried if not t.experiment.judgement and t.experiment.attempts]
    waiting = [t for t in tried if not t.experiment.judgement and not t.experiment.attempts]
    sections = [
        ("Newest verdicts", [*map(format_line, recent)]),
        ("Running, no verdict yet", [*map(format_line, running)]),
        ("Waiting for a slot", [*map(format_line, waiting), *map(one_line, _find_untold(request))]),
        ("Never ran, as they conflict with what was kept; write them again on these files", _tell_never_ran(tried)),
        ("How the unchanged code and the incumbent ran", _tell_incumbent(request)),
        ("Refused just now", [one_line(reason, limit=300) for reason in request.refused]),
        ("Notes of earlier proposals", _tell_notes(request)),
        ("Kept lineage", [_tell_lineage(judged)]),
        ("By category", [count_by_category([t.experiment for t in judged])]),
        ("Constants changed three times or more", _tell_repetitions(tried)),
        ("What each strategy brought", _tell_strategies(request)),
        ("Noise", [_tell_noise(request)]),
        ("The last failure", _tell_last_failure(request, judged)),
    ]
    texts = []
    for title, lines in sections:
        if any(lines):
            texts.append("\n".join([f"## {title}", *lines]))
    return "\n\n".join(texts)


def count_by_category(experiments: Sequence[Experiment]) -> str:
    """Kept and proposed experiments of each category; of `other` only if there are any."""
    if not experiments:
        return ""
    proposed: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for experiment in experiments:
        if never_ran(experiment) or experiment.leaves_out is not None:
            continue
        category = category_of(experiment)
        proposed[category] += 1
        if experiment.judgement and experiment.judgement.verdict is Verdict.KEEP:
            kept[category] += 1
    names = [*CATEGORIES, "other"] if proposed["other"] else [*CATEGORIES]
    return "; ".join(f"{name} {kept[name]} of {proposed[name]} kept" for name in names)


def _tell_never_ran(tried: Sequence[Tried]) -> list[str]:
    """The newest edits that conflicted, without those whose title was proposed again since."""
    last = {t.experiment.title: t.experiment.number for t in tried}
    open_ideas = [t for t in tried if never_ran(t.experiment) and last[t.experiment.title] == t.experiment.number]
    return [f"#{t.experiment.number} {one_line(t.experiment.title, limit=90)}" for t in open_ideas[-NEVER_RAN:]]


def _tell_notes(request: ProposalRequest) -> list[str]:
    return [one_line(line, limit=NOTES_CHARACTERS) for line in request.notes[:NOTES_CHARACTERS].splitlines()]


def _find_untold(request: ProposalRequest) -> list[str]:
    """Titles without a verdict that belong to none of the experiments."""
    known = {experiment.title for experiment in request.experiments}
    return [title for title in request.pending if title not in known]


def _tell_incumbent(request: ProposalRequest) -> list[str]:
    """The baseline's runs, and those of the experiment that is the incumbent now."""
    lines = []
    for experiment in request.experiments:
        judgement = experiment.judgement
        is_incumbent = request.base in (experiment.commit, judgement.kept_as if judgement else None)
        if experiment.number != BASELINE and not is_incumbent:
            continue
        if speed := tell_speed(experiment):
            name = "#0 (baseline)" if experiment.number == BASELINE else f"#{experiment.number} (incumbent)"
            result = newest_result(experiment)
            device = f"on {one_line(result.accelerator, limit=60)}" if result else ""
            lines.append(" ".join(filter(None, (f"{name}:", format_scores(experiment), speed, device))))
    return lines


def _tell_lineage(judged: Sequence[Tried]) -> str:
    kept = [t for t in judged if verdict_of(t) is Verdict.KEEP and t.experiment.leaves_out is None]
    kept = [t for t in kept if t.undone_by is None]
    if not kept:
        return "nothing has been kept yet"
    gap = "… → " if len(kept) > LINEAGE else ""
    numbers = " → ".join(f"#{t.experiment.number}" for t in kept[-LINEAGE:])
    return f"baseline → {gap}{numbers}"


def _tell_repetitions(tried: Sequence[Tried]) -> list[str]:
    lines = []
    for name, group in list(group_by_constant(tried).items())[:REPEATED]:
        values = "; ".join(_tell_value(t, name) for t in group[-REPEATED_VALUES:])
        lines.append(f"{name}: {values}")
    return lines


def _tell_value(tried: Tried, name: str) -> str:
    change = next(c for c in tried.edit.constants if c.startswith(f"{name} "))
    verdict = verdict_of(tried)
    word = verdict.value if verdict else "open"
    if tried.undone_by is not None:
        word = "undone"
    return f"{one_line(change.removeprefix(name).strip(), limit=40)} {word}"


def _tell_strategies(request: ProposalRequest) -> list[str]:
    return [
        f"{y.strategy}: {y.kept} kept, {y.failed} failed of {y.judged} judged, gain {y.gain:.2f}σ"
        for y in strategy.total_by_strategy([e for e in request.experiments if not never_ran(e)])
    ]


def _tell_noise(request: ProposalRequest) -> str:
    if request.sigma is None:
        return "not measured yet: the baseline is still running"
    level = ""
    if request.incumbent_level is not None:
        level = f"; the incumbent's level is {score_text(request.incumbent_level, request.sigma)}"
    return f"one run of {request.metric} has a standard deviation (σ) of {sigma_text(request.sigma)}{level}"


def _tell_last_failure(request: ProposalRequest, judged: Sequence[Tried]) -> list[str]:
    for tried in reversed(judged[-RECENT_FAILURES:]):
        experiment = tried.experiment
        if has_failed(experiment):
            return [f"Log tail of #{experiment.number}:", fence_log(request.notebook.log_tail(experiment))]
    return []


def verdict_of(tried: Tried) -> Verdict | None:
    """The verdict of an experiment; None if it has none yet."""
    return tried.experiment.judgement.verdict if tried.experiment.judgement else None
