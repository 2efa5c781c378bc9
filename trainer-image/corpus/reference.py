"""A trusted model of the text: n-grams of the training text, with interpolated Kneser-Ney smoothing.

It was made by nobody's agent, so the examiner can compare a candidate with it: on text that was asked often, and on
text that was never asked. Its nll also tells which positions are hard. There are two orders, because a candidate that
learnt little resembles pairs of tokens, and one that learnt much knows passages that come in many documents
(docs/exam.md has the measurements).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from corpus.arrays import Tokens, save

ORDERS = (2, 4)
"""Tokens in the longest n-gram of each model."""

MOST_TOKENS = 16_000_000
"""Training tokens that are counted, from the start of the stream: a second of sorting for five million."""

ROUNDING = 1024.0
"""Steps in one nat."""

Keys = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Level:
    """Distinct n-grams of one length, packed into integers and sorted, so that those of one context lie together."""

    keys: Keys
    counts: npt.NDArray[np.int64]
    sums: npt.NDArray[np.int64]
    """Counts of all n-grams before each, and of all: one more than there are keys."""
    discount: float
    """What each count gives up for the shorter n-grams: n1 / (n1 + 2 n2), of the n-grams seen once and twice.

    At least 0.1: a text without n-grams seen once would leave nothing to what it does not hold.
    """

    @classmethod
    def of(cls, keys: Keys, counts: npt.NDArray[np.int64]) -> Self:
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        return cls(keys, counts, np.concatenate([[0], np.cumsum(counts)]), max(0.1, once / max(1, once + 2 * twice)))

    def mix(self, keys: Keys, bits: int, shorter: Floats) -> Floats:
        """Probability of the last token of each n-gram given the others; `shorter`: the same from shorter n-grams."""
        keys, places = np.unique(keys, return_inverse=True)  # in order, so that the search stays in the cache
        first = keys >> np.uint64(bits) << np.uint64(bits)
        low = np.searchsorted(self.keys, first)
        high = np.searchsorted(self.keys, first + np.uint64(1 << bits))
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        count = np.where(self.keys[at] == keys, self.counts[at], 0)
        total = np.maximum(self.sums[high] - self.sums[low], 1)
        own, rest = np.maximum(count - self.discount, 0.0) / total, self.discount * (high - low) / total
        known: Floats = np.where(high > low, own, 0.0)[places].reshape(shorter.shape)
        return known + np.where(high > low, rest, 1.0)[places].reshape(shorter.shape) * shorter


@dataclass(frozen=True, slots=True)
class Reference:
    """Levels from single tokens to the longest n-grams."""

    levels: tuple[_Level, ...]
    bits: int
    """Bits of one token in a key."""
    vocabulary_size: int

    @classmethod
    def count(cls, train: Tokens, vocabulary_size: int, *, order: int) -> Self:
        """Count the n-grams of the training stream.

        Shorter n-grams count the distinct tokens that they follow (Kneser-Ney), and not how often they come: "York"
        is frequent and follows nothing but "New".
        """
        bits = max(1, (vocabulary_size - 1).bit_length())
        order = min(order, 63 // bits, len(train))
        stream = np.asarray(train[:MOST_TOKENS]).astype(np.uint64)
        keys, counts = np.unique(_pack(stream, order, bits), return_counts=True)
        levels = [_Level.of(keys, counts)]
        for length in range(order - 1, 0, -1):
            keys, counts = np.unique(keys & np.uint64((1 << length * bits) - 1), return_counts=True)
            levels.append(_Level.of(keys, counts))
        return cls(tuple(reversed(levels)), bits, vocabulary_size)

    def nll(self, sequences: Tokens) -> npt.NDArray[np.float32]:
        """Negative log-likelihood (S, T) in nats of each next token of sequences (S, T+1), each a BOS and a text.

        The BOS is in no n-gram: an exam's text begins anywhere in its document.
        """
        text = sequences[:, 1:].astype(np.uint64)
        chances = np.full(text.shape, 1.0 / self.vocabulary_size)
        for length, level in enumerate(self.levels[: text.shape[1]], start=1):
            keys = _pack(text, length, self.bits)
            chances[:, length - 1 :] = level.mix(keys, self.bits, chances[:, length - 1 :])
        # Rounded, so that the last bit of a machine's logarithm does not change the identity of a data folder.
        rounded: npt.NDArray[np.float32] = (np.rint(-np.log(chances) * ROUNDING) / ROUNDING).astype(np.float32)
        return rounded


def _pack(tokens: npt.NDArray[Any], length: int, bits: int) -> Keys:
    """Every run of `length` tokens along the last axis as one integer, the last token lowest."""
    width = tokens.shape[-1] - length + 1
    keys: Keys = tokens[..., :width].copy()
    for offset in range(1, length):
        keys = keys << np.uint64(bits) | tokens[..., offset : offset + width]
    return keys


def write_reference(
    data: Path, parts: Mapping[str, Tokens], train: Tokens, vocabulary_size: int
) -> npt.NDArray[np.float32]:
    """Write each part's mean nll by sequence and order, (S, K). Returns that of every position of all parts, (S, T, K).

    parts: sequences (S, T+1) by the folder that holds them.
    """
    sequences = np.concatenate(list(parts.values()))
    models = (Reference.count(train, vocabulary_size, order=order) for order in ORDERS)
    nll = np.stack([model.nll(sequences) for model in models], axis=2)
    at = 0
    for name, part in parts.items():
        save(data / name / "reference.npy", nll[at : at + len(part)].mean(axis=1))
        at += len(part)
    return nll
