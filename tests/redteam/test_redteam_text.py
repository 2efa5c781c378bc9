"""Trainings look for the text of their exam on this machine: the default data are made of text that they do not see."""

from __future__ import annotations

import hashlib
import json
import re
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from corpus.pools import HIDEABLE
from corpus.tokenizer import Tokenizer

from controller.domain import Outcome
from tests.redteam import exams  # noqa: F401 - finds the package corpus
from tests.support.local_task import TaskFolders, make_folders, make_request, run_one
from tests.trainer.small_task import manifest_of, run_prepare

LONG = 40
"""Characters of a line that tells where it is from. Shorter ones, such as `return None`, stand everywhere."""

SEARCH = f"""
import hashlib, json, os, sys

wanted, found, read = set(json.load(open("wanted.json"))), set(), 0
for root in {{"/usr", "/lib", "/opt", "/home", "/root", "/tmp", sys.prefix, sys.base_prefix, sys.exec_prefix}}:
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                if name.endswith((".py", ".pyi", ".txt", ".rst", ".md")):
                    lines = open(os.path.join(folder, name), "rb").read().split(b"\\n")
                    read += 1
                    found |= wanted & {{hashlib.md5(line.strip()).hexdigest() for line in lines if len(line) >= {LONG}}}
            except OSError:
                pass
print(f"FOUND {{len(found)}} READ {{read}}")
"""


def long_lines(data: Path, name: str) -> set[str]:
    """Whole lines of an exam split that are long."""
    tokenizer = Tokenizer.load(data)
    texts = (tokenizer.decode(row.tolist()) for row in np.load(data / name / "sequences.npy"))
    return {line.strip() for text in texts for line in text.split("\n")[1:-1] if len(line.strip()) >= LONG}


def look(folders: TaskFolders, wanted: set[str]) -> tuple[int, int]:
    """How many of these lines a training finds on this machine, and how many files it reads for that."""
    folders.write("wanted.json", json.dumps([hashlib.md5(line.encode()).hexdigest() for line in wanted]))
    request = make_request(SEARCH + "print('---\\nval_bpb: 1.5')")
    result = run_one(folders, request, "task.score=log", "budget.train_seconds=280")
    assert result.outcome is Outcome.SCORED, result
    counts = re.search(r"FOUND (\d+) READ (\d+)", result.log_tail)
    assert counts, result.log_tail
    return int(counts[1]), int(counts[2])


def test_a_training_cannot_read_the_text_of_its_exam_though_it_is_pythons_own_library(tmp_path: Path) -> None:
    folders = make_folders(tmp_path)
    made = tmp_path / "made"
    prepared = run_prepare(made, "--sequences", "64", "--sequence-length", "128")
    assert prepared.returncode == 0, prepared.stderr
    hidden = manifest_of(made).get("hidden")
    if not hidden:
        pytest.skip("this Python was installed without most of " + ", ".join(HIDEABLE))
    assert "which sandboxes do not show" in prepared.stdout
    wanted = long_lines(made, "validation") | long_lines(made, "holdout")

    library = Path(sysconfig.get_path("stdlib"))
    everything = {
        line.strip()
        for name in hidden
        for path in (library / name).rglob("*.py")
        for line in path.read_text(errors="replace").splitlines()
    }
    assert len(wanted & everything) > 0.95 * len(wanted) > 100, "outside of a sandbox all of it is there to be read"

    (folders.data / "manifest.json").write_text((made / "manifest.json").read_text())
    found, read = look(folders, wanted)
    assert read > 1000, "the rest of the library is there, as programs need it"
    # Licences, and phrases that all programmers write.
    assert found < 0.05 * len(wanted)
