"""What a person reads in the terminal: rows, headlines and live lines, as text. It decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from controller.domain import BASELINE, Attempt, ExamReport, Experiment, Judgement, Progress, Provenance, Verdict
from controller.judge import State
from controller.prices import slot_dollars, slot_hours
from controller.records import mean
from controller.settings import Settings

COLOURS = {Verdict.KEEP: "green", Verdict.DISCARD: "bright_black", Verdict.CRASH: "yellow", Verdict.REJECT: "red"}
BAR = 24


def headline(settings: Settings) -> str:
    """Campaign, agent, slots, sandbox and judge in one line."""
    executor = settings.executor
    where = "Kubernetes Jobs" if executor.kind == "kubernetes" else f"local sandboxes ({executor.sandbox})"
    slots = f"{executor.slots} slot" + ("s" if executor.slots > 1 else "")
    judge = settings.judge.policy
    return f"autoresearch · campaign {settings.tag} · agent {settings.agent.kind} · {slots} · {where} · {judge} judge"


def data_line(manifest: Mapping[str, Any]) -> str:
    """What the data is, and the seal on it."""
    splits: Mapping[str, Mapping[str, int]] = manifest.get("splits", {})
    megabytes = sum(split.get("bytes", 0) for split in splits.values()) / 1e6
    counts = "  ".join(f"{name} {_count(split.get('tokens', 0))}" for name, split in splits.items())
    return (
        f"{manifest.get('source', 'unknown source')} · {megabytes:.1f} MB · vocabulary "
        f"{manifest.get('vocabulary_size', 0):,} · {counts} tokens   sealed {str(manifest.get('identity', ''))[:4]}…"
    )


def baseline_line(experiment: Experiment, state: State, settings: Settings) -> str:
    """The baseline's level, its noise, and what the exam says of it."""
    runs = len(experiment.scores)
    text = (
        f"  baseline  {runs} × {settings.budget.train_seconds:g} s   {settings.task.metric} {state.level:.4f}"
        f"   sigma {state.sigma:.4f}"
    )
    exams = [a.result.exam for a in experiment.attempts if a.result and a.result.exam]
    if exams and exams[-1].inflation is not None:
        text += f"   exam ok, inflation {exams[-1].inflation:.4f} ± {exams[-1].inflation_error or 0:.4f}"
    return text + warning_of(experiment)


def columns(settings: Settings) -> str:
    """Header of the rows."""
    return f"{'#':>3}  {'verdict':<8}  {settings.task.metric:<9} {'expected gain':<15}  what"


def row(experiment: Experiment) -> Text:
    """One judged experiment."""
    judgement = experiment.judgement
    verdict = judgement.verdict if judgement else None
    text = Text(f"{experiment.number:>3}  ")
    text.append(f"{verdict.value if verdict else 'open':<8}", style=COLOURS.get(verdict, "") if verdict else "cyan")
    text.append(f"  {shown_score(experiment):<9} {gain(experiment):<15}  {what(experiment)}{warning_of(experiment)}")
    return text


def shown_score(experiment: Experiment) -> str:
    """Mean of its scores; in brackets what a rejected attempt claimed; a dash where there is none."""
    if experiment.judgement and experiment.judgement.verdict is Verdict.REJECT:
        raw = [a.result.exam.raw for a in experiment.attempts if a.result and a.result.exam]
        return f"({raw[-1]:.4f})" if raw and raw[-1] is not None else "-"
    return f"{mean(experiment.scores):.4f}" if experiment.scores else "-"


def gain(experiment: Experiment) -> str:
    """Expected gain in sigma and how many runs it rests on."""
    judgement = experiment.judgement
    if judgement is None or judgement.expected_gain is None:
        return ""
    runs = f"  n={len(experiment.scores)}" if len(experiment.scores) > 1 else ""
    return f"{judgement.expected_gain:+.1f} σ{runs}"


def what(experiment: Experiment) -> str:
    """The title; where there is no score that counts, the reason and where to read more."""
    judgement = experiment.judgement
    if judgement is None or (experiment.scores and judgement.verdict is not Verdict.REJECT):
        return experiment.title
    return f"{experiment.title}: {judgement.reason} (show {experiment.number})"


def live(progress: Progress, *, now: float, settings: Settings) -> str:
    """One line for a running phase: time gone of time granted, and the training's own last line."""
    seconds = max(0.0, now - progress.started_at)
    bar = ""
    if progress.phase == "train":
        share = min(1.0, seconds / settings.budget.train_seconds)
        filled = round(share * BAR)
        bar = f"{'━' * filled}{'─' * (BAR - filled)}  {seconds:3.0f}/{settings.budget.train_seconds:g} s"
    label = "baseline" if progress.id.experiment == BASELINE else f"{progress.id.experiment:>3}"
    again = f" run {progress.id.attempt}" if progress.id.attempt > 1 or progress.id.experiment == BASELINE else ""
    return f"{label}{again}  {progress.phase:<8} {bar or f'{seconds:.0f} s'}   {progress.line[:60]}".rstrip()


def closing(
    experiments: Sequence[Experiment], *, reason: str, seconds: float, settings: Settings, dollars: float
) -> str:
    """Why it stopped, what was tried, kept and spent; `dollars` is what model calls cost."""
    judged = [e for e in experiments if e.number != BASELINE and e.judgement]
    kept = sum(1 for e in judged if e.judgement and e.judgement.verdict is Verdict.KEEP)
    hours = sum(slot_hours(e, settings) for e in experiments)
    dollars += sum(slot_dollars(e, settings) for e in experiments)
    unit = "CPU-h" if settings.executor.kind == "local" else "slot-h"
    return (
        f"stopped: {reason} · {len(judged)} judged, {kept} kept · {duration(seconds)} · "
        f"${dollars:.2f} · {hours:.2f} {unit}"
    )


def origin_line(experiment: Experiment) -> str:
    """Who thought of it, and how."""
    parts = {"proposed by": experiment.agent, "strategy": experiment.strategy, "expects": experiment.expected_effect}
    return " · ".join(f"{name} {value}" for name, value in parts.items() if value)


def cost_line(experiment: Experiment, settings: Settings) -> str:
    """What it cost: model calls of its proposal, slots of all its tries."""
    cost, gpus, hours = experiment.cost, slot_dollars(experiment, settings), slot_hours(experiment, settings)
    calls = f"${cost.dollars:.2f} for {cost.calls} model calls, " if cost.calls or cost.dollars else ""
    return f"cost ${cost.dollars + gpus:.2f}: {calls}${gpus:.2f} for {hours:.3f} slot-hours"


def attempt_line(attempt: Attempt, metric: str) -> str:
    """Seed, outcome, score, times, node of one attempt."""
    result = attempt.result
    tries = f" ({len(attempt.tries)} tries)" if len(attempt.tries) > 1 else ""
    if result is None:
        return f"run {attempt.number}{tries}  seed {attempt.seed}  not ended"
    score = f"  {metric} {result.score.value:.6f} ({result.score.provenance.value})" if result.score else ""
    phases = "  ".join(f"{name} {seconds:.1f} s" for name, seconds in result.phase_seconds.items())
    reason = f"  {result.reason}" if result.reason else ""
    where = f"  on {result.node} ({result.accelerator})" if result.node else ""
    price = attempt.tries[-1].dollars_per_hour if attempt.tries else None
    where += f"  at ${price:.2f} an hour" if price else ""
    return (
        f"run {attempt.number}{tries}  seed {attempt.seed}  {result.outcome.value}{score}{reason}\n"
        f"      {phases}{where}"
    )


def best_line(incumbent: Experiment, baseline: Experiment, state: State, settings: Settings) -> str:
    """The incumbent's level beside the baseline's; says that this is no claim."""
    if incumbent.number == BASELINE:
        return f"best  the baseline, {state.level:.4f}: nothing was kept"
    kept_as = incumbent.judgement.kept_as[:7] if incumbent.judgement else ""
    return (
        f"best  {kept_as}  {settings.task.metric} {state.level:.4f} ± {state.level_error:.4f}  "
        f"(baseline {mean(baseline.scores):.4f}; estimated, not claimed: a claim needs runs of its own)"
    )


def experiment_blocks(experiment: Experiment, settings: Settings) -> list[Text]:
    """The parts of `show N` above the diff: title, hypothesis, runs, exam, verdict."""
    blocks = [Text(f"{experiment.number}  {experiment.title}", style="bold")]
    if experiment.hypothesis:
        blocks.append(Text(experiment.hypothesis))
    origin = origin_line(experiment)
    blocks += [Text(origin, style="bright_black")] if origin else []
    blocks.append(Text(f"commit {experiment.commit[:12]}  base {experiment.base[:12]}", style="bright_black"))
    blocks += [Text(attempt_line(attempt, settings.task.metric)) for attempt in experiment.attempts]
    exams = [a.result.exam for a in experiment.attempts if a.result and a.result.exam]
    blocks += [Text(exam_line(exams[-1]))] if exams else []
    blocks.append(Text(cost_line(experiment, settings)))
    if experiment.judgement:
        blocks.append(verdict_text(experiment.judgement))
    return blocks


def exam_line(exam: ExamReport) -> str:
    """What the examiner measured, in nats."""
    parts = [
        ("inflation", exam.inflation, exam.inflation_error),
        ("spread", exam.spread, None),
        ("restart", exam.restart, exam.restart_error),
    ]
    shown = [
        f"{name} {value:+.5f}" + (f" ± {error:.5f}" if error is not None else "")
        for name, value, error in parts
        if value is not None
    ]
    probes = f" of {exam.probes} probes" if exam.probes else ""
    hits = f"  hits {exam.hits}{probes}" if exam.hits is not None else ""
    fault = f"  failed: {exam.test}" if exam.test else ""
    flag = f"  ({exam.flag})" if exam.flag else ""
    return f"exam  {'  '.join(shown)} nats{hits}{fault}{flag}"


def verdict_text(judgement: Judgement) -> Text:
    """The verdict and the numbers behind it."""
    text = Text(judgement.verdict.value, style=f"bold {COLOURS[judgement.verdict]}")
    text.append(f": {judgement.reason}", style="not bold default")
    numbers = [("expected gain", judgement.expected_gain), ("spread", judgement.spread), ("price", judgement.price)]
    shown = "  ".join(f"{name} {value:+.3f} σ" for name, value in numbers if value is not None)
    if shown:
        text.append(f"\n      {shown}", style="not bold bright_black")
    return text


def duration(seconds: float) -> str:
    """4 min 51 s, 2 h 05 min, 38 s."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def warning_of(experiment: Experiment) -> str:
    """How a score that nobody trusted vouches for is marked wherever it appears."""
    results = [a.result for a in experiment.attempts if a.result and a.result.score]
    provenances = {r.score.provenance for r in results if r.score}
    marks = {Provenance.UNSEALED: "unsealed", Provenance.LOG: "unverified"}
    return "".join(f"  [{marks[p]}]" for p in sorted(provenances & set(marks)))


def _count(value: float) -> str:
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}{suffix}"
    return f"{value:g}"
