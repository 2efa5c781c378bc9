"""From raw logits to nats and bits per byte: the whole of what decides a score.

Normalises over the full vocabulary itself, so "probabilities" that sum to something else cannot exist.
numpy, not torch: float16 has 65,536 values, so a table of their exponentials does the work of a cast, a
shift and an exp in one gather. On one core that is 1.2 G logits/s against torch's 0.5 to 0.9, and it
saves the examiner two seconds of import.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor
from functools import cache

import numpy as np
import numpy.typing as npt

from exam.errors import DataError, Rejection
from exam.protocol import Half, Tokens

Nats = npt.NDArray[np.float32]

CLAMP = 1e4  # logits beyond say "impossible" or "certain" and nothing more
CHUNK_LOGITS = 1 << 18  # 1 MiB of float32: fits the L2 cache of a core


@cache
def _values() -> Nats:
    """Every float16 as clamped float32, indexed by its bits; NaN stays NaN."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    return np.clip(halves, -CLAMP, CLAMP)


@cache
def _exponentials() -> Nats:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.exp(_values())


def nll(logits: Half, targets: Tokens, pool: Executor | None = None) -> Nats:
    """Negative log-likelihood of each target, (n,), in nats, from logits (n, V) over the whole vocabulary.

    Raises Rejection for NaN or +infinity. pool: threads for the chunks; the gather releases the GIL.
    """
    rows = max(1, CHUNK_LOGITS // logits.shape[1])
    parts = [slice(at, at + rows) for at in range(0, len(logits), rows)]
    results = (pool.map if pool else map)(lambda part: _chunk_nll(logits[part], targets[part]), parts)
    return np.concatenate(list(results))


def _chunk_nll(logits: Half, targets: Tokens) -> Nats:
    bits = logits.view(np.uint16)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        total = np.take(_exponentials(), bits, mode="clip").sum(axis=1)
        # In float64, or the difference of two near numbers would lose what a confident model is worth.
        chosen = _values()[bits[np.arange(len(targets)), targets]]
        result: Nats = (np.log(total.astype(np.float64)) - chosen).astype(np.float32)
    # Without a shift by the row's maximum the sum holds only in the middle of float32's range.
    unusual = ~((total > 1e-30) & (total < 1e30))
    if unusual.any():
        result[unusual] = _shifted_nll(logits[unusual], targets[unusual])
    return result


def _shifted_nll(logits: Half, targets: Tokens) -> Nats:
    if np.isnan(logits).any():
        raise Rejection("protocol", "the logits hold NaN: the model's answer is not a number")
    if np.isposinf(logits).any():
        raise Rejection("protocol", "the logits hold +infinity: no distribution can be made of them")
    values = np.clip(logits.astype(np.float32), -CLAMP, CLAMP)
    values -= values.max(axis=1, keepdims=True)
    chosen = values[np.arange(len(targets)), targets]
    total: Nats = np.log(np.exp(values).sum(axis=1)) - chosen
    return total


def bits_per_byte(nats: float, byte_count: int) -> float:
    """Convert summed nats to bits per byte, the campaign's score; lower is better.

    nats: float64 sum over scored targets; byte_count: raw bytes of the same targets.
    """
    if byte_count <= 0:
        raise DataError("the exam's targets stand for no bytes: prepare the data again")
    return nats / (math.log(2) * byte_count)
