"""Draw and seal the arms of the control task. Nothing hidden follows from this file: the system draws."""

from __future__ import annotations

import argparse
import json
import math
import random
import secrets
import sys
from pathlib import Path
from typing import Any

from exam.sealing import is_sealed, seal

ARMS = {"train": 24, "validation": 40, "holdout": 60, "reserve": 16}
"""Arms of each part; of the reserve, of each slice. Each is one episode."""

FACTORS = {
    "upper": (0.7, 1.3),
    "lower": (0.7, 1.3),
    "load": (0.0, 4.0),
    "friction": (0.5, 2.0),
    "strength": (0.8, 1.25),
}
"""By which factors masses, friction and motors differ from arm.xml."""

TARGETS = 3
"""Targets of an episode, one after the other."""


def draw_target(chance: random.Random) -> list[float]:
    """A place that every arm reaches, in metres sideways and up from the shoulder."""
    distance, angle = chance.uniform(0.35, 0.85), chance.uniform(-2.4, 2.4)
    return [distance * math.sin(angle), -distance * math.cos(angle)]


def draw_arm(chance: random.Random) -> dict[str, Any]:
    """An arm with what it is to do: how its parts differ, where it begins, and its targets."""
    return {
        **{name: chance.uniform(*bounds) for name, bounds in FACTORS.items()},
        "angles": [chance.uniform(-0.5, 0.5) for _ in range(2)],
        "targets": [draw_target(chance) for _ in range(TARGETS)],
    }


def main() -> int:
    """Write the folder, unless it is there already."""
    options = argparse.ArgumentParser()
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--slices", type=int, default=48, help="slices of the reserve")
    chosen = options.parse_args()
    if is_sealed(chosen.data):
        return 0
    chance = secrets.SystemRandom()
    for name in ("train", "validation", "holdout", *(f"reserve/{number:03d}" for number in range(chosen.slices))):
        part = chosen.data / name
        part.mkdir(parents=True, exist_ok=True)
        arms = [draw_arm(chance) for _ in range(ARMS[name.partition("/")[0]])]
        (part / "arms.json").write_text(json.dumps(arms, indent=0))
    seal(chosen.data, source="random arms")
    print(f"{ARMS['train']} arms to practise with, {ARMS['validation']} an exam and {ARMS['reserve']} fresh ones")
    return 0


if __name__ == "__main__":
    sys.exit(main())
