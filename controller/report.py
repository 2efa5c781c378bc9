"""The campaign report: the facts in one sentence, a page with the chart, and Markdown to paste into a discussion.

It reads experiments and writes files; it never calls a gain a claim, because a claim needs runs of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from controller.chart import chart
from controller.domain import BASELINE, Experiment, Progress, Provenance, Verdict
from controller.errors import SettingsError
from controller.judge import make_judge
from controller.memory import Memory
from controller.planner import slot_size
from controller.records import mean
from controller.settings import Settings
from controller.terminal import attempt_line, duration, exam_line, gain, shown_score, what
from controller.terminal import live as terminal_line

MARKS = {
    Provenance.SEALED: "",
    Provenance.UNSEALED: "Scores are **unsealed**: the exam ran without a sandbox.",
    Provenance.LOG: "Scores are **unverified**: printed by the training itself.",
}
DIFF_LIMIT = 20_000
LIVE_ROWS = 300
"""Rows on the live page; older experiments keep their dot in the chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Where a campaign stands."""

    tag: str
    metric: str
    experiments: int
    verdicts: dict[str, int]
    running: list[int]
    baseline: float | None
    level: float | None
    level_error: float | None
    sigma: float | None
    best_experiment: int
    slot_hours: float
    dollars: float
    seconds: float
    provenance: str

    def as_dict(self) -> dict[str, Any]:
        """For `status --json`."""
        return asdict(self)

    def sentence(self) -> str:
        """The sentence that matters."""
        now = f"Experiment {self.running[0]} of {self.tag} is running" if self.running else f"{self.tag} is not running"
        best = (
            "no score yet"
            if self.level is None
            else f"best {self.metric} {self.level:.4f} ± {self.level_error or 0:.4f}"
        )
        start = f" (baseline {self.baseline:.4f})" if self.baseline is not None else ""
        counts = f"{self.verdicts.get('keep', 0)} kept of {self.experiments}"
        mark = {"log": " [unverified]", "unsealed": " [unsealed]"}.get(self.provenance, "")
        return f"{now}; {best}{start}{mark}, {counts}, {self.slot_hours:.2f} slot-hours, ${self.dollars:.2f}."


def summary(experiments: Sequence[Experiment], settings: Settings, *, now: float, dollars: float) -> Summary:
    """Fold the experiments into the facts that status, report and page show; `dollars` is what model calls cost."""
    memory = Memory(make_judge(settings.judge, minimize=settings.task.direction == "minimize"), experiments)
    judged = [e for e in experiments if e.judgement and e.number != BASELINE]
    verdicts = {verdict.value: sum(1 for e in judged if _verdict(e) is verdict) for verdict in Verdict}
    running = [e.number for e in experiments if (a := e.open_attempt) and a.tries and not a.tries[-1].lost]
    baseline, state = memory.experiments[BASELINE], memory.state
    return Summary(
        tag=settings.tag,
        metric=settings.task.metric,
        experiments=len(experiments) - 1,
        verdicts=verdicts,
        running=running,
        baseline=mean(baseline.scores) if baseline.scores else None,
        level=state.level if state else None,
        level_error=state.level_error if state else None,
        sigma=state.sigma if state else None,
        best_experiment=memory.incumbent.number,
        slot_hours=memory.slot_seconds * slot_size(settings) / 3600,
        dollars=dollars + memory.slot_seconds * slot_size(settings) / 3600 * settings.budget.gpu_dollars_per_hour,
        seconds=now - baseline.proposed_at,
        provenance=_provenance(experiments),
    )


def write_reports(
    experiments: Sequence[Experiment],
    settings: Settings,
    *,
    diff: Callable[[Experiment], str],
    folder: Path,
    dollars: float,
) -> tuple[Path, Path]:
    """Write report.html and report.md into `folder`. Raises SettingsError where that fails."""
    facts = summary(experiments, settings, now=_last_moment(experiments), dollars=dollars)
    page, text = folder / "report.html", folder / "report.md"
    try:
        page.write_text(html(experiments, settings, facts=facts, diff=diff), encoding="utf-8")
        text.write_text(markdown(experiments, settings, facts=facts), encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"cannot write {error.filename}: {error.strerror}; give another folder with --to"
        ) from error
    return page, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What only a running controller knows."""

    at: float
    progress: Sequence[Progress]
    trouble: str = ""


def html(
    experiments: Sequence[Experiment], settings: Settings, *, facts: Summary, diff: Callable[[Experiment], str]
) -> str:
    """One self-contained page: the sentence, the chart, the table whose rows unfold."""
    bodies = {e.number: details(e, settings, diff=diff(e), log="") for e in experiments}
    return _page(experiments, settings, facts=facts, body=lambda e: bodies[e.number], running="", live=False)


def live_page(experiments: Sequence[Experiment], settings: Settings, *, facts: Summary, now: Now) -> str:
    """The same page while the campaign runs: it renews itself, and rows fetch what they unfold to."""
    lines = [terminal_line(p, now=now.at, settings=settings) for p in now.progress]
    lines += [f"paused: {now.trouble}"] if now.trouble else []
    running = "".join(f"<li>{escape(line)}</li>" for line in lines)
    newest = experiments[-LIVE_ROWS:]
    return _page(newest, settings, facts=facts, body=lambda _: "", running=running, live=True, charted=experiments)


def details(experiment: Experiment, settings: Settings, *, diff: str, log: str) -> str:
    """What a row unfolds to: hypothesis, verdict, attempts, exam, diff, end of the log."""
    judgement = experiment.judgement
    cut = diff if len(diff) <= DIFF_LIMIT else diff[:DIFF_LIMIT] + "\n… (`autoresearch diff` prints the rest)"
    attempts = "\n".join(attempt_line(a, settings.task.metric) for a in experiment.attempts)
    exams = [a.result.exam for a in experiment.attempts if a.result and a.result.exam]
    parts = [
        f"<p>{escape(experiment.hypothesis)}</p>" if experiment.hypothesis else "",
        f"<p>{escape(judgement.verdict.value)}: {escape(judgement.reason)}</p>" if judgement else "",
        f"<pre>{escape(attempts)}</pre>" if attempts else "",
        f"<p>{escape(exam_line(exams[-1]))}</p>" if exams else "",
        f'<pre class="diff">{escape(cut)}</pre>' if cut else "",
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
        note=escape(MARKS.get(_mark(facts), "").replace("**", "")),
        style=_asset("page.css"),
        script=_asset("page.js"),
        chart=chart(charted or experiments, settings, sigma=facts.sigma),
        metric=escape(settings.task.metric),
        rows="\n".join(_html_row(experiment, body(experiment)) for experiment in reversed(experiments)),
        running=running,
        live="live" if live else "still",
    )


def markdown(experiments: Sequence[Experiment], settings: Settings, *, facts: Summary) -> str:
    """A campaign report like those that upstream's users post: what was tried, what held, what did not, cost."""
    judged = [e for e in experiments if e.number != BASELINE and e.judgement]
    sections = [
        f"# Autoresearch campaign `{settings.tag}`",
        f"{facts.sentence()} {MARKS.get(_mark(facts), '')}".strip(),
        _noise(facts),
        "## What held",
        _list([e for e in judged if _verdict(e) is Verdict.KEEP], none="Nothing was kept."),
        "## What did not",
        _list([e for e in judged if _verdict(e) is not Verdict.KEEP], none="Everything tried was kept."),
        "## Cost",
        f"{facts.slot_hours:.2f} slot-hours, ${facts.dollars:.2f}, {duration(facts.seconds)} on the clock, "
        f"{_per_keep(facts)}.",
        "## Claims",
        "None. Gains above are the judge's estimates; a claim needs runs of its own on the holdout.",
    ]
    return "\n\n".join(sections) + "\n"


def _noise(facts: Summary) -> str:
    if facts.sigma is None or facts.baseline is None or facts.level is None:
        return "The baseline has not been measured."
    return (
        f"Baseline {facts.metric} {facts.baseline:.5f}, "
        f"now estimated {facts.level:.5f} ± {facts.level_error or 0:.5f}; "
        f"one run varies by sigma = {facts.sigma:.5f}."
    )


def _per_keep(facts: Summary) -> str:
    kept = facts.verdicts.get("keep", 0)
    if not kept:
        return "nothing kept"
    return f"{facts.slot_hours / kept:.2f} slot-hours and ${facts.dollars / kept:.2f} for each kept edit"


def _list(experiments: Sequence[Experiment], *, none: str) -> str:
    lines = [f"- {e.number}. {what(e)} ({shown_score(e)}{', ' + gain(e) if gain(e) else ''})" for e in experiments]
    return "\n".join(lines) or none


def _html_row(experiment: Experiment, body: str) -> str:
    verdict = experiment.judgement.verdict.value if experiment.judgement else "open"
    return (
        f'<details class="row {verdict}" id="e{experiment.number}"><summary>'
        f'<span class="number">{experiment.number}</span><span class="verdict">{verdict}</span>'
        f'<span class="score">{escape(shown_score(experiment))}</span>'
        f'<span class="gain">{escape(gain(experiment))}</span>'
        f'<span class="what">{escape(experiment.title)}</span></summary>'
        f'<div class="body">{body}</div></details>'
    )


def _verdict(experiment: Experiment) -> Verdict | None:
    return experiment.judgement.verdict if experiment.judgement else None


def _provenance(experiments: Sequence[Experiment]) -> str:
    """The weakest provenance of any score: one unsealed run makes the whole ranking unsealed."""
    found = {a.result.score.provenance for e in experiments for a in e.attempts if a.result and a.result.score}
    return next((p.value for p in (Provenance.LOG, Provenance.UNSEALED, Provenance.SEALED) if p in found), "")


def _mark(facts: Summary) -> Provenance:
    return Provenance(facts.provenance) if facts.provenance else Provenance.SEALED


def _last_moment(experiments: Sequence[Experiment]) -> float:
    moments = [e.judgement.at if e.judgement else e.proposed_at for e in experiments]
    return max([*moments, experiments[0].proposed_at])


def _asset(name: str) -> str:
    return (files("controller") / "pages" / name).read_text(encoding="utf-8")
