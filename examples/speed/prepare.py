"""Draw and seal the pairs of texts of the speed task. Nothing hidden follows from this file: the system draws."""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

from exam.sealing import is_sealed, seal

QUESTIONS = {"validation": 60, "holdout": 60, "reserve": 16}
"""Questions of each part; of the reserve, of each slice."""

PAIRS = 8
"""Pairs of texts in one question."""

LENGTHS = (20, 160)
"""Fewest and most letters of a text before it is edited."""

LETTERS = "abcdefghijklmnopqrstuvwxyz "


def draw_pair(chance: random.Random) -> list[str]:
    """A text, and the same text with some edits, or in one of four cases another one."""
    first = [chance.choice(LETTERS) for _ in range(chance.randint(*LENGTHS))]
    second = list(first)
    for _ in range(chance.randrange(1 + len(first) // 4)):
        at = chance.randrange(len(second))
        second[at : at + chance.randrange(2)] = chance.choice(LETTERS) * chance.randrange(2)
    if chance.random() < 0.25:
        chance.shuffle(second)
    return ["".join(first), "".join(second)]


def measure(first: str, second: str) -> int:
    """The edit distance by the plain recurrence, one row after the other: the reference."""
    row = list(range(len(second) + 1))
    for number, letter in enumerate(first, start=1):
        above, row = row, [number]
        for place, other in enumerate(second, start=1):
            row.append(min(above[place] + 1, row[-1] + 1, above[place - 1] + (letter != other)))
    return row[-1]


def main() -> int:
    """Write the folder, unless it is there already."""
    options = argparse.ArgumentParser()
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--slices", type=int, default=48, help="slices of the reserve")
    chosen = options.parse_args()
    if is_sealed(chosen.data):
        return 0
    chance = random.SystemRandom()
    for name in ("validation", "holdout", *(f"reserve/{number:03d}" for number in range(chosen.slices))):
        part = chosen.data / name
        part.mkdir(parents=True, exist_ok=True)
        questions = []
        for _ in range(QUESTIONS[name.partition("/")[0]]):
            pairs = [draw_pair(chance) for _ in range(PAIRS)]
            questions.append({"pairs": pairs, "distances": [measure(*pair) for pair in pairs]})
        (part / "questions.json").write_text(json.dumps(questions))
    seal(chosen.data, source="pairs of random texts")
    print(f"{QUESTIONS['validation']} questions of {PAIRS} pairs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
