"""Leaves with exit code 7 on the first question. Stopped by: the supervisor's report of its end."""

import os

from tiny_model import honest_model


def load_model(artifact):
    honest_model(artifact)
    return lambda _: os._exit(7)
