"""A training is run again only for what other programs did to it, which no program in a sandbox can bring about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Attempt, Calm, Experiment, Outcome, Result, Witness
from controller.executor.disturbance import describe_disturbance, measure_calm

QUIET = Calm(waited=0.05, taken=0.02)
SHARES = st.floats(0, 1)


def test_a_neighbour_that_takes_half_of_the_cpus_disturbs() -> None:
    assert describe_disturbance(Witness(waited=0.4, taken=0.5), QUIET) == (
        "other programs took 50% of the CPUs while it trained (2% at the baseline), and it waited for 40% of its time"
    )


@given(SHARES, SHARES, SHARES)
def test_threads_of_its_own_never_disturb_it(waited: float, taken: float, normal: float) -> None:
    calm = Calm(waited=normal, taken=taken)

    assert describe_disturbance(Witness(waited=waited, taken=taken), calm) == ""


@given(SHARES)
def test_neighbours_that_leave_it_its_cpus_do_not_disturb(taken: float) -> None:
    assert describe_disturbance(Witness(waited=0.06, taken=taken), QUIET) == ""


def test_what_was_normal_at_the_baseline_is_normal() -> None:
    busy = Witness(waited=0.4, taken=0.5)
    baseline = baseline_seen_by(Witness(waited=0.1, taken=0.45), Witness(waited=0.35, taken=0.2))

    assert describe_disturbance(busy, measure_calm(baseline)) == ""


def test_a_machine_that_does_not_tell_is_never_busy() -> None:
    assert measure_calm(baseline_seen_by(Witness(waited=0.1))) is None
    assert measure_calm(baseline_seen_by()) is None
    assert describe_disturbance(Witness(waited=0.9), QUIET) == ""
    assert describe_disturbance(Witness(waited=0.9, taken=0.9), None) == ""
    assert describe_disturbance(None, QUIET) == ""


def baseline_seen_by(*witnesses: Witness) -> Experiment:
    attempts = []
    for number, witness in enumerate(witnesses, start=1):
        result = Result(outcome=Outcome.SCORED, witness=witness)
        attempts.append(Attempt(number=number, seed=number, result=result))
    return Experiment(number=0, commit="c", base="c", title="baseline", attempts=tuple(attempts))
