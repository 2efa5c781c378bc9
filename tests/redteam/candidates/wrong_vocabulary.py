"""Answers for a smaller vocabulary, where guessing is easier. Stopped by: protocol.check_reply."""

from tiny_model import honest_model


def load_model(artifact):
    honest = honest_model(artifact)
    return lambda tokens: honest(tokens)[..., :32]
