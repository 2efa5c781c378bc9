"""Fits a polynomial by gradient descent and prints its loss on points that it was not fitted to."""

import os

import numpy as np

DEGREE = 3  # of the polynomial, 1 to 12
LEARNING_RATE = 0.03  # 0.001 to 0.3
STEPS = 300  # of gradient descent, 50 to 3000


def main():
    rng = np.random.default_rng(int(os.environ["AUTORESEARCH_SEED"]))
    x = np.linspace(-1, 1, 200)
    y = np.sin(4 * x) + 0.1 * rng.normal(size=x.size)
    powers = x[:, None] ** np.arange(DEGREE + 1)
    fitted, held_out = np.arange(0, 200, 2), np.arange(1, 200, 2)
    weights = np.zeros(DEGREE + 1)
    for _ in range(STEPS):
        error = powers[fitted] @ weights - y[fitted]
        weights -= LEARNING_RATE * 2 * powers[fitted].T @ error / len(fitted)
    loss = float(((powers[held_out] @ weights - y[held_out]) ** 2).mean())
    print("---")
    print(f"val_loss:         {loss:.6f}")


if __name__ == "__main__":
    main()
