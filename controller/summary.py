"""Where a campaign stands, in one value and one sentence: what status, report and live page show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from controller.domain import BASELINE, Experiment, Provenance, Verdict
from controller.judge import make_judge
from controller.memory import Memory
from controller.prices import slot_size
from controller.records import mean
from controller.settings import Settings

MARKS = {
    Provenance.SEALED: "",
    Provenance.UNSEALED: "Scores are **unsealed**: the exam ran without a sandbox.",
    Provenance.LOG: "Scores are **unverified**: printed by the training itself.",
}


NAMED = 4
"""So many running experiments are named in the sentence; of more it tells the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Where a campaign stands."""

    tag: str
    metric: str
    experiments: int
    verdicts: dict[str, int]
    running: list[int]
    baseline: float | None
    level: float | None
    level_error: float | None
    sigma: float | None
    best_experiment: int
    slot_hours: float
    dollars: float
    seconds: float
    provenance: str

    def as_dict(self) -> dict[str, Any]:
        """For `status --json`."""
        return asdict(self)

    @property
    def warning(self) -> str:
        """What a reader must know before believing a score; Markdown, empty where the scores are sealed."""
        return MARKS.get(Provenance(self.provenance), "") if self.provenance else ""

    def sentence(self) -> str:
        """The sentence that matters."""
        now = _running_sentence(self.tag, self.running)
        best = (
            "no score yet"
            if self.level is None
            else f"best {self.metric} {self.level:.4f} ± {self.level_error or 0:.4f}"
        )
        start = f" (baseline {self.baseline:.4f})" if self.baseline is not None else ""
        counts = f"{self.verdicts.get('keep', 0)} kept of {self.experiments}"
        mark = {"log": " [unverified]", "unsealed": " [unsealed]"}.get(self.provenance, "")
        return f"{now}; {best}{start}{mark}, {counts}, {self.slot_hours:.2f} slot-hours, ${self.dollars:.2f}."


def summary(experiments: Sequence[Experiment], settings: Settings, *, now: float, dollars: float) -> Summary:
    """Fold the experiments into the facts that status, report and page show; `dollars` is what model calls cost."""
    memory = _folded(_Folding(experiments, settings))
    judged = [e for e in experiments if e.judgement and e.number != BASELINE]
    reached = [e.judgement.verdict for e in judged if e.judgement]
    verdicts = {verdict.value: reached.count(verdict) for verdict in Verdict}
    running = [e.number for e in experiments if (a := e.open_attempt) and a.tries and not a.tries[-1].lost]
    baseline, state = memory.experiments[BASELINE], memory.state
    return Summary(
        tag=settings.tag,
        metric=settings.task.metric,
        experiments=len(experiments) - 1,
        verdicts=verdicts,
        running=running,
        baseline=mean(baseline.scores) if baseline.scores else None,
        level=state.level if state else None,
        level_error=state.level_error if state else None,
        sigma=state.sigma if state else None,
        best_experiment=memory.incumbent.number,
        slot_hours=memory.slot_seconds * slot_size(settings) / 3600,
        dollars=dollars + memory.slot_dollars,
        seconds=now - baseline.proposed_at,
        provenance=_provenance(experiments),
    )


def _running_sentence(tag: str, running: Sequence[int]) -> str:
    if not running:
        return f"{tag} is not running"
    if BASELINE in running:
        return f"The baseline of {tag} is running"
    if len(running) > NAMED:
        return f"{len(running)} experiments of {tag} are running"
    *most, last = map(str, running)
    subject = f"Experiments {', '.join(most)} and {last}" if most else f"Experiment {last}"
    return f"{subject} of {tag} {'are' if most else 'is'} running"


class _Folding:
    """The experiments of one moment, equal to those of another where each is the very same value."""

    def __init__(self, experiments: Sequence[Experiment], settings: Settings) -> None:
        self.experiments, self.settings = experiments, settings
        self._key = (id(settings), tuple(map(id, experiments)))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Folding) and self._key == other._key


@lru_cache(maxsize=2)
def _folded(folding: _Folding) -> Memory:
    """The judge's view. Kept, since whoever watches asks every few seconds and verdicts are minutes apart."""
    judge = make_judge(folding.settings.judge, minimize=folding.settings.task.direction == "minimize")
    return Memory(judge, folding.experiments, folding.settings)


def _provenance(experiments: Sequence[Experiment]) -> str:
    """The weakest provenance of any score: one unsealed run makes the whole ranking unsealed."""
    found = {a.result.score.provenance for e in experiments for a in e.attempts if a.result and a.result.score}
    return next((p.value for p in (Provenance.LOG, Provenance.UNSEALED, Provenance.SEALED) if p in found), "")
