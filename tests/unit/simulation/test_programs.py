"""Programs of a simulation merge and conflict as texts do, and their worths add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.simulation.programs import Program, merge
from controller.simulation.worlds import Edit

edits = st.lists(st.builds(Edit, st.sampled_from([-1.0, 0.0, 2.0]), st.just(0), st.integers(0, 3)), max_size=5)


def build(base: Program, made: list[Edit], *, first: int) -> Program:
    for number, edit in enumerate(made, start=first):
        base = base.edit(edit, version=number)
    return base


@given(edits, edits, edits)
def test_a_clean_merge_adds_both_gains_and_a_conflict_is_told(
    before: list[Edit], ours: list[Edit], theirs: list[Edit]
) -> None:
    base = build(Program(), before, first=0)
    our, their = build(base, ours, first=100), build(base, theirs, first=200)

    merged = merge(base, our, their)

    shared = {e.place for e in ours} & {e.place for e in theirs}
    assert (merged is None) == bool(shared)
    if merged is not None:
        assert merged.worth - base.worth == pytest.approx((our.worth - base.worth) + (their.worth - base.worth))


@given(edits, st.builds(Edit, st.just(1.5), st.just(0), st.just(9)), edits)
def test_leaving_out_one_edit_is_a_merge_that_takes_back_its_gain(
    before: list[Edit], edit: Edit, after: list[Edit]
) -> None:
    parent = build(Program(), before, first=0)
    child = parent.edit(edit, version=50)
    head = build(child, after, first=100)

    without = merge(child, head, parent)

    assert without is not None
    assert head.worth - without.worth == pytest.approx(1.5)
