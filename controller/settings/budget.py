"""The settings of what may be spent, and of when something is killed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import Field, field_validator

from controller.settings.defaults import Device, defaults_of
from controller.settings.section import LONGEST_SECONDS, Bound, Positive, Price, Seconds, Section

CPU = defaults_of(Device.CPU)
"""The defaults that follow the device; `file` puts a GPU's in their place."""


class BudgetSettings(Section):
    """The most that may be spent. The first limit that is reached ends the campaign; an empty one does not limit.

    The limits are experiments, hours, gpu_hours and dollars. Naming any of them takes the place of all default ones. A
    target and a plateau end a campaign before its limits do; experiments under way are judged first.
    """

    train_seconds: float = Field(CPU.train_seconds, ge=5, le=LONGEST_SECONDS)
    """Wall seconds of one training."""

    experiments: int | None = Field(CPU.experiments, ge=1)
    """Experiments, the baseline not counted."""

    hours: Positive | None = CPU.hours
    """Hours on the clock since the campaign began."""

    gpu_hours: Positive | None = CPU.gpu_hours
    """Slot hours of all attempts together."""

    dollars: Positive | None = CPU.dollars
    """Dollars for the model and, where a price is set, for GPUs."""

    target: Bound | None = None
    """Score that is enough: the campaign ends when the incumbent's estimated score reaches it."""

    plateau: int | None = Field(None, ge=1)
    """Judged experiments in a row without a keep after which the campaign ends."""

    gpu_dollars_per_hour: Price = 0.0
    """Price of an accelerator (of a slot without any) per hour."""

    gpu_dollars_by_pool: Mapping[str, Price] = Field(
        default_factory=dict,
    )
    """The same by node pool, `{a100: 1.8, h100: 3.9}`; a pool is known by the node's name or the node selector's
    values, globs allowed. Booked with each try, so that new prices leave the past alone."""

    @field_validator("gpu_dollars_by_pool")
    @classmethod
    def _pools_have_names(cls, pools: Mapping[str, float]) -> Mapping[str, float]:
        wrong = [pool for pool in pools if not re.fullmatch(r"[A-Za-z0-9.*?_-]+", pool)]
        if wrong:
            raise ValueError(
                f"budget.gpu_dollars_by_pool: {wrong[0]!r} names no node pool: "
                "give letters, digits, '.', '_' and '-', or a glob with '*' and '?'"
            )
        return pools


class DeadlineSettings(Section):
    """When something is killed, in seconds, on top of what the budget grants."""

    train_grace: Seconds = 30
    """From the end of the training budget to the kill."""

    examine: Seconds = 960
    """The exam, the candidate's three starts included; above the examiner's own 900."""

    pending: Seconds = 1800
    """Waiting for a place in the cluster."""

    image_pull: Seconds = 600
    """Allowance for image pull, part of the pod's deadline."""

    log_scored: Seconds | None = None
    """A log-scored run; empty: twice the training budget."""
