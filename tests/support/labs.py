"""A lab of two constants and experiments in it."""

from __future__ import annotations

from controller.domain import Experiment, Proposal
from controller.lab.writer import LabWriter

FILES = {"train.py": "A = 1\n\n\n\nB = 1\n", "program.md": "Lower it.\n"}


def admit(
    lab: LabWriter, number: int = 1, *, text: str = "A = 2\n\n\n\nB = 1\n", base: str | None = None
) -> Experiment:
    """Write experiment `number` into the campaign t, with this text of train.py."""
    proposal = Proposal(
        base=base or lab.incumbent("t"), files={"train.py": text}, title="A 1 → 2", hypothesis="more", agent="test"
    )
    return lab.admit("t", number, proposal, fingerprint=f"f{number}", at=1e9 + number)
