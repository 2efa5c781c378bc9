"""The chart of an ablation: a row for each edit that has a number, and nothing that is no number."""

from __future__ import annotations

from math import inf
from xml.etree import ElementTree

from hypothesis import example, given
from hypothesis import strategies as st

from controller.reports.ablation_chart import ablation_chart
from controller.studies.ablation import EditWorth, Worth

Edits = list[tuple[float | None, float]]
NUMBERS = st.floats(-1e6, 1e6)


def worth(number: int, effect: float | None, error: float) -> EditWorth:
    low, high = (-inf, inf) if effect is None else (effect - error, effect + error)
    return EditWorth(experiment=number, word=Worth.OPEN, effect=effect, error=error, low=low, high=high)


@example([(2.3e-313, inf)])
@given(st.lists(st.tuples(st.none() | NUMBERS, st.floats(0.0, 1e6) | st.just(inf)), max_size=8))
def test_the_chart_is_an_image_with_a_row_for_each_edit_that_has_a_number(
    edits: list[tuple[float | None, float]],
) -> None:
    drawn = ablation_chart([worth(number, *edit) for number, edit in enumerate(edits, start=1)])

    if drawn:
        image = ElementTree.fromstring(drawn)
        assert len(image.findall("g")) == sum(1 for effect, _ in edits if effect is not None)
        assert "nan" not in drawn
        assert "inf" not in drawn


def test_no_ablation_draws_nothing() -> None:
    assert ablation_chart([]) == ""
