"""A cache of trigrams over all that it was asked. Stopped by: restart, spread, inflation."""

import numpy as np
from tiny_model import contexts, load_table


def load_model(artifact):
    table = load_table(artifact)
    counts = np.zeros_like(table)

    def model(tokens):
        before = contexts(tokens)
        logits = table[before, tokens] + np.log1p(counts[before, tokens])
        np.add.at(counts, (before[:, 1:-1], tokens[:, 1:-1], tokens[:, 2:]), 1)
        return logits

    return model
