"""Tells in sentences what each training of a campaign gets: seconds, device, memory, CPUs, packages. Pure.

Whoever proposes an edit should know what an engineer beside the machine knows. Everything comes from the settings and
from what was seen of this machine; a cluster's device is told by its runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.settings import Settings

SHOWN_PACKAGES = (
    "torch",
    "triton",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "xgboost",
    "lightgbm",
    "jax",
    "jaxlib",
    "flax",
    "tensorflow",
    "transformers",
    "flash-attn",
    "einops",
    "safetensors",
    "tokenizers",
    "tiktoken",
    "rustbpe",
    "gymnasium",
    "pyarrow",
)
"""Packages that matter to a training, in the order in which they are told; of the others an edit rarely needs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Facts about the machine that trains; all unknown on a cluster."""

    devices: Sequence[str] = ()
    """Names of the accelerators, one of which a training gets; empty if it trains on CPUs."""

    device_memory: str = ""
    """Memory of one of them, such as `143771 MiB`; empty if it is not known."""

    cpus: int | None = None
    """CPUs that one training may use."""

    python: str = ""
    """Version of Python."""

    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of installed packages by name."""


def tell_training(settings: Settings, machine: Machine) -> tuple[str, ...]:
    """One sentence or clause for each fact."""
    facts = [f"{settings.budget.train_seconds:g} seconds of training by the clock, start-up and compiling included"]
    if settings.executor.kind == "kubernetes":
        facts += _tell_pod(settings)
    else:
        facts += _tell_local(settings, machine)
    facts.append(
        f"an artifact of at most {settings.executor.limits.artifact_gb:g} GiB, "
        f"{settings.executor.limits.scratch_gb:g} GiB of /tmp; no network"
    )
    if settings.task.score == "exam":
        facts.append(f"an exam of at most {settings.deadlines.examine:g} seconds afterwards, on the same device")
    if most := settings.task.line_limit:
        facts.append(f"at most {most} lines in each edited file: an edit that makes one longer is sent back")
    slots = settings.executor.slots
    facts.append(f"{slots} {'trainings run' if slots > 1 else 'training runs'} at a time")
    return tuple(facts)


def _tell_local(settings: Settings, machine: Machine) -> list[str]:
    facts = []
    if machine.devices:
        memory = f" with {machine.device_memory}" if machine.device_memory else ""
        facts.append(f"one accelerator: {machine.devices[0]}{memory}")
    else:
        facts.append("no accelerator: it trains on CPUs")
    if machine.cpus:
        facts.append(f"{machine.cpus} CPU threads")
    facts.append(f"{settings.executor.limits.memory_gb:g} GiB of main memory")
    if machine.python:
        known = [f"{name} {machine.packages[name]}" for name in SHOWN_PACKAGES if name in machine.packages]
        facts.append(", ".join([f"Python {machine.python}", *known]) + "; other packages may be missing")
    return facts


def _tell_pod(settings: Settings) -> list[str]:
    cluster = settings.executor.kubernetes
    device = f"{cluster.gpus} x {cluster.gpu_resource}" if cluster.gpus else "no accelerator: it trains on CPUs"
    if cluster.extra_resources:
        device = ", ".join(f"{count} x {name}" for name, count in cluster.extra_resources.items())
    facts = [device, f"{cluster.cpu} CPUs", f"{cluster.memory} of main memory"]
    if cluster.image:
        facts.append(f"the packages of the image {cluster.image}; there is no way to install others")
    return facts
