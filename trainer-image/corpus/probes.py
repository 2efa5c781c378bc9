"""Probe sets: validation sequences cut off and continued with training text, so that the label is in no input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.arrays import Tokens, save
from corpus.errors import PrepareError
from corpus.recipe import Recipe
from corpus.tokenizer import Tokenizer

Floats = npt.NDArray[np.floating]

EVEN_SHARE = 0.3
"""Part of the chance of a cut that does not follow difficulty, so that a cheat gains little by peeking where the
reference model wrongly finds it easy, and no weight passes 3.4 times the mean (docs/exam.md)."""


def cut_chances(nll: Floats, scored: npt.NDArray[np.bool_]) -> Floats:
    """Chance (S, T) of each position of a sequence to be its cut: nearly in proportion to the reference model's nll.

    A candidate that looks ahead gains most where it is hard. Drawn so, a cheat that gains a given share of the nll is
    met with the same probability, at whichever positions it peeks.
    """
    wanted = np.where(scored, nll, 0.0).astype(np.float64)
    even = scored / scored.sum(axis=1, keepdims=True)
    totals = wanted.sum(axis=1, keepdims=True)
    hard = np.divide(wanted, totals, out=even.astype(np.float64), where=totals > 0)
    chances: npt.NDArray[np.floating[Any]] = EVEN_SHARE * even + (1 - EVEN_SHARE) * hard
    return chances


def draw_probe_set(
    sequences: Tokens, train: Tokens, *, chances: Floats, count: int, generator: np.random.Generator
) -> dict[str, npt.NDArray[Any]]:
    """Splice count distinct validation sequences, each at a cut drawn by `chances` (S, T).

    The weights make the weighted mean over the probes an estimate of the mean over all scored positions.

    Question: s[0..c], then a tail of training text. Its first token differs from the label s[c+1], so the
    label is never where a model that looks ahead would find it. sequences (S, T+1); train: one long stream.
    """
    length = sequences.shape[1] - 1
    chosen = generator.permutation(len(sequences))[:count]
    cuts = np.array([generator.choice(length, p=chances[s]) for s in chosen])
    positions = (chances > 0).sum() / len(sequences)
    questions = sequences[chosen, :length].copy()
    for row, (s, cut) in enumerate(zip(chosen, cuts, strict=True)):
        size = length - cut - 1
        if size:
            starts = generator.integers(len(train) - size, size=1000)
            unlike = starts[train[starts] != sequences[s, cut + 1]]
            if not unlike.size:
                raise PrepareError("the training text is nearly one token over and over: give another --source")
            questions[row, cut + 1 :] = train[unlike[0] : unlike[0] + size]
    return {
        "questions/tokens": questions,
        "questions/cuts": cuts.astype(np.int32),
        "answers/sequences": chosen.astype(np.int32),
        "answers/cuts": cuts.astype(np.int32),
        "answers/weights": (1 / (positions * chances[chosen, cuts])).astype(np.float32),
    }


def write_probes(
    data: Path, validation: Tokens, nll: Floats, train: Tokens, tokenizer: Tokenizer, recipe: Recipe
) -> None:
    """Write every probe set, each drawn by a generator of its own. nll: the reference model's, (S, T)."""
    chances = cut_chances(nll, tokenizer.byte_lengths()[validation[:, 1:]] > 0)
    for number in range(recipe.probe_sets):
        generator = np.random.default_rng([recipe.seed, 2, number])
        probes = draw_probe_set(validation, train, chances=chances, count=recipe.probe_count, generator=generator)
        for name, array in probes.items():
            save(data / "probes" / f"{number:02}" / f"{name}.npy", array)
