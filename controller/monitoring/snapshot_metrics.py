"""Turns a campaign's snapshot into Prometheus' metric families. Totals come from the lab and survive a restart.

Pure: values in, families out. docs/observability.md lists them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric

from controller import __version__
from controller.costs.call_totals import REFUSAL_CATEGORIES
from controller.costs.slots import SlotPrices
from controller.domain import INTERRUPTIONS, LostTo, Outcome, Verdict, Witness
from controller.notices import Cause, Doing
from controller.ports import WaitReason
from controller.reports.snapshot import Snapshot
from controller.settings import Settings
from controller.studies.study import StudyKind

PREFIX = "autoresearch"
ENDS = (Cause.BUDGET, Cause.AGENT, Cause.FAILURE)
"""Causes for which a campaign ends while its controller stays: the budget, no ideas left, something to mend."""

DOINGS = tuple(each for each in Doing if each is not Doing.STOPPED)
"""A stopped loop answers no scrape."""

TOKENS = ("input", "output", "cache_write", "cache_read")
DOUBTS = {Verdict.KEEP: "undone", Verdict.DISCARD: "stays", Verdict.CRASH: "crash", Verdict.REJECT: "reject"}
"""For each verdict about the program without a kept edit what became of that edit."""

SLOT = "a slot without accelerators counts as one"


def families(snapshot: Snapshot) -> Iterable[Metric]:
    """Everything that a snapshot tells."""
    yield from _counts(snapshot)
    yield from _scores(snapshot)
    yield from _money(snapshot)
    yield from _loop(snapshot)


def _counts(snapshot: Snapshot) -> Iterable[Metric]:
    tag = snapshot.settings.tag
    verdicts = {verdict.value: snapshot.verdicts.get(verdict, 0) for verdict in Verdict}
    outcomes = {outcome.value: snapshot.outcomes.get(outcome, 0) for outcome in Outcome}
    doubts = {word: snapshot.doubts.get(verdict, 0) for verdict, word in DOUBTS.items()}
    yield _counter("experiments", "Judged experiments by verdict, the baseline not counted.", "verdict", verdicts, tag)
    text = "Kept edits that the judge left out to test them, by what came of it; none is in experiments_total."
    yield _counter("doubts", text, "result", doubts, tag)
    begun = CounterMetricFamily(
        f"{PREFIX}_doubts_begun", "The same, those included of which nothing has come yet.", labels=["campaign"]
    )
    begun.add_metric([tag], snapshot.doubts_begun)
    yield begun
    yield _counter("attempts", "Ended attempts by outcome.", "outcome", outcomes, tag)
    losses = CounterMetricFamily(
        f"{PREFIX}_tries_lost",
        "Tries that the infrastructure took away, or somebody on purpose, by what it was.",
        labels=["campaign", "reason", "cause"],
    )
    for cause in LostTo:
        reason = "interrupted" if cause in INTERRUPTIONS else "infrastructure"
        losses.add_metric([tag, reason, cause.value], snapshot.losses.get(cause, 0))
    yield losses
    strategies = CounterMetricFamily(
        f"{PREFIX}_strategy_experiments",
        "Judged experiments by the way they were thought of, and verdict.",
        labels=["campaign", "strategy", "verdict"],
    )
    for each in snapshot.yields:
        for verdict, count in each.verdicts.items():
            strategies.add_metric([tag, each.strategy, verdict.value], count)
    yield strategies
    proposers = CounterMetricFamily(
        f"{PREFIX}_proposer_experiments",
        "Judged experiments by whoever proposed them, with the model, and verdict.",
        labels=["campaign", "proposer", "verdict"],
    )
    for each in snapshot.proposers:
        for verdict, count in each.verdicts.items():
            proposers.add_metric([tag, each.strategy, verdict.value], count)
    yield proposers
    yield _study_attempts(snapshot)
    yield from _machine(snapshot)


def _machine(snapshot: Snapshot) -> Iterable[Metric]:
    """What the machine or the node did while attempts trained."""
    tag = snapshot.settings.tag
    observed = CounterMetricFamily(
        f"{PREFIX}_observed_training_seconds",
        "Seconds of trainings during which it was measured what the machine did.",
        labels=["campaign"],
    )
    observed.add_metric([tag], snapshot.observed_seconds)
    yield observed
    shares = {each.name: snapshot.witnessed.get(each.name, 0.0) for each in fields(Witness)}
    text = "Those seconds times a share that was measured, such as that of the time in which the training waited."
    yield _counter("witnessed_seconds", text, "share", shares, tag)


def _study_attempts(snapshot: Snapshot) -> Metric:
    """Attempts of studies, which are none of `attempts`: no verdict rests on them."""
    counts: Counter[tuple[StudyKind, Outcome]] = Counter()
    for record in snapshot.studies:
        for run in record.runs:
            for attempt in run.attempts:
                if attempt.result:
                    counts[record.study.kind, attempt.result.outcome] += 1
    family = CounterMetricFamily(
        f"{PREFIX}_study_attempts",
        "Ended attempts of claims and other studies, by outcome; none of them is in attempts_total.",
        labels=["campaign", "kind", "outcome"],
    )
    for kind in StudyKind:
        for outcome in Outcome:
            family.add_metric([snapshot.settings.tag, kind.value, outcome.value], counts[kind, outcome])
    return family


def _scores(snapshot: Snapshot) -> Iterable[Metric]:
    """Nothing before the first score: a gauge at 0 would read as a perfect one."""
    state, labels = snapshot.state, {"campaign": snapshot.settings.tag, "metric": snapshot.settings.task.metric}
    values = {
        "incumbent_score": ("Estimated score of the incumbent.", state.told_level if state else None),
        "incumbent_score_error": ("Standard error of the incumbent's score.", state.level_error if state else None),
        "score_sigma": ("Standard deviation of one run.", state.sigma if state else None),
        "baseline_score": ("Mean score of the unchanged code.", snapshot.baseline),
        "best_score": ("Best mean score of any experiment not rejected; flattered by noise.", snapshot.best),
        "incumbent_freshness_nats": (
            "Mean advantage of the kept edits' runs on text that every exam asks, less that on text never asked.",
            snapshot.freshness,
        ),
        "incumbent_freshness_error_nats": ("Standard error of incumbent_freshness_nats.", snapshot.freshness_error),
        "reserve_slices_left": ("Tries that can still be asked text never asked before.", snapshot.reserve_left),
        "incumbent_exam_inflation_nats": ("Largest inflation of the incumbent's exams.", snapshot.inflation),
    }
    for name, (text, value) in values.items():
        yield _gauge(name, text, {} if value is None else {tuple(labels.values()): value}, list(labels))


def _money(snapshot: Snapshot) -> Iterable[Metric]:
    settings, tag = snapshot.settings, snapshot.settings.tag
    size = SlotPrices.of(settings).size
    kept, judged = snapshot.verdicts.get(Verdict.KEEP, 0), sum(snapshot.verdicts.values())
    gpu_seconds = snapshot.slot_seconds * size
    dollars = {"model": snapshot.call_dollars, "gpu": snapshot.slot_dollars}
    tokens = {kind: snapshot.tokens.get(kind, 0) for kind in TOKENS}
    outcomes = {outcome.value: snapshot.seconds.get(outcome, 0.0) * size for outcome in Outcome}
    # A gauge: a call in flight counts as what calls take as a rule, and may turn out cheaper.
    spent: dict[tuple[str, ...], float] = {(tag, kind): value for kind, value in dollars.items()}
    text = "Dollars of model calls, those in flight at what they take as a rule, and of accelerators."
    yield _gauge("spent_dollars", text, spent, ["campaign", "kind"])
    yield _counter("agent_tokens", "Tokens of model calls.", "kind", tokens, tag)
    refusals = {name: snapshot.refusals.get(name, 0) for name in REFUSAL_CATEGORIES}
    yield _counter("refusals", "Model calls that the model refused, by the API's category.", "category", refusals, tag)
    yield _counter("gpu_seconds", f"Accelerator seconds of ended tries by outcome; {SLOT}.", "outcome", outcomes, tag)
    by_strategy: dict[tuple[str, ...], float] = {(tag, each.strategy): each.dollars for each in snapshot.yields}
    text = "Dollars of a strategy's experiments: their proposals' model calls and their slots."
    yield _gauge("strategy_spent_dollars", text, by_strategy, ["campaign", "strategy"])
    by_proposer: dict[tuple[str, ...], float] = {(tag, each.strategy): each.dollars for each in snapshot.proposers}
    text = "Dollars of a proposer's experiments: their proposals' model calls and their slots."
    yield _gauge("proposer_spent_dollars", text, by_proposer, ["campaign", "proposer"])
    ratios = {
        "dollars_per_experiment": ("Dollars for each judged experiment.", sum(dollars.values()), judged),
        "dollars_per_keep": ("Dollars for each kept experiment.", sum(dollars.values()), kept),
        "gpu_seconds_per_keep": ("Accelerator seconds for each kept experiment.", gpu_seconds, kept),
    }
    for name, (text, total, count) in ratios.items():
        yield _gauge(name, text, {(tag,): total / count} if count else {}, ["campaign"])
    used = _used(snapshot, gpu_seconds / 3600, sum(dollars.values()))
    yield _gauge("budget_used_ratio", "Share of each limit of the budget that is used.", used, ["campaign", "limit"])


def _used(snapshot: Snapshot, hours: float, dollars: float) -> dict[tuple[str, ...], float]:
    budget, tag = snapshot.settings.budget, snapshot.settings.tag
    used = {
        "experiments": (snapshot.experiments, budget.experiments),
        "hours": (snapshot.elapsed_seconds / 3600, budget.hours),
        "gpu_hours": (hours, budget.gpu_hours),
        "dollars": (dollars, budget.dollars),
    }
    return {(tag, name): spent / limit for name, (spent, limit) in used.items() if limit}


def _loop(snapshot: Snapshot) -> Iterable[Metric]:
    tag, activity = snapshot.settings.tag, snapshot.activity
    values: dict[str, tuple[str, float | None]] = {
        "slots": ("Tries that may run at once.", snapshot.settings.executor.slots),
        "slots_busy": ("Tries that run, or wait for a machine.", len(activity.tries)),
        "slots_wanted": ("Slots that the open experiments could use now, busy ones included.", snapshot.wanted),
        "proposals_ready": ("Experiments that wait for a slot.", snapshot.ready),
        "proposals_in_flight": ("Proposals that the agent is thinking of.", activity.proposing),
        "paused": ("1 while something waits that only an operator can mend.", int(bool(activity.needs))),
        "train_budget_seconds": ("Wall seconds granted to one training.", snapshot.settings.budget.train_seconds),
        "try_limit_seconds": ("Wall seconds that all phases of one try may take.", _try_limit(snapshot.settings)),
    }
    moments: dict[str, tuple[str, float | None]] = {
        "loop_last_turn_timestamp_seconds": ("Unix time of the loop's last turn.", snapshot.turned_at or None),
        "oldest_launch_timestamp_seconds": (
            "Unix time at which the oldest try that runs, or waits for a machine, was launched.",
            snapshot.oldest_launch,
        ),
    }
    for name, (text, value) in [*values.items(), *moments.items()]:
        yield _gauge(name, text, {} if value is None else {(tag,): value}, ["campaign"])
    reasons = [waiting.reason for waiting in activity.waiting]
    waits: dict[tuple[str, ...], float] = {(tag, reason.value): reasons.count(reason) for reason in WaitReason}
    text = "Proposals that wait for the model API instead of being thought of, by what they wait for."
    yield _gauge("proposals_waiting", text, waits, ["campaign", "reason"])
    cause = activity.end.cause if activity.end else None
    ended: dict[tuple[str, ...], float] = {(tag, each.value): int(cause is each) for each in ENDS}
    yield _gauge("ended", "1 for the reason for which the campaign is over.", ended, ["campaign", "reason"])
    doing: dict[tuple[str, ...], float] = {(tag, each.value): int(activity.doing is each) for each in DOINGS}
    text = "1 for what the campaign does now; paused and waits tell of the whole campaign, not of one proposal."
    yield _gauge("doing", text, doing, ["campaign", "doing"])
    info = InfoMetricFamily(f"{PREFIX}_build", "Version of the controller.")
    info.add_metric([], {"version": __version__})
    yield info


def _try_limit(settings: Settings) -> float:
    budget, deadlines = settings.budget.train_seconds, settings.deadlines
    if settings.task.score == "log":
        return deadlines.log_scored or 2 * budget
    return budget + deadlines.train_grace + deadlines.examine


def _counter(name: str, text: str, label: str, values: Mapping[str, float], tag: str) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=["campaign", label])
    for key, value in values.items():
        family.add_metric([tag, key], value)
    return family


def _gauge(name: str, text: str, values: Mapping[tuple[str, ...], float], labels: list[str]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family
