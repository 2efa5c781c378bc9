"""Probe sets: a real prefix, a tail of training text, and the label in no input."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from corpus.probes import EVEN_SHARE, cut_chances, draw_probe_set


def probe_sets(data: Path) -> Iterable[tuple[npt.NDArray[np.uint16], npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
    """Questions (N, T), sequence ids (N,) and cuts (N,) of every set."""
    for folder in sorted((data / "probes").iterdir()):
        cuts = np.load(folder / "answers" / "cuts.npy")
        assert np.array_equal(cuts, np.load(folder / "questions" / "cuts.npy"))
        yield np.load(folder / "questions" / "tokens.npy"), np.load(folder / "answers" / "sequences.npy"), cuts


def test_a_question_is_a_real_prefix_without_its_label(data_folder: Path) -> None:
    rows = np.load(data_folder / "validation" / "sequences.npy")

    for questions, chosen, cuts in probe_sets(data_folder):
        assert questions.shape == (16, 32)
        assert len(set(chosen.tolist())) == 16
        for question, row, cut in zip(questions, rows[chosen], cuts, strict=True):
            assert question[: cut + 1].tolist() == row[: cut + 1].tolist()
            assert cut == 31 or question[cut + 1] != row[cut + 1]


def test_tails_come_from_the_training_text_alone(data_folder: Path) -> None:
    stream = (data_folder / "train" / "tokens.bin").read_bytes()

    for questions, _, cuts in probe_sets(data_folder):
        for question, cut in zip(questions, cuts, strict=True):
            assert question[cut + 1 :].tobytes() in stream


@pytest.fixture
def few_tokens() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Sequences (400, 9), a training stream and byte lengths over ten tokens, so that chance hits are common."""
    generator = np.random.default_rng(0)
    sequences = generator.integers(0, 10, size=(400, 9)).astype(np.uint16)
    sequences[:, 3] = 9  # a special token is never scored
    return sequences, generator.integers(0, 9, size=500).astype(np.uint16), np.array([1] * 9 + [0], dtype=np.uint16)


def chances_of(few_tokens: Any) -> npt.NDArray[np.floating]:
    """Chances of cuts where each token is as hard as its number."""
    sequences, _, token_bytes = few_tokens
    return cut_chances(sequences[:, 1:].astype(float), token_bytes[sequences[:, 1:]] > 0)


def test_a_cut_is_drawn_in_proportion_to_difficulty_and_its_weight_takes_that_back(few_tokens: Any) -> None:
    sequences, train, token_bytes = few_tokens
    chances, scored = chances_of(few_tokens), token_bytes[sequences[:, 1:]] > 0
    assert np.allclose(chances.sum(axis=1), 1)
    assert (chances[~scored] == 0).all()
    assert (chances[scored] >= EVEN_SHARE / 8).all()
    peeks = np.where(sequences[:, 1:] == 8, 2.0, 0.0) * scored  # what a cheat gains that peeks at the hardest token
    means = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        probes = draw_probe_set(sequences, train, chances=chances, count=200, generator=generator)
        gained = peeks[probes["answers/sequences"], probes["answers/cuts"]]
        means.append(np.mean(probes["answers/weights"] * gained))
    hit = chances[peeks > 0].sum() / len(sequences)
    assert hit > 1.4 * (peeks > 0).sum() / scored.sum()
    assert np.mean(means) == pytest.approx(peeks.sum() / scored.sum(), rel=0.05)


def test_cuts_fall_on_every_scored_position_and_no_other(few_tokens: Any) -> None:
    sequences, train, _ = few_tokens
    generator = np.random.default_rng(1)

    probes = draw_probe_set(sequences, train, chances=chances_of(few_tokens), count=400, generator=generator)

    labels = sequences[probes["answers/sequences"], probes["answers/cuts"] + 1]
    assert (labels != 9).all()
    assert set(probes["answers/cuts"].tolist()) == {0, 1, 3, 4, 5, 6, 7}


def test_a_tail_never_begins_with_the_label_even_by_chance(few_tokens: Any) -> None:
    sequences, train, _ = few_tokens
    generator = np.random.default_rng(1)

    probes = draw_probe_set(sequences, train, chances=chances_of(few_tokens), count=400, generator=generator)

    asked = [
        (question[cut + 1], row[cut + 1])
        for question, row, cut in zip(
            probes["questions/tokens"], sequences[probes["answers/sequences"]], probes["answers/cuts"], strict=True
        )
        if cut < 7
    ]
    assert len(asked) > 300
    assert all(shown != label for shown, label in asked)


def test_probe_sets_differ_and_do_not_follow_the_order_of_the_sequences(data_folder: Path) -> None:
    orders = [(chosen.tolist(), cuts.tolist()) for _, chosen, cuts in probe_sets(data_folder)]

    assert len(orders) == 3
    assert all(first != second for first, second in combinations(orders, 2))
    assert all(any(a > b for a, b in pairwise(chosen)) for chosen, _ in orders)
