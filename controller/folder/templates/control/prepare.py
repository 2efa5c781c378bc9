"""Draws the beginnings of episodes, and seals them. The agent reads this file: the numbers themselves are hidden."""

import json
import math
import secrets
from random import Random

from exam.sealing import begin, seal


def main():
    data = begin()
    draw = Random(secrets.randbits(128))
    for part, count in {"validation": 60, "holdout": 60, **{f"reserve/{n:03d}": 20 for n in range(40)}}.items():
        (data / part).mkdir(parents=True)
        episodes = [
            {"angle": draw.uniform(-math.pi, math.pi), "speed": draw.uniform(-1, 1), "weight": draw.uniform(0.7, 1.4)}
            for _ in range(count)
        ]
        (data / part / "episodes.json").write_text(json.dumps(episodes))
    print(f"data: 60 episodes of validation, sealed {seal(data)[:4]}")


if __name__ == "__main__":
    main()
