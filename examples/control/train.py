"""Steer an arm with two links: a pull towards the target is turned into torques.

Running it practises with arms, and leaves gains in AUTORESEARCH_ARTIFACT; `load` gives what answers the examiner.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import numpy as np
from world import STEPS, World

START = {
    "shoulder": 3.0,
    "elbow": 3.0,
}
"""Gains with which the search begins."""

SMOOTH = 0.5  # share of what a motor did before in what it does next, 0 to 0.95
ARMS = 5  # arms to practise with, 1 to 24
ROUNDS = 5  # of the search, each through all gains, 4 to 40
UPPER, LOWER = 0.5, 0.4
"""Lengths of the links, in metres."""


class Policy:
    """Torques of the motors for what is observed."""

    def __init__(self, gains: dict[str, float]) -> None:
        self.gains = gains
        self.reset()

    def reset(self) -> None:
        """Begin an episode: the arm is another one, so that nothing is kept."""
        self.torques = [0.0, 0.0]

    def __call__(self, seen: np.ndarray) -> np.ndarray:
        """Torques, of which a motor takes -1 to 1."""
        upper, elbow, _, _, across, up = seen.tolist()
        lower = upper + elbow  # both links as angles from hanging straight down
        tip = -LOWER * math.cos(lower), LOWER * math.sin(lower)
        bend = tip[0] * across + tip[1] * up
        swing = bend - UPPER * math.cos(upper) * across + UPPER * math.sin(upper) * up
        wanted = [self.gains["shoulder"] * swing, self.gains["elbow"] * bend]
        # The motors are eased from what they did to what is wanted.
        self.torques = [SMOOTH * old + (1 - SMOOTH) * new for old, new in zip(self.torques, wanted, strict=True)]
        return np.array(self.torques)


def practise(gains: dict[str, float], arms: list[dict]) -> float:
    """Mean return of these gains, with each arm once."""
    total, policy = 0.0, Policy(gains)
    for arm in arms:
        world = World(arm)
        policy.reset()
        total += sum(world.step(policy(world.observe())) for _ in range(STEPS)) / STEPS
    return total / len(arms)


def search(arms: list[dict], until: float) -> tuple[dict[str, float], float]:
    """Change one gain after the other, and keep what is better; goes on with smaller changes where nothing is."""
    best, stride = dict(START), 2.0
    level = practise(best, arms)
    for _ in range(ROUNDS):
        before = level
        for name in best:
            for factor in (stride, 1 / stride):
                tried = {**best, name: best[name] * factor}
                if time.monotonic() < until and (found := practise(tried, arms)) > level:
                    best, level = tried, found
                    break
        if level == before:
            stride = math.sqrt(stride)
    return best, level


def main() -> None:
    """Search for gains, as long as the budget lasts."""
    until = time.monotonic() + 0.9 * float(os.environ["AUTORESEARCH_TRAIN_SECONDS"])
    arms = json.loads(Path(os.environ["AUTORESEARCH_DATA"], "train", "arms.json").read_text())
    gains, level = search(arms[:ARMS], until)
    Path(os.environ["AUTORESEARCH_ARTIFACT"], "gains.json").write_text(json.dumps(gains))
    print(f"practised: {level:.4f}")
    print(f"gains:     {gains}")


def load(artifact: Path) -> Policy:
    """Read the gains; returns the policy."""
    return Policy(json.loads((artifact / "gains.json").read_text()))


if __name__ == "__main__":
    main()
