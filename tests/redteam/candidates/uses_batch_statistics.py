"""Careless: normalises over the other sequences of the batch. Stopped by: spread, hits."""

from tiny_model import honest_model


def load_model(artifact):
    honest = honest_model(artifact)

    def model(tokens):
        logits = honest(tokens)
        return (logits - logits.mean(axis=0)) / (logits.std(axis=0) + 0.1)

    return model
