"""Feeds Prometheus: totals from the lab, and counters of this process.

Totals survive a restart. Durations, proposals and requests count from the start of this process. No series is labelled
by experiment, commit or Pod. docs/observability.md lists them all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from controller.domain import BASELINE, Attempt, Experiment, TryId, Verdict
from controller.monitoring.snapshot_metrics import PREFIX, families
from controller.notices import Activity, Admitted, AttemptEnded, Concluded, Launched, Notice, Refused
from controller.reports.snapshot import Snapshot
from controller.settings import Settings

SANDBOXED = ("train", "examine")
PHASES = ("queue", "start", *SANDBOXED)
"""queue: until a machine took the try, and until its end was seen; start: what its sandboxes took to come up."""

PROPOSALS = ("admitted", "refused")
BUCKETS = (1, 5, 10, 20, 30, 60, 120, 300, 330, 360, 480, 600, 900, 1800, 3600)
"""Seconds around the budgets people use: 20 s on a laptop, 300 s on a GPU."""

REQUEST_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    """One registry for one controller; `publish` is called by the loop, everything else by its watchers."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library types it not
        self.registry = CollectorRegistry()
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshot = Snapshot(settings=settings, activity=Activity(tag=settings.tag))
        self._waits = self._histogram("experiment_wait_seconds", "Seconds a ready experiment waited for a slot.")
        self._phases = self._histogram("phase_duration_seconds", "Seconds of one phase of an attempt.", ["phase"])
        self._attempts = self._histogram(
            "attempt_duration_seconds", "Machine seconds of the try that ended an attempt."
        )
        self._requests = self._histogram(
            "kube_api_request_duration_seconds",
            "Seconds of one request to the Kubernetes API; a watch counts until its first answer.",
            ["verb", "resource", "code"],
            buckets=REQUEST_BUCKETS,
        )
        self._proposals = Counter(
            f"{PREFIX}_proposals",
            "Proposals by what became of them before anything ran.",
            ["campaign", "result"],
            registry=self.registry,
        )
        self._events = self._gauge(
            "watch_last_event_timestamp_seconds",
            "Unix time at which a watch last heard anything, bookmarks included.",
            "resource",
        )
        self._ended = self._gauge("last_attempt_end_timestamp_seconds", "Unix time of the last end of an attempt.")
        self._scores = self._gauge(
            "last_score",
            "Mean score of the last judged experiment of each verdict, for a dot against time.",
            "metric",
            "verdict",
        )
        for phase in PHASES:
            self._phases.labels(settings.tag, phase)
        for result in PROPOSALS:
            self._proposals.labels(settings.tag, result)
        for histogram in (self._waits, self._attempts):
            histogram.labels(settings.tag)
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
        """Count what only happens once: durations, proposals, the score of a verdict."""
        tag = self._settings.tag
        match notice:
            case Admitted():
                self._proposals.labels(tag, "admitted").inc()
            case Refused():
                self._proposals.labels(tag, "refused").inc()
            case Launched(experiment, id):
                self._launched(experiment, id)
            case AttemptEnded(_, attempt):
                self._attempt_ended(attempt)
            case Concluded(experiment, _):
                self._concluded(experiment)
            case _:
                pass

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One request to the Kubernetes API was answered, after `seconds`."""
        self._requests.labels(self._settings.tag, verb, resource, code).observe(seconds)

    def watched(self, *, resource: str, at: float) -> None:
        """A watch heard something at this Unix time."""
        self._events.labels(self._settings.tag, resource).set(at)

    def unwatched(self) -> None:
        """Forget the watches: when a campaign is over, their ages would grow without a meaning."""
        self._events.clear()

    def _launched(self, experiment: Experiment, id: TryId) -> None:
        first = (id.attempt, id.number) == (1, 1)
        if first and experiment.number != BASELINE:
            waited = experiment.attempts[0].tries[0].launched_at - experiment.proposed_at
            self._waits.labels(self._settings.tag).observe(max(0.0, waited))

    def _attempt_ended(self, attempt: Attempt) -> None:
        now, tag = self._clock(), self._settings.tag
        self._ended.labels(tag).set(now)
        if attempt.result is None:
            return
        self._attempts.labels(tag).observe(attempt.result.seconds)
        for phase, seconds in _time_spent(attempt, until=now).items():
            self._phases.labels(tag, phase).observe(seconds)

    def _concluded(self, experiment: Experiment) -> None:
        if experiment.judgement is None:
            return
        verdict = experiment.judgement.verdict
        labels = (self._settings.tag, self._settings.task.metric, verdict.value)
        if experiment.mean_score is not None and verdict is not Verdict.REJECT:
            self._scores.labels(*labels).set(experiment.mean_score)
        else:
            # Without a score of its own it must not show the one before it.
            with suppress(KeyError):
                self._scores.remove(*labels)

    def _histogram(
        self, name: str, text: str, labels: Iterable[str] = (), *, buckets: tuple[float, ...] = BUCKETS
    ) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, ["campaign", *labels], buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, ["campaign", *labels], registry=self.registry)


def _time_spent(attempt: Attempt, *, until: float) -> dict[str, float]:
    """Seconds of the attempt's last try by phase; only phases that it came to.

    `seconds` of a result is the machine's own time with the try, so what is missing to the controller's is queueing,
    and what its phases leave over is starting. The candidate runs beside the examiner and is not added.
    """
    result = attempt.result
    if result is None:
        return {}
    sandboxed = {name: s for name, s in result.phase_seconds.items() if name in SANDBOXED}
    queued = max(0.0, until - attempt.tries[-1].launched_at - result.seconds)
    if not sandboxed:
        return {"queue": queued}
    return {"queue": queued, "start": max(0.0, result.seconds - sum(sandboxed.values())), **sandboxed}


class _CampaignCollector(Collector):
    """Turns the newest snapshot into metric families at each scrape; does no I/O."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return families(self._metrics.snapshot)
