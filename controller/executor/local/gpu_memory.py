"""Asks NVIDIA's own program how much memory a GPU has, for people and agents to know; nothing depends on the answer."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence

from controller.executor.local.gpus import Accelerator
from controller.settings import search_path

PROGRAM = "nvidia-smi"

LONGEST_SECONDS = 10.0
"""Most seconds for the answer: the driver may have to wake the GPU first."""


def find_gpu_memory(accelerator: Accelerator, *, ask: Callable[[Sequence[str]], str] | None = None) -> str:
    """Memory of a whole GPU, such as `143771 MiB`; empty if it is a slice, or if nobody tells."""
    if accelerator.sliced:
        return ""
    answer = (ask or _ask_program)(
        # It takes a UUID, a place on the bus, or a number of the driver's own, which another start may change.
        [f"--id={accelerator.identity}", "--query-gpu=memory.total", "--format=csv,noheader"]
    )
    amount, _, unit = answer.strip().partition(" ")
    return f"{amount} {unit}" if amount.isdigit() and unit in ("MiB", "GiB") else ""


def _ask_program(arguments: Sequence[str]) -> str:
    """The output of the program; empty if it is missing, fails, or takes too long."""
    program = shutil.which(PROGRAM, path=search_path())
    if program is None:
        return ""
    try:
        ended = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
            start_new_session=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ended.stdout if ended.returncode == 0 else ""
