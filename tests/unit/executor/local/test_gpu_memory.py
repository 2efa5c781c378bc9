"""The memory of a GPU is told where somebody knows it, and left out everywhere else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from controller.executor.local.gpu_memory import find_gpu_memory
from controller.executor.local.gpus import Accelerator

WHOLE = Accelerator(name="NVIDIA H200", nodes=("/dev/nvidia0",), identity="GPU-1")


def test_memory_of_the_one_gpu_is_asked_for() -> None:
    asked: list[Sequence[str]] = []

    def ask(arguments: Sequence[str]) -> str:
        asked.append(arguments)
        return "143771 MiB\n"

    assert find_gpu_memory(WHOLE, ask=ask) == "143771 MiB"
    assert asked[0][0] == "--id=GPU-1"


@pytest.mark.parametrize("answer", ["", "[N/A]\n", "No devices were found\n", "80 bananas", "\x1b[2J MiB"])
def test_an_odd_answer_is_no_memory(answer: str) -> None:
    assert find_gpu_memory(WHOLE, ask=lambda _: answer) == ""


def test_a_slice_has_less_than_its_gpu_and_nobody_is_asked() -> None:
    slice_ = Accelerator(name="MIG 1g.18gb", nodes=("/dev/nvidia0",), identity="MIG-1", sliced=True)

    assert find_gpu_memory(slice_, ask=lambda _: "143771 MiB") == ""
