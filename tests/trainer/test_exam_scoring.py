"""Scores are ours: normalised over the whole vocabulary, equal to a reference, never fooled by extreme logits."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
import torch
from exam.kit.errors import DataError, Rejection
from exam.language.scoring import CHUNK_LOGITS, bits_per_byte, nll
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

Half = npt.NDArray[np.float16]

FINITE = hypothesis_numpy.arrays(
    np.float16,
    hypothesis_numpy.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-65_504, 65_504, width=16),
)


def reference(logits: Half, targets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Torch's cross entropy of the clamped logits, in float64."""
    clamped = torch.from_numpy(logits.astype(np.float64)).clamp(-1e4, 1e4)
    losses = torch.nn.functional.cross_entropy(clamped, torch.from_numpy(targets), reduction="none")
    return np.asarray(losses.numpy(), dtype=np.float64)


def targets_of(logits: Half, seed: int = 0) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, logits.shape[1], len(logits))


@given(FINITE)
def test_nll_is_torchs_cross_entropy_for_any_finite_logits(logits: Half) -> None:
    targets = targets_of(logits)
    np.testing.assert_allclose(nll(logits, targets), reference(logits, targets), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("scale", [0.1, 3.0, 15.0, 60.0, 300.0])
def test_nll_is_torchs_cross_entropy_at_every_scale_of_a_model(scale: float) -> None:
    logits = (scale * np.random.default_rng(1).standard_normal((500, 1000))).astype(np.float16)
    targets = targets_of(logits)
    np.testing.assert_allclose(nll(logits, targets), reference(logits, targets), rtol=2e-6, atol=1e-5)


@given(FINITE)
def test_probabilities_sum_to_one_whatever_the_logits(logits: Half) -> None:
    total = sum(
        np.exp(-nll(logits, np.full(len(logits), token)).astype(np.float64)) for token in range(logits.shape[1])
    )
    np.testing.assert_allclose(total, 1, rtol=1e-5)


@given(FINITE.map(lambda logits: np.clip(logits, -500, 500)), st.sampled_from([-256.0, 256.0, 1024.0]))
def test_a_constant_added_to_all_logits_changes_nothing(logits: Half, constant: float) -> None:
    shifted = (np.round(logits.astype(np.float32)) + constant).astype(np.float16)
    targets = targets_of(logits)
    np.testing.assert_allclose(nll(shifted, targets), nll(np.round(logits), targets), rtol=1e-5, atol=1e-4)


def test_minus_infinity_costs_a_finite_price() -> None:
    logits = np.array([[0, -np.inf], [-np.inf, -np.inf]], dtype=np.float16)
    np.testing.assert_allclose(nll(logits, np.array([1, 0])), [1e4, math.log(2)], rtol=1e-6)


@pytest.mark.parametrize(("value", "sentence"), [(np.nan, "NaN"), (np.inf, r"\+infinity")])
@pytest.mark.parametrize("row", [0, 17, 999])
def test_one_bad_value_anywhere_is_rejected(value: float, sentence: str, row: int) -> None:
    logits = np.zeros((1000, 2048), np.float16)
    logits[row, 5] = value
    with pytest.raises(Rejection, match=sentence):
        nll(logits, np.zeros(1000, np.int64))


def test_chunks_and_threads_change_nothing() -> None:
    logits = np.random.default_rng(2).standard_normal((3 * CHUNK_LOGITS // 512 + 7, 512)).astype(np.float16)
    targets = targets_of(logits)
    whole = np.concatenate([nll(logits[at : at + 1], targets[at : at + 1]) for at in range(len(logits))])
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(nll(logits, targets, pool), whole)


def test_uniform_logits_over_one_byte_tokens_cost_log2_of_the_vocabulary() -> None:
    losses = nll(np.zeros((10, 256), np.float16), np.zeros(10, np.int64))
    assert bits_per_byte(float(losses.sum()), 10) == pytest.approx(8)


def test_targets_without_bytes_are_a_data_error() -> None:
    with pytest.raises(DataError, match="no bytes"):
        bits_per_byte(1.0, 0)
