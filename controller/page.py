"""The campaign as one self-contained HTML page: sentence, chart, table whose rows unfold; live, or as a file.

Everything from agents and trainings is escaped. Needs no build step and no outside address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

from controller.chart import chart
from controller.domain import BASELINE, Experiment, Progress
from controller.ports import Waiting, WaitReason
from controller.settings import Settings
from controller.summary import Summary
from controller.terminal import attempt_line, cost_line, duration, exam_line, gain, origin_line, shown_score
from controller.yields import Yield

DIFF_LIMIT = 20_000
LIVE_ROWS = 300
"""Rows on the live page; older experiments keep their dot in the chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What only a running controller knows."""

    at: float
    progress: Sequence[Progress]
    trouble: str = ""
    waiting: Sequence[Waiting] = ()


def html(
    experiments: Sequence[Experiment], settings: Settings, *, facts: Summary, diff: Callable[[Experiment], str]
) -> str:
    """One self-contained page: the sentence, the chart, the table whose rows unfold."""
    bodies = {e.number: details(e, settings, diff=diff(e), log="") for e in experiments}
    return _page(experiments, settings, facts=facts, body=lambda e: bodies[e.number], running="", live=False)


def live_page(experiments: Sequence[Experiment], settings: Settings, *, facts: Summary, now: Now) -> str:
    """The same page while the campaign runs: it renews itself, and rows fetch what they unfold to."""
    running = "".join(_running_row(p, now=now.at, settings=settings) for p in now.progress)
    waiting = [each.text for each in now.waiting if each.reason is not WaitReason.OPERATOR]  # that is a trouble
    running += "".join(f'<li class="waiting">the agent waits: {escape(text)}</li>' for text in waiting)
    running += f'<li class="trouble">paused: {escape(now.trouble)}</li>' if now.trouble else ""
    newest = experiments[-LIVE_ROWS:]
    return _page(newest, settings, facts=facts, body=lambda _: "", running=running, live=True, charted=experiments)


def details(experiment: Experiment, settings: Settings, *, diff: str, log: str) -> str:
    """What a row unfolds to: hypothesis, verdict, attempts, exam, diff, end of the log."""
    judgement = experiment.judgement
    cut = diff if len(diff) <= DIFF_LIMIT else diff[:DIFF_LIMIT] + "\n… (`autoresearch diff` prints the rest)"
    verdict = _verdict_word(experiment)
    attempts = "\n".join(attempt_line(a, settings.task.metric) for a in experiment.attempts)
    exams = [a.result.exam for a in experiment.attempts if a.result and a.result.exam]
    parts = [
        f"<p>{escape(experiment.hypothesis)}</p>" if experiment.hypothesis else "",
        f"<p>{verdict}: {escape(judgement.reason)}</p>" if judgement else "",
        f'<p class="origin">{escape(origin_line(experiment))}</p>' if experiment.number != BASELINE else "",
        f'<pre class="runs">{escape(attempts)}</pre>' if attempts else "",
        f"<p>{escape(cost_line(experiment, settings))}</p>",
        f"<p>{escape(exam_line(exams[-1]))}</p>" if exams else "",
        f'<pre class="diff">{_diff_lines(cut)}</pre>' if cut else "",
        f"<p>end of the training's log</p><pre>{escape(log)}</pre>" if log else "",
    ]
    return "".join(parts)


def _page(
    experiments: Sequence[Experiment],
    settings: Settings,
    *,
    facts: Summary,
    body: Callable[[Experiment], str],
    running: str,
    live: bool,
    charted: Sequence[Experiment] = (),
) -> str:
    return Template(_asset("report.html")).substitute(
        title=escape(f"autoresearch · {settings.tag}"),
        sentence=escape(facts.sentence()),
        costs=escape(facts.costs()),
        yields=_yields(facts.strategies),
        note=escape(facts.warning.replace("**", "")),
        style=_asset("page.css"),
        script=_asset("page.js"),
        chart=chart(
            charted or experiments, settings, sigma=facts.sigma, linked=frozenset(e.number for e in experiments)
        ),
        metric=escape(settings.task.metric),
        rows="\n".join(_html_row(experiment, body(experiment)) for experiment in reversed(experiments)),
        running=running,
        live="live" if live else "still",
    )


def _yields(strategies: Sequence[Yield]) -> str:
    """A row for each strategy; nothing where nobody has proposed anything."""
    if not strategies:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{escape(each.strategy)}</th><td>{each.proposed}</td><td>{each.kept}</td>"
        f"<td>{f'{each.gain:+.1f} σ' if each.kept else ''}</td><td>${each.dollars:.2f}</td></tr>"
        for each in strategies
    )
    titles = "".join(f"<th scope=col>{title}</th>" for title in ("strategy", "proposed", "kept", "gain kept", "cost"))
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"


def _html_row(experiment: Experiment, body: str) -> str:
    number = experiment.number
    judged = "baseline" if number == BASELINE else experiment.judgement and experiment.judgement.verdict.value
    return (
        f'<details class="row {judged or "open"}" id="e{number}"><summary>'
        f'<a class="number" href="#e{number}">{number}</a><span class="verdict">{_verdict_word(experiment)}</span>'
        f'<span class="score">{escape(shown_score(experiment))}</span>'
        f'<span class="gain">{escape(gain(experiment))}</span>'
        f'<span class="what">{escape(experiment.title)}</span></summary>'
        f'<div class="body">{body}</div></details>'
    )


def _running_row(progress: Progress, *, now: float, settings: Settings) -> str:
    """What runs, how far it is in its phase, and the training's own last line."""
    number, attempt = progress.id.experiment, progress.id.attempt
    name = "baseline" if number == BASELINE else str(number)
    again = f", run {attempt}" if attempt > 1 or number == BASELINE else ""
    granted = settings.budget.train_seconds if progress.phase == "train" else progress.phase_seconds
    spent = max(0.0, now - progress.started_at)
    bar = f'<progress max="1" value="{min(1.0, spent / granted):.3f}"></progress>' if granted else "<span></span>"
    of = f" of {duration(granted)}" if granted else ""
    return (
        f'<li><a href="#e{number}">{name}</a><span>{escape(progress.phase)}{again}</span>{bar}'
        f'<span>{duration(spent)}{of}</span><span class="said">{escape(progress.line)}</span></li>'
    )


def _verdict_word(experiment: Experiment) -> str:
    """The verdict; before there is one whether it runs or waits for a slot."""
    if experiment.number == BASELINE:
        return "baseline"
    if experiment.judgement:
        return experiment.judgement.verdict.value
    attempt = experiment.open_attempt
    return "running" if attempt and attempt.tries and not attempt.tries[-1].lost else "ready"


def _diff_lines(diff: str) -> str:
    """The patch with its lines marked, without what only git wants to know."""
    shown = [line for line in diff.splitlines() if not line.startswith(("diff --git ", "index "))]
    return "\n".join(_diff_line(line) for line in shown)


def _diff_line(line: str) -> str:
    kinds = {"+++": "file", "---": "file", "@@ ": "place", "+": "added", "-": "removed"}
    kind = next((kind for start, kind in kinds.items() if line.startswith(start)), "")
    return f'<span class="{kind}">{escape(line)}</span>' if kind else escape(line)


def _asset(name: str) -> str:
    return (files("controller") / "pages" / name).read_text(encoding="utf-8")
