"""Honest: forgets everything before each start token inside a sequence. Must be scored."""

import numpy as np
from tiny_model import contexts, load_table


def load_model(artifact):
    table = load_table(artifact)
    start = len(table) - 1

    def model(tokens):
        before = np.where(tokens == start, start, contexts(tokens))
        return table[before, tokens]

    return model
