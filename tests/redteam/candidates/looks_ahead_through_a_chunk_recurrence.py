"""Carries a state from chunk to chunk, and reads its own chunk's before it is over (nanochat #844). Stopped by:
inflation."""

import numpy as np
from tiny_model import honest_model

CHUNK = 16


def load_model(artifact):
    honest = honest_model(artifact)

    def model(tokens):
        logits = honest(tokens).copy()
        state = np.zeros((len(tokens), logits.shape[-1]), np.float32)
        for at in range(0, tokens.shape[1], CHUNK):
            chunk = np.eye(logits.shape[-1], dtype=np.float32)[tokens[:, at : at + CHUNK]]
            state = 0.5 * state + chunk.sum(axis=1)
            logits[:, at : at + CHUNK] += 0.8 * state[:, None]
        return logits

    return model
