"""Sums up a campaign in one value and one sentence, for status, report and live page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from controller.costs.slots import SlotPrices
from controller.costs.strategies import StrategyTotals
from controller.domain import BASELINE, Experiment, Provenance, Remark, Verdict
from controller.judge import make_judge
from controller.judge.chance import expect_chance_keeps
from controller.notices import Activity
from controller.planning.campaign_state import CampaignState
from controller.reports.activity import activity_details, activity_sentence
from controller.reports.snapshot import Snapshot, Tally, take_snapshot
from controller.settings import Settings
from controller.studies.ablation import EditWorth, weigh_newest_ablation
from controller.studies.bill import hours_of
from controller.studies.study import StudyRecord
from controller.studies.wording import newest_claim_lines, sign_of
from controller.text.figures import hours_text, score_text, score_with_error

MARKS = {
    Provenance.SEALED: "",
    Provenance.UNSEALED: "Scores are **unsealed**: the exam ran without a sandbox.",
    Provenance.LOG: "Scores are **unverified**: printed by the training itself.",
}


CENT = 0.01

RESERVE_LOW = 24
"""Slices of the reserve from which on it is said that they come to an end: a fifth of the 128 that there are at first.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The facts of a campaign. Dollars and hours hold everything: baseline, lost tries, calls that led to nothing.

    slot_hours: accelerator hours; a slot without accelerators counts as one. What is divided by experiments counts
    judged ones; it is None as long as there is nothing to divide by. sigma, level_error: None where repeated runs were
    equal, or where there was but one. doubted: kept edits that the judge left out to test them; undone: those that it
    took out for good. is_exact: true if repeated runs were equal. chance_keeps: keeps that this policy
    has on average after as many experiments if no edit does anything. claim: what the newest claim says, in lines.
    ablation: what the newest ablation says of each kept edit.
    study_hours: accelerator hours of all studies, which slot_hours holds too. at: the moment of which it tells (Unix
    time).
    """

    tag: str
    activity: Activity
    at: float
    metric: str
    experiments: int
    verdicts: dict[str, int]
    baseline: float | None
    level: float | None
    level_error: float | None
    sigma: float | None
    is_exact: bool
    chance_keeps: float
    doubted: int
    undone: int
    best_experiment: int
    slot_hours: float
    dollars: float
    model_dollars: float
    gpu_dollars: float
    dollars_per_experiment: float | None
    dollars_per_keep: float | None
    gpu_hours_per_keep: float | None
    strategies: tuple[StrategyTotals, ...]
    proposers: tuple[StrategyTotals, ...]
    seconds: float
    provenance: str
    hours_are: str
    freshness: float | None
    freshness_error: float | None
    reserve_left: int | None
    remarks: tuple[Remark, ...]
    claim: tuple[str, ...]
    ablation: tuple[EditWorth, ...]
    studies: int
    study_hours: float

    def as_dict(self) -> dict[str, Any]:
        """For `status --json`: numbers as they are, and what happens now in words as well."""
        activity, now = self.activity, self.at
        facts = asdict(self)
        del facts["activity"]
        facts["proposers"] = [{"proposer": each.pop("strategy"), **each} for each in facts["proposers"]]
        return facts | {
            "doing": activity.doing.value,
            "activity": activity_sentence(activity, now=now),
            "details": list(activity_details(activity, now=now)),
            "running": activity.running,
            "thinking": activity.thinking if activity.alive else 0,
            "waiting": [asdict(each) for each in activity.waits] if activity.alive else [],
            "trouble": activity.needs,
            "pid": activity.pid if activity.alive else None,
        }

    @property
    def warning(self) -> str:
        """The sentence to read before believing a score, as Markdown; empty if nothing is wrong."""
        mark = MARKS.get(Provenance(self.provenance), "") if self.provenance else ""
        return " ".join(filter(None, (mark, self.reserve())))

    def sentence(self) -> str:
        """The sentence that matters."""
        now = activity_sentence(self.activity, now=self.at)
        best = self._best()
        undone = f" ({self.undone} undone since)" if self.undone else ""
        counts = f"{self.verdicts.get('keep', 0)} kept{undone} of {self.experiments}"
        mark = {"log": " [unverified]", "unsealed": " [unsealed]"}.get(self.provenance, "")
        spent = f"{hours_text(self.slot_hours)} {self.hours_are}, ${self.dollars:.2f}"
        return f"{now}; {best}{mark}, {counts}, {spent}."

    def _best(self) -> str:
        if self.baseline is None:
            return "no score yet"
        start = score_text(self.baseline, self.sigma)
        if self.level is None:
            return f"baseline {self.metric} so far {start}"
        level = score_with_error(self.level, self.level_error, self.sigma)
        return f"best {self.metric} {level} (baseline {start})"

    def reserve(self) -> str:
        """One sentence on the text that no exam has asked yet; empty while there is plenty, or if the task has none."""
        if self.reserve_left is None or self.reserve_left > RESERVE_LOW:
            return ""
        renew = "a new campaign on newly prepared data has a whole reserve (`--reserve-slices` of prepare.py sets it)"
        if self.reserve_left == 0:
            return (
                f"The reserve is used up: exams go on without the freshness test, and no leak of text shows; {renew}."
            )
        return f"The reserve has fresh text for {self.reserve_left} more runs, then exams go on without it; {renew}."

    def luck(self) -> str:
        """Says how many keeps chance alone gives, and if the task may ignore its seed; empty before a verdict."""
        judged = sum(self.verdicts.values())
        if not judged:
            return ""
        if self.is_exact:
            return (
                "Repeated runs scored the same every time, so there is no noise to judge by: "
                "if the task should vary, let it read AUTORESEARCH_SEED."
            )
        return f"Where no edit does anything, chance alone keeps about {self.chance_keeps:.1f} of {judged}."

    def costs(self) -> str:
        """The cost of an experiment and of a kept improvement, in a sentence; it says so if there is none yet."""
        if self.dollars_per_experiment is None:
            return "No experiment has been judged yet, so none has a price."
        each = f"${self.dollars_per_experiment:.2f} for each experiment"
        aside = self.dollars - sum(strategy.dollars for strategy in self.strategies)
        what = "the baseline, studies and calls" if self.studies else "the baseline and calls"
        rest = f" (${aside:.2f} in all for {what} without an experiment)" if aside >= CENT else ""
        if self.dollars_per_keep is None or self.gpu_hours_per_keep is None:
            return f"{each}{rest}; nothing was kept, so an improvement has no price yet."
        kept = f"${self.dollars_per_keep:.2f} and {hours_text(self.gpu_hours_per_keep)} {self.hours_are}"
        return f"{each}, {kept} for each one kept{rest}."


def summary(
    experiments: Sequence[Experiment],
    settings: Settings,
    *,
    activity: Activity,
    now: float,
    dollars: float,
    remarks: Sequence[Remark] = (),
    studies: Sequence[StudyRecord] = (),
) -> Summary:
    """Fold a lab's experiments; `dollars` is what model calls cost. Whoever runs the loop has a snapshot instead."""
    judge = make_judge(settings.judge, minimize=settings.task.direction == "minimize")
    prices = SlotPrices.of(settings)
    state, tally = CampaignState(judge, experiments, prices, studies=studies), Tally(experiments, prices)
    snapshot = replace(take_snapshot(state, tally, settings, activity), studies=tuple(studies))
    elapsed = now - experiments[BASELINE].proposed_at
    known = replace(snapshot, call_dollars=dollars, elapsed_seconds=elapsed, remarks=tuple(remarks))
    return summarise(known, now=now)


def noise_of(experiments: Sequence[Experiment], settings: Settings) -> float | None:
    """Sigma of one run of a campaign; None where repeated runs were equal, or where there was but one."""
    judge = make_judge(settings.judge, minimize=settings.task.direction == "minimize")
    state = CampaignState(judge, experiments, SlotPrices.of(settings)).state
    return state.noise if state else None


def summarise(snapshot: Snapshot, *, now: float) -> Summary:
    """The facts of one moment; takes no time, however large the lab."""
    settings, state, verdicts = snapshot.settings, snapshot.state, snapshot.verdicts
    prices = SlotPrices.of(settings)
    hours = snapshot.slot_seconds * prices.size / 3600
    dollars = snapshot.call_dollars + snapshot.slot_dollars
    judged, kept = sum(verdicts.values()), verdicts.get(Verdict.KEEP, 0)
    cluster = settings.executor.kind == "kubernetes" and settings.executor.kubernetes.gpus > 0
    return Summary(
        tag=settings.tag,
        activity=snapshot.activity,
        at=now,
        metric=settings.task.metric,
        experiments=snapshot.proposed,
        verdicts={verdict.value: verdicts.get(verdict, 0) for verdict in Verdict},
        baseline=snapshot.baseline,
        level=state.told_level if state else None,
        level_error=state.level_error if state and not state.is_exact else None,
        sigma=state.noise if state else None,
        is_exact=bool(state and state.is_exact and state.freedom),
        doubted=sum(snapshot.doubts.values()),
        undone=snapshot.doubts.get(Verdict.KEEP, 0),
        chance_keeps=expect_chance_keeps(settings.judge.policy, judged),
        best_experiment=snapshot.incumbent,
        slot_hours=hours,
        dollars=dollars,
        model_dollars=snapshot.call_dollars,
        gpu_dollars=snapshot.slot_dollars,
        dollars_per_experiment=dollars / judged if judged else None,
        dollars_per_keep=dollars / kept if kept else None,
        gpu_hours_per_keep=hours / kept if kept else None,
        strategies=snapshot.yields,
        proposers=snapshot.proposers,
        seconds=snapshot.elapsed_seconds,
        provenance=snapshot.provenance.value if snapshot.provenance else "",
        hours_are="GPU-hours" if cluster else "slot-hours",
        freshness=snapshot.freshness,
        freshness_error=snapshot.freshness_error,
        reserve_left=snapshot.reserve_left,
        remarks=snapshot.remarks,
        claim=tuple(newest_claim_lines(snapshot.studies, settings.task, prices)),
        ablation=weigh_newest_ablation(snapshot.studies, sign=sign_of(settings.task)),
        studies=len(snapshot.studies),
        study_hours=sum(hours_of(study, prices) for study in snapshot.studies),
    )
