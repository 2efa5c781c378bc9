"""Probe sets: validation sequences cut off and continued with training text, so that the label is in no input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.arrays import Tokens, save
from corpus.errors import PrepareError
from corpus.recipe import Recipe
from corpus.tokenizer import Tokenizer


def draw_probe_set(
    sequences: Tokens, train: Tokens, *, token_bytes: npt.NDArray[np.uint16], count: int, generator: np.random.Generator
) -> dict[str, Tokens | npt.NDArray[np.int32]]:
    """Splice count distinct validation sequences, each at a cut drawn from its scored positions.

    Question: s[0..c], then a tail of training text. Its first token differs from the label s[c+1], so the
    label is never where a model that looks ahead would find it. sequences (S, T+1); train: one long stream.
    """
    length = sequences.shape[1] - 1
    chosen = generator.permutation(len(sequences))[:count]
    cuts = np.array([generator.choice(np.flatnonzero(token_bytes[sequences[s, 1:]])) for s in chosen])
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
    }


def write_probes(data: Path, validation: Tokens, train: Tokens, tokenizer: Tokenizer, recipe: Recipe) -> None:
    """Write every probe set, each drawn by a generator of its own."""
    token_bytes = tokenizer.byte_lengths()
    for number in range(recipe.probe_sets):
        generator = np.random.default_rng([recipe.seed, 2, number])
        probes = draw_probe_set(
            validation, train, token_bytes=token_bytes, count=recipe.probe_count, generator=generator
        )
        for name, array in probes.items():
            save(data / "probes" / f"{number:02}" / f"{name}.npy", array)
