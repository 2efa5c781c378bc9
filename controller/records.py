"""How experiments are written down: JSON for the lab and for scripts, messages of commits, and upstream's results.tsv.

Pure. The JSON is the domain itself, defaults left out; it refuses nothing, because the lab's format
number has been checked before a record is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter

from controller.domain import BASELINE, Experiment, Judgement, Outcome, Proposal, Verdict
from controller.prices import dollars_of, slot_hours
from controller.settings import Settings

FORMAT = 1
"""Format of lab and records; a lab with a higher number belongs to a newer version."""

_ADAPTER = TypeAdapter(Experiment)

WIDE = (
    *("number", "verdict", "expected_gain_sigma", "runs", "agent", "strategy"),
    *("gpu_hours", "model_dollars", "dollars"),
)
"""Columns behind upstream's; hours are of accelerators, a slot without any counts as one; dollars are all of them."""

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription"


def encode(experiment: Experiment) -> bytes:
    """One experiment as indented JSON, readable with `git notes show`."""
    return _ADAPTER.dump_json(experiment, exclude_defaults=True, indent=1) + b"\n"


def decode(data: bytes) -> Experiment:
    """The experiment that `encode` wrote. Raises ValueError on anything else."""
    return _ADAPTER.validate_json(data)


def experiment_facts(experiment: Experiment, settings: Settings) -> dict[str, Any]:
    """Its record for a script, with verdict (`open` before there is one), mean score and dollars beside it."""
    record: dict[str, Any] = json.loads(encode(experiment))
    verdict = experiment.judgement.verdict.value if experiment.judgement else "open"
    score = mean(experiment.scores) if experiment.scores else None
    return record | {"verdict": verdict, "score": score, "dollars": dollars_of(experiment, settings)}


def experiment_message(proposal: Proposal, *, tag: str, number: int) -> str:
    """Message of an experiment's commit: what, why, and whose idea."""
    lines = [proposal.title, "", proposal.hypothesis, "", f"Experiment: {tag}-{number}", f"Agent: {proposal.agent}"]
    return "\n".join(lines) + "\n"


def lab_book_entry(experiment: Experiment, judgement: Judgement, *, tag: str, metric: str) -> str:
    """Message of a kept commit: what, why, scores, and which experiment it was."""
    scores = " ".join(f"{score:.6f}" for score in experiment.scores)
    gain = "" if judgement.expected_gain is None else f", expected gain {judgement.expected_gain:+.2f} sigma"
    lines = [
        experiment.title,
        "",
        experiment.hypothesis,
        "",
        f"{metric} {scores} (n={len(experiment.scores)}{gain})",
        "",
        f"Experiment: {tag}-{experiment.number} {experiment.commit}",
        f"Agent: {experiment.agent}",
    ]
    return "\n".join(lines) + "\n"


def results_tsv(experiments: Iterable[Experiment], *, metric: str = "val_bpb") -> str:
    """Upstream's five columns (commit, metric, memory_gb, status, description), one row per experiment that ran.

    A rejected score is no score: its row reads `crash` and 0.000000, as upstream writes a run without one.
    """
    rows = [_row(experiment) for experiment in experiments if experiment.judgement and experiment.attempts]
    return "\n".join([HEADER.replace("val_bpb", metric), *rows]) + "\n"


def wide_tsv(experiments: Iterable[Experiment], settings: Settings) -> str:
    """The same rows with columns of our own behind upstream's: verdict, strategy, hours, dollars."""
    ran = [experiment for experiment in experiments if experiment.judgement and experiment.attempts]
    lines = results_tsv(ran, metric=settings.task.metric).splitlines()
    more = [WIDE, *(_more(experiment, settings) for experiment in ran)]
    return "".join("\t".join((line, *columns)) + "\n" for line, columns in zip(lines, more, strict=True))


def _more(experiment: Experiment, settings: Settings) -> tuple[str, ...]:
    judgement, hours = experiment.judgement, slot_hours(experiment, settings)
    gain = judgement.expected_gain if judgement else None
    values = (
        str(experiment.number),
        judgement.verdict.value if judgement else "",
        "" if gain is None else f"{gain:.3f}",
        str(len(experiment.attempts)),
        experiment.agent,
        experiment.strategy,
        f"{hours:.4f}",
        f"{experiment.cost.dollars:.4f}",
        f"{dollars_of(experiment, settings):.4f}",
    )
    return tuple(" ".join(value.split()) for value in values)


def _row(experiment: Experiment) -> str:
    judgement = experiment.judgement
    verdict = judgement.verdict if judgement else Verdict.CRASH
    scored = verdict in (Verdict.KEEP, Verdict.DISCARD) and experiment.scores
    value = mean(experiment.scores) if scored else 0.0
    status = verdict.value if verdict is not Verdict.REJECT else Verdict.CRASH.value
    description = "baseline" if experiment.number == BASELINE else experiment.title
    if verdict in (Verdict.CRASH, Verdict.REJECT) and judgement:
        description = f"{description} ({judgement.reason})"
    memory = peak_memory_gb(experiment) if scored else 0.0
    text = " ".join(description.split())
    return f"{experiment.commit[:7]}\t{value:.6f}\t{memory:.1f}\t{status}\t{text}"


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean of at least one value."""
    known = tuple(values)
    return sum(known) / len(known)


def peak_memory_gb(experiment: Experiment) -> float:
    """Largest peak_vram_mb that its trainings reported, in GB (display only: the training says so)."""
    results = [a.result for a in experiment.attempts if a.result and a.result.outcome is Outcome.SCORED]
    return max((r.summary.get("peak_vram_mb", 0.0) for r in results), default=0.0) / 1024
