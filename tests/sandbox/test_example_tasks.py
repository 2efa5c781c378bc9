"""The tasks in examples/ with the ideas that their demos replay, in attempts of the real local executor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli.doctor.trials import Trials
from controller.domain import Outcome, Result
from tests.support.example_tasks import EXAMPLES, KEPT, attempts_of, edited, score_of

LONGEST_EXAMINER = 100
"""Lines, of the examiner and of what it imports from the task."""


def cost_of(result: Result) -> float:
    """Seconds of one of its answers."""
    assert result.exam is not None
    assert result.exam.seconds_per_answer is not None
    return result.exam.seconds_per_answer


def cpu_of(result: Result) -> float:
    """CPU milliseconds of one of its answers."""
    assert result.exam is not None
    return result.exam.numbers["cpu_ms"]


@pytest.mark.parametrize(
    ("task", "number"),
    [(task, path.name[:2]) for task in KEPT for path in sorted((EXAMPLES / task / "ideas").glob("*.patch"))],
)
def test_every_idea_applies_whatever_was_kept_before_it(task: str, number: str, tmp_path: Path) -> None:
    before = [kept for kept in KEPT[task] if kept < number]
    for count in range(2 ** len(before)):
        chosen = [kept for place, kept in enumerate(before) if count >> place & 1]
        assert edited(task, tmp_path / str(count), *chosen) != edited(task, tmp_path / f"{count}+", *chosen, number)


@pytest.mark.parametrize("task", KEPT)
def test_an_examiner_is_short(task: str) -> None:
    files = [EXAMPLES / task / name for name in ("examiner.py", "world.py")]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    assert len(lines) <= LONGEST_EXAMINER


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    yield from attempts_of("search", tmp_path_factory.mktemp("search"), "--most", "400", "--slices", "2")


def test_search_is_scored_and_its_ideas_are_worth_what_the_page_says(search: Trials, tmp_path: Path) -> None:
    plain = search.run()
    better = search.run(files=edited("search", tmp_path / "better", *KEPT["search"]))
    worse = search.run(files=edited("search", tmp_path / "worse", *KEPT["search"], "04"))
    dearer = search.run(files=edited("search", tmp_path / "dearer", *KEPT["search"], "09"))

    assert 0.2 < score_of(plain) < score_of(better) - 0.2
    assert score_of(worse) < score_of(better)
    assert cost_of(dearer) > 4 * cost_of(plain)


@pytest.mark.parametrize(
    ("number", "outcome", "words"),
    [
        ("06", Outcome.CRASHED, "No module named 'sklearn'"),
        ("07", Outcome.REJECTED, "a fresh process answered"),
        ("08", Outcome.REJECTED, "an answer names a document twice"),
    ],
)
def test_what_crashes_and_what_cheats_in_search_is_told(
    search: Trials, tmp_path: Path, number: str, outcome: Outcome, words: str
) -> None:
    result = search.run(files=edited("search", tmp_path / number, *KEPT["search"], number))

    assert (result.outcome, result.score) == (outcome, None), result.reason
    assert words in result.reason


@pytest.fixture(scope="module")
def speed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    yield from attempts_of("speed", tmp_path_factory.mktemp("speed"), "--slices", "2")


def test_speed_is_scored_and_its_ideas_are_worth_what_the_page_says(speed: Trials, tmp_path: Path) -> None:
    plain = score_of(speed.run())

    assert score_of(speed.run(files=edited("speed", tmp_path / "better", *KEPT["speed"]))) < plain / 5
    assert score_of(speed.run(files=edited("speed", tmp_path / "worse", "04"))) > 1.2 * plain


@pytest.mark.parametrize("number", ["06", "07", "08"])
def test_no_clock_no_cache_and_no_helper_makes_the_function_faster(speed: Trials, tmp_path: Path, number: str) -> None:
    """Beside what honest code takes: half of it would be a gain that no noise explains."""
    honest = score_of(speed.run())
    assert score_of(speed.run(files=edited("speed", tmp_path / number, number))) > 0.5 * honest


def test_a_nearly_right_answer_is_rejected_and_a_missing_compiler_named(speed: Trials, tmp_path: Path) -> None:
    wrong = speed.run(files=edited("speed", tmp_path / "wrong", *KEPT["speed"], "09"))
    crashed = speed.run(files=edited("speed", tmp_path / "crashed", *KEPT["speed"], "05"))

    assert (wrong.outcome, wrong.score) == (Outcome.REJECTED, None)
    assert "an answer has a wrong distance" in wrong.reason
    assert crashed.outcome is Outcome.CRASHED
    assert "No module named 'numba'" in crashed.reason


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    yield from attempts_of("protocol", tmp_path_factory.mktemp("protocol"), "--cases", "120", "--slices", "2")


def test_protocol_is_scored_and_its_ideas_are_worth_what_the_page_says(protocol: Trials, tmp_path: Path) -> None:
    plain = score_of(protocol.run())
    best = protocol.run(files=edited("protocol", tmp_path / "best", *KEPT["protocol"]))
    worse = protocol.run(files=edited("protocol", tmp_path / "worse", *KEPT["protocol"], "07"))
    vain = protocol.run(files=edited("protocol", tmp_path / "vain", *KEPT["protocol"], "10"))

    assert score_of(vain) <= plain < 0.6
    assert score_of(best) == 1.0
    assert score_of(worse) < 0.9


def test_a_check_at_any_price_breaks_the_guard_of_protocol(protocol: Trials, tmp_path: Path) -> None:
    plain = protocol.run()
    dear = protocol.run(files=edited("protocol", tmp_path / "dear", "01", "02"))

    assert score_of(dear) > score_of(plain)
    assert cpu_of(dear) > 2 * cpu_of(plain)


@pytest.mark.parametrize(
    ("number", "outcome", "words"),
    [
        ("08", Outcome.CRASHED, "No module named 'wsproto'"),
        ("09", Outcome.REJECTED, "a fresh process answered"),
        ("11", Outcome.REJECTED, "silence: the server did not answer"),
    ],
)
def test_what_crashes_and_what_cheats_in_protocol_is_told(
    protocol: Trials, tmp_path: Path, number: str, outcome: Outcome, words: str
) -> None:
    result = protocol.run(files=edited("protocol", tmp_path / number, *KEPT["protocol"], number))

    assert (result.outcome, result.score) == (outcome, None), result.reason
    assert words in result.reason
