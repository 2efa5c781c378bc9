"""A plateau is judged by the campaign's own rate of keeps, and strategies take turns by what they have brought."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.agent.desk import strategy
from controller.domain import Cost, Experiment, Judgement, Verdict


def make_experiment(number: int, **values: object) -> Experiment:
    return Experiment(**{"number": number, "commit": f"c{number}", "base": "b", "title": f"title {number}", **values})  # type: ignore[arg-type]


def judged(
    number: int, verdict: Verdict, *, order: int | None = None, gain: float = 0.0, **values: object
) -> Experiment:
    judgement = Judgement(verdict=verdict, reason="it is", order=order or number, expected_gain=gain)
    return make_experiment(number, judgement=judgement, **values)


def choose_often(experiments: list[Experiment], times: int, *, other_model: bool = False) -> list[str]:
    """So many turns on a plateau one after the other, none of which leads to an experiment."""
    turns = strategy.StrategyTurns()
    return [turns.choose(experiments, plateau_after=0, other_model=other_model) for _ in range(times)]


def test_a_plateau_begins_after_so_many_verdicts_without_a_keep() -> None:
    experiments = [judged(1, Verdict.KEEP), *(judged(n, Verdict.DISCARD) for n in range(2, 11))]

    assert not strategy.is_on_plateau(experiments, after=10)
    assert strategy.is_on_plateau([*experiments, judged(11, Verdict.CRASH)], after=10)
    assert not strategy.is_on_plateau([*experiments, judged(11, Verdict.CRASH), judged(12, Verdict.KEEP)], after=10)


def test_a_plateau_begins_later_where_keeps_are_rare_but_not_for_ever() -> None:
    def rare(every: int, dry: int) -> list[Experiment]:
        before = [judged(n, Verdict.KEEP if n % every == 0 else Verdict.DISCARD) for n in range(1, 10 * every + 1)]
        return [*before, *(judged(len(before) + n, Verdict.DISCARD) for n in range(1, dry + 1))]

    assert not strategy.is_on_plateau(rare(7, dry=15), after=10), "one time in ten at a rate of one in seven"
    assert strategy.is_on_plateau(rare(7, dry=20), after=10)
    assert strategy.is_on_plateau(rare(2, dry=10), after=10)
    assert strategy.is_on_plateau(rare(60, dry=30), after=10)
    assert not strategy.is_on_plateau(rare(60, dry=29), after=10)


def test_verdicts_count_in_the_order_they_were_reached() -> None:
    late_keep = judged(1, Verdict.KEEP, order=30)
    experiments = [late_keep, *(judged(n, Verdict.DISCARD) for n in range(2, 20))]

    assert strategy.count_verdicts_since_keep(experiments) == 0


@given(times=st.integers(5, 60))
def test_every_strategy_has_its_turn_and_another_model_only_where_there_is_one(times: int) -> None:
    alone = choose_often([], times, other_model=False)
    both = choose_often([], times + 1, other_model=True)

    assert set(alone) == set(strategy.PLATEAU) - {strategy.OTHER_MODEL}
    assert set(both) == set(strategy.PLATEAU)


def test_before_anything_was_kept_the_strategies_have_as_many_turns_each() -> None:
    chosen = choose_often([judged(1, Verdict.DISCARD, strategy="bolder")], 9)

    assert chosen == ["delete", "combine", "revisit", "untried", "bolder", "delete", "combine", "revisit", "untried"]


def test_a_strategy_that_brought_more_for_its_dollars_has_more_turns_and_none_goes_without() -> None:
    experiments = [
        judged(
            n,
            Verdict.KEEP if way == "combine" and n % 2 else Verdict.DISCARD,
            gain=1.0,
            strategy=way,
            cost=Cost(dollars=2.0 if way == "bolder" else 0.2),
        )
        for n, way in enumerate(["bolder", "delete", "combine", "revisit", "untried"] * 6, start=1)
    ]

    chosen = choose_often(experiments, 200)

    counts = {way: chosen.count(way) for way in strategy.PLATEAU if way != strategy.OTHER_MODEL}
    assert counts["combine"] == max(counts.values())
    assert counts["combine"] > 3 * counts["bolder"]
    assert min(counts.values()) >= 200 / 40


def test_the_yield_of_a_strategy_counts_what_it_brought_and_cost() -> None:
    experiments = [
        judged(1, Verdict.KEEP, gain=1.5, strategy="bolder", cost=Cost(dollars=0.25)),
        judged(2, Verdict.CRASH, strategy="bolder", cost=Cost(dollars=0.5)),
        make_experiment(3, strategy="bolder", cost=Cost(dollars=0.25)),
        judged(4, Verdict.DISCARD, strategy="open"),
        judged(5, Verdict.DISCARD, strategy="perturb:single"),
        judged(6, Verdict.DISCARD, strategy="perturb:pair"),
    ]

    found = {y.strategy: y for y in strategy.total_by_strategy(experiments)}

    assert list(found) == ["open", "bolder", "perturb"]
    bolder = found["bolder"]
    assert (bolder.proposed, bolder.judged, bolder.kept, bolder.failed) == (3, 2, 1, 1)
    assert (bolder.gain, bolder.dollars) == (1.5, 1.0)
    assert found["perturb"].judged == 2
