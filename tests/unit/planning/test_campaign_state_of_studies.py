"""What studies cost is charged to the campaign's budget."""

from __future__ import annotations

from dataclasses import replace

from controller.costs.slots import SlotPrices
from controller.domain import Attempt, Experiment, Try
from controller.planning.campaign_state import CampaignState
from controller.studies.study import Arm, Study, StudyKind, StudyRecord, begin_record
from tests.support.judges import judge_of
from tests.support.scripted import scored, settings

BASELINE = Experiment(number=0, commit="b", base="b", title="baseline")


def study_of(runs: int) -> StudyRecord:
    arm = Arm(name="baseline", commit="b", seeds=runs)
    record = begin_record(Study(kind=StudyKind.AA, number=1, question="?", arms=(arm,), began_at=1e9))
    tried = Try(number=1, probe_set=0, launched_at=1e9, seconds=1800.0, dollars_per_hour=4.0)
    attempts = [Attempt(number=n, seed=n, tries=(tried,), result=scored(1.0)) for n in range(1, runs + 1)]
    return record.with_run(replace(record.runs[0], attempts=tuple(attempts)))


def test_seconds_and_dollars_of_studies_are_spent() -> None:
    state = CampaignState(judge_of("ledger"), [BASELINE], SlotPrices.of(settings()), studies=[study_of(2)])

    spent = state.spent()

    assert spent.slot_seconds == 3600.0
    assert spent.slot_dollars == 4.0
    assert spent.attempts == 2
    assert spent.experiments == 0
