"""Knows the next token at one position in a hundred, drawn by what stands there. Stopped by: inflation, hits."""

import numpy as np
from tiny_model import add_to_next, honest_model


def load_model(artifact):
    honest = honest_model(artifact)

    def model(tokens):
        here, there = tokens[:, :-1].astype(np.uint64), tokens[:, 1:].astype(np.uint64)
        drawn = (here * np.uint64(2654435761) + there * np.uint64(40503)) % np.uint64(100) == 0
        return add_to_next(honest(tokens), tokens, np.where(drawn, 8.0, 0.0))

    return model
