"""Learns from the first questions and then stands still. Stopped by: restart (a fresh process has yet to learn),
spread."""

import numpy as np
from tiny_model import contexts, load_table

CALLS = 32


def load_model(artifact):
    table = load_table(artifact)
    counts, calls = np.zeros_like(table), [0]

    def model(tokens):
        before = contexts(tokens)
        logits = table[before, tokens] + 0.5 * np.log1p(counts[before, tokens])
        if calls[0] < CALLS:
            np.add.at(counts, (before[:, 1:-1], tokens[:, 1:-1], tokens[:, 2:]), 1)
        calls[0] += 1
        return logits

    return model
