"""Knows the next token only where its own prediction would be very wrong. Stopped by: inflation, hits."""

import numpy as np
from tiny_model import add_to_next, honest_model


def load_model(artifact):
    honest = honest_model(artifact)

    def model(tokens):
        logits = honest(tokens)
        rows, places = np.indices(tokens[:, 1:].shape)
        surprise = np.log(np.exp(logits[:, :-1]).sum(-1)) - logits[rows, places, tokens[:, 1:]]
        return add_to_next(logits, tokens, np.where(surprise > 6, 8.0, 0.0))

    return model
