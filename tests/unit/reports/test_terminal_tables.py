"""The table of `log`: one line an experiment, cut to the terminal by the cells that letters take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Experiment, Verdict
from controller.reports.terminal import experiments_table
from tests.support.histories import experiment, result
from tests.support.scripted import settings

PRICES = SlotPrices.of(settings())
LONG = "schedule: 学习率 warm down over 60 % of the run 🚀, as a longer decay averages the noise of the last steps away"
TITLES = st.text(alphabet="ab 学习🚀é\u0301率\n", min_size=1, max_size=200)


def lab(*titles: str, score: float = 1.94123) -> list[Experiment]:
    first = experiment(BASELINE, [result(score)] * 3, Verdict.KEEP, None)
    return [
        first,
        *(
            replace(experiment(n, [result(score)], Verdict.DISCARD, -1.2), title=title)
            for n, title in enumerate(titles, start=1)
        ),
    ]


@given(st.lists(TITLES, min_size=1, max_size=5), st.integers(60, 200))
def test_no_line_is_wider_than_the_terminal_and_no_title_takes_two(titles: list[str], width: int) -> None:
    lines = [
        line.plain for line in experiments_table(lab(*titles), metric="val_bpb", prices=PRICES, noise=0.01, width=width)
    ]

    assert len(lines) == 1 + 1 + len(titles)
    assert all("\n" not in line for line in lines)
    assert all(cell_len(line) <= width for line in lines)


def test_a_title_that_does_not_fit_ends_in_an_ellipsis_and_wide_shows_all_of_it() -> None:
    known = lab(LONG, "short")

    narrow = [line.plain for line in experiments_table(known, metric="val_bpb", prices=PRICES, noise=0.01, width=80)]
    wide = [line.plain for line in experiments_table(known, metric="val_bpb", prices=PRICES, noise=0.01, width=None)]

    assert narrow[2].endswith("…")
    assert cell_len(narrow[2]) in (79, 80)
    assert "short" in narrow[3]
    assert LONG in wide[2]
    assert narrow[2][:40] == wide[2][:40]


def test_columns_stand_below_their_names() -> None:
    head, first, second = (
        line.plain for line in experiments_table(lab("a title"), metric="val_bpb", prices=PRICES, noise=None, width=80)
    )

    assert head.index("what") == first.index("baseline") == second.index("a title")
    assert head.index("val_bpb") + len("val_bpb") == first.index("1.94123") + len("1.94123")


@pytest.mark.parametrize("score", [1e-12, -1e100, 147734.0, 1.7e-300])
def test_long_numbers_and_names_leave_room_for_the_title(score: float) -> None:
    chosen = settings("task.metric=validation_bits_per_byte_of_everything", "task.direction=minimize")

    lines = [
        line.plain
        for line in experiments_table(
            lab(LONG, score=score), metric=chosen.task.metric, prices=PRICES, noise=1e-14, width=80
        )
    ]

    assert all(cell_len(line) <= 80 for line in lines)
    assert "schedule" in lines[2]


def test_whoever_proposed_stands_in_a_column_where_several_did() -> None:
    first, one, other = lab("wider", "deeper")
    by_two = [first, replace(one, agent="command/codex/m"), replace(other, agent="perturb")]
    by_one = [first, replace(one, agent="perturb"), replace(other, agent="perturb")]

    head, baseline, line, last = (
        each.plain for each in experiments_table(by_two, metric="val_bpb", prices=PRICES, noise=None, width=None)
    )

    assert line[head.index("by") :].startswith("command/codex/m  wider")
    assert last[head.index("by") :].startswith("perturb")
    assert baseline.split()[-1] == "[unverified]" or "baseline" in baseline
    assert " by " not in experiments_table(by_one, metric="val_bpb", prices=PRICES, noise=None, width=None)[0].plain
