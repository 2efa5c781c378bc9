"""Honest: a cache of counts over the last eight tokens of the same sequence. Must be scored."""

import numpy as np
from tiny_model import honest_model


def load_model(artifact):
    honest = honest_model(artifact)

    def model(tokens):
        logits = honest(tokens).copy()
        places = np.arange(tokens.shape[1])
        for back in range(1, 9):
            earlier = tokens[:, np.maximum(places - back, 0)]
            logits[np.arange(len(tokens))[:, None], places, earlier] += 0.01
        return logits

    return model
