"""Where a campaign stands, in one value and one sentence: what status, report and live page show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from controller.domain import BASELINE, Experiment, Provenance, Verdict
from controller.judge import make_judge
from controller.memory import Memory
from controller.prices import slot_size
from controller.settings import Settings
from controller.snapshot import Snapshot, Tally, take_snapshot
from controller.yields import Yield

MARKS = {
    Provenance.SEALED: "",
    Provenance.UNSEALED: "Scores are **unsealed**: the exam ran without a sandbox.",
    Provenance.LOG: "Scores are **unverified**: printed by the training itself.",
}


CENT = 0.01
NAMED = 4
"""So many running experiments are named in the sentence; of more it tells the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Where a campaign stands. Dollars and hours hold everything: baseline, lost tries, calls that led to nothing.

    slot_hours: accelerator hours; a slot without accelerators counts as one. What is divided by experiments counts
    judged ones; it is None as long as there is nothing to divide by.
    """

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
    model_dollars: float
    gpu_dollars: float
    dollars_per_experiment: float | None
    dollars_per_keep: float | None
    gpu_hours_per_keep: float | None
    strategies: tuple[Yield, ...]
    seconds: float
    provenance: str
    hours_are: str

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
        return f"{now}; {best}{start}{mark}, {counts}, {self.slot_hours:.2f} {self.hours_are}, ${self.dollars:.2f}."

    def costs(self) -> str:
        """What an experiment cost, and a kept improvement; says so where there is none to divide by."""
        if self.dollars_per_experiment is None:
            return "No experiment has been judged yet, so none has a price."
        each = f"${self.dollars_per_experiment:.2f} for each experiment"
        aside = self.dollars - sum(strategy.dollars for strategy in self.strategies)
        rest = f" (${aside:.2f} in all for the baseline and calls without an experiment)" if aside >= CENT else ""
        if self.dollars_per_keep is None or self.gpu_hours_per_keep is None:
            return f"{each}{rest}; nothing was kept, so an improvement has no price yet."
        kept = f"${self.dollars_per_keep:.2f} and {self.gpu_hours_per_keep:.3g} {self.hours_are}"
        return f"{each}, {kept} for each one kept{rest}."


def summary(experiments: Sequence[Experiment], settings: Settings, *, now: float, dollars: float) -> Summary:
    """Fold a lab's experiments; `dollars` is what model calls cost. Whoever runs the loop has a snapshot instead."""
    judge = make_judge(settings.judge, minimize=settings.task.direction == "minimize")
    snapshot = take_snapshot(Memory(judge, experiments, settings), Tally(experiments, settings), settings)
    elapsed = now - experiments[BASELINE].proposed_at
    return summarise(replace(snapshot, call_dollars=dollars, elapsed_seconds=elapsed))


def summarise(snapshot: Snapshot) -> Summary:
    """The facts of one moment; takes no time, however large the lab."""
    settings, state, verdicts = snapshot.settings, snapshot.state, snapshot.verdicts
    hours = snapshot.slot_seconds * slot_size(settings) / 3600
    dollars = snapshot.call_dollars + snapshot.slot_dollars
    judged, kept = sum(verdicts.values()), verdicts.get(Verdict.KEEP, 0)
    cluster = settings.executor.kind == "kubernetes" and settings.executor.kubernetes.gpus > 0
    return Summary(
        tag=settings.tag,
        metric=settings.task.metric,
        experiments=snapshot.proposed,
        verdicts={verdict.value: verdicts.get(verdict, 0) for verdict in Verdict},
        running=sorted(snapshot.trying),
        baseline=snapshot.baseline,
        level=state.level if state else None,
        level_error=state.level_error if state else None,
        sigma=state.sigma if state else None,
        best_experiment=snapshot.incumbent,
        slot_hours=hours,
        dollars=dollars,
        model_dollars=snapshot.call_dollars,
        gpu_dollars=snapshot.slot_dollars,
        dollars_per_experiment=dollars / judged if judged else None,
        dollars_per_keep=dollars / kept if kept else None,
        gpu_hours_per_keep=hours / kept if kept else None,
        strategies=snapshot.yields,
        seconds=snapshot.elapsed_seconds,
        provenance=snapshot.provenance.value if snapshot.provenance else "",
        hours_are="GPU-hours" if cluster else "slot-hours",
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
