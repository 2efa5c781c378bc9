"""The defaults that follow the device: a campaign on a GPU gets another budget and other data than one on CPUs.

This is the one place for these numbers. Settings files, both executors, `prepare`, the chart and the generated pages
take them from here. It is pure. A setting that is given always wins, and a limit that is given replaces all limits
here, so that `budget.dollars=40` is not ended by a default of eight hours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

LIMITS = ("experiments", "hours", "gpu_hours", "dollars")
"""The keys of `budget` that end a campaign; one of them must be given."""

RUNS_PER_EXPERIMENT = 1.5
"""For forecasts, from campaigns of the demo: most edits run once, those that look good again with fresh seeds."""


class Device(StrEnum):
    """The kind of processor that trains. Its value is also the name of the preset of the data."""

    CPU = "cpu"
    GPU = "gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Defaults of a campaign on one kind of device. A limit of None does not limit."""

    train_seconds: float
    """Wall-clock seconds of one training."""

    experiments: int | None = None
    hours: float | None = None
    """Hours on the clock since the campaign began."""

    gpu_hours: float | None = None
    dollars: float | None = None
    preset: Device
    """The sizes of data and exam that `prepare.py` makes."""

    memory_gb: float
    """Main memory of one phase on one machine, in GiB. On a cluster `executor.kubernetes.memory` says it."""

    exam_seconds: float
    """Seconds that the exam of the shipped task takes beside the training, on two cores; for forecasts only."""

    def limits(self) -> dict[str, float | None]:
        """The limits by their keys in `budget`."""
        return {name: getattr(self, name) for name in LIMITS}


def defaults_of(device: Device) -> Defaults:
    """The defaults of a campaign that trains on `device`."""
    if device is Device.GPU:
        # The first step compiles for up to a minute, with one process per core. Eight hours are a night.
        return Defaults(train_seconds=300, hours=8, dollars=20, preset=Device.GPU, memory_gb=32, exam_seconds=45)
    return Defaults(train_seconds=20, experiments=8, preset=Device.CPU, memory_gb=8, exam_seconds=6)


def as_document() -> dict[str, Any]:
    """The defaults for the chart, whose templates cannot call this module; they are written to helm/defaults.json."""
    document = {}
    for device in Device:
        defaults = defaults_of(device)
        document[str(device)] = {
            "train_seconds": defaults.train_seconds,
            "limits": defaults.limits(),
            "preset": str(defaults.preset),
            "exam_seconds": defaults.exam_seconds,
            "runs_per_experiment": RUNS_PER_EXPERIMENT,
        }
    return document


def by_device(setting: str) -> dict[Device, object] | None:
    """A setting's default on each device; None if it has one everywhere. `setting` is a path: `budget.hours`."""
    group, _, name = setting.rpartition(".")
    followed = {"budget": ("train_seconds", *LIMITS), "task": ("preset",), "executor.limits": ("memory_gb",)}
    if name not in followed.get(group, ()):
        return None
    return {device: getattr(defaults_of(device), name) for device in Device}


def cluster_device(*, gpus: int, extra_resources: Iterable[str] = (), claims: int = 0) -> Device:
    """The device of an attempt's pod, by what the pod asks for.

    A claim of dynamic resource allocation and a resource such as `nvidia.com/mig-1g.10gb` are taken for GPUs.
    """
    named = any(re.search(r"(^|[^a-z])(gpu|mig)([^a-z]|$)", name.lower()) for name in extra_resources)
    return Device.GPU if gpus > 0 or claims > 0 or named else Device.CPU


def with_defaults(document: Mapping[str, Any], here: Callable[[], Device]) -> dict[str, Any]:
    """The settings document with everything filled in that follows the device and that it leaves open.

    `here` looks at this machine. It is called only if the campaign trains here and the answer matters. A document that
    is not valid is returned as it is, so that its validation can complain.
    """
    groups = {name: document.get(name, {}) for name in ("budget", "task", "executor")}
    if not all(isinstance(group, Mapping) for group in groups.values()):
        return dict(document)
    budget, task, executor = (dict(group) for group in groups.values())
    local = executor.get("kind", "local") != "kubernetes"
    limits = executor.get("limits", {})
    limited = any(name in budget for name in LIMITS)
    sized = "preset" in task or task.get("score") == "log"
    bounded = not local or not isinstance(limits, Mapping) or "memory_gb" in limits
    if limited:
        budget = dict.fromkeys(LIMITS) | budget
    if not (limited and sized and bounded and "train_seconds" in budget):
        defaults = defaults_of(here() if local else _device_of_cluster(executor))
        if not limited:
            budget = defaults.limits() | budget
        budget = {"train_seconds": defaults.train_seconds} | budget
        if not sized:
            task["preset"] = _preset_asked_for(task) or str(defaults.preset)
        if not bounded:
            executor["limits"] = {"memory_gb": defaults.memory_gb} | dict(limits)
    return {**document, "budget": budget, "task": task, "executor": executor}


def preset_among(arguments: Sequence[str]) -> str:
    """The preset that arguments of `prepare.py` ask for, which wins over any other; empty if they ask for none."""
    words = []
    for argument in arguments:
        words += argument.split("=", 1)
    asked = ""
    for option, value in pairwise(words):
        if option == "--preset":
            asked = value
    return asked


def _preset_asked_for(task: Mapping[str, Any]) -> str:
    """The preset among the arguments of `prepare.py`, if it is one of the shipped task's."""
    arguments = task.get("prepare")
    asked = preset_among([str(word) for word in arguments]) if isinstance(arguments, (list, tuple)) else ""
    return asked if asked in list(Device) else ""


def _device_of_cluster(executor: Mapping[str, Any]) -> Device:
    """The device of a campaign on a cluster, from a group of settings that nobody has validated yet."""
    cluster = executor.get("kubernetes")
    if not isinstance(cluster, Mapping):
        return cluster_device(gpus=1)
    extra, claims = cluster.get("extra_resources"), cluster.get("resource_claims")
    return cluster_device(
        gpus=_whole_number(cluster.get("gpus"), otherwise=1),
        extra_resources=[str(name) for name in extra] if isinstance(extra, Mapping) else (),
        claims=len(claims) if isinstance(claims, (list, tuple)) else 0,
    )


def _whole_number(value: object, *, otherwise: int) -> int:
    """The number that `value` stands for, as a settings file may also quote it."""
    try:
        return int(float(str(value)))
    except ValueError:
        return otherwise
