"""A campaign in a lab whose loop has ended: a baseline and kept edits, as studies find them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from controller.domain import BASELINE, Attempt, Experiment, Judgement, Proposal, Try, Verdict
from controller.lab.writer import LabWriter
from tests.support.scripted import scored

AT = 1e9


def make_ended_campaign(
    lab_path: Path, tag: str, program: str, edits: Sequence[Mapping[str, str]], *, levels: Sequence[float]
) -> list[Experiment]:
    """A campaign of the baseline `program` and edits that were kept, one after the other.

    edits: for each, what it replaces in the program by what. levels: the score of the baseline, and of each edit.
    """
    lab = LabWriter.open(lab_path, create=True)
    with lab.lock(now=time.time()):
        files = {"train.py": program, "program.md": "Lower it.\n"}
        baseline = lab.begin(tag, files, fingerprint="f0", settings="", at=AT)
        verdict = Judgement(verdict=Verdict.KEEP, reason="as the test has it", order=1, at=AT)
        runs = _runs([levels[0], levels[0] + 1e-4, levels[0] + 2e-4])
        lab.record(tag, replace(baseline, attempts=runs, judgement=verdict), at=AT)
        for number, edit in enumerate(edits, start=BASELINE + 1):
            head = lab.incumbent(tag)
            text = lab.source(head, "train.py")
            for old, new in edit.items():
                assert old in text
                text = text.replace(old, new)
            proposal = Proposal(
                base=head, files={"train.py": text}, title=f"edit {number}", hypothesis="better", agent="test"
            )
            experiment = lab.admit(tag, number, proposal, fingerprint=f"f{number}", at=AT)
            kept_as = lab.kept_commit(experiment, onto=head, message=f"edit {number}\n", at=AT)
            judged = replace(verdict, order=number + 1, kept_as=kept_as, level=levels[number])
            experiment = replace(experiment, attempts=_runs([levels[number]]), judgement=judged)
            lab.record(tag, experiment, at=AT)
            lab.advance(tag, experiment)
        return lab.experiments(tag)


def _runs(scores: Sequence[float]) -> tuple[Attempt, ...]:
    runs = []
    for number, score in enumerate(scores, start=1):
        tried = Try(number=1, probe_set=0, launched_at=AT, seconds=20.0, dollars_per_hour=0.0)
        runs.append(Attempt(number=number, seed=number, tries=(tried,), result=scored(score)))
    return tuple(runs)
