"""Draws arrays, and seals them. The agent reads this file: the arrays themselves are hidden."""

import secrets

import numpy as np
from exam.sealing import begin, seal


def main():
    data = begin()
    draw = np.random.default_rng(secrets.randbits(128))
    for part, count in {"validation": 60, "holdout": 60, **{f"reserve/{n:03d}": 20 for n in range(40)}}.items():
        (data / part).mkdir(parents=True)
        for number in range(count):
            np.save(data / part / f"{number:03d}.npy", draw.integers(0, 1000, int(draw.integers(200, 1500))))
    print(f"data: 60 arrays of validation, sealed {seal(data)[:4]}")


if __name__ == "__main__":
    main()
