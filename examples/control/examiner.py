"""Steps hidden arms by the candidate's torques, and marks how near their tips keep to the targets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from exam.examiner import Array, Episodes
from world import STEPS, World


class Reach(Episodes):
    """What the arm's sensors say goes out at each step, torques come back. The arm itself is never shown."""

    metric, direction = "return", "maximize"
    asks, answers = Array("float64", (6,)), Array("float64", (2,))
    answer_seconds = 5.0

    def items(self, folder: Path) -> Sequence[Any]:
        """The arms, each with its targets."""
        arms: Sequence[Any] = json.loads((folder / "arms.json").read_text())
        return arms

    def play(self, item: Any, ask: Callable[[Any], Any]) -> Mapping[str, float]:
        """Mean reward of a step, and the share of steps at which the tip was nearer than 10 cm to its target."""
        world = World(item)
        rewards = [world.step(ask(world.observe())) for _ in range(STEPS)]
        return {"return": sum(rewards) / STEPS, "near": sum(reward > 0.5 for reward in rewards) / STEPS}
