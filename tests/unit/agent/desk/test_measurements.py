"""How the runs of an experiment went, as a researcher is told it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.agent.desk.measurements import CURVE_POINTS, read_curve, tell_exam, tell_runs, tell_speed
from controller.domain import Attempt, ExamReport, Experiment, Outcome, Result

OURS = {"training_seconds": 20.0, "total_tokens_M": 0.9, "num_steps": 129.0, "peak_vram_mb": 3174.4, "depth": 2.0}


def ran(**result: object) -> Experiment:
    ended = Result(outcome=Outcome.SCORED, **result)  # type: ignore[arg-type]  # test values
    return Experiment(number=1, commit="c", base="b", title="t", attempts=(Attempt(number=1, seed=1, result=ended),))


def test_steps_speed_and_memory_are_told_in_a_few_words() -> None:
    assert tell_speed(ran(summary=OURS)) == "129 steps, 45k tok/s, 3.1 GB"
    assert tell_speed(ran(summary={"steps": 50.0, "training_seconds": 5.0})) == "50 steps, 100 ms/step"
    assert tell_speed(ran(summary={"rmse": 0.25, "trees": 300.0})) == "rmse 0.25, trees 300"
    assert tell_speed(ran()) == ""
    assert tell_speed(Experiment(number=1, commit="c", base="b", title="t")) == ""


def test_every_number_of_a_summary_and_the_seconds_of_the_phases_are_told() -> None:
    lines = "\n".join(tell_runs(ran(summary=OURS, phase_seconds={"train": 20.5, "examine": 7.0}), log=""))

    assert all(name in lines for name in OURS)
    assert "train 20.5, examine 7.0" in lines


def test_the_exam_is_told_in_words_and_never_with_its_holdout() -> None:
    told = tell_exam(ExamReport(raw=1.5, holdout=1.623, inflation=0.0012, inflation_error=0.0004, hits=0, probes=512))

    assert "+0.0012 ± 0.0004 nats" in told
    assert "0 of 512 probes" in told
    assert "1.62" not in told
    assert "attention" in tell_exam(ExamReport(test="attention"))


def test_a_curve_has_twelve_points_from_the_first_to_the_last() -> None:
    log = "\n".join(f"step {n:05d} ({n}.0%) | loss: {7 - n / 10:.4f} | lrm: 1.00" for n in range(1, 49))

    curve = read_curve(f"starting\n{log}\n---\nnum_steps: 48\n")

    assert len(curve) == CURVE_POINTS
    assert curve[0] == ("1", "6.9000")
    assert curve[-1] == ("48", "2.2000")


def test_a_curve_that_diverged_is_read_to_its_end() -> None:
    assert read_curve("iter 1 train loss 3.5\niter 2 train loss nan\n") == [("1", "3.5"), ("2", "nan")]


@given(st.text(max_size=400))
def test_no_log_breaks_a_curve(log: str) -> None:
    assert len(read_curve(log)) <= CURVE_POINTS
