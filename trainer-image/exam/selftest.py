"""Hold four small exams with real processes and say whether each ended as it must: `python -m exam.selftest`.

An honest model has to pass with the score it deserves; three cheats have to be caught, each by its test.
Needs no data, no GPU and no torch; takes a few seconds. Exit 0 when all four end as expected.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exam.rehearsal import Language, Rehearsal, Stage, hold, make_data

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
    """A train.py and the tests of which one must catch it; none for an honest one."""

    source: str
    caught_by: tuple[str, ...]


CASES: Mapping[str, Case] = {
    "an honest model passes": Case(HONEST, ()),
    "looking ahead is caught": Case(LOOKS_AHEAD, ("inflation",)),
    "memory between questions is caught": Case(REMEMBERS, ("inflation", "spread", "restart")),
    "an answer of NaN is caught": Case(ANSWERS_NAN, ("protocol",)),
}


def outcome(rehearsal: Rehearsal, case: Case) -> str | None:
    """None when an exam ended as its case demands, else what happened instead."""
    result = rehearsal.result
    if result is None:
        return f"no verdict (examine exit {rehearsal.examine_code}): {rehearsal.log[-500:]}"
    if (result["test"] in case.caught_by) if case.caught_by else result["verdict"] == "scored":
        return None
    return f"{result['verdict']} by {result['test']}: {result['explanation']}"


def main() -> int:
    """Run all cases; returns 0 when each ended as it must."""
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        language = Language.draw(VOCABULARY, seed=1)
        make_data(root / "data", language)
        (root / "artifact").mkdir()
        np.save(root / "artifact/table.npy", language.logits)
        for number, (name, case) in enumerate(CASES.items()):
            task = root / f"task{number}"
            task.mkdir()
            (task / "train.py").write_text(case.source)
            stage = Stage(task=task, data=root / "data", artifact=root / "artifact", work=root / f"work{number}")
            wrong = outcome(hold(stage), case)
            failures += wrong is not None
            print(f"pass  {name}" if wrong is None else f"FAIL  {name}: {wrong}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
