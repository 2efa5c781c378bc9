"""Writes what ablations, portability, reruns and A/A studies say before and after their runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from statistics import fmean, stdev

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Experiment, Verdict
from controller.judge import Judge
from controller.settings import JudgeSettings, TaskSettings
from controller.studies import ablation, portability, rerun
from controller.studies.comparison import compare, interval_of_mean
from controller.studies.study import StudyRecord
from controller.studies.wording import (
    coming_line,
    commit_name,
    failed_lines,
    gain_text,
    measure_name,
    price_text,
    side_text,
    sign_of,
)
from controller.text.figures import MISSING, score_text, sigma_text, sigmas_text


def plan_lines(record: StudyRecord, task: TaskSettings, *, slots: int, seconds: float) -> list[str]:
    """The plan of a study, for every kind that promises no word."""
    study = record.study
    names = ", ".join(dict.fromkeys(arm.name for arm in study.arms))
    places = [portability.read_place(place).name for place in dict.fromkeys(arm.place for arm in study.arms) if place]
    where = f" at {', '.join(places)}" if places else ""
    return [
        f"{study.name}  {names} on {measure_name(study, task)}{where}",
        *(f"  {note}" for note in study.notes),
        f"  {coming_line(record, slots=slots, seconds=seconds)}",
    ]


def rerun_lines(
    record: StudyRecord, task: TaskSettings, prices: SlotPrices, experiment: Experiment | None
) -> list[str]:
    """The scores of a program that was run again, beside those that it had."""
    scores, metric = record.scores(1), task.metric
    lines = [f"{commit_name(record.study.arms[0])} again on {measure_name(record.study, task)}"]
    if scores:
        low, high = interval_of_mean(scores, tail=rerun.INTERVAL_TAIL)
        noise = stdev(scores) if len(scores) > 1 else None
        interval = "" if isinf(high) else f", 95 % interval {score_text(low, noise)} to {score_text(high, noise)}"
        lines.append(f"  {metric}  {side_text(record, 1)}{interval}: {' '.join(map(score_text, scores))}")
    if scores and experiment and experiment.scores:
        known = " ".join(map(score_text, experiment.scores))
        lines.append(f"  before  {score_text(fmean(experiment.scores))} (n={len(experiment.scores)}): {known}")
        compared = compare(scores, experiment.scores, sign=sign_of(task), tail=rerun.INTERVAL_TAIL)
        if compared and not isinf(compared.high):
            told = gain_text(compared, tail=rerun.INTERVAL_TAIL)
            lines.append(f"  better than before by {told}")
    return [*lines, *failed_lines(record), f"  price  {price_text(record, prices)}"]


def aa_lines(
    record: StudyRecord,
    task: TaskSettings,
    prices: SlotPrices,
    experiments: Sequence[Experiment],
    *,
    judge: Judge,
    judging: JudgeSettings,
) -> list[str]:
    """The keeps of the campaign's judge where there is nothing to find, beside those of the campaign."""
    scores, policy = record.scores(1), judging.policy
    runs, most = judging.baseline_runs, judging.max_runs
    lines = [f"{commit_name(record.study.arms[0])} against itself, judged by {policy}"]
    replayed = rerun.replay(scores, judge, baseline_runs=runs)
    if replayed is None:
        lines.append(f"  only {len(scores)} runs were scored: too few to judge anything")
    else:
        sigma = compare(scores, scores, sign=1.0, tail=rerun.INTERVAL_TAIL)
        mean, error = rerun.expect_keeps(scores, judge, baseline_runs=runs, max_runs=most)
        lines += [
            f"  {task.metric}  {side_text(record, 1)}, sigma {sigma_text(sigma.sigma if sigma else None)}",
            f"  taken as edits in their order: {replayed.kept} of {replayed.judged} kept",
            f"  {rerun.AA_EXPERIMENTS} edits that do nothing, drawn from these runs: {mean:.1f} ± {error:.1f} are kept",
        ]
    judged = [e for e in experiments if e.number != BASELINE and e.doubts is None and e.judgement]
    kept = sum(1 for e in judged if e.judgement and e.judgement.verdict is Verdict.KEEP)
    if judged:
        lines.append(f"  the campaign kept {kept} of {len(judged)}")
    return [*lines, *failed_lines(record), f"  price  {price_text(record, prices)}"]


def ablation_lines(
    record: StudyRecord, task: TaskSettings, prices: SlotPrices, experiments: Sequence[Experiment]
) -> list[str]:
    """A table of what each kept edit is still worth."""
    worths = ablation.weigh_edits(record, sign=sign_of(task))
    sigma = ablation.pooled_sigma(record)
    titles = {experiment.number: experiment.title for experiment in experiments}
    lines = [
        f"what each kept edit is worth in {commit_name(record.study.arms[0])}, by leaving it out",
        f"  {task.metric}  head {side_text(record, 1)}, sigma {sigma_text(sigma)}",
        f"  {'#':>4}  {'worth':>9}  {'95 % interval of all':<22}  {'in sigma':>9}  {'':<14}  what",
    ]
    for worth in worths:
        effect = MISSING if worth.effect is None else score_text(worth.effect, sigma)
        interval = (
            MISSING if isinf(worth.high) else f"{score_text(worth.low, sigma)} to {score_text(worth.high, sigma)}"
        )
        scaled = sigmas_text(worth.effect / sigma, decimals=1) if sigma and worth.effect is not None else MISSING
        stays = worth.word.value if worth.stays else f"{worth.word.value}, prune"
        title = titles.get(worth.experiment, "")
        lines.append(f"  {worth.experiment:>4}  {effect:>9}  {interval:<22}  {scaled:>9}  {stays:<16}  {title}")
    lines += [f"  {note}" for note in record.study.notes]
    pruned = ablation.choose_pruned(worths)
    told = (
        f"worth nothing as far as is known: {', '.join(map(str, sorted(pruned)))}"
        if pruned
        else "all are worth something"
    )
    return [*lines, f"  {told}", f"  price  {price_text(record, prices)}"]


def portability_lines(record: StudyRecord, task: TaskSettings, prices: SlotPrices) -> list[str]:
    """A row for each place: does the gain hold there?"""
    study = record.study
    lines = [
        f"{commit_name(study.arms[0])} against {commit_name(study.arms[1])} on {measure_name(study, task)}",
    ]
    found = portability.compare_places(record, sign=sign_of(task))
    width = max(len(each.place.name) for each in found)
    for row, each in enumerate(found):
        sides = f"{side_text(record, 2 * row + 1)} against {side_text(record, 2 * row + 2)}"
        told = gain_text(each.comparison) if each.comparison else "no score"
        lines.append(f"  {each.place.name:<{width}}  {each.held.value:<9}  {told}  {task.metric} {sides}")
    return [*lines, *failed_lines(record), f"  price  {price_text(record, prices)}"]
