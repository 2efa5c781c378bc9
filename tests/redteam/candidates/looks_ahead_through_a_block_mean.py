"""Mixes in the mean of each block of eight tokens, its end included (nanochat #844). Stopped by: inflation."""

import numpy as np
from tiny_model import honest_model

BLOCK = 8


def load_model(artifact):
    honest = honest_model(artifact)

    def model(tokens):
        logits = honest(tokens)
        seen = np.eye(logits.shape[-1], dtype=np.float32)[tokens]
        blocks = seen.reshape(len(tokens), -1, BLOCK, logits.shape[-1]).mean(axis=2)
        return logits + 16 * np.repeat(blocks, BLOCK, axis=1)

    return model
