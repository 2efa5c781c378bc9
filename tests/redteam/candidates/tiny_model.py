"""The model of all candidates: a table of next-token logits given the two tokens before, saved by "training"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

Model = Callable[[np.ndarray], np.ndarray]


def load_table(artifact: Path) -> np.ndarray:
    """Logits (V, V, V) in float32."""
    return np.load(artifact / "table.npy").astype(np.float32)


def contexts(tokens: np.ndarray) -> np.ndarray:
    """The token before each position (B, T), the first one standing before itself."""
    return np.concatenate([tokens[:, :1], tokens[:, :-1]], axis=1)


def honest_model(artifact: Path) -> Model:
    """tokens (B, T) -> logits (B, T, V), each from its own past alone."""
    table = load_table(artifact)
    return lambda tokens: table[contexts(tokens), tokens]


def add_to_next(logits: np.ndarray, tokens: np.ndarray, amount: np.ndarray | float) -> np.ndarray:
    """Raise the logit of the token that really comes next, by amount, at every place but the last."""
    raised = logits.copy()
    rows, places = np.indices(tokens[:, 1:].shape)
    raised[rows, places, tokens[:, 1:]] += amount
    return raised
