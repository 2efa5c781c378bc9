"""Running a campaign for a person at a terminal: set-up, live lines, Ctrl-C, and the closing words."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from rich.console import Console

from controller import terminal
from controller.actions import Stop
from controller.booking import Booking
from controller.campaign import Campaign
from controller.composition import build_agent, build_executor, warnings_of
from controller.domain import BASELINE
from controller.folder import CampaignFolder, read_brief, read_manifest, task_files
from controller.judge import make_judge
from controller.metrics import Metrics
from controller.mirror import Mirror
from controller.notices import Notice
from controller.ports import Waiting, WaitReason
from controller.prepare import prepare_data
from controller.report import write_reports
from controller.screen import Screen
from controller.server import Server, Sources
from controller.settings import Settings
from controller.snapshot import Tally, take_snapshot
from controller.writer import LabWriter

SUCCESSION_SECONDS = 30.0
"""A deleted Pod's successor may start while the old one is still letting go of the lab."""

RESTING = Waiting(reason=WaitReason.REST, text="it asked to be left alone for a while")

RETRY_SECONDS = 300.0
"""Between two goes at a campaign that stopped for something an operator can mend."""


def run_campaign(folder: CampaignFolder, settings: Settings, *, out: Console, err: Console) -> Stop:
    """Run until the campaign stops; prints rows to `out` and live lines to `err`.

    With a server the process stays to be looked at and scraped until it is told to end, and a campaign
    that stopped for something an operator can mend is tried again from time to time.
    """
    if settings.executor.kind == "local":
        _ready_data(folder, settings, err)
    lab = LabWriter.open(folder.lab, create=True)
    patience = SUCCESSION_SECONDS if settings.server.enabled else 0.0
    with lab.lock(now=time.time(), patience=patience):
        out.print(f"\n{terminal.headline(settings)}", markup=False)
        while True:
            run = _Run(folder, settings, lab=lab, out=out, err=err)
            ended = run.to_its_end()
            if not settings.server.enabled or not run.linger(ended):
                return ended


class _Run:
    """One go at the campaign: its parts put together, run, and closed."""

    def __init__(
        self, folder: CampaignFolder, settings: Settings, *, lab: LabWriter, out: Console, err: Console
    ) -> None:
        self._folder, self._settings, self._lab, self._out = folder, settings, lab, out
        self._told_to_stop = threading.Event()
        self._ended = self._trouble = ""
        self._began = time.time()
        self._metrics = Metrics(settings)
        self._executor = build_executor(folder, settings, self._metrics)
        self._booking = Booking(folder.lab, settings.tag)
        self._agent = agent = build_agent(settings, self._booking)
        self._screen = Screen(
            settings, out=out, err=err, executor=self._executor, waiting=lambda: self._metrics.snapshot.waiting
        )
        for warning in warnings_of(agent, settings):
            err.print(f"  warning  {warning}", markup=False)
        self._campaign = Campaign(
            settings=settings,
            lab=lab,
            executor=self._executor,
            agent=agent,
            judge=make_judge(settings.judge, minimize=settings.task.direction == "minimize"),
            task_files=task_files(settings),
            brief=read_brief(settings),
            clock=time.time,
            observe=self._notice,
            turned=self._publish,
            dollars=lambda: self._booking.cost.dollars,
        )
        self._tally = Tally(self._campaign.memory.experiments.values(), settings)
        self._metrics.publish(take_snapshot(self._campaign.memory, self._tally, settings))
        remote = settings.lab.remote
        self._mirror = Mirror(folder.lab, remote, say=lambda line: err.print(line, markup=False)) if remote else None
        self._server = Server(self._sources()) if settings.server.enabled else None

    def to_its_end(self) -> Stop:
        """Run the loop, then say what came of it."""
        self._screen.before(self._campaign.memory)
        with _on_signals(self._stop), self._screen.live():
            ended = self._campaign.run()
        if self._mirror:
            self._mirror.close()
        self._say(ended)
        return ended

    def linger(self, ended: Stop) -> bool:
        """Keep serving what was found; True when it is time to try again, False when told to end."""
        self._over(ended)
        retry_at = time.time() + RETRY_SECONDS if ended.failed else float("inf")
        with _on_signals(self._stop):
            while not self._told_to_stop.wait(1.0) and time.time() < retry_at:
                self._metrics.publish(replace(self._metrics.snapshot, turned_at=time.time()))
        if self._server:
            self._server.close()
        return not self._told_to_stop.is_set()

    def _over(self, ended: Stop) -> None:
        """Say for good that nothing runs, waits or is watched, and that the campaign's clock stands."""
        self._ended = "failure" if ended.failed else "agent" if self._campaign.view().exhausted else "budget"
        self._trouble = ended.reason if ended.failed else ""
        self._publish()
        still = replace(self._metrics.snapshot, running=0, proposing=0, wanted=0, oldest_launch=None, waiting=())
        self._metrics.publish(still)
        self._metrics.unwatched()

    def _stop(self, reason: str) -> None:
        self._told_to_stop.set()
        self._campaign.stop(reason)

    def _notice(self, notice: Notice) -> None:
        self._tally.take(notice)
        self._metrics.notice(notice)
        self._screen.notice(notice)
        if self._mirror:
            self._mirror.notice(notice)

    def _publish(self) -> None:
        view = self._campaign.view()
        for resource, age in self._executor.watch_ages().items():
            self._metrics.watched(resource=resource, at=time.time() - age)
        calls = self._booking.cost
        self._metrics.publish(
            replace(
                take_snapshot(self._campaign.memory, self._tally, self._settings),
                running=len(view.running),
                proposing=view.proposing,
                waiting=(*self._agent.waiting, *((RESTING,) if view.resting and not view.unable else ())),
                call_dollars=calls.dollars,
                tokens=calls.tokens,
                elapsed_seconds=view.spent.elapsed_seconds,
                turned_at=time.time(),
                paused=bool(self._campaign.trouble) or self._ended == "failure",
                ended=self._ended,
            )
        )

    def _sources(self) -> Sources:
        return Sources(
            settings=self._settings,
            metrics=self._metrics,
            lab=self._folder.lab,
            experiments=lambda: tuple(self._campaign.memory.experiments.values()),
            progress=self._executor.progress,
            trouble=lambda: self._campaign.trouble or self._trouble,
            ready=lambda: bool(self._ended) or self._executor.ready(),
            clock=time.time,
        )

    def _say(self, ended: Stop) -> None:
        settings, memory = self._settings, self._campaign.memory
        experiments, dollars = list(memory.experiments.values()), self._booking.cost.dollars
        seconds = time.time() - self._began
        line = terminal.closing(experiments, reason=ended.reason, seconds=seconds, settings=settings, dollars=dollars)
        self._out.print(line, markup=False)
        if memory.state is not None:
            best = terminal.best_line(memory.incumbent, memory.experiments[BASELINE], memory.state, settings)
            self._out.print(best, markup=False)
        folder = self._folder
        page, _ = write_reports(experiments, settings, diff=self._lab.diff, folder=folder.path, dollars=dollars)
        served = "a larger budget goes on from here"
        further = served if settings.server.enabled else f"go on with: autoresearch run {folder.path}"
        self._out.print(f"chart {page} · lab {folder.lab} · {further}", markup=False)


@contextmanager
def _on_signals(stop: Callable[[str], None]) -> Iterator[None]:
    """SIGINT and SIGTERM end the loop cleanly; a second one is the system's own business."""

    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        stop("interrupted" if number == signal.SIGINT else "terminated")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ready_data(folder: CampaignFolder, settings: Settings, err: Console) -> None:
    if settings.task.score == "exam" and not folder.data.exists():
        prepare_data(folder, settings, say=lambda line: err.print(line, markup=False))
    if settings.task.score == "exam":
        err.print(f"  data    {terminal.data_line(read_manifest(folder.data))}", markup=False)
