"""What is written into the kernel's files of a cgroup; what the kernel makes of it is in tests/redteam and sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.executor.local.cgroups import Cgroup


@pytest.mark.parametrize(("version", "name"), [(1, "memory.force_empty"), (2, "memory.high")])
def test_the_kernel_is_asked_to_give_up_all_memory(tmp_path: Path, version: int, name: str) -> None:
    """In version 2 a limit of 0 for `memory.high` reclaims at once, and unlike `memory.max` never kills."""
    for file in ("memory.force_empty", "memory.high", "memory.max"):
        (tmp_path / file).write_text("max")

    Cgroup({"memory": tmp_path}, version).reclaim()

    written = [path.name for path in tmp_path.iterdir() if path.read_text() == "0"]
    assert written == [name]
