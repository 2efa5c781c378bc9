"""A policy for a pendulum. `main` writes its gains, `load` returns the policy, which is reset before each episode."""

import json
import math
import os
from pathlib import Path

GAIN = 4.0  # torque against the angle, 0 to 40
DAMPING = 0.2  # torque against the speed, 0 to 10
PUMP = 0.5  # torque that swings it up, 0 to 2


def main():
    artifact = Path(os.environ["AUTORESEARCH_ARTIFACT"])
    (artifact / "gains.json").write_text(json.dumps({"gain": GAIN, "damping": DAMPING, "pump": PUMP}))
    print("---")
    print("parameters:       3")


class Policy:
    def __init__(self, gains):
        self.gains = gains
        self.steps = 0

    def reset(self):
        self.steps = 0

    def __call__(self, observation):
        cosine, sine, speed = observation
        self.steps += 1
        if cosine > 0.7:
            torque = -self.gains["gain"] * sine - self.gains["damping"] * speed
        else:
            torque = math.copysign(self.gains["pump"], speed if speed else 1.0)
        return [max(-2.0, min(2.0, float(torque)))]


def load(artifact):
    return Policy(json.loads((artifact / "gains.json").read_text()))


if __name__ == "__main__":
    main()
