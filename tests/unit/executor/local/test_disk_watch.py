"""Who is killed for a disk that is too full, and how often the disk is looked at."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from controller.executor.local import disk_watch
from controller.executor.local.disk_watch import FREE_BYTES, Bound, DiskWatch, find_excess
from controller.executor.local.process import TICK_S, Cause


def artifact_in(folder: Path) -> Bound:
    """One MiB in twenty files."""
    return Bound(folder, 2**-10, "executor.limits.artifact_gb", 20)


Machine = SimpleNamespace


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A clock and a disk that the test sets."""
    state = SimpleNamespace(now=1000.0, free=10 * 2**30)
    monkeypatch.setattr(time, "monotonic", lambda: state.now)
    monkeypatch.setattr(disk_watch, "room_on", lambda _: state.free)
    return state


def watch_of(folder: Path) -> DiskWatch:
    (folder / "artifact").mkdir()
    return DiskWatch(folder, {"artifact": artifact_in(folder / "artifact")})


def test_who_goes_beyond_his_limit_is_killed_for_that_although_the_disk_is_full(
    tmp_path: Path, machine: Machine
) -> None:
    disk = watch_of(tmp_path)
    assert disk.look() is None
    (tmp_path / "artifact" / "x").write_bytes(b"x" * 2**21)
    machine.free = 0

    trouble = disk.look()

    assert trouble is not None
    assert trouble.cause is Cause.OVERSIZE
    assert trouble.detail == "artifact passed its limit of 0.000976562 GB (executor.limits.artifact_gb)"


def test_neighbour_within_its_limits_is_killed_only_if_the_disk_stays_full(tmp_path: Path, machine: Machine) -> None:
    disk = watch_of(tmp_path)
    machine.free = FREE_BYTES - 1
    assert disk.look() is None
    machine.now += 1.9
    assert disk.look() is None
    machine.free = FREE_BYTES
    assert disk.look() is None
    machine.free = 0
    machine.now += 1.9
    assert disk.look() is None
    machine.now += 2.0

    trouble = disk.look()

    assert trouble is not None
    assert trouble.cause is Cause.DISK_FULL
    assert disk.was_full


@pytest.mark.parametrize(
    ("free", "pause"), [(100 * 2**30, TICK_S), (FREE_BYTES + 2**30, 0.125), (FREE_BYTES, 0.02), (0, 0.02)]
)
def test_nearly_full_disk_is_looked_at_more_often(tmp_path: Path, machine: Machine, free: int, pause: float) -> None:
    machine.free = free

    assert watch_of(tmp_path).pause() == pause


def make_hole(folder: Path) -> None:
    """A file of 1 TiB that takes no room on the disk."""
    (folder / "s").touch()
    os.truncate(folder / "s", 2**40)


@pytest.mark.parametrize(
    ("fill", "excess"),
    [
        pytest.param(lambda f: [(f / str(n)).touch() for n in range(20)], "", id="as many as allowed"),
        pytest.param(
            lambda f: [(f / str(n)).mkdir() for n in range(21)],
            "passed its limit of 20 files and folders (executor.limits.artifact_files)",
            id="too many",
        ),
        pytest.param(lambda f: (f / "l").symlink_to("/"), "", id="a link leads nowhere"),
        pytest.param(make_hole, "", id="a hole"),
        pytest.param(lambda f: f.rmdir(), "", id="gone"),
    ],
)
def test_what_counts_as_too_much(tmp_path: Path, fill: Callable[[Path], object], excess: str) -> None:
    folder = tmp_path / "artifact"
    folder.mkdir()
    fill(folder)

    assert find_excess(artifact_in(folder)) == excess
