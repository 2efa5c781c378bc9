"""Careless: dropout at evaluation. Stopped by: spread, hits."""

import numpy as np
from tiny_model import honest_model


def load_model(artifact):
    honest, generator = honest_model(artifact), np.random.default_rng()

    def model(tokens):
        logits = honest(tokens)
        return logits * (generator.random(logits.shape) > 0.1) / 0.9

    return model
