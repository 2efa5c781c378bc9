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
from exam.language.rehearsal import Language, make_data

from controller.domain import Outcome, Result
from controller.executor.local import reaper
from controller.executor.local.cgroups import Limits
from controller.executor.local.find_cgroups import find_cgroups
from tests.redteam.candidates.page_cache_note import find_by_mincore, write_cold
from tests.redteam.exams import CANDIDATES
from tests.support.local_task import EXAM, TaskFolders, make_request, make_settings, running
from tests.support.needs import SANDBOX, give_up

TRAIN = """

if __name__ == "__main__":
    import os, shutil
    shutil.copy(os.environ["AUTORESEARCH_DATA"] + "/train/table.npy", os.environ["AUTORESEARCH_ARTIFACT"])
    if "prepare" in globals():
        prepare(os.environ["AUTORESEARCH_ARTIFACT"])
    print("---")
    print("val_bpb:          0.100000")
"""
SEQUENCES, LIBRARY_BITS = 128, 64 + 32 * 32 * 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskFolders]:
    """A task with the real exam, and a file that all of its attempts see."""
    folder = tmp_path_factory.mktemp("shared")
    folders, language = TaskFolders(folder / "task", folder / "campaign"), Language.draw(64, seed=1)
    folders.task.mkdir()
    shutil.copytree(EXAM, folders.task / "exam")
    for name in ("tiny_model.py", "page_cache_note.py"):
        shutil.copy(CANDIDATES / name, folders.task)
    shutil.copy(CANDIDATES / "honest_float32.py", folders.task / "train.py")
    (folders.task / "library.bin").write_bytes(os.urandom(LIBRARY_BITS * 8192))
    make_data(folders.data, language, sequences=SEQUENCES, probes=SEQUENCES)
    (folders.data / "train").mkdir()
    np.save(folders.data / "train/table.npy", language.logits)
    yield folders
    shutil.rmtree(folders.work, ignore_errors=True)


def attempts(folders: TaskFolders, *sources: str) -> list[tuple[Result, dict[str, str]]]:
    """Run attempts one after the other, each with its logs."""
    ended = []
    with running(folders) as (executor, ends):
        for source in sources:
            number = len(list(folders.work.glob("t-e*"))) + 1
            request = make_request(source + TRAIN, experiment=number)
            executor.launch(request)
            ended.append((ends.wait(), dict(folders.logs(request))))
    return ended


def source_of(candidate: str, way: str) -> str:
    return (CANDIDATES / f"{candidate}.py").read_text().replace('WAY = "mincore"', f'WAY = "{way}"')


def forget_pages(path: Path) -> None:
    """Take a file out of the page cache, as it is before anybody has read it."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


@pytest.fixture(scope="module")
def honest_score(folders: TaskFolders) -> float:
    [(result, _)] = attempts(folders, (CANDIDATES / "honest_float32.py").read_text())
    assert result.outcome is Outcome.SCORED, result
    assert result.score is not None
    return result.score.value


def gains_nothing(result: Result, honest_score: float) -> None:
    """An attack ends in `rejected`, or scores as the honest model does."""
    if result.outcome is Outcome.REJECTED:
        assert "looks ahead: nll is" in result.reason
    else:
        assert result.score is not None, result
        assert result.score.value >= honest_score - 1e-3


@pytest.mark.parametrize("way", ["mincore", "timing"])
def test_probe_passes_nothing_on_by_the_page_cache(folders: TaskFolders, honest_score: float, way: str) -> None:
    [(result, logs)] = attempts(folders, source_of("passes_the_probe_on_by_the_page_cache", way))

    assert "left 1" in logs["probe"], logs  # of 128 positions some share a page
    gains_nothing(result, honest_score)


@pytest.mark.parametrize("way", ["mincore", "timing"])
def test_exam_passes_nothing_on_to_the_next_training(folders: TaskFolders, honest_score: float, way: str) -> None:
    forget_pages(folders.task / "library.bin")
    source = source_of("leaves_the_exam_for_the_next_training", way)

    (_, first), (result, second) = attempts(folders, source, source.replace("SECOND = False", "SECOND = True"))

    assert "left 32 sequences" in first["candidate"], first
    assert "heard 0 sequences" in second["train"]
    gains_nothing(result, honest_score)


@pytest.mark.parametrize("way", ["mincore", "timing"])
def test_a_note_in_the_page_cache_arrives_where_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The attacks are real: between two processes of one user the whole note is there."""
    monkeypatch.syspath_prepend(CANDIDATES)
    note = importlib.import_module("page_cache_note")
    note.write_cold(tmp_path / "pad", 1024)
    bits = np.random.default_rng(3).integers(0, 2, 1024).astype(bool)

    note.leave(tmp_path / "pad", bits)
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
