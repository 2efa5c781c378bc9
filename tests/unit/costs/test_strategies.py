"""Totals of strategies: complete, and few whatever an agent calls its ideas."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.costs.strategies import MOST_NAMES, OTHERS, add_experiments, proposer_of
from controller.domain import Experiment


def proposed(number: int, strategy: str) -> Experiment:
    return Experiment(number=number, commit="c", base="b", title="t", agent="a", strategy=strategy)


@given(st.lists(st.text(max_size=5), max_size=120))
def test_each_experiment_counts_once_and_names_are_few(names: list[str]) -> None:
    experiments = [proposed(number, name) for number, name in enumerate(names, start=1)]

    totals = add_experiments({}, experiments, dollars=lambda _: 1.0)

    assert sum(each.proposed for each in totals.values()) == sum(each.dollars for each in totals.values()) == len(names)
    assert len(totals) <= MOST_NAMES + 1


def test_names_that_came_first_keep_their_own_totals() -> None:
    experiments = [proposed(number, f"s{number % 100}") for number in range(1, 301)]

    totals = add_experiments({}, experiments, dollars=lambda _: 0.0)

    assert totals["s1"].proposed == 3
    assert totals[OTHERS].proposed == 300 - 3 * MOST_NAMES


def test_proposers_are_told_apart_by_program_and_model() -> None:
    names = ["claude/m", "claude/n", "command/codex/m", "claude/m", ""]
    experiments = [replace(proposed(number, "open"), agent=name) for number, name in enumerate(names, start=1)]

    totals = add_experiments({}, experiments, dollars=lambda _: 2.0, name_of=proposer_of)

    assert {name: (each.proposed, each.dollars) for name, each in totals.items()} == {
        "claude/m": (2, 4.0),
        "claude/n": (1, 2.0),
        "command/codex/m": (1, 2.0),
        "open": (1, 2.0),
    }
