"""Draws pictures of digits and seals them: `python prepare.py --data DIR`. The agent may read this file."""

import secrets

import numpy as np
from exam.sealing import begin, seal

GLYPHS = (
    *("111101101101111", "010110010010111", "111001111100111", "111001111001111", "101101111001001"),
    *("111100111001111", "111100111101111", "111001001001001", "111101111101111", "111101111001111"),
)
"""The ten digits, each on 5 rows of 3 points."""


def draw_pictures(count, rng):
    labels = rng.integers(0, 10, count)
    pictures = 0.35 * rng.standard_normal((count, 8, 8))
    for picture, label in zip(pictures, labels, strict=True):
        row, column = rng.integers(1, 3), rng.integers(2, 4)
        picture[row : row + 5, column : column + 3] += np.array(list(GLYPHS[label]), float).reshape(5, 3)
    return pictures.astype(np.float32), labels


def main():
    data = begin()
    # A seed that stands nowhere: with a fixed one the agent's code could draw the hidden pictures itself.
    rng = np.random.default_rng(secrets.randbits(128))
    sizes = {"train": 1500, "validation": 600, "holdout": 600, **{f"reserve/{n:03d}": 80 for n in range(40)}}
    for part, count in sizes.items():
        pictures, labels = draw_pictures(count, rng)
        (data / part).mkdir(parents=True)
        np.save(data / part / "pictures.npy", pictures)
        np.save(data / part / "labels.npy", labels)
    print(f"data: 1500 pictures to learn from, 600 of validation, sealed {seal(data)[:4]}")


if __name__ == "__main__":
    main()
