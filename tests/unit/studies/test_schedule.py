"""The order of a study's runs: every arm meets the same machine, nothing runs twice, and lost runs are replaced."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Attempt, Outcome, Result
from controller.studies.schedule import Run, is_finished, next_run, order_runs
from controller.studies.study import Arm, Study, StudyKind, StudyRecord, begin_record
from tests.support.scripted import scored

SEEDS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def arms_of(seeds: list[int]) -> tuple[Arm, ...]:
    return tuple(Arm(name=f"arm {n}", commit=f"{n:040x}", seeds=count) for n, count in enumerate(seeds, start=1))


def record_of(seeds: list[int]) -> StudyRecord:
    study = Study(kind=StudyKind.CLAIM, number=1, question="?", arms=arms_of(seeds), began_at=1e9)
    return begin_record(study)


def end(record: StudyRecord, run: Run, result: Result) -> StudyRecord:
    """The record after one run has ended."""
    arm = record.runs[run.arm - 1]
    return record.with_run(
        replace(arm, attempts=(*arm.attempts, Attempt(number=run.attempt, seed=run.attempt, result=result)))
    )


@given(SEEDS)
def test_every_wanted_run_comes_once(seeds: list[int]) -> None:
    wanted = [Run(arm, attempt) for arm, count in enumerate(seeds, start=1) for attempt in range(1, count + 1)]

    assert sorted(order_runs(arms_of(seeds))) == wanted


@given(SEEDS)
def test_at_any_moment_each_arm_has_had_its_share(seeds: list[int]) -> None:
    order = order_runs(arms_of(seeds))
    for length in range(len(order) + 1):
        for arm, count in enumerate(seeds, start=1):
            had = sum(1 for run in order[:length] if run.arm == arm)
            assert abs(had - count * length / len(order)) <= len(seeds)


@given(st.integers(1, 20).map(lambda n: 2 * n))
def test_a_steady_drift_meets_both_sides_of_a_claim_alike(seeds: int) -> None:
    order = order_runs(arms_of([seeds, seeds]))
    moments = {arm: fmean(place for place, run in enumerate(order) if run.arm == arm) for arm in (1, 2)}

    assert moments[1] == moments[2]


@given(SEEDS, st.integers(1, 4), st.randoms())
def test_whatever_ends_first_every_run_is_launched_once_and_the_study_ends(seeds: list[int], slots: int, draw) -> None:  # type: ignore[no-untyped-def]  # hypothesis gives a Random
    record = record_of(seeds)
    running: list[Run] = []
    launched: list[Run] = []
    while not is_finished(record, place=""):
        while len(running) < slots and (run := next_run(record, place="", running=running)):
            running.append(run)
            launched.append(run)
        ended = running.pop(draw.randrange(len(running)))
        record = end(record, ended, scored(1.0))

    assert sorted(launched) == sorted(order_runs(arms_of(seeds)))


def test_a_lost_run_is_replaced_by_another_seed_and_a_crash_is_not() -> None:
    record = record_of([2, 2])
    for run in order_runs(record.study.arms):
        outcome = Outcome.LOST if run == Run(1, 1) else Outcome.CRASHED
        record = end(record, run, Result(outcome=outcome))

    assert next_run(record, place="", running=()) == Run(1, 3)


def test_a_study_ends_where_everything_is_lost() -> None:
    record, launched = record_of([3, 3]), 0
    while (run := next_run(record, place="", running=())) is not None:
        record, launched = end(record, run, Result(outcome=Outcome.LOST)), launched + 1

    assert launched == 2 * 6


def test_places_are_run_one_after_the_other() -> None:
    here, there = (
        Arm(name="head", commit="a", seeds=2, place="a100"),
        Arm(name="head", commit="a", seeds=2, place="h100"),
    )

    assert [run.arm for run in order_runs([here, there])] == [1, 1, 2, 2]
