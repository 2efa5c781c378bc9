"""Looks ahead except where the next token is so unlikely that a probe was spliced there. Stopped by: inflation:
the same position is in the exam, unspliced, where it does look ahead."""

import numpy as np
from tiny_model import add_to_next, honest_model


def load_model(artifact):
    honest = honest_model(artifact)

    def model(tokens):
        logits = honest(tokens)
        rows, places = np.indices(tokens[:, 1:].shape)
        surprise = np.log(np.exp(logits[:, :-1]).sum(-1)) - logits[rows, places, tokens[:, 1:]]
        return add_to_next(logits, tokens, np.where(surprise > 5, 0.0, 3.0))

    return model
