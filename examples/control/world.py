"""The arm, in MuJoCo: the examiner steps it, and train.py practises with it. Nobody's edits change this file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

STEPS = 150
"""Steps of an episode, of .04 s each: the motors hold their torques for two steps of the simulation."""

EACH = 50
"""Steps for which a target stays."""

NEAR = 0.1
"""Distance of the tip from its target, in metres, for which a step is worth half of what it is worth at the target."""

MODEL = Path(__file__).with_name("arm.xml").read_text()


class World:
    """One episode with one arm, whose parts differ from those of arm.xml by the factors of its item."""

    def __init__(self, item: Any) -> None:
        spec = mujoco.MjSpec.from_string(MODEL)
        for name in ("upper", "lower", "load"):
            spec.geom(name).mass *= item[name]
        for joint, motor in zip(spec.joints, spec.actuators, strict=True):
            joint.damping *= item["friction"]
            motor.gear *= item["strength"]
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._data.qpos[:] = item["angles"]
        self._targets, self._step = item["targets"], 0
        mujoco.mj_forward(self._model, self._data)

    def observe(self) -> np.ndarray:
        """Angles of shoulder and elbow and their speeds, and the way from the tip to the target, sideways and up."""
        return np.array([*self._data.qpos, *self._data.qvel, *self._way()])

    def step(self, torques: Sequence[float]) -> float:
        """Let the motors pull, each by -1 to 1 of what it can; returns the reward, 0 far away and 1 at the target."""
        self._data.ctrl[:] = torques
        mujoco.mj_step(self._model, self._data, nstep=2)
        distance = math.hypot(*self._way())
        self._step += 1
        # An arm that was whirled until the simulation gave up earns nothing any more.
        broken = any(warning.number for warning in self._data.warning)
        return 0.0 if broken else 1.0 / (1.0 + (distance / NEAR) ** 2)

    def _way(self) -> tuple[float, float]:
        tip = self._data.site_xpos[0]
        across, up = self._targets[min(self._step // EACH, len(self._targets) - 1)]
        return across - tip[0], up - tip[2]
