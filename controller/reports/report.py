"""The campaign report: files to look at and Markdown to paste into a discussion.

It reads experiments and writes files; it never calls a gain a claim, because a claim needs runs of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from controller.costs.answers import answer_text
from controller.costs.slots import SlotPrices
from controller.costs.strategies import StrategyTotals
from controller.domain import BASELINE, Experiment, Remark, Verdict, find_undone
from controller.errors import AutoresearchError, SettingsError
from controller.notices import Activity, Cause
from controller.reports.page import html
from controller.reports.summary import Summary, summary
from controller.reports.text import gain, has_disturbed_run, reason_without_score, shown_score, verdict_words
from controller.settings import Settings
from controller.studies.study import StudyRecord
from controller.text.faults import fault_line
from controller.text.figures import (
    duration,
    hours_text,
    moment_text,
    score_text,
    score_with_error,
    sigma_text,
    sigmas_text,
)


def write_reports(
    experiments: Sequence[Experiment],
    settings: Settings,
    *,
    diff: Callable[[Experiment], str],
    folder: Path,
    dollars: float,
    activity: Activity,
    remarks: Sequence[Remark] = (),
    studies: Sequence[StudyRecord],
) -> tuple[Path, Path]:
    """Write report.html and report.md into `folder`. Raises SettingsError where that fails."""
    now = _last_moment(experiments)
    facts = summary(
        experiments, settings, activity=activity, now=now, dollars=dollars, remarks=remarks, studies=studies
    )
    page, text = folder / "report.html", folder / "report.md"
    try:
        page.write_text(
            html(experiments, settings.task, prices=SlotPrices.of(settings), facts=facts, diff=diff), encoding="utf-8"
        )
        text.write_text(markdown(experiments, facts=facts), encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"cannot write {error.filename}: {error.strerror}; give another folder with --to"
        ) from error
    return page, text


def write_closing_report(
    experiments: Sequence[Experiment],
    settings: Settings,
    *,
    diff: Callable[[Experiment], str],
    folder: Path,
    dollars: float,
    activity: Activity,
    studies: Sequence[StudyRecord],
    say: Callable[[str], None],
    remarks: Sequence[Remark] = (),
) -> Path | None:
    """Write the reports at the end of a run and return the page's path.

    A bug of ours is reported in one line, and None is returned, because the campaign itself is unharmed.
    """
    try:
        page, _ = write_reports(
            experiments,
            settings,
            diff=diff,
            folder=folder,
            dollars=dollars,
            activity=activity,
            remarks=remarks,
            studies=studies,
        )
    except AutoresearchError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a view does wrong, the run ends as it would without it
        say(f"the report could not be written, the lab is whole: {fault_line(error)}")
        return None
    return page


def markdown(experiments: Sequence[Experiment], *, facts: Summary) -> str:
    """A campaign report like those that upstream's users post: what was tried, what held, what did not, cost."""
    kept: list[Experiment] = []
    failed: list[Experiment] = []
    doubted = [experiment for experiment in experiments if experiment.doubts is not None and experiment.judgement]
    undone = find_undone(experiments)
    for experiment in experiments:
        if experiment.number == BASELINE or experiment.doubts is not None:
            continue
        if experiment.judgement:
            held = experiment.judgement.verdict is Verdict.KEEP and experiment.number not in undone
            (kept if held else failed).append(experiment)
    facts = _quote_words(facts)
    sections = [
        f"# Autoresearch campaign `{facts.tag}`",
        f"{facts.sentence()} {facts.warning}".strip(),
        _noise(facts),
        "## What held",
        _list(kept, facts.sigma, undone, none="Nothing was kept."),
        "## What did not",
        _list(failed, facts.sigma, undone, none="Everything tried was kept." if kept else "Nothing was tried."),
        *(["## What was doubted", _list_doubts(doubted)] if doubted else []),
        "## Who proposed what",
        *(
            [_yields(facts.strategies, "strategy"), _yields(facts.proposers, "proposed by")]
            if facts.strategies
            else ["Nobody has proposed anything."]
        ),
        "## Cost",
        f"{hours_text(facts.slot_hours)} {facts.hours_are}, ${facts.dollars:.2f} (model ${facts.model_dollars:.2f}, "
        f"GPUs ${facts.gpu_dollars:.2f}), {duration(facts.seconds)} on the clock. {facts.costs()}",
        *([facts.luck()] if facts.luck() else []),
        *(["## What the operator said", _tell_remarks(facts.remarks)] if facts.remarks else []),
        "## Claims",
        _claims(facts),
    ]
    return "\n\n".join(sections) + "\n"


def _claims(facts: Summary) -> str:
    """The newest claim, or that there is none: gains by themselves are no claim."""
    estimated = "Gains above are the judge's estimates; a claim needs runs of its own on the holdout"
    if not facts.claim:
        return f"No claim was tested. {estimated} (`autoresearch claim`)."
    first, *rest = facts.claim
    return "\n".join([f"**{first}**", "", *(f"- {line.strip()}" for line in rest), "", f"{estimated}."])


def _noise(facts: Summary) -> str:
    if facts.baseline is None or facts.level is None:
        return "The baseline has not been measured."
    spread = "no two runs of the same code differed"
    if facts.sigma is not None:
        spread = f"one run varies by sigma = {sigma_text(facts.sigma)}"
    return (
        f"Baseline {facts.metric} {score_text(facts.baseline, facts.sigma)}, "
        f"now estimated {score_with_error(facts.level, facts.level_error, facts.sigma)}; {spread}."
    )


def _yields(totals: Sequence[StrategyTotals], title: str) -> str:
    """A row for each strategy, or each proposer: what was proposed and kept, and what the experiments cost."""
    rows = []
    for each in totals:
        gained = sigmas_text(each.gain, decimals=1).removesuffix(" σ")
        counts = f"{each.proposed} | {each.judged} | {each.kept}"
        rows.append(f"| {_quote(each.strategy, in_table=True)} | {counts} | {gained} | {each.dollars:.2f} |")
    titles = f"| {title} | proposed | judged | kept | gain kept, σ | cost, $ |"
    return "\n".join([titles, "|---|---|---|---|---|---|", *rows])


def _tell_remarks(remarks: Sequence[Remark]) -> str:
    return "\n".join(f"- {moment_text(each.at)}: {_quote(' '.join(each.text.split()))}" for each in remarks)


def _list_doubts(doubted: Sequence[Experiment]) -> str:
    """Kept edits that the judge left out again to test them, and what came of it."""
    lines = []
    for experiment in doubted:
        reason = experiment.judgement.reason if experiment.judgement else ""
        lines.append(f"- {experiment.number}. {_what(experiment)}: {experiment.words} ({reason})")
    return "\n".join(lines)


def _list(experiments: Sequence[Experiment], noise: float | None, undone: Mapping[int, int], *, none: str) -> str:
    lines = []
    for experiment in experiments:
        gained = gain(experiment)
        score = f"{shown_score(experiment, noise)}, {gained}" if gained else shown_score(experiment, noise)
        answer = answer_text(experiment)
        cost = f"; an answer takes {answer}" if answer else ""
        since = f"; {verdict_words(experiment, undone)}" if experiment.number in undone else ""
        since += "; disturbed by other programs" if has_disturbed_run(experiment) else ""
        lines.append(f"- {experiment.number}. {_what(experiment)} ({score}{cost}{since})")
    return "\n".join(lines) or none


def _quote_words(facts: Summary) -> Summary:
    """The facts with the metric's name as a quotation, which may be any text, and what a campaign failed for, which may
    hold what a server answered.
    """
    facts, end = replace(facts, metric=_quote(facts.metric)), facts.activity.end
    if end is None or end.cause is not Cause.FAILURE:
        return facts
    return replace(facts, activity=replace(facts.activity, end=replace(end, reason=_quote(end.reason))))


def _what(experiment: Experiment) -> str:
    """The title, and the reason if no score counts, both quoted."""
    title, why = _quote(experiment.title), reason_without_score(experiment)
    return f"{title}: {_quote(why)} (show {experiment.number})" if why else title


def _quote(text: str, *, in_table: bool = False) -> str:
    """Words of an agent or a training as a code span, in which Markdown is no syntax and @names and #numbers no links.

    A span ends at a run of as many backticks as began it. In a table a pipe ends the cell even within a span.
    """
    if not text:
        return text
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    quoted = f"{fence}{padding}{text}{padding}{fence}"
    return quoted.replace("|", "\\|") if in_table else quoted


def _last_moment(experiments: Sequence[Experiment]) -> float:
    moments = [e.judgement.at if e.judgement else e.proposed_at for e in experiments]
    return max([*moments, experiments[0].proposed_at])
