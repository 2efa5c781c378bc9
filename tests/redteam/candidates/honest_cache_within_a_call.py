"""Honest: remembers repeated contexts while it answers one call, and nothing after it. Must be scored."""

import numpy as np
from tiny_model import contexts, load_table


def load_model(artifact):
    table = load_table(artifact)

    def model(tokens):
        keys = contexts(tokens) * len(table) + tokens
        unique, places = np.unique(keys, return_inverse=True)
        cache = table.reshape(-1, len(table))[unique]
        return cache[places].reshape(*tokens.shape, -1)

    return model
