"""The campaign report: files to look at and Markdown to paste into a discussion.

It reads experiments and writes files; it never calls a gain a claim, because a claim needs runs of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from controller.domain import BASELINE, Experiment, Verdict
from controller.errors import SettingsError
from controller.page import Now, details, html, live_page
from controller.settings import Settings
from controller.summary import Summary, summary
from controller.terminal import duration, gain, shown_score, what
from controller.yields import Yield

__all__ = ["Now", "Summary", "details", "html", "live_page", "markdown", "summary", "write_reports"]


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


def markdown(experiments: Sequence[Experiment], settings: Settings, *, facts: Summary) -> str:
    """A campaign report like those that upstream's users post: what was tried, what held, what did not, cost."""
    judged = [e for e in experiments if e.number != BASELINE and e.judgement]
    sections = [
        f"# Autoresearch campaign `{settings.tag}`",
        f"{facts.sentence()} {facts.warning}".strip(),
        _noise(facts),
        "## What held",
        _list([e for e in judged if _verdict(e) is Verdict.KEEP], none="Nothing was kept."),
        "## What did not",
        _list(
            [e for e in judged if _verdict(e) is not Verdict.KEEP],
            none="Everything tried was kept." if judged else "Nothing was tried.",
        ),
        "## Who proposed what",
        _yields(facts.strategies),
        "## Cost",
        f"{facts.slot_hours:.2f} {facts.hours_are}, ${facts.dollars:.2f} (model ${facts.model_dollars:.2f}, "
        f"GPUs ${facts.gpu_dollars:.2f}), {duration(facts.seconds)} on the clock. {facts.costs()}",
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


def _yields(strategies: Sequence[Yield]) -> str:
    """A row for each strategy: what it proposed, what was kept, and what its experiments cost."""
    if not strategies:
        return "Nobody has proposed anything."
    rows = [
        f"| {y.strategy} | {y.proposed} | {y.judged} | {y.kept} | {y.gain:+.1f} | {y.dollars:.2f} |" for y in strategies
    ]
    titles = "| strategy | proposed | judged | kept | gain kept, σ | cost, $ |"
    return "\n".join([titles, "|---|---|---|---|---|---|", *rows])


def _list(experiments: Sequence[Experiment], *, none: str) -> str:
    lines = [f"- {e.number}. {what(e)} ({shown_score(e)}{', ' + gain(e) if gain(e) else ''})" for e in experiments]
    return "\n".join(lines) or none


def _verdict(experiment: Experiment) -> Verdict | None:
    return experiment.judgement.verdict if experiment.judgement else None


def _last_moment(experiments: Sequence[Experiment]) -> float:
    moments = [e.judgement.at if e.judgement else e.proposed_at for e in experiments]
    return max([*moments, experiments[0].proposed_at])
