"""Finding what was tried: by words, by code, by likeness, in turn of strategies."""

from __future__ import annotations

import difflib

from hypothesis import given
from hypothesis import strategies as st

from controller.agent.claude import history, strategy
from controller.agent.claude.history import Tried, edit_of, likeness, near, repeated, search
from controller.domain import Cost, Experiment, Judgement, Verdict

SOURCE = "def train():\n    lr = 0.1\n    steps = 10\n    return lr * steps\n"
LINES = st.lists(st.sampled_from([*SOURCE.splitlines(), "x = 1", "y = 2", "# note", ""]), max_size=12)


def diff(old: str, new: str) -> str:
    return "".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "a/train.py", "b/train.py"))


def make_experiment(number: int, **values: object) -> Experiment:
    return Experiment(**{"number": number, "commit": f"c{number}", "base": "b", "title": f"title {number}", **values})  # type: ignore[arg-type]


def judged(
    number: int, verdict: Verdict, *, order: int | None = None, gain: float = 0.0, **values: object
) -> Experiment:
    judgement = Judgement(verdict=verdict, reason="it is", order=order or number, expected_gain=gain)
    return make_experiment(number, judgement=judgement, **values)


def tried(number: int, old: str, new: str, **values: object) -> Tried:
    text = diff(old, new)
    return Tried(make_experiment(number, **values), edit_of(text), text)


def test_an_edit_is_known_by_its_lines_whatever_their_indentation_and_comments() -> None:
    one = edit_of(diff(SOURCE, SOURCE.replace("lr = 0.1", "lr = 0.2  # bigger")))
    other = edit_of(diff(SOURCE.replace("    ", "  "), SOURCE.replace("    ", "  ").replace("lr = 0.1", "lr = 0.2")))

    assert likeness(one, other) == 1.0
    assert one.constants == ("lr 0.1→0.2",)


@given(old=LINES, new=LINES, other=LINES)
def test_likeness_is_symmetric_and_whole_for_the_same_edit(old: list[str], new: list[str], other: list[str]) -> None:
    one, two = edit_of(diff("\n".join(old), "\n".join(new))), edit_of(diff("\n".join(old), "\n".join(other)))

    assert likeness(one, two) == likeness(two, one)
    assert 0.0 <= likeness(one, two) <= 1.0
    assert likeness(one, one) == (1.0 if one.added or one.removed else 0.0)


def test_the_most_alike_comes_first_and_the_unlike_not_at_all() -> None:
    same = tried(1, SOURCE, SOURCE.replace("0.1", "0.2"))
    closer = tried(2, SOURCE, SOURCE.replace("0.1", "0.2").replace("10", "20"))
    unlike = tried(3, SOURCE, SOURCE.replace("return lr", "return 2 * lr"))

    found = near(edit_of(diff(SOURCE, SOURCE.replace("0.1", "0.2").replace("10", "20"))), [same, closer, unlike])

    assert [t.experiment.number for _, t in found] == [2]


def test_a_search_finds_by_all_words_and_by_a_line_of_code() -> None:
    experiments = [
        tried(1, SOURCE, SOURCE.replace("0.1", "0.2"), title="optimizer: raise the rate", hypothesis="it is too small"),
        tried(2, SOURCE, SOURCE.replace("10", "20"), title="schedule: more steps", hypothesis="the rate is fine"),
    ]

    assert [t.experiment.number for t in search(experiments, words="RATE")] == [2, 1]
    assert [t.experiment.number for t in search(experiments, words="rate small")] == [1]
    assert [t.experiment.number for t in search(experiments, code="steps =  20")] == [2]
    assert [t.experiment.number for t in search(experiments, words="rate", code="lr = 0.2")] == [1]
    assert search(experiments, words="dropout") == []


def test_a_constant_is_called_repeated_from_the_third_time_on() -> None:
    experiments = [tried(n, SOURCE, SOURCE.replace("0.1", f"0.{n}")) for n in (2, 3)]

    assert repeated(experiments) == {}
    assert list(repeated([*experiments, tried(4, SOURCE, SOURCE.replace("0.1", "0.4"))])) == ["lr"]


def test_a_diff_is_read_once_per_commit_and_the_baseline_never() -> None:
    read: list[int] = []
    diffs = history.Diffs()
    experiments = [make_experiment(n) for n in (2, 0, 1)]

    def reading(experiment: Experiment) -> str:
        read.append(experiment.number)
        return diff(SOURCE, SOURCE.replace("10", "20"))

    for _ in range(2):
        assert [t.experiment.number for t in diffs.tried(experiments, reading)] == [1, 2]
    assert read == [1, 2]


def test_a_plateau_begins_after_so_many_verdicts_without_a_keep() -> None:
    experiments = [judged(1, Verdict.KEEP), *(judged(n, Verdict.DISCARD) for n in range(2, 11))]

    assert not strategy.on_plateau(experiments, after=10)
    assert strategy.on_plateau([*experiments, judged(11, Verdict.CRASH)], after=10)
    assert not strategy.on_plateau([*experiments, judged(11, Verdict.CRASH), judged(12, Verdict.KEEP)], after=10)


def test_verdicts_count_in_the_order_they_were_reached() -> None:
    late_keep = judged(1, Verdict.KEEP, order=30)
    experiments = [late_keep, *(judged(n, Verdict.DISCARD) for n in range(2, 20))]

    assert strategy.verdicts_since_keep(experiments) == 0


@given(start=st.integers(0, 100))
def test_every_strategy_has_its_turn_and_another_model_only_where_there_is_one(start: int) -> None:
    alone = [strategy.in_turn(turn, other_model=False) for turn in range(start, start + 5)]
    both = [strategy.in_turn(turn, other_model=True) for turn in range(start, start + 6)]

    assert set(alone) == set(strategy.PLATEAU) - {strategy.OTHER_MODEL}
    assert set(both) == set(strategy.PLATEAU)


def test_the_yield_of_a_strategy_counts_what_it_brought_and_cost() -> None:
    experiments = [
        judged(1, Verdict.KEEP, gain=1.5, strategy="bolder", cost=Cost(dollars=0.25)),
        judged(2, Verdict.CRASH, strategy="bolder", cost=Cost(dollars=0.5)),
        make_experiment(3, strategy="bolder", cost=Cost(dollars=0.25)),
        judged(4, Verdict.DISCARD, strategy="open"),
        judged(5, Verdict.DISCARD, strategy="perturb:single"),
        judged(6, Verdict.DISCARD, strategy="perturb:pair"),
    ]

    found = {y.strategy: y for y in strategy.yields(experiments)}

    assert list(found) == ["open", "bolder", "perturb"]
    bolder = found["bolder"]
    assert (bolder.proposed, bolder.judged, bolder.kept, bolder.failed) == (3, 2, 1, 1)
    assert (bolder.gain, bolder.dollars) == (1.5, 1.0)
    assert found["perturb"].judged == 2
