"""Exams of candidates: one small language, one trained table, real phases as processes."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "trainer-image"))

from exam.language.rehearsal import Language, Rehearsal, Stage, make_data, run_exam  # noqa: E402 - found just above

CANDIDATES = ROOT / "tests/redteam/candidates"


@dataclass(frozen=True)
class Exams:
    """Holds exams over one data folder; the artifact is the true table, disturbed, so that learning would pay."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def artifact(self) -> Path:
        return self.root / "artifact"

    def prepare(self, *, probe_sets: int = 2) -> None:
        """Draw the language, and write data and artifact."""
        language = Language.draw(64, seed=1)
        make_data(self.data, language, sequences=1024, probes=1024, probe_sets=probe_sets)
        self.artifact.mkdir()
        noise = np.random.default_rng(5).standard_normal(language.logits.shape)
        np.save(self.artifact / "table.npy", language.logits + 0.7 * noise)

    def stage(self, candidate: str, *, root: Path | None = None, inside: tuple[str, ...] = ()) -> Stage:
        """A stage with a new folder to work in, below root; a root of its own has an artifact of its own."""
        work = Path(tempfile.mkdtemp(prefix=candidate, dir=root or self.root), "work")
        artifact = (root or self.root) / "artifact"
        return Stage(
            task=CANDIDATES,
            module=candidate,
            data=self.data,
            artifact=artifact,
            work=work,
            inside=inside,
            seconds=PATIENCE_S,
        )

    def hold(self, candidate: str, *flags: str) -> Rehearsal:
        """Examine a candidate."""
        return run_exam(self.stage(candidate), *flags)

    def hold_with_honest_probe(self, candidate: str, *flags: str, stage: Stage | None = None) -> Rehearsal:
        """Examine a candidate that answers the probe as the honest model would: the strongest form of a cheat."""
        stage = stage or self.stage(candidate)
        task, module = stage.work.parent / "task", f"{candidate}_but_in_the_probe"
        task.mkdir()
        for path in CANDIDATES.glob("*.py"):
            (task / path.name).symlink_to(path)
        lines = ("from probe_round import honest_in_the_probe", f"from {candidate} import load_model as cheat")
        (task / f"{module}.py").write_text("\n".join((*lines, "load_model = honest_in_the_probe(cheat)\n")))
        return run_exam(replace(stage, task=task, module=module), *flags)
