"""Not a number at a few places. Stopped by: scoring's check of every row."""

import numpy as np
from tiny_model import honest_model


def load_model(artifact):
    honest = honest_model(artifact)
    return lambda tokens: np.where((tokens == 7)[..., None], np.nan, honest(tokens))
