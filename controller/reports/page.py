"""The campaign as one self-contained HTML page: sentence, chart, table whose rows unfold; live, or as a file.

Everything from agents and trainings is escaped. Needs no build step and no outside address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Experiment, Progress, Remark, find_undone
from controller.reports.ablation_chart import ablation_chart
from controller.reports.activity import activity_details
from controller.reports.summary import Summary
from controller.reports.svg_chart import chart
from controller.reports.text import (
    attempt_line,
    cost_line,
    exam_line,
    gain,
    has_disturbed_run,
    origin_line,
    shown_score,
    verdict_sentence,
    verdict_words,
)
from controller.reports.yields import YieldsTable, tabulate_yields
from controller.settings import TaskSettings
from controller.text.figures import duration, moment_text
from controller.text.safe_text import visible_code

DIFF_LIMIT = 20_000

SHOWN_REMARKS = 20
"""Newest remarks of the operator on the page; `log` lists all of them."""

LIVE_ROWS = 300
"""Rows on the live page; older experiments keep their dot in the chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """Facts that only a running controller has."""

    at: float
    progress: Sequence[Progress]


def html(
    experiments: Sequence[Experiment],
    task: TaskSettings,
    *,
    prices: SlotPrices,
    facts: Summary,
    diff: Callable[[Experiment], str],
) -> str:
    """One self-contained page: the sentence, the chart, the table whose rows unfold."""
    undone = find_undone(experiments)
    bodies = {
        e.number: details(e, undone, metric=task.metric, prices=prices, diff=diff(e), log="") for e in experiments
    }
    return _page(experiments, task, facts=facts, body=lambda e: bodies[e.number], running="", live=False)


def live_page(
    experiments: Sequence[Experiment], task: TaskSettings, *, train_seconds: float, facts: Summary, now: Now
) -> str:
    """The same page while the campaign runs: it refreshes itself, and a row fetches its details when it is unfolded."""
    running = "".join(_running_row(p, now=now.at, train_seconds=train_seconds) for p in now.progress)
    kind = "trouble" if facts.activity.needs else "waiting"
    for line in activity_details(facts.activity, now=now.at):
        running += f'<li class="{kind}">{escape(line)}</li>'
        kind = "waiting"
    newest = experiments[-LIVE_ROWS:]
    return _page(newest, task, facts=facts, body=lambda _: "", running=running, live=True, charted=experiments)


def details(
    experiment: Experiment, undone: Mapping[int, int], *, metric: str, prices: SlotPrices, diff: str, log: str
) -> str:
    """The part below a row when it is unfolded: hypothesis, verdict, attempts, exam, diff, end of the log."""
    judgement = experiment.judgement
    cut = diff if len(diff) <= DIFF_LIMIT else diff[:DIFF_LIMIT] + "\n… (`autoresearch diff` prints the rest)"
    verdict = f"baseline: {judgement.reason}" if judgement and experiment.number == BASELINE else ""
    verdict = verdict or verdict_sentence(experiment, undone)
    attempts = "\n".join(attempt_line(a, metric) for a in experiment.attempts)
    exams = experiment.exams
    parts = [
        f"<p>{escape(experiment.hypothesis)}</p>" if experiment.hypothesis else "",
        f"<p>{escape(verdict)}</p>" if verdict else "",
        f'<p class="origin">{escape(origin_line(experiment))}</p>' if experiment.number != BASELINE else "",
        f'<pre class="runs">{escape(attempts)}</pre>' if attempts else "",
        f"<p>{escape(cost_line(experiment, prices))}</p>",
        f"<p>{escape(exam_line(exams[-1]))}</p>" if exams else "",
        f'<pre class="diff">{_diff_lines(cut)}</pre>' if cut else "",
        f"<p>end of the training's log</p><pre>{escape(log)}</pre>" if log else "",
    ]
    return "".join(parts)


def _page(
    experiments: Sequence[Experiment],
    task: TaskSettings,
    *,
    facts: Summary,
    body: Callable[[Experiment], str],
    running: str,
    live: bool,
    charted: Sequence[Experiment] = (),
) -> str:
    undone = find_undone(charted or experiments)
    return Template(_asset("report.html")).substitute(
        title=escape(f"autoresearch · {facts.tag}"),
        sentence=escape(facts.sentence()),
        costs=escape(f"{facts.costs()} {facts.luck()}".strip()),
        claim=escape("\n".join(facts.claim)),
        ablation=ablation_chart(facts.ablation) if facts.ablation else "",
        yields="".join(map(_yields, tabulate_yields(facts))),
        remarks=_remarks(facts.remarks),
        note=escape(facts.warning.replace("**", "")),
        style=_asset("page.css"),
        script=_asset("page.js"),
        chart=chart(charted or experiments, task, sigma=facts.sigma, linked=frozenset(e.number for e in experiments)),
        metric=escape(task.metric),
        rows="\n".join(_html_row(each, facts.sigma, undone, body(each)) for each in reversed(experiments)),
        running=running,
        live="live" if live else "still",
    )


def _yields(table: YieldsTable) -> str:
    titles = "".join(f"<th scope=col>{title}</th>" for title in table.titles)
    rows = ""
    for name, *cells in table.rows:
        rows += f"<tr><th scope=row>{escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"


def _remarks(remarks: Sequence[Remark]) -> str:
    """The operator's remarks with their time, the newest first; nothing where nothing was said."""
    shown = [f"<li><time>{moment_text(each.at)}</time> {escape(each.text)}</li>" for each in remarks[-SHOWN_REMARKS:]]
    return f'<p>you said</p><ul class="remarks">{"".join(reversed(shown))}</ul>' if shown else ""


def _html_row(experiment: Experiment, noise: float | None, undone: Mapping[int, int], body: str) -> str:
    number = experiment.number
    judged = "baseline" if number == BASELINE else experiment.judgement and experiment.judgement.verdict.value
    since = " undone" if number in undone else ""
    disturbed = ' <span class="mark">disturbed</span>' if has_disturbed_run(experiment) else ""
    return (
        f'<details class="row {judged or "open"}{since}" id="e{number}"><summary>'
        f'<a class="number" href="#e{number}">{number}</a>'
        f'<span class="verdict">{_verdict_word(experiment, undone)}</span>'
        f'<span class="score">{escape(shown_score(experiment, noise))}</span>'
        f'<span class="gain">{escape(gain(experiment))}</span>'
        f'<span class="what">{escape(experiment.title)}{disturbed}</span></summary>'
        f'<div class="body">{body}</div></details>'
    )


def _running_row(progress: Progress, *, now: float, train_seconds: float) -> str:
    """A running try: its phase, its share of the granted time, and the training's own last line."""
    number, attempt = progress.id.experiment, progress.id.attempt
    name = "baseline" if number == BASELINE else str(number)
    again = f", run {attempt}" if attempt > 1 or number == BASELINE else ""
    granted = train_seconds if progress.phase == "train" else progress.phase_seconds
    spent = max(0.0, now - progress.started_at)
    bar = f'<progress max="1" value="{min(1.0, spent / granted):.3f}"></progress>' if granted else "<span></span>"
    of = f" of {duration(granted)}" if granted else ""
    return (
        f'<li><a href="#e{number}">{name}</a><span>{escape(progress.phase)}{again}</span>{bar}'
        f'<span>{duration(spent)}{of}</span><span class="said">{escape(progress.line)}</span></li>'
    )


def _verdict_word(experiment: Experiment, undone: Mapping[int, int]) -> str:
    """The verdict; before there is one whether it runs or waits for a slot."""
    if experiment.number == BASELINE:
        return "baseline"
    if experiment.judgement:
        return verdict_words(experiment, undone)
    attempt = experiment.open_attempt
    return "running" if attempt and attempt.tries and not attempt.tries[-1].lost else "ready"


def _diff_lines(diff: str) -> str:
    """The patch with added and removed lines marked, without the header lines that only git needs."""
    shown = []
    for line in visible_code(diff).split("\n"):
        only_for_git = line.startswith(("diff --git ", "index "))
        if not only_for_git:
            shown.append(_diff_line(line))
    return "\n".join(shown)


def _diff_line(line: str) -> str:
    kinds = {"+++": "file", "---": "file", "@@ ": "place", "+": "added", "-": "removed"}
    kind = next((kind for start, kind in kinds.items() if line.startswith(start)), "")
    return f'<span class="{kind}">{escape(line)}</span>' if kind else escape(line)


def _asset(name: str) -> str:
    return (files("controller") / "reports" / "assets" / name).read_text(encoding="utf-8")
