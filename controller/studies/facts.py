"""The answers of studies as plain values, for `--json`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isinf

from controller.costs.slots import SlotPrices
from controller.settings import TaskSettings
from controller.studies.ablation import EditWorth, pooled_sigma, weigh_edits
from controller.studies.bill import charge, hours_of
from controller.studies.claim import TAIL, answer_claim, count_claims
from controller.studies.comparison import Comparison
from controller.studies.portability import compare_places
from controller.studies.study import StudyRecord
from controller.studies.wording import sign_of


def study_facts(record: StudyRecord, task: TaskSettings, prices: SlotPrices) -> dict[str, object]:
    """The facts that every kind of study has: plan, scores and price."""
    arms = []
    for number, arm in enumerate(record.study.arms, start=1):
        arms.append(
            {
                "name": arm.name,
                "commit": arm.commit,
                "place": arm.place,
                "experiment": arm.experiment,
                "scores": list(record.scores(number)),
                "failed": record.failures(number),
            }
        )
    return {
        "study": record.study.name,
        "metric": task.metric,
        "holdout": record.study.holdout,
        "notes": list(record.study.notes),
        "arms": arms,
        "slot_hours": hours_of(record, prices),
        "dollars": charge([record], prices).dollars,
    }


def claim_facts(
    record: StudyRecord, task: TaskSettings, prices: SlotPrices, studies: Sequence[StudyRecord]
) -> dict[str, object]:
    """The answer of a claim. studies: all of its campaign, of which the claims are counted."""
    count = count_claims(record, studies)
    counted = {"claims_of_these_programs": count.of_these, "claims_of_campaign": count.of_campaign}
    answer = answer_claim(record, sign=sign_of(task))
    compared = comparison_facts(answer.comparison) if answer.comparison else {}
    return study_facts(record, task, prices) | {"answer": answer.word.value, "wrong_in": TAIL, **counted, **compared}


def comparison_facts(comparison: Comparison) -> Mapping[str, object]:
    """Effect and interval; an end that is not known is null."""
    return {
        "effect": comparison.effect,
        "low": None if isinf(comparison.low) else comparison.low,
        "high": None if isinf(comparison.high) else comparison.high,
        "sigma": comparison.sigma,
    }


def ablation_facts(record: StudyRecord, task: TaskSettings, prices: SlotPrices) -> dict[str, object]:
    """The table of an ablation."""
    rows = [_edit_facts(worth) for worth in weigh_edits(record, sign=sign_of(task))]
    return study_facts(record, task, prices) | {"edits": rows, "sigma": pooled_sigma(record)}


def _edit_facts(worth: EditWorth) -> dict[str, object]:
    return {
        "experiment": worth.experiment,
        "answer": worth.word.value,
        "effect": worth.effect,
        "low": None if isinf(worth.low) else worth.low,
        "high": None if isinf(worth.high) else worth.high,
        "stays": worth.stays,
    }


def portability_facts(record: StudyRecord, task: TaskSettings, prices: SlotPrices) -> dict[str, object]:
    """The matrix of places."""
    rows = []
    for found in compare_places(record, sign=sign_of(task)):
        compared = comparison_facts(found.comparison) if found.comparison else {}
        rows.append({"place": found.place.name, "answer": found.held.value, **compared})
    return study_facts(record, task, prices) | {"places": rows}
