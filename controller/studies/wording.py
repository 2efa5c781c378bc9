"""Writes what a study says before and after its runs, as lines of plain text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from statistics import fmean, stdev

from controller.costs.slots import SlotPrices
from controller.settings import TaskSettings
from controller.studies import student
from controller.studies.bill import charge, hours_of
from controller.studies.claim import POWER, TAIL, ClaimCount, answer_claim, count_claims
from controller.studies.comparison import Comparison
from controller.studies.schedule import count_runs
from controller.studies.study import Arm, Study, StudyKind, StudyRecord
from controller.text.figures import MISSING, duration, hours_text, score_text, score_with_error, sigma_text, sigmas_text


def sign_of(task: TaskSettings) -> float:
    """-1 if a lower score is better, else 1."""
    return -1.0 if task.direction == "minimize" else 1.0


def commit_name(arm: Arm) -> str:
    """An arm with its commit: `head 1a2b3c4`."""
    return f"{arm.name} {arm.commit[:7]}"


def measure_name(study: Study, task: TaskSettings) -> str:
    """The text or log whose scores a study compares, in words."""
    if study.holdout:
        return "the holdout"
    return "the training's own log" if task.score == "log" else "validation"


def coming_line(record: StudyRecord, *, slots: int, seconds: float) -> str:
    """The runs that are still to come, and the time that they will take. seconds: mean of one run."""
    ended, wanted = count_runs(record)
    left = wanted - ended
    done = f" ({ended} of {wanted} have ended)" if ended else ""
    hours = left * seconds / 3600
    return (
        f"{left} runs on {_slots(slots)}{done}: about {duration(hours * 3600 / slots)}, {hours_text(hours)} slot-hours"
    )


def claim_plan_lines(record: StudyRecord, task: TaskSettings, *, slots: int, seconds: float) -> list[str]:
    """The question of a claim, and how sure its answer will be."""
    study = record.study
    one, other = study.arms[0], study.arms[1]
    found = student.effect_found(one.seeds, tail=TAIL, power=POWER)
    finds = (
        "nothing, as one run a side tells no noise" if isinf(found) else f"a gain of {found:.1f} σ in 9 of 10 claims"
    )
    return [
        f"{study.name}  is {commit_name(one)} better than {commit_name(other)} on {measure_name(study, task)}?",
        f"  {one.seeds} seeds each, in turns; finds {finds}, and calls equal programs better in 1 of {1 / TAIL:,.0f}",
        f"  {coming_line(record, slots=slots, seconds=seconds)}",
    ]


def claim_lines(
    record: StudyRecord, task: TaskSettings, prices: SlotPrices, studies: Sequence[StudyRecord]
) -> list[str]:
    """The answer of a claim. studies: all of its campaign, of which the claims are counted."""
    one, other = record.study.arms[0], record.study.arms[1]
    answer = answer_claim(record, sign=sign_of(task))
    lines = [
        f"{answer.word.value}: {commit_name(one)} against {commit_name(other)} "
        f"on {measure_name(record.study, task)}{_mark(record, task)}"
    ]
    if answer.comparison:
        sides = f"{side_text(record, 1)} against {side_text(record, 2)}"
        lines += [
            f"  {task.metric}  {sides}, sigma {sigma_text(answer.comparison.sigma)}",
            f"  gain  {gain_text(answer.comparison)}",
        ]
    if answer.doubt:
        lines.append(f"  {answer.doubt}")
    if len(record.study.arms) > 2:
        whole = answer_claim(record, sign=sign_of(task), one=1, other=3).comparison
        told = gain_text(whole) if whole else "no score"
        lines.append(f"  against {commit_name(record.study.arms[2])}  {told}")
    lines += [f"  {line}" for line in (*_count_lines(count_claims(record, studies)), *record.study.notes)]
    return [*lines, *failed_lines(record), f"  price  {price_text(record, prices)}"]


def newest_claim_lines(studies: Sequence[StudyRecord], task: TaskSettings, prices: SlotPrices) -> list[str]:
    """The answer of the newest claim that has ended; empty if there is none."""
    claims = [each for each in studies if each.study.kind is StudyKind.CLAIM and each.study.ended_at is not None]
    return claim_lines(claims[-1], task, prices, studies) if claims else []


def _count_lines(count: ClaimCount) -> list[str]:
    """What repeated claims do to the word; nothing for the only one."""
    if count.of_campaign < 2:
        return []
    return [
        f"claims begun: {count.of_these} on these programs, {count.of_campaign} in this campaign; at least one of so "
        f"many calls equal programs better with a chance of up to {100 * count.chance:.2g} %"
    ]


def side_text(record: StudyRecord, arm: int) -> str:
    """Mean of an arm with its standard error, and n."""
    scores = record.scores(arm)
    if not scores:
        return f"{MISSING} (n=0)"
    error = stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else None
    return f"{score_with_error(fmean(scores), error)} (n={len(scores)})"


def gain_text(comparison: Comparison, *, tail: float = TAIL) -> str:
    """Effect, interval, and the effect in sigma."""
    sigma = comparison.sigma or None
    effect = f"{score_text(comparison.effect, sigma)}"
    if isinf(comparison.high):
        why = (
            "one run a side bounds nothing"
            if min(comparison.runs) < 2
            else "runs of one program that all agree may do so by luck"
        )
        return f"{effect}; no interval: {why}; take more --seeds"
    low, high = score_text(comparison.low, sigma), score_text(comparison.high, sigma)
    in_sigma = comparison.effect_in_sigma
    told = f", {sigmas_text(in_sigma, decimals=1)}" if in_sigma is not None else ", no two runs of a program differed"
    return f"{effect}, {100 * (1 - 2 * tail):.3g} % interval {low} to {high}{told}"


def price_text(record: StudyRecord, prices: SlotPrices) -> str:
    """Runs, slot-hours and dollars of a study."""
    ended, _ = count_runs(record)
    dollars = charge([record], prices).dollars
    return f"{ended} runs, {hours_text(hours_of(record, prices))} slot-hours, ${dollars:.2f}"


def failed_lines(record: StudyRecord) -> list[str]:
    """A line for each arm of which runs failed."""
    lines = []
    for number, arm in enumerate(record.study.arms, start=1):
        failed = record.failures(number)
        if failed:
            lines.append(f"  {failed} of {arm.seeds} runs of {commit_name(arm)} failed and have no score")
    return lines


def _mark(record: StudyRecord, task: TaskSettings) -> str:
    if task.score == "log":
        return " [unverified: the training printed its own score, and there is no holdout]"
    return "" if record.study.holdout else " [the campaign has selected by these questions: not a claim about new text]"


def _slots(count: int) -> str:
    return "1 slot" if count == 1 else f"{count} slots"
