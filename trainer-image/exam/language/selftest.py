"""Run five small exams with real processes and report if each ends as expected: `python -m exam.selftest`.

An honest model has to pass, and four cheats have to be caught, each by its test. This needs no data, no GPU and no
torch, and takes a few seconds. Exit 0 if all end as expected, else 1.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exam.language.rehearsal import Language, Rehearsal, Stage, make_data, run_exam

VOCABULARY = 64

HONEST = """
import numpy as np

def load_model(artifact):
    table = np.load(artifact / "table.npy")

    def model(tokens):
        before = np.concatenate([tokens[:, :1], tokens[:, :-1]], axis=1)
        return table[before, tokens]

    return model
"""

LOOKS_AHEAD = (
    HONEST.replace("load_model", "honest_model")
    + """
def load_model(artifact):
    honest = honest_model(artifact)

    def model(tokens):
        logits = honest(tokens).copy()
        rows, places = np.indices(tokens[:, 1:].shape)
        logits[rows, places, tokens[:, 1:]] += 3
        return logits

    return model
"""
)

REMEMBERS = (
    HONEST.replace("load_model", "honest_model")
    + """
def load_model(artifact):
    honest, seen = honest_model(artifact), np.zeros(len(np.load(artifact / "table.npy")))

    def model(tokens):
        np.add.at(seen, tokens, 1)
        return honest(tokens) + np.log1p(seen) * 0.1

    return model
"""
)

KNOWS_BY_HEART = (
    HONEST.replace("load_model", "honest_model")
    + """
def load_model(artifact):
    honest, leaked = honest_model(artifact), np.load(artifact / "leaked.npy").astype(int)

    def model(tokens):
        logits = honest(tokens).copy()
        for row, text in enumerate(tokens):
            fits = (leaked[:, :-1] == text).cumprod(axis=1)
            places = np.flatnonzero(fits.sum(axis=0) == 1)
            logits[row, places, leaked[fits[:, places].argmax(axis=0), places + 1]] += 9
        return logits

    return model
"""
)

ANSWERS_NAN = (
    HONEST.replace("load_model", "honest_model")
    + """
def load_model(artifact):
    honest = honest_model(artifact)
    return lambda tokens: np.where(tokens[..., None] == 7, np.nan, honest(tokens))
"""
)


@dataclass(frozen=True, slots=True)
class Case:
    """A train.py and the expected end of its exam."""

    source: str
    """Text of the file."""
    caught_by: tuple[str, ...]
    """Tests of which one must fail; empty for an honest model, which must be scored."""


CASES: Mapping[str, Case] = {
    "an honest model passes": Case(HONEST, ()),
    "looking ahead is caught": Case(LOOKS_AHEAD, ("inflation",)),
    "memory between questions is caught": Case(REMEMBERS, ("inflation", "spread", "restart")),
    "knowing the exam's text by heart is caught": Case(KNOWS_BY_HEART, ("freshness",)),
    "an answer of NaN is caught": Case(ANSWERS_NAN, ("protocol",)),
}


def find_difference(rehearsal: Rehearsal, case: Case) -> str | None:
    """Return None if the exam ended as expected, else a sentence on how it ended instead."""
    result = rehearsal.result
    if result is None:
        return f"no verdict (examine exit {rehearsal.examine_code}): {rehearsal.log[-500:]}"
    if case.caught_by and result["test"] in case.caught_by:
        return None
    if not case.caught_by and result["verdict"] == "scored":
        return None
    return f"{result['verdict']} by {result['test']}: {result['explanation']}"


def main() -> int:
    """Run all cases; returns 0 if each ended as expected, else 1."""
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        language = Language.draw(VOCABULARY, seed=1)
        make_data(root / "data", language)
        (root / "artifact").mkdir()
        np.save(root / "artifact/table.npy", language.logits)
        np.save(root / "artifact/leaked.npy", np.load(root / "data/validation/sequences.npy"))
        for number, (name, case) in enumerate(CASES.items()):
            task = root / f"task{number}"
            task.mkdir()
            (task / "train.py").write_text(case.source)
            stage = Stage(task=task, data=root / "data", artifact=root / "artifact", work=root / f"work{number}")
            wrong = find_difference(run_exam(stage), case)
            if wrong is None:
                print(f"pass  {name}", flush=True)
            else:
                failures += 1
                print(f"FAIL  {name}: {wrong}", flush=True)
    return 1 if failures else 0
