"""How often a claim is wrong where two programs are equal, and what gain it finds.

The tables of docs/statistics.md: `python -m tests.bench studies`. About a minute on one core.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from controller.studies import student
from controller.studies.claim import POWER, TAIL, default_seeds
from controller.studies.comparison import Word, compare

CLAIMS = 20_000
SEEDS = (3, 5, 8, 13)

Draw = Callable[[random.Random], float]


def measure() -> dict[str, float]:
    """Shares of simulated claims."""
    numbers: dict[str, float] = {"default seeds a side": default_seeds()}
    for seeds in (2, *SEEDS):
        numbers[f"gain found in 9 of 10, sigma, n={seeds}"] = student.effect_found(seeds, tail=TAIL, power=POWER)
    worlds: dict[str, tuple[Draw, Draw]] = {
        "equal, normal": (_normal, _normal),
        "equal means, one noisier x3": (_normal, lambda draw: draw.gauss(0.0, 3.0)),
        "equal, a tenth of the runs x3 noisier": (_outlying, _outlying),
        "equal, success rate .9 of ten": (_success, _success),
    }
    for name, (one, other) in worlds.items():
        for seeds in SEEDS:
            words = _simulate(one, other, seeds=seeds)
            numbers[f"better, per 1,000: {name}, n={seeds}"] = 1000 * words[Word.BETTER] / CLAIMS
    words = _simulate(lambda draw: draw.gauss(2.0, 1.0), _normal, seeds=default_seeds())
    numbers["2 sigma found, share, default"] = words[Word.BETTER] / CLAIMS
    return numbers


def _simulate(one: Draw, other: Draw, *, seeds: int) -> Counter[Word]:
    draw = random.Random(seeds)
    words: Counter[Word] = Counter()
    for _ in range(CLAIMS):
        sides = [[side(draw) for _ in range(seeds)] for side in (one, other)]
        compared = compare(*sides, sign=1.0, tail=TAIL)
        if compared is not None:
            words[compared.word] += 1
    return words


def _normal(draw: random.Random) -> float:
    return draw.gauss(0.0, 1.0)


def _outlying(draw: random.Random) -> float:
    return draw.gauss(0.0, 3.0 if draw.random() < 0.1 else 1.0)


def _success(draw: random.Random) -> float:
    return sum(draw.random() < 0.9 for _ in range(10)) / 10
