"""What becomes of a gain at other places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller.domain import Attempt
from controller.errors import SettingsError
from controller.studies.portability import Held, compare_places, plan_portability, read_place
from controller.studies.study import Arm, StudyRecord, begin_record
from tests.support.scripted import scored

NOISE = [0.00, 0.01, -0.01, 0.02, -0.02, 0.015]


def measure(gains: Sequence[float], *, noise: Sequence[Sequence[float]] = ()) -> StudyRecord:
    """Head and baseline at one place for each gain; a lower score is better."""
    arm = Arm(name="head", commit="a", seeds=len(NOISE))
    places = [read_place(f"pool{n}:executor.limits.cpus={n + 1}") for n in range(len(gains))]
    plan = plan_portability(arm, replace(arm, name="baseline", commit="b"), places, holdout=False, number=1, at=1e9)
    record = begin_record(plan)
    for run in record.runs:
        place = (run.number - 1) // 2
        level = 2.0 - (gains[place] if run.title == "head" else 0.0)
        spread = noise[place] if noise else NOISE
        attempts = [Attempt(number=n, seed=n, result=scored(level + each)) for n, each in enumerate(spread, start=1)]
        record = record.with_run(replace(run, attempts=tuple(attempts)))
    return record


def test_a_gain_holds_vanishes_or_reverses() -> None:
    found = compare_places(measure([0.3, 0.28, 0.0, -0.2]), sign=-1.0)

    assert [each.held for each in found] == [Held.HOLDS, Held.HOLDS, Held.VANISHES, Held.REVERSES]


def test_a_place_too_noisy_to_tell_is_not_said_to_lose_the_gain() -> None:
    loud = [10 * each for each in NOISE]

    found = compare_places(measure([0.3, 0.1], noise=[NOISE, loud]), sign=-1.0)

    assert [each.held for each in found] == [Held.HOLDS, Held.OPEN]


def test_a_place_is_written_and_read_alike() -> None:
    place = read_place('a100:executor.kubernetes.node_selector={"pool": "a100"};budget.train_seconds=10')

    assert place.name == "a100"
    assert place.overrides[1] == "budget.train_seconds=10"
    assert read_place(str(place)) == place


@pytest.mark.parametrize("text", ["", ":a=b", "small:cpus"])
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="names no place"):
        read_place(text)
