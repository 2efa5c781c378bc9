"""What Prometheus is told: everything the lab knows, and how the loop is doing.

Totals come from the lab, so they survive a restart; only durations and requests count from this process on.
No series is labelled by experiment, commit or Pod.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from controller import __version__
from controller.domain import Outcome, Verdict
from controller.notices import AttemptEnded, Concluded, Notice, Refused
from controller.planner import slot_size
from controller.settings import Settings
from controller.snapshot import LOSSES, Snapshot

PREFIX = "autoresearch"
PHASES = ("pending", "train", "probe", "examine")
TOKENS = ("input", "output", "cache_write", "cache_read")
BUCKETS = (5, 10, 20, 30, 60, 120, 300, 330, 360, 480, 600, 900, 1800, 3600)
"""Seconds around the budgets people use: 20 s on a laptop, 300 s on a GPU."""

REQUEST_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    """One registry for one controller; `publish` is called by the loop, everything else by its watchers."""

    def __init__(self, settings: Settings) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library types it not
        self.registry = CollectorRegistry()
        self._settings = settings
        self._lock = threading.Lock()
        self._snapshot = Snapshot(settings=settings)
        self._phases = self._histogram("phase_duration_seconds", "Seconds of one phase of an attempt.", ["phase"])
        self._attempts = self._histogram("attempt_duration_seconds", "Seconds from launch to end of an attempt.")
        self._refused = self._counter("proposals_refused", "Proposals sent back or given up before anything ran.")
        self._requests = self._histogram(
            "kube_api_request_duration_seconds",
            "Seconds of one request to the Kubernetes API.",
            ["verb", "resource", "code"],
            buckets=REQUEST_BUCKETS,
        )
        self._events = Gauge(
            f"{PREFIX}_watch_last_event_timestamp_seconds",
            "Unix time of the last event of a watch, bookmarks included.",
            ["resource"],
            registry=self.registry,
        )
        self._scores = Gauge(
            f"{PREFIX}_last_score",
            "Score of the last judged experiment of each verdict, for a dot against time.",
            ["campaign", "metric", "verdict"],
            registry=self.registry,
        )
        for phase in PHASES:
            self._phases.labels(phase=phase)
        self.registry.register(_CampaignCollector(self))

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot."""
        with self._lock:
            return self._snapshot

    def publish(self, snapshot: Snapshot) -> None:
        """Make a snapshot the one that is scraped."""
        with self._lock:
            self._snapshot = snapshot

    def notice(self, notice: Notice) -> None:
        """Count what only happens once: durations, refusals, the score of a verdict."""
        match notice:
            case AttemptEnded(_, attempt) if attempt.result:
                self._attempts.observe(attempt.result.seconds)
                for phase, seconds in attempt.result.phase_seconds.items():
                    if phase in PHASES:
                        self._phases.labels(phase=phase).observe(seconds)
            case Concluded(experiment, _) if experiment.judgement and experiment.scores:
                verdict = experiment.judgement.verdict.value
                labels = {"campaign": self._settings.tag, "metric": self._settings.task.metric, "verdict": verdict}
                self._scores.labels(**labels).set(sum(experiment.scores) / len(experiment.scores))
            case Refused():
                self._refused.inc()
            case _:
                pass

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One request to the Kubernetes API was answered, after `seconds`."""
        self._requests.labels(verb=verb, resource=resource, code=code).observe(seconds)

    def watched(self, *, resource: str, at: float) -> None:
        """A watch has heard something."""
        self._events.labels(resource=resource).set(at)

    def _histogram(
        self, name: str, text: str, labels: Iterable[str] = (), *, buckets: tuple[float, ...] = BUCKETS
    ) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, list(labels), buckets=buckets, registry=self.registry)

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, list(labels), registry=self.registry)


class _CampaignCollector(Collector):
    """Turns the newest snapshot into metric families at each scrape; does no I/O."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        snapshot = self._metrics.snapshot
        yield from _counts(snapshot)
        yield from _scores(snapshot)
        yield from _money(snapshot)
        yield from _loop(snapshot)


def _counts(snapshot: Snapshot) -> Iterable[Metric]:
    tag = snapshot.settings.tag
    verdicts = {verdict.value: snapshot.verdicts.get(verdict, 0) for verdict in Verdict}
    outcomes = {outcome.value: snapshot.outcomes.get(outcome, 0) for outcome in Outcome}
    losses = {reason: snapshot.losses.get(reason, 0) for reason in LOSSES}
    yield _counter("experiments", "Judged experiments by verdict, the baseline not counted.", "verdict", verdicts, tag)
    yield _counter("attempts", "Ended attempts by outcome.", "outcome", outcomes, tag)
    yield _counter("tries_lost", "Tries that the infrastructure or a restart took away.", "reason", losses, tag)


def _scores(snapshot: Snapshot) -> Iterable[Metric]:
    """Nothing before the first score: a gauge at 0 would read as a perfect one."""
    state, labels = snapshot.state, {"campaign": snapshot.settings.tag, "metric": snapshot.settings.task.metric}
    values = {
        "incumbent_score": ("Estimated score of the incumbent.", state.level if state else None),
        "incumbent_score_error": ("Standard error of the incumbent's score.", state.level_error if state else None),
        "score_sigma": ("Standard deviation of one run.", state.sigma if state else None),
        "baseline_score": ("Mean score of the unchanged code.", snapshot.baseline),
        "incumbent_holdout_score": ("Mean holdout score of the incumbent's runs.", snapshot.holdout),
        "incumbent_exam_inflation_nats": ("Largest inflation of the incumbent's exams.", snapshot.inflation),
    }
    for name, (text, value) in values.items():
        yield _gauge(name, text, {} if value is None else {tuple(labels.values()): value}, list(labels))


def _money(snapshot: Snapshot) -> Iterable[Metric]:
    settings, tag = snapshot.settings, snapshot.settings.tag
    hours = snapshot.slot_seconds * slot_size(settings) / 3600
    gpu_dollars = hours * settings.budget.gpu_dollars_per_hour
    dollars = {"model": snapshot.call_dollars, "gpu": gpu_dollars}
    tokens = {kind: snapshot.tokens.get(kind, 0) for kind in TOKENS}
    kept = snapshot.verdicts.get(Verdict.KEEP, 0)
    yield _counter("dollars", "Dollars spent on the model and on GPUs.", "kind", dollars, tag)
    yield _counter("agent_tokens", "Tokens of model calls.", "kind", tokens, tag)
    yield _counter("slot_seconds", "Accelerator seconds of all tries.", "kind", {"all": hours * 3600}, tag)
    per_keep = {"dollars_per_keep": sum(dollars.values()), "slot_hours_per_keep": hours}
    for name, total in per_keep.items():
        value: dict[tuple[str, ...], float] = {(tag,): total / kept} if kept else {}
        yield _gauge(name, f"{name.replace('_', ' ')}, once something was kept.", value, ["campaign"])
    used = _used(snapshot, hours, sum(dollars.values()))
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
    tag = snapshot.settings.tag
    values = {
        "slots": ("Tries that may run at once.", snapshot.settings.executor.slots),
        "slots_busy": ("Tries that run.", snapshot.running),
        "proposals_ready": ("Experiments that wait for a slot.", snapshot.waiting),
        "proposals_in_flight": ("Proposals that the agent is thinking of.", snapshot.proposing),
        "paused": ("1 while only an operator can mend what stops launching.", int(snapshot.paused)),
        "train_budget_seconds": ("Wall seconds granted to one training.", snapshot.settings.budget.train_seconds),
        "loop_last_turn_timestamp_seconds": ("Unix time of the loop's last turn.", snapshot.turned_at),
    }
    for name, (text, value) in values.items():
        yield _gauge(name, text, {(tag,): value}, ["campaign"])
    info = InfoMetricFamily(f"{PREFIX}_build", "Version of the controller.")
    info.add_metric([], {"version": __version__})
    yield info


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
