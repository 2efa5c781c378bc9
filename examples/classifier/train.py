"""Learns digits from noisy pictures. `main` trains, `load` answers the exam's questions."""

import os
from pathlib import Path

import numpy as np

STEPS = 100  # of gradient descent, 20 to 2000
LEARNING_RATE = 0.1  # 0.01 to 1
PAIRS = 0  # products of neighbouring points as inputs too, 0 to 1


def inputs_of(pictures):
    parts = [pictures]
    if PAIRS:
        parts += [pictures[:, :, 1:] * pictures[:, :, :-1], pictures[:, 1:] * pictures[:, :-1]]
    return np.concatenate([part.reshape(len(pictures), -1) for part in parts], axis=1)


def main():
    data, artifact = Path(os.environ["AUTORESEARCH_DATA"]), Path(os.environ["AUTORESEARCH_ARTIFACT"])
    rng = np.random.default_rng(int(os.environ["AUTORESEARCH_SEED"]))
    inputs, targets = inputs_of(np.load(data / "train/pictures.npy")), np.eye(10)[np.load(data / "train/labels.npy")]
    weights = 0.1 * rng.standard_normal((inputs.shape[1], 10))
    for _ in range(STEPS):
        logits = inputs @ weights
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        weights -= LEARNING_RATE * inputs.T @ (chances - targets) / len(inputs)
    np.save(artifact / "weights.npy", weights)
    print("---")
    print(f"inputs:           {inputs.shape[1]}")


def load(artifact):
    weights = np.load(artifact / "weights.npy")
    return lambda picture: inputs_of(picture[None])[0] @ weights


if __name__ == "__main__":
    main()
