"""Guards: a number beyond its bound discards, a number near it is measured again, and neither hides a missing one."""

from __future__ import annotations

import pytest

from controller.domain import Attempt, ExamReport, Experiment, Outcome, Provenance, Result, Score
from controller.planning.guards import find_baseline_fault, find_breach, guards_in_force
from controller.settings import GuardSettings, Settings


def experiment(number: int, *summaries: dict[str, float], exam: ExamReport | None = None) -> Experiment:
    attempts = []
    for count, summary in enumerate(summaries, start=1):
        score = Score(value=1.0, provenance=Provenance.SEALED)
        phases = {"train": 20.0 + number}
        result = Result(outcome=Outcome.SCORED, score=score, summary=summary, exam=exam, phase_seconds=phases)
        attempts.append(Attempt(number=count, seed=count, result=result))
    return Experiment(number=number, commit=f"c{number}", base="c0", title="edit", attempts=tuple(attempts))


BASELINE = experiment(0, {"latency_ms": 40.0}, {"latency_ms": 42.0}, {"latency_ms": 41.0})


@pytest.mark.parametrize(
    ("guard", "latency", "words"),
    [
        ({"max": 50}, 63.0, "breaks the guard latency_ms: 63, and its bound is at most 50"),
        ({"max": 50}, 45.0, ""),
        ({"max_ratio": 1.1}, 48.0, "breaks the guard latency_ms"),
        ({"max_ratio": 1.1}, 42.0, ""),
        ({"min": 30}, 20.0, "breaks the guard latency_ms: 20, and its bound is at least 30"),
        ({"max": 50}, 50.5, "breaks the guard latency_ms"),
    ],
)
def test_a_number_beyond_its_bound_is_named(guard: dict[str, float], latency: float, words: str) -> None:
    found = find_breach(
        experiment(1, {"latency_ms": latency}), BASELINE, {"latency_ms": GuardSettings.model_validate(guard)}
    )

    assert (found.reason if found else "").startswith(words)
    assert bool(found) == bool(words)


def test_a_number_near_its_bound_is_not_decided_by_one_run() -> None:
    guards = {"latency_ms": GuardSettings(max=50)}

    near = find_breach(experiment(1, {"latency_ms": 49.0}), BASELINE, guards)
    sure = find_breach(experiment(1, *[{"latency_ms": 49.0}] * 5), BASELINE, guards)

    assert near is not None
    assert near.near
    assert sure is None


def test_numbers_of_the_exam_win_over_what_the_training_prints() -> None:
    guards = {"inflation": GuardSettings(max=0.1)}
    exam = ExamReport(inflation=0.5)

    found = find_breach(experiment(1, {"inflation": 0.0}, exam=exam), experiment(0, {}, exam=exam), guards)

    assert found is not None
    assert found.reason.startswith("breaks the guard inflation")


def test_seconds_of_a_phase_and_memory_can_be_guarded() -> None:
    ok = experiment(0, {"peak_vram_mb": 1024.0})

    assert find_breach(experiment(30, {"peak_vram_mb": 1024.0}), ok, {"train_seconds": GuardSettings(max_ratio=1.5)})
    assert find_breach(experiment(1, {"peak_vram_mb": 2048.0}), ok, {"peak_memory_gb": GuardSettings(max_ratio=1.1)})


def test_a_number_that_vanishes_breaks_its_guard() -> None:
    found = find_breach(experiment(1, {}), BASELINE, {"latency_ms": GuardSettings(max=50)})

    assert found is not None
    assert found.reason == "breaks the guard latency_ms: it reports no such number"


def test_a_guard_that_cannot_hold_stops_the_campaign_before_it_costs_anything() -> None:
    def fault(name: str, **bounds: float) -> str:
        return find_baseline_fault(BASELINE, {name: GuardSettings.model_validate(bounds)})

    assert fault("latency_ms", max=50) == ""
    assert "reports no number of that name" in fault("latencyms", max=50)
    assert "the unchanged code itself breaks the guard latency_ms" in fault("latency_ms", max=10)


def test_a_guard_without_a_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a bound"):
        Settings.model_validate({"task": {"guards": {"latency_ms": {}}}})


def costs(number: int, *seconds: float, memory: float | None = 0.5, questions: int | None = None) -> Experiment:
    """An experiment whose exams measured these seconds of an answer. questions: None for a language model."""
    attempts: list[Attempt] = []
    for each in seconds:
        exam = ExamReport(seconds_per_answer=each, answer_memory_gb=memory, questions=questions)
        attempts += experiment(number, {}, exam=exam).attempts
    return Experiment(number=number, commit=f"c{number}", base="c0", title="edit", attempts=tuple(attempts))


def test_an_answer_may_cost_four_times_the_baseline_and_no_more() -> None:
    baseline = costs(0, 1e-5, 1.1e-5, 0.9e-5)
    guards = guards_in_force({}, baseline)

    assert {name: guard.max for name, guard in guards.items()} == pytest.approx(
        {"seconds_per_answer": 4e-5, "answer_memory_gb": 2.0}
    )
    assert find_breach(costs(1, 3.9e-5), baseline, guards) is None
    searched = find_breach(costs(1, 1e-3, 1e-3), baseline, guards)
    assert searched is not None
    assert searched.reason.startswith("breaks the guard seconds_per_answer: 0.001, and its bound is at most 4e-5")
    assert not searched.near
    hoards = find_breach(costs(1, 1e-5, memory=3.0), baseline, guards)
    assert hoards is not None
    assert hoards.reason.startswith("breaks the guard answer_memory_gb")


def test_one_slow_run_on_a_busy_machine_discards_nothing() -> None:
    baseline = costs(0, 1e-5, 1e-5, 1e-5)
    guards = guards_in_force({}, baseline)

    alone = find_breach(costs(1, 9e-5), baseline, guards)
    assert alone is not None
    assert alone.near
    assert find_breach(costs(1, 9e-5, 2e-5), baseline, guards) is None, "neighbours only add"
    twice = find_breach(costs(1, 9e-5, 8e-5), baseline, guards)
    assert twice is not None
    assert not twice.near


def test_only_what_each_exam_of_the_baseline_measured_has_a_guard_by_default() -> None:
    assert guards_in_force({}, costs(0, 1e-5, memory=None)).keys() == {"seconds_per_answer"}
    assert not guards_in_force({}, experiment(0, {"seconds_per_answer": 1.0}, {"seconds_per_answer": 1.0}))
    loose = {"seconds_per_answer": GuardSettings(max_ratio=1000)}
    assert guards_in_force(loose, costs(0, 1e-5))["seconds_per_answer"].max_ratio == 1000


def test_a_millisecond_and_a_gibibyte_are_free_where_the_unchanged_code_took_next_to_nothing() -> None:
    baseline = costs(0, 1e-4, 1e-4, memory=0.03, questions=500)
    guards = guards_in_force({}, baseline)

    assert find_breach(costs(1, 9e-4, 9e-4, memory=0.9, questions=500), baseline, guards) is None
    assert find_breach(costs(1, 2e-3, 2e-3, memory=0.9, questions=500), baseline, guards) is not None
