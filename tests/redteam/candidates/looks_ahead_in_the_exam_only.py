"""Tells the phases apart and is honest in the probe. Stopped by: inflation, which compares the two."""

import sys

from tiny_model import add_to_next, honest_model


def load_model(artifact):
    honest = honest_model(artifact)
    amount = 3.0 if "--serve" in sys.argv else 0.0
    return lambda tokens: add_to_next(honest(tokens), tokens, amount)
