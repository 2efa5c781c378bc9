"""The two attacks through what sandboxes of one machine share, and their variants, as whole attempts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from controller.domain import Outcome, Result
from tests.redteam.exams import CANDIDATES
from tests.support.local_task import EXAM, TaskFolders, make_request, running

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
PROBE_SETS = 16
MODULES = ("tiny_model.py", "probe_round.py", "page_cache_note.py", "carriers.py")
WAYS = ("mincore", "timing", "counting", "mapping", "asynchronous", "names")
"""Ways in which a note is read: see page_cache_note."""


def make_task(folder: Path) -> TaskFolders:
    """A task with the real exam, and a file that all of its attempts see."""
    from exam.language.rehearsal import Language, make_data  # where `exams` looks for it

    folders, language = TaskFolders(folder / "task", folder / "campaign"), Language.draw(64, seed=1)
    folders.task.mkdir()
    shutil.copytree(EXAM, folders.task / "exam")
    for name in MODULES:
        shutil.copy(CANDIDATES / name, folders.task)
    shutil.copy(CANDIDATES / "honest_float32.py", folders.task / "train.py")
    (folders.task / "library.bin").write_bytes(os.urandom(LIBRARY_BITS * 8192))
    make_data(folders.data, language, sequences=SEQUENCES, probes=SEQUENCES, probe_sets=PROBE_SETS)
    (folders.data / "train").mkdir()
    np.save(folders.data / "train/table.npy", language.logits)
    return folders


def attempts(folders: TaskFolders, *sources: str) -> list[tuple[Result, dict[str, str]]]:
    """Run attempts one after the other, each with its logs, and each with the next probe set."""
    ended = []
    with running(folders) as (executor, ends):
        for source in sources:
            number = len(list(folders.work.glob("t-e*"))) + 1
            request = make_request(source + TRAIN, experiment=number, probe_set=number % PROBE_SETS)
            executor.launch(request)
            ended.append((ends.wait(), dict(folders.logs(request))))
    return ended


def source_of(candidate: str, way: str = "") -> str:
    """The program of an attack; way: how its note is read."""
    return (CANDIDATES / f"{candidate}.py").read_text().replace('WAY = "mincore"', f'WAY = "{way}"')


def forget_pages(path: Path) -> None:
    """Take a file out of the page cache, as it is before anybody has read it."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def honest_score(folders: TaskFolders) -> float:
    """Score of the honest model in this task."""
    [(result, _)] = attempts(folders, source_of("honest_float32"))
    assert result.outcome is Outcome.SCORED, result
    assert result.score is not None
    return result.score.value


def gain(result: Result, honest: float) -> float | None:
    """Bits per byte below the honest model's; None where an attack was rejected."""
    if result.outcome is Outcome.REJECTED:
        return None
    assert result.score is not None, result
    return honest - result.score.value


def to_probe(folders: TaskFolders, way: str) -> tuple[Result, str]:
    """Attack from the exam to its probe round; the result, and what the candidate said of what it heard."""
    forget_pages(folders.task / "library.bin")
    [(result, logs)] = attempts(folders, source_of("passes_the_exam_on_by_the_page_cache", way))
    assert "left " in logs["candidate"], logs
    return result, logs["candidate"]


def to_probe_by_duration(folders: TaskFolders) -> tuple[Result, str]:
    """The same by how long the exam takes: a few bits arrive."""
    [(result, logs)] = attempts(folders, source_of("passes_a_label_on_by_its_duration"))
    return result, logs["candidate"]


def from_exam(folders: TaskFolders, way: str) -> tuple[Result, str]:
    """Attack from an exam to the next training; the second result, and what the second training said it heard."""
    forget_pages(folders.task / "library.bin")
    source = source_of("leaves_the_exam_for_the_next_training", way)
    (_, first), (result, second) = attempts(folders, source, source.replace("SECOND = False", "SECOND = True"))
    assert "left 32 sequences" in first["candidate"], first
    return result, second["train"]
