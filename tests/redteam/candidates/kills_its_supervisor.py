"""Ends the process that vouches for its death. Stopped by: no word that all are dead, so no score."""

import os
import signal

from tiny_model import honest_model


def load_model(artifact):
    honest, calls = honest_model(artifact), [0]

    def model(tokens):
        calls[0] += 1
        if calls[0] == 3:
            os.kill(os.getppid(), signal.SIGKILL)
        return honest(tokens)

    return model
