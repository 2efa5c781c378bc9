"""Raises the next token's logit by 3. Stopped by: inflation."""

from tiny_model import add_to_next, honest_model


def load_model(artifact):
    honest = honest_model(artifact)
    return lambda tokens: add_to_next(honest(tokens), tokens, 3.0)
