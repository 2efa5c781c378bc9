"""A claim's word: how often it is wrong where programs are equal, and how often a true gain is found."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.costs.slots import SlotPrices
from controller.domain import Attempt, Outcome, Result
from controller.settings import Settings, TaskSettings
from controller.studies.claim import answer_claim, default_seeds
from controller.studies.comparison import Word, compare
from controller.studies.facts import claim_facts
from controller.studies.study import Arm, Study, StudyKind, StudyRecord, begin_record
from controller.studies.wording import claim_lines
from tests.support.scripted import scored

PRICES = SlotPrices.of(Settings())
CLAIMS = 6_000
MOST_WRONG = 1 / 500
"""What the product promises: two equal programs are called better in at most 1 of 500 claims."""

Draw = Callable[[random.Random], float]


def make_record(one: list[Result], other: list[Result]) -> StudyRecord:
    """A claim whose runs ended so."""
    arms = (Arm(name="head", commit="a" * 40, seeds=len(one)), Arm(name="baseline", commit="b" * 40, seeds=len(other)))
    record = begin_record(Study(kind=StudyKind.CLAIM, number=1, question="?", arms=arms, began_at=1e9))
    for run, results in zip(record.runs, (one, other), strict=True):
        attempts = [Attempt(number=n, seed=n, result=each) for n, each in enumerate(results, start=1)]
        record = record.with_run(replace(run, attempts=tuple(attempts)))
    return record


def simulate(one: Draw, other: Draw, *, seeds: int, claims: int = CLAIMS) -> Counter[Word]:
    """Words of so many claims; a lower score is better."""
    draw = random.Random(seeds)
    words: Counter[Word] = Counter()
    for _ in range(claims):
        results = [[scored(side(draw)) for _ in range(seeds)] for side in (one, other)]
        words[answer_claim(make_record(*results), sign=-1.0).word] += 1
    return words


def normal(mean: float, sigma: float = 1.0) -> Draw:
    return lambda draw: draw.gauss(mean, sigma)


def success_rate(chance: float) -> Draw:
    return lambda draw: sum(draw.random() < chance for _ in range(10)) / 10


def heavy(draw: random.Random) -> float:
    return draw.gauss(0.0, 3.0 if draw.random() < 0.1 else 1.0)


@pytest.mark.parametrize(
    ("one", "other", "seeds"),
    [
        pytest.param(normal(0), normal(0), default_seeds(), id="the default"),
        pytest.param(normal(0), normal(0), 3, id="three seeds"),
        pytest.param(normal(0), normal(0, 3), default_seeds(), id="unequally noisy programs"),
        pytest.param(heavy, heavy, default_seeds(), id="a tenth of the runs disturbed"),
        pytest.param(success_rate(0.9), success_rate(0.9), 3, id="success rates over ten episodes, three seeds"),
        pytest.param(success_rate(0.97), success_rate(0.97), default_seeds(), id="success rates near one"),
    ],
)
def test_equal_programs_are_called_better_in_at_most_1_of_500(one: Draw, other: Draw, seeds: int) -> None:
    words = simulate(one, other, seeds=seeds)

    # Three standard errors of a share of 1 in 500 are room for chance: a share of 1 in 250 would fail.
    allowed = CLAIMS * MOST_WRONG + 3 * (CLAIMS * MOST_WRONG) ** 0.5
    assert words[Word.BETTER] <= allowed
    assert words[Word.WORSE] <= allowed


def test_a_gain_of_two_sigma_is_found_in_9_of_10() -> None:
    words = simulate(normal(-2), normal(0), seeds=default_seeds(), claims=2_000)

    assert words[Word.BETTER] >= 0.89 * 2_000
    assert words[Word.WORSE] == 0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8), st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8))
@example([0.0, 3e-117], [0.0, 3e-117])
@example([0.0, 1e-161], [0.0, 1e-161, 2e-161])
def test_the_sides_mirror_each_other(one: list[float], other: list[float]) -> None:
    forward, backward = compare(one, other, sign=-1.0, tail=0.001), compare(other, one, sign=-1.0, tail=0.001)

    assert forward is not None
    assert backward is not None
    mirrored = {Word.BETTER: Word.WORSE, Word.WORSE: Word.BETTER, Word.NOT_SHOWN: Word.NOT_SHOWN}
    assert backward.word is mirrored[forward.word]
    assert backward.effect == -forward.effect


@pytest.mark.parametrize(("seeds", "word"), [(6, Word.NOT_SHOWN), (7, Word.BETTER)])
def test_runs_that_all_agree_count_as_exact_only_when_luck_is_ruled_out(seeds: int, word: Word) -> None:
    record = make_record([scored(1.0)] * seeds, [scored(2.0)] * seeds)

    assert answer_claim(record, sign=-1.0).word is word


def test_one_run_a_side_shows_nothing() -> None:
    assert answer_claim(make_record([scored(1.0)], [scored(99.0)]), sign=-1.0).word is Word.NOT_SHOWN


def test_runs_on_several_kinds_of_accelerator_make_no_claim() -> None:
    fast = [scored(1.0 + n / 1e3, accelerator="H200") for n in range(5)]
    slow = [scored(2.0 + n / 1e3, accelerator="A100") for n in range(5)]

    answer = answer_claim(make_record(fast, slow), sign=-1.0)

    assert answer.word is Word.NOT_SHOWN
    assert "A100, H200" in answer.doubt


def test_a_claim_says_how_many_were_begun_so_that_repeating_it_buys_nothing() -> None:
    first = make_record([scored(1.0)] * 2, [scored(2.0)] * 2)
    broken_off = replace(first, study=replace(first.study, number=2, question="with other seeds"))
    other = replace(first.study, number=3, arms=(replace(first.study.arms[0], commit="c" * 40), first.study.arms[1]))
    rerun = replace(first, study=replace(first.study, number=4, kind=StudyKind.RERUN))
    again = replace(first, study=replace(first.study, number=5, ended_at=2e9))
    studies = [first, broken_off, replace(first, study=other), rerun, again]

    said = "\n".join(claim_lines(again, TaskSettings(), PRICES, studies))

    assert "claims begun: 3 on these programs, 4 in this campaign" in said
    assert "with a chance of up to 0.4 %" in said
    assert claim_facts(again, TaskSettings(), PRICES, studies)["claims_of_campaign"] == 4
    assert "claims begun" not in "\n".join(claim_lines(first, TaskSettings(), PRICES, [first, rerun]))


def test_a_program_of_which_more_runs_fail_is_not_called_better() -> None:
    crashed = Result(outcome=Outcome.CRASHED, reason="out of memory")
    good = [scored(1.0 + n / 1e3) for n in range(9)]
    record = make_record([*good, crashed], [scored(2.0 + n / 1e3) for n in range(10)])

    answer = answer_claim(record, sign=-1.0)

    assert answer.word is Word.NOT_SHOWN
    assert answer.failures == (1, 0)
    assert "failed" in answer.doubt
