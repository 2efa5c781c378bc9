"""Kills the controller (kill -9) at random moments of real campaigns, and checks that no experiment is lost."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from controller.lab import Lab
from tests.faults.campaign_under_fire import campaign_under_fire, check_books, processes_in


def measure(*, kills: int = 200, seed: int = 0) -> dict[str, float]:
    """Kill at least `kills` times. Raises if a campaign does not end by its budget with correct records."""
    killed = campaigns = 0
    while killed < kills:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            killed += campaign_under_fire(folder, kills=15, draw=random.Random(seed + campaigns))
            campaigns += 1
            lab = Lab.open(folder / "lab.git")
            check_books(lab.experiments("faults"), lab)
            left = processes_in(folder)
            if left:
                raise AssertionError(f"processes outlived their controller: {left}")
    return {"kills": killed, "campaigns": campaigns, "experiments lost or doubled": 0, "processes left": 0}
