"""Writes experiments for scripts: JSON, and results.tsv in upstream's five columns or with more. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from controller.costs.answers import answer_memory_gb, seconds_per_answer
from controller.costs.slots import SlotPrices, dollars_of, slot_hours
from controller.domain import BASELINE, Experiment, Verdict, find_undone
from controller.lab.records import experiment_to_json
from controller.reports.text import verdict_words
from controller.text.safe_text import visible_json

WIDE = (
    *("number", "verdict", "expected_gain_sigma", "runs", "agent", "strategy"),
    *("gpu_hours", "model_dollars", "dollars", "seconds_per_answer", "answer_memory_gb"),
    "undone_by",
)
"""Extra columns after upstream's five. gpu_hours: accelerator hours (a CPU slot counts as one). dollars: model calls
plus slots. The cost of an answer is empty where no exam measured it. undone_by: see `experiment_facts`."""

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription"


def json_text(facts: object) -> str:
    """Facts as indented JSON. What a terminal would obey, in a patch for example, stands there as JSON's own escape."""
    return visible_json(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False))


def experiment_facts(experiment: Experiment, prices: SlotPrices, undone: Mapping[int, int]) -> dict[str, Any]:
    """The experiment's record for a script, with verdict (`open` before there is one), mean score and dollars added.

    undone_by: number of the experiment that took a kept edit out of the branch again; None where none did.
    """
    record: dict[str, Any] = json.loads(experiment_to_json(experiment))
    verdict = experiment.judgement.verdict.value if experiment.judgement else "open"
    dollars = dollars_of(experiment, prices)
    added = {"verdict": verdict, "undone_by": undone.get(experiment.number)}
    return record | added | {"score": experiment.mean_score, "dollars": dollars}


def results_tsv(experiments: Iterable[Experiment], *, metric: str = "val_bpb") -> str:
    """Upstream's five columns (commit, metric, memory_gb, status, description), one row per experiment that ran.

    A rejected score is no score: its row reads `crash` and 0.000000, as upstream writes a run without one. A kept edit
    that was undone stays a `keep`, as upstream has no word for it, and its description says so.
    """
    known = tuple(experiments)
    undone = find_undone(known)
    rows = [_upstream_row(experiment, undone) for experiment in filter(_has_run, known)]
    return "\n".join([HEADER.replace("val_bpb", metric), *rows]) + "\n"


def wide_tsv(experiments: Iterable[Experiment], *, metric: str, prices: SlotPrices) -> str:
    """The same rows with columns of our own behind upstream's: verdict, strategy, hours, dollars."""
    known = tuple(experiments)
    undone = find_undone(known)
    lines = ["\t".join((HEADER.replace("val_bpb", metric), *WIDE))]
    for experiment in filter(_has_run, known):
        row, more = _upstream_row(experiment, undone), _extra_columns(experiment, prices, undone)
        lines.append("\t".join((row, *more)))
    return "\n".join(lines) + "\n"


def _has_run(experiment: Experiment) -> bool:
    judgement = experiment.judgement
    # A crash without an attempt ended in its smoke test.
    return judgement is not None and (bool(experiment.attempts) or judgement.verdict is Verdict.CRASH)


def _extra_columns(experiment: Experiment, prices: SlotPrices, undone: Mapping[int, int]) -> tuple[str, ...]:
    judgement, hours = experiment.judgement, slot_hours(experiment, prices)
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
        f"{dollars_of(experiment, prices):.4f}",
        _four_digits(seconds_per_answer(experiment)),
        _four_digits(answer_memory_gb(experiment)),
        str(undone.get(experiment.number, "")),
    )
    return tuple(" ".join(value.split()) for value in values)


def _four_digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _upstream_row(experiment: Experiment, undone: Mapping[int, int]) -> str:
    judgement = experiment.judgement
    verdict = judgement.verdict if judgement else Verdict.CRASH
    score = experiment.mean_score if verdict in (Verdict.KEEP, Verdict.DISCARD) else None
    status = verdict.value if verdict is not Verdict.REJECT else Verdict.CRASH.value
    description = "baseline" if experiment.number == BASELINE else experiment.title
    if verdict in (Verdict.CRASH, Verdict.REJECT) and judgement:
        description = f"{description} ({judgement.reason})"
    if experiment.number in undone:
        description = f"{description} ({verdict_words(experiment, undone)})"
    value, memory = (0.0, 0.0) if score is None else (score, experiment.peak_memory_gb)
    text = " ".join(description.split())
    return f"{experiment.commit[:7]}\t{_six_decimals(value)}\t{memory:.1f}\t{status}\t{text}"


def _six_decimals(value: float) -> str:
    """As upstream writes scores; all digits where six decimals would lose some of the first six."""
    text = f"{value:.6f}"
    return text if abs(float(text) - value) <= 1e-6 * abs(value) and len(text) < 24 else repr(value)
