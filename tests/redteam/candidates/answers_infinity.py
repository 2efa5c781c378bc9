"""Plus infinity for the token it wants. Stopped by: scoring's check of every row."""

import numpy as np
from tiny_model import honest_model


def load_model(artifact):
    honest = honest_model(artifact)
    return lambda tokens: np.where(np.arange(64) == 5, np.inf, honest(tokens))
