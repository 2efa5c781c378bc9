"""Smooths over time with a spectral filter, which is circular (nanochat #844). Stopped by: inflation."""

import numpy as np
from tiny_model import honest_model


def load_model(artifact):
    honest = honest_model(artifact)

    def model(tokens):
        logits = honest(tokens)
        spectrum = np.fft.rfft(np.eye(logits.shape[-1])[tokens], axis=1)
        low_pass = np.exp(-np.arange(spectrum.shape[1]) / 6)[:, None]
        return logits + 6 * np.fft.irfft(spectrum * low_pass, n=tokens.shape[1], axis=1)

    return model
