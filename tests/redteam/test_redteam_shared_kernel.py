"""Two attacks through what sandboxes of one machine share: both ended in a confident keep before it was closed."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from controller.domain import Result
from controller.executor.local import reaper
from controller.executor.local.cgroups import Limits
from controller.executor.local.find_cgroups import find_cgroups
from tests.redteam import shared_kernel
from tests.redteam.candidates.page_cache_note import find_by_mincore, write_cold
from tests.redteam.exams import CANDIDATES
from tests.support.local_task import TaskFolders, make_settings
from tests.support.needs import SANDBOX, give_up


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskFolders]:
    folders = shared_kernel.make_task(tmp_path_factory.mktemp("shared"))
    yield folders
    shutil.rmtree(folders.work, ignore_errors=True)


@pytest.fixture(scope="module")
def honest_score(folders: TaskFolders) -> float:
    return shared_kernel.honest_score(folders)


def gains_nothing(result: Result, honest_score: float) -> None:
    """An attack ends in `rejected`, or scores as the honest model does."""
    gained = shared_kernel.gain(result, honest_score)
    assert "looks ahead: nll is" in result.reason if gained is None else gained <= 1e-3, result


@pytest.mark.parametrize("way", shared_kernel.WAYS)
def test_exam_passes_nothing_on_to_its_probe_by_what_the_kernel_remembers(
    folders: TaskFolders, honest_score: float, way: str
) -> None:
    result, said = shared_kernel.to_probe(folders, way)

    assert "heard 0 sequences" in said
    gains_nothing(result, honest_score)


@pytest.mark.parametrize("way", shared_kernel.WAYS)
def test_exam_passes_nothing_on_to_the_next_training(folders: TaskFolders, honest_score: float, way: str) -> None:
    result, said = shared_kernel.from_exam(folders, way)

    assert "heard 0 sequences" in said
    gains_nothing(result, honest_score)


@pytest.mark.parametrize("way", shared_kernel.WAYS)
def test_a_note_arrives_where_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """The attacks are real: between two processes of one user the whole note is there."""
    monkeypatch.syspath_prepend(CANDIDATES)
    note = importlib.import_module("page_cache_note")
    note.write_cold(tmp_path / "pad", 1024)
    note.make_full(tmp_path / "pad")
    bits = np.random.default_rng(3).integers(0, 2, 1024).astype(bool)

    note.LEAVES.get(way, note.leave)(tmp_path / "pad", bits)
    found = note.WAYS[way](tmp_path / "pad", 1024)

    assert (found != bits).mean() < 0.1


def test_pages_are_given_up_although_the_controller_was_killed(tmp_path: Path) -> None:
    """The reaper outlives the controller; closing its standard input is what the kernel does when that dies."""
    limits = Limits.of(make_settings().executor.limits, cpus=None)
    cgroups = find_cgroups(tmp_path, limits)
    if cgroups is None:
        give_up("no cgroup can be made here", required_by=SANDBOX)
    note, cgroup = tmp_path / "note", cgroups.make("reaper", limits)
    write_cold(note, 1024)
    read = f"import time; open({str(note)!r}, 'rb').read(); print('read', flush=True); time.sleep(3600)"
    status, end = os.pipe()
    places = ":".join(map(str, cgroup.procs))
    command = [sys.executable, "-I", "-S", reaper.__file__, str(end), "", places, "", sys.executable, "-c", read]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(end,)) as running_reaper:
        assert running_reaper.stdout is not None
        assert running_reaper.stdin is not None
        assert running_reaper.stdout.readline() == b"read\n"
        running_reaper.stdin.close()
    os.close(status)
    os.close(end)

    assert not find_by_mincore(note, 1024).any()
    assert not any(procs.parent.exists() for procs in cgroup.procs)
