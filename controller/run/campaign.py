"""Runs a campaign for a person at a terminal: set-up, live lines, Ctrl-C, and the closing words."""

from __future__ import annotations

import os
import queue
import time
from contextlib import suppress
from dataclasses import replace

from rich.console import Console

from controller.campaign import Campaign
from controller.campaign.activity_writer import ActivityWriter
from controller.campaign.preflight import check_start
from controller.costs.forecast import unfit_settings
from controller.costs.slots import SlotPrices
from controller.errors import LabError
from controller.folder import CampaignFolder, read_brief, task_files
from controller.judge import make_judge
from controller.lab.booked_calls import BookedCalls
from controller.lab.mirror import Mirror
from controller.lab.writer import LabWriter
from controller.monitoring.metrics import Metrics
from controller.monitoring.server import Server, Sources
from controller.notices import Activity, Cause, Concluded, End, Notice, activity_from_json, current_activity
from controller.planning.actions import Stop
from controller.reports import text
from controller.reports.snapshot import Snapshot, Tally, take_snapshot
from controller.reports.terminal import Screen
from controller.run.checks import check_data
from controller.run.closing import print_results, write_and_name_report
from controller.run.prepare import prepare_data
from controller.run.signals import on_signals
from controller.run.warnings import print_warning
from controller.run.wiring import (
    build_agent,
    build_executor,
    build_smoke_test,
    check_agent,
    check_executor,
    find_importable,
    training_device,
    training_facts,
    warnings_of,
    warnings_of_place,
)
from controller.settings import Settings
from controller.settings.file import changed_training, refuse_other_preset, refuse_other_score
from controller.studies.bill import charge
from controller.text.shell_words import shell_word

SUCCESSION_SECONDS = 30.0
"""A deleted Pod's successor may start while the old one is still letting go of the lab."""

RETRY_SECONDS = 300.0
"""Seconds between two attempts at a campaign that stopped for something that an operator can mend."""


def run_campaign(folder: CampaignFolder, settings: Settings, *, out: Console, err: Console) -> Stop:
    """Run until the campaign stops; prints rows to `out` and live lines to `err`.

    With a server the process stays to be looked at and scraped until it is told to end, and lets go of the lab. A
    campaign that stopped for something an operator can mend is tried again from time to time, and keeps it.
    """
    sealed_here = settings.executor.kind == "local" and settings.task.score == "exam"
    prepared = folder.data.exists()
    if sealed_here and prepared:
        check_data(folder, settings, err)
    # Before data are prepared, which takes minutes.
    for warning in check_start(folder, settings):
        print_warning(err, warning)
    check_agent(settings)
    check_executor(settings.executor, serves=settings.server.enabled)
    if sealed_here and not prepared:
        prepare_data(folder, settings, say=lambda line: err.print(line, markup=False))
        check_data(folder, settings, err)
    lab = LabWriter.open(folder.lab, create=True)
    patience = SUCCESSION_SECONDS if settings.server.enabled else 0.0
    since = float(round(time.time()))
    with lab.lock(now=since, patience=patience):
        begun = (lab.attachment(settings.tag, "campaign.yaml") or b"").decode()
        refuse_other_preset(begun, settings)
        if begun and any(experiment.scores for experiment in lab.experiments(settings.tag)):
            refuse_other_score(begun, settings)
        device = training_device(settings.executor)
        out.print(f"\n{text.headline(settings)}", markup=False)
        out.print(text.budget_line(settings, device), markup=False)
        if settings.agent.kind == "mcp":
            out.print(f"  clients   connect by: autoresearch mcp {shell_word(folder.path)}", markup=False)
        doubts = [*unfit_settings(settings, device), *changed_training(begun, settings)]
        doubts += warnings_of_place(folder, settings.executor, score=settings.task.score)
        died = _predecessor_died(lab, settings)
        with ActivityWriter(lab, tag=settings.tag, pid=os.getpid(), since=since) as activity_writer:
            while True:
                run = _Run(folder, settings, lab=lab, activity_writer=activity_writer, died=died, out=out, err=err)
                died = settings.executor.kind == "local"
                # Said once, and only if nothing ended the command before.
                while doubts:
                    print_warning(err, doubts.pop(0))
                ended = run.to_its_end()
                if not settings.server.enabled:
                    return ended
                run.tell_end(ended)
                if not ended.failed:
                    break
                if not run.wait_for_retry():
                    return ended
    # Nothing is written from here on: the lab is free for studies, and for whoever asks in a pod beside this process.
    run.serve_on()
    return ended


class _Run:
    """One go at the campaign: its parts put together, run, and closed."""

    def __init__(
        self,
        folder: CampaignFolder,
        settings: Settings,
        *,
        lab: LabWriter,
        activity_writer: ActivityWriter,
        died: bool,
        out: Console,
        err: Console,
    ) -> None:
        self._folder, self._settings, self._lab, self._activity_writer = folder, settings, lab, activity_writer
        self._out, self._err = out, err
        # A signal handler may put into this queue at any moment. It must not set an Event: where it interrupts the wait
        # for that Event, both want the same lock, and the process hangs.
        self._stops: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._told_to_stop = False
        self._stop_reason = ""
        self._end: End | None = None
        self._retry_at: float | None = None
        self._began = time.time()
        self._metrics = Metrics(settings)
        self._executor = build_executor(folder, settings, observe=self._metrics.requested, warn=self._warn)
        self._booked_calls = BookedCalls(folder.lab, settings.tag)
        self._agent = build_agent(folder, settings, self._booked_calls, warn=self._warn)
        self._screen = Screen(
            metric=settings.task.metric,
            train_seconds=settings.budget.train_seconds,
            out=out,
            err=err,
            executor=self._executor,
            activity=lambda: self._metrics.snapshot.activity,
        )
        for warning in warnings_of(self._agent, serves=settings.server.enabled):
            self._warn(warning)
        self._campaign = self._make_campaign(died=died)
        self._tally = Tally(self._campaign.campaign_state.experiments.values(), SlotPrices.of(settings))
        activity = activity_writer.write(Activity(tag=settings.tag))
        snapshot = take_snapshot(self._campaign.campaign_state, self._tally, settings, activity)
        self._metrics.publish(replace(snapshot, studies=self._campaign.studies))
        remote = settings.lab.remote
        self._mirror = Mirror(folder.lab, remote, say=lambda line: err.print(line, markup=False)) if remote else None
        self._server = Server(self._sources()) if settings.server.enabled else None

    def _make_campaign(self, *, died: bool) -> Campaign:
        settings = self._settings
        return Campaign(
            settings=settings,
            lab=self._lab,
            executor=self._executor,
            agent=self._agent,
            judge=make_judge(settings.judge, minimize=settings.task.direction == "minimize"),
            task_files=task_files(settings),
            brief=read_brief(settings),
            clock=time.time,
            observe=self._notice,
            turned=self._publish,
            dollars=lambda: self._booked_calls.cost.dollars,
            died=died,
            facts=training_facts(settings),
            importable=find_importable(settings),
            smoke=build_smoke_test(self._executor, wanted=settings.smoke_tests),
        )

    def _warn(self, line: str) -> None:
        print_warning(self._err, line)

    def to_its_end(self) -> Stop:
        """Run the loop, then say what came of it."""
        self._screen.before(self._campaign.campaign_state)
        with on_signals(self._stop), self._screen.live():
            ended = self._campaign.run()
        self._end = End(cause=self._cause_of(ended), reason=ended.reason, at=time.time())
        self._activity_writer.write_end(self._end)
        if self._mirror:
            self._mirror.close()
        self._say(ended)
        return ended

    def tell_end(self, ended: Stop) -> None:
        """Publish the end of the loop: no slot is wanted, no watch grows old, and the campaign's clock stands."""
        self._retry_at = time.time() + RETRY_SECONDS if ended.failed else None
        self._publish()
        self._metrics.publish(replace(self._metrics.snapshot, wanted=0, oldest_launch=None))
        self._metrics.unwatched()

    def wait_for_retry(self) -> bool:
        """Keep serving what was found; True when it is time to try again, False when told to end."""
        with on_signals(self._stop):
            while not self._is_told_within(1.0) and (self._retry_at is None or time.time() < self._retry_at):
                activity = self._activity_writer.write(self._activity())
                self._metrics.publish(replace(self._metrics.snapshot, activity=activity, turned_at=time.time()))
        self._close_server()
        return not self._told_to_stop

    def serve_on(self) -> None:
        """Keep serving until told to end: what was found, and what studies find meanwhile."""
        tag, served, known = self._settings.tag, self._metrics.snapshot, ""
        with on_signals(self._stop):
            while not self._is_told_within(1.0):
                holder = self._lab.find_holder()
                activity = served.activity
                if holder is not None:
                    told = current_activity(tag, self._lab.read_activity(), holder=holder)
                    # Between its lock and its first words it would read as a campaign that starts.
                    activity = told if told.turned else activity
                # Whoever holds the lab may pack it just now; the next look comes in a second.
                with suppress(LabError):
                    # A study may take the lab and let go of it between two looks: only its records tell.
                    if known != (version := self._lab.version_of_studies(tag)):
                        served, known = self._with_studies(served), version
                now = time.time()
                self._metrics.publish(replace(served, activity=replace(activity, heard_at=now), turned_at=now))
        self._close_server()

    def _with_studies(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the lab's studies as they are now, and what they have cost."""
        prices, studies = SlotPrices.of(self._settings), tuple(self._lab.studies(self._settings.tag))
        state, now, known = (
            self._campaign.campaign_state,
            charge(studies, prices),
            charge(self._campaign.studies, prices),
        )
        return replace(
            snapshot,
            studies=studies,
            slot_seconds=state.slot_seconds + now.seconds - known.seconds,
            slot_dollars=state.slot_dollars + now.dollars - known.dollars,
        )

    def _close_server(self) -> None:
        if self._server:
            self._server.close()

    def _is_told_within(self, seconds: float) -> bool:
        """Wait for a signal that ends the process; True as soon as there was one."""
        with suppress(queue.Empty):
            self._stops.get(timeout=0 if self._told_to_stop else seconds)
        return self._told_to_stop

    def _cause_of(self, ended: Stop) -> Cause:
        if ended.failed:
            return Cause.FAILURE
        if ended.reason == self._stop_reason:
            return Cause.SIGNAL
        return Cause.AGENT if self._campaign.view().exhausted else Cause.BUDGET

    def _activity(self) -> Activity:
        """The facts of this moment; after the loop's end they hold its end alone."""
        if self._end is None:
            return self._campaign.activity()
        return Activity(tag=self._settings.tag, turned=True, end=self._end, retry_at=self._retry_at)

    def _stop(self, reason: str) -> None:
        self._stop_reason = reason
        self._told_to_stop = True
        self._stops.put(reason)
        self._campaign.stop(reason)

    def _notice(self, notice: Notice) -> None:
        self._tally.take(notice)
        self._metrics.notice(notice)
        self._screen.notice(notice)
        if self._mirror and isinstance(notice, Concluded):
            self._mirror.push_soon()

    def _publish(self) -> None:
        view = self._campaign.view()
        for resource, age in self._executor.watch_ages().items():
            self._metrics.watched(resource=resource, at=time.time() - age)
        calls, activity = self._booked_calls.cost, self._activity_writer.write(self._activity())
        self._screen.tell(activity)
        self._metrics.publish(
            replace(
                take_snapshot(self._campaign.campaign_state, self._tally, self._settings, activity),
                call_dollars=calls.dollars,
                tokens=calls.tokens,
                refusals=self._booked_calls.refusals,
                elapsed_seconds=view.spent.elapsed_seconds,
                remarks=self._campaign.remarks,
                turned_at=time.time(),
                studies=self._campaign.studies,
            )
        )

    def _sources(self) -> Sources:
        return Sources(
            settings=self._settings,
            metrics=self._metrics,
            lab=self._folder.lab,
            experiments=lambda: tuple(self._campaign.campaign_state.experiments.values()),
            progress=self._executor.progress,
            ready=lambda: self._end is not None or self._executor.ready(),
            clock=time.time,
            say=lambda line: self._err.print(line, markup=False),
        )

    def _say(self, ended: Stop) -> None:
        campaign_state, dollars = self._campaign.campaign_state, self._booked_calls.cost.dollars
        seconds = time.time() - self._began
        print_results(campaign_state, self._settings, ended, seconds=seconds, dollars=dollars, out=self._out)
        write_and_name_report(
            campaign_state,
            self._settings,
            lab=self._lab,
            folder=self._folder,
            activity=self._activity(),
            remarks=self._campaign.remarks,
            studies=self._campaign.studies,
            dollars=dollars,
            stays=self._settings.server.enabled and not self._told_to_stop,
            out=self._out,
            err=self._err,
        )


def _predecessor_died(lab: LabWriter, settings: Settings) -> bool:
    """True if the controller before this one was killed, should a try be found in flight."""
    # A controller that ends by itself records the end of its local tries. Jobs go on without it, so on a cluster the
    # activity that it wrote last has to tell whether it ended by itself.
    if settings.executor.kind == "local":
        return True
    last = activity_from_json(lab.read_activity() or b"")
    return last is not None and last.tag == settings.tag and last.end is None
