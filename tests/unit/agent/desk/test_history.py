"""Finding what was tried: by words, by code, by likeness."""

from __future__ import annotations

import difflib

from hypothesis import given
from hypothesis import strategies as st

from controller.agent.desk import history
from controller.agent.desk.history import (
    Tried,
    find_similar,
    group_by_constant,
    measure_likeness,
    read_edit,
    search_history,
)
from controller.domain import Experiment, Judgement, Verdict

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
    return Tried(make_experiment(number, **values), read_edit(text), text)


def test_an_edit_is_known_by_its_lines_whatever_their_indentation_and_comments() -> None:
    one = read_edit(diff(SOURCE, SOURCE.replace("lr = 0.1", "lr = 0.2  # bigger")))
    other = read_edit(diff(SOURCE.replace("    ", "  "), SOURCE.replace("    ", "  ").replace("lr = 0.1", "lr = 0.2")))

    assert measure_likeness(one, other) == 1.0
    assert one.constants == ("lr 0.1→0.2",)


@given(old=LINES, new=LINES, other=LINES)
def test_likeness_is_symmetric_and_whole_for_the_same_edit(old: list[str], new: list[str], other: list[str]) -> None:
    one, two = read_edit(diff("\n".join(old), "\n".join(new))), read_edit(diff("\n".join(old), "\n".join(other)))

    assert measure_likeness(one, two) == measure_likeness(two, one)
    assert 0.0 <= measure_likeness(one, two) <= 1.0
    assert measure_likeness(one, one) == (1.0 if one.added or one.removed else 0.0)


def test_the_most_alike_comes_first_and_the_unlike_not_at_all() -> None:
    same = tried(1, SOURCE, SOURCE.replace("0.1", "0.2"))
    closer = tried(2, SOURCE, SOURCE.replace("0.1", "0.2").replace("10", "20"))
    unlike = tried(3, SOURCE, SOURCE.replace("return lr", "return 2 * lr"))

    found = find_similar(
        read_edit(diff(SOURCE, SOURCE.replace("0.1", "0.2").replace("10", "20"))), [same, closer, unlike]
    )

    assert [t.experiment.number for _, t in found] == [2]


def test_a_search_finds_by_all_words_and_by_a_line_of_code() -> None:
    experiments = [
        tried(1, SOURCE, SOURCE.replace("0.1", "0.2"), title="optimizer: raise the rate", hypothesis="it is too small"),
        tried(2, SOURCE, SOURCE.replace("10", "20"), title="schedule: more steps", hypothesis="the rate is fine"),
    ]

    assert [t.experiment.number for t in search_history(experiments, words="RATE")] == [2, 1]
    assert [t.experiment.number for t in search_history(experiments, words="rate small")] == [1]
    assert [t.experiment.number for t in search_history(experiments, code="steps =  20")] == [2]
    assert [t.experiment.number for t in search_history(experiments, words="rate", code="lr = 0.2")] == [1]
    assert search_history(experiments, words="dropout") == []


def test_a_constant_is_called_repeated_from_the_third_time_on() -> None:
    experiments = [tried(n, SOURCE, SOURCE.replace("0.1", f"0.{n}")) for n in (2, 3)]

    assert group_by_constant(experiments) == {}
    assert list(group_by_constant([*experiments, tried(4, SOURCE, SOURCE.replace("0.1", "0.4"))])) == ["lr"]


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


def test_a_constant_is_an_upper_case_name_or_a_plain_value_and_no_local_of_a_forward_pass() -> None:
    edit = history.read_edit(
        "-    x = x + self.attn(norm(x))\n+    x = x + 0.5 * self.attn(norm(x))\n"
        "-    q = norm(q)\n+    q = rotate(norm(q))\n"
        "-    loss = cross_entropy(a, b)\n+    loss = cross_entropy(a, b, label_smoothing=0.1)\n"
        "-TOTAL = 4 * BLOCK\n+TOTAL = 8 * BLOCK\n"
        "-    momentum = 0.9\n+    momentum = 0.95\n"
        "-    betas = (0.8, 0.95)\n+    betas = (0.9, 0.95)\n"
    )

    assert edit.names == {"TOTAL", "momentum", "betas"}
    assert "momentum 0.9→0.95" in edit.constants


def test_a_long_value_shows_that_it_was_cut() -> None:
    edit = history.read_edit(f"-NAMES = {'a' * 90}\n+NAMES = {'b' * 90}\n")

    assert edit.constants == (f"NAMES {'a' * 39}…→{'b' * 39}…",)
