"""Edit distances of pairs of texts: the fewest letters to add, drop or change that make one of the other.

There is nothing to train: running it leaves a note in AUTORESEARCH_ARTIFACT. `load` gives what answers the examiner.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np


def distance(first: str, second: str) -> int:
    """The edit distance of two texts."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for row in range(len(first) + 1):
        for column in range(len(second) + 1):
            if row == 0 or column == 0:
                table[row][column] = row + column
            elif first[row - 1] == second[column - 1]:
                table[row][column] = table[row - 1][column - 1]
            else:
                around = (table[row - 1][column - 1], table[row - 1][column], table[row][column - 1])
                table[row][column] = 1 + min(around)
    return table[-1][-1]


def load(artifact: Path) -> Callable[[list[list[str]]], np.ndarray]:
    """The function that answers a question: a list of pairs of texts."""

    def answer(pairs: list[list[str]]) -> np.ndarray:
        distances = []
        for first, second in pairs:
            longer, shorter = (first, second) if len(first) > len(second) else (second, first)
            distances.append(distance(longer, shorter))
        return np.array(distances, np.int32)

    return answer


def main() -> None:
    """Leave something to load."""
    Path(os.environ["AUTORESEARCH_ARTIFACT"], "note").write_text("nothing is learnt")


if __name__ == "__main__":
    main()
