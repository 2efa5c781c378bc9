"""The reference models: distributions that sum to one, better with longer memory, and wrong about nothing they saw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from corpus.reference import Reference
from hypothesis import given, settings
from hypothesis import strategies as st

BOS = 7

streams = st.lists(st.integers(0, 6), min_size=6, max_size=60).map(lambda tokens: np.array(tokens, np.uint16))


def chances_after(model: Reference, before: list[int]) -> npt.NDArray[np.floating]:
    """Probability of each of the 8 tokens after some others."""
    sequences = np.array([[BOS, *before, token] for token in range(8)], np.uint16)
    chances: npt.NDArray[np.floating] = np.exp(-model.nll(sequences)[:, -1].astype(float))
    return chances


@settings(deadline=None)  # a busy machine is no failure
@given(streams, st.integers(1, 4), st.lists(st.integers(0, 6), max_size=5))
def test_probabilities_sum_to_one_after_any_text(stream: npt.NDArray[np.uint16], order: int, before: list[int]) -> None:
    model = Reference.count(stream, 8, order=order)
    assert chances_after(model, before).sum() == pytest.approx(1, abs=0.01)  # each is rounded to a 1024th of a nat


def test_what_followed_often_is_likely_and_a_longer_memory_knows_more() -> None:
    stream = np.array([0, 1, 2, 3, 1, 4] * 50, np.uint16)  # after 1 comes 2 if 0 was before it, and 4 if 3 was
    pairs, triples = (Reference.count(stream, 8, order=order) for order in (2, 3))
    assert chances_after(pairs, [0, 1])[2] == pytest.approx(0.5, abs=0.05)
    assert chances_after(triples, [0, 1])[2] > 0.95
    assert chances_after(triples, [3, 1])[4] > 0.95


def test_a_token_that_follows_one_other_only_is_unlikely_after_a_third() -> None:
    stream = np.array([0, 1] * 30 + [2, 3, 4, 3, 5, 3, 6, 3], np.uint16)
    after_new = chances_after(Reference.count(stream, 8, order=2), [6, 5, 4])
    assert after_new[3] > after_new[1], "1 is frequent, but only after 0"


def test_large_vocabularies_shorten_the_order_to_what_fits_a_key() -> None:
    stream = np.random.default_rng(0).integers(0, 100_000, 500).astype(np.uint32)
    model = Reference.count(stream, 100_000, order=4)
    assert len(model.levels) == 3
    assert np.isfinite(model.nll(stream.reshape(5, 100))).all()
