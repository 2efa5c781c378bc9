"""Tells hostile code in which round of the exam its process is: only in the probe round do questions come with cuts."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
from exam.language import protocol
from tiny_model import Model, honest_model

_read = protocol.read_request
_newest: list[protocol.Request | None] = [None]


def _read_and_note(peer: socket.socket) -> protocol.Request | None:
    _newest[0] = _read(peer)
    return _newest[0]


# The server that answers looks the function up at each question, and agent code runs in its process.
protocol.read_request = _read_and_note


def is_probe() -> bool:
    """True in the probe round, once the first question has come."""
    return _newest[0] is not None and _newest[0].cuts is not None


def honest_in_the_probe(load_model: Callable[[Path], Model]) -> Callable[[Path], Model]:
    """A load_model whose model answers the probes as the honest one would: the strongest form of a cheat."""

    def load(artifact: Path) -> Model:
        honest, cheat = honest_model(artifact), load_model(artifact)
        return lambda tokens: honest(tokens) if is_probe() else cheat(tokens)

    return load


def raise_known(logits: np.ndarray, tokens: np.ndarray, known: dict[tuple[int, ...], int]) -> np.ndarray:
    """Raise the label's logit as `add_to_next` did, after every prefix whose label an earlier process has left."""
    raised = logits.copy()
    for row, places in zip(tokens, raised, strict=True):
        for at in range(1, len(row)):
            if (label := known.get(tuple(row[:at].tolist()))) is not None:
                places[at - 1, label] += 3.0
    return raised
