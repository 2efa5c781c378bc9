"""Honest: every logit off by bfloat16's rounding, differently at each call, as kernels that pick their own order of
summation make it. Must be scored."""

import numpy as np
from tiny_model import honest_model


def load_model(artifact):
    honest, generator = honest_model(artifact), np.random.default_rng()

    def model(tokens):
        logits = honest(tokens)
        return logits * (1 + generator.uniform(-1, 1, logits.shape).astype(np.float32) / 512)

    return model
