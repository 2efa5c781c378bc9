"""Forecasts what a campaign takes until its budget ends: trainings, time, GPU hours and dollars.

It is pure. The limits of the budget are certain. The length of an exam and the number of trainings for one experiment
are guesses from campaigns of the shipped task, so that trainings, and all that follows from `budget.experiments`, are
approximate.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from controller.costs.slots import SlotPrices
from controller.settings import Settings
from controller.settings.defaults import RUNS_PER_EXPERIMENT, Device, defaults_of, preset_among

COMPILING_SECONDS = 60
"""The first step of a training on a GPU compiles for up to a minute, which is part of its budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The whole campaign, until the first of its limits is reached; infinite where no limit is in sight."""

    trainings: float
    clock_hours: float
    slot_hours: float
    """Accelerator hours of all slots together; a slot without accelerators counts as one."""

    slot_dollars: tuple[float, float]
    """Least and most that the slots cost: prices may differ by node pool. Calls of a model are not in it."""

    guessed: bool
    """True if the end follows from a guess, and not from a limit in hours or dollars."""


def forecast(settings: Settings, device: Device) -> Forecast:
    """Forecast the campaign."""
    budget, slots = settings.budget, settings.executor.slots
    prices = SlotPrices.of(settings)
    exam = defaults_of(device).exam_seconds if settings.task.score == "exam" else 0.0
    training_hours = (budget.train_seconds + exam) / 3600
    cheapest, dearest = prices.range
    # Hours of a slot, all slots together, after which each of the limits ends the campaign.
    by_limit = {}
    if budget.experiments:
        trainings = settings.judge.baseline_runs + RUNS_PER_EXPERIMENT * budget.experiments
        by_limit["experiments"] = trainings * training_hours
    if budget.hours:
        by_limit["hours"] = budget.hours * slots
    if budget.gpu_hours:
        by_limit["gpu_hours"] = budget.gpu_hours / prices.size
    if budget.dollars and cheapest:
        by_limit["dollars"] = budget.dollars / cheapest
    slot_time = min(by_limit.values(), default=inf)
    # Slots may be used for ever, and infinity times a price of zero is not a number.
    least = slot_time * cheapest if cheapest else 0.0
    most = min(slot_time * dearest, budget.dollars or inf) if dearest else 0.0
    return Forecast(
        trainings=slot_time / training_hours,
        clock_hours=slot_time / slots,
        slot_hours=slot_time * prices.size,
        slot_dollars=(least, most),
        guessed=slot_time == by_limit.get("experiments"),
    )


def unfit_settings(settings: Settings, device: Device) -> list[str]:
    """One sentence for each setting that was given for the other device, or that leaves the costs open."""
    budget, task = settings.budget, settings.task
    told = []
    if task.folder is None and device is Device.GPU and budget.train_seconds <= COMPILING_SECONDS:
        told.append(
            f"budget.train_seconds is {budget.train_seconds:g}, and the first step of a training on a GPU compiles for "
            f"up to {COMPILING_SECONDS} s: give it {defaults_of(device).train_seconds:g}, or leave it out"
        )
    preset = preset_among(task.prepare) or task.preset
    if task.folder is None and task.score == "exam" and preset not in (None, str(device)):
        told.append(
            f"preset {preset} is asked for, and the campaign trains on {device.upper()}s: data and exam have the size "
            f"that fits the other; leave task.preset out for preset {device}"
        )
    if task.folder is None and device is Device.GPU and not any(word.startswith("--source") for word in task.prepare):
        told.append(
            "the data are the Python library's own sources, some 4 million tokens, which a GPU reads dozens of times "
            "in one run: enough to try it out; name a text for research, task.prepare=[--source, hf:ORG/NAME]"
        )
    free = not settings.agent.asks_models
    if budget.dollars is None and budget.experiments is None and not free:
        told.append("the model's calls cost dollars that nothing limits: set budget.dollars")
    if forecast(settings, device).trainings == inf and free:
        told.append(
            "budget.dollars is the only limit, and nothing here costs any: set budget.hours, or a price in "
            "budget.gpu_dollars_per_hour"
        )
    return told
