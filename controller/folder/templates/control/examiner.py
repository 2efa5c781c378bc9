"""Steps a pendulum, from beginnings and with weights that only this file reads; the candidate returns torques."""

import json
import math

from exam.examiner import Array, Episodes

STEPS, SECONDS = 100, 0.05


class Pendulum(Episodes):
    metric = "return"
    direction = "maximize"
    asks = Array("float64", (3,))
    answers = Array("float64", (1,))
    answer_seconds = 5.0

    def items(self, folder):
        return json.loads((folder / "episodes.json").read_text())

    def play(self, item, ask):
        angle, speed, total, upright = item["angle"], item["speed"], 0.0, 0
        for _ in range(STEPS):
            torque = min(2.0, max(-2.0, float(ask([math.cos(angle), math.sin(angle), speed])[0])))
            off = (angle + math.pi) % (2 * math.pi) - math.pi
            total -= off**2 + 0.1 * speed**2 + 0.001 * torque**2
            upright += abs(off) < 0.2
            speed += (15 * math.sin(angle) + 3 * torque / item["weight"]) * SECONDS
            speed = min(8.0, max(-8.0, speed))
            angle += speed * SECONDS
        return {"return": total / STEPS, "upright": upright / STEPS}
