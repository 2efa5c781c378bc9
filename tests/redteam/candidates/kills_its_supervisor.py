"""Ends the process that vouches for its death. Stopped by: no word that all are dead, so no score."""

import os
import signal

from tiny_model import honest_model


def load_model(artifact):
    honest = honest_model(artifact)

    def model(tokens):
        os.kill(os.getppid(), signal.SIGKILL)
        return honest(tokens)

    return model
