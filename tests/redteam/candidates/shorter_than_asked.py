"""Leaves out the last position. Stopped by: protocol.check_reply, by the byte count."""

from tiny_model import honest_model


def load_model(artifact):
    honest = honest_model(artifact)
    return lambda tokens: honest(tokens)[:, :-1]
