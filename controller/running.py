"""Running a campaign for a person at a terminal: set-up, live lines, Ctrl-C, and the closing words."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from controller import terminal
from controller.booking import Booking
from controller.campaign import Campaign
from controller.domain import BASELINE
from controller.errors import AgentError
from controller.folder import CampaignFolder, read_brief, read_manifest, task_files, task_folder
from controller.judge import make_judge
from controller.lab import Lab
from controller.notices import AttemptEnded, Concluded, Notice, Refused, TryLost
from controller.planner import Stop
from controller.ports import Agent, Executor
from controller.prepare import prepare_data
from controller.report import write_reports
from controller.settings import Settings, read_secrets

REFRESHES_PER_SECOND = 4


def run_campaign(folder: CampaignFolder, settings: Settings, *, out: Console, err: Console) -> Stop:
    """Run until the campaign stops; prints rows to `out` and live lines to `err`."""
    if settings.executor.kind == "local":
        _ready_data(folder, settings, err)
    lab = Lab.open(folder.lab, create=True)
    began = time.time()
    with lab.lock(now=began):
        executor = build_executor(folder, settings)
        booking = Booking(folder.lab, settings.tag)
        screen = _Screen(settings, out=out, err=err, executor=executor)
        campaign = Campaign(
            settings=settings,
            lab=lab,
            executor=executor,
            agent=build_agent(settings, booking),
            judge=make_judge(settings.judge, minimize=settings.task.direction == "minimize"),
            task_files=task_files(settings),
            brief=read_brief(settings),
            clock=time.time,
            observe=screen.notice,
            dollars=lambda: booking.dollars,
        )
        out.print(f"\n{terminal.headline(settings)}", markup=False)
        screen.before(campaign)
        with _stopping_on_signals(campaign), screen.live():
            ended = campaign.run()
    seconds = time.time() - began
    _close(folder, settings, lab, campaign, ended, seconds=seconds, dollars=booking.dollars, out=out)
    return ended


def build_executor(folder: CampaignFolder, settings: Settings) -> Executor:
    """The executor that the settings name."""
    if settings.executor.kind == "kubernetes":
        from controller.executor.kubernetes import KubernetesExecutor

        return KubernetesExecutor(settings)
    from controller.executor.local import LocalExecutor

    return LocalExecutor(
        settings,
        task_folder=task_folder(settings),
        data_folder=folder.data.resolve(),
        work_folder=folder.work.resolve(),
        clock=time.time,
    )


def build_agent(settings: Settings, booking: Booking) -> Agent:
    """The agent that the settings name. Raises AgentError or SettingsError where it cannot work."""
    match settings.agent.kind:
        case "replay":
            from controller.agent.replay import ReplayAgent

            return ReplayAgent(settings.agent)
        case "claude":
            return _claude(settings, booking)
        case _:
            from controller.agent.perturb import PerturbAgent

            return PerturbAgent(settings.agent, accelerator=_trains_on_accelerator(settings))


def _claude(settings: Settings, booking: Booking) -> Agent:
    from controller.agent.claude import ClaudeAgent

    key = read_secrets().anthropic_api_key
    if key is None:
        raise AgentError("agent claude needs a key: set ANTHROPIC_API_KEY, or run with --set agent.kind=perturb")
    return ClaudeAgent(
        settings.agent.claude, key=key, book=booking.book, needs_load_model=settings.task.score == "exam"
    )


def _trains_on_accelerator(settings: Settings) -> bool:
    """Whether trainings will find a GPU: perturb must change the constants that count there."""
    if settings.executor.kind == "kubernetes":
        return settings.executor.kubernetes.gpus > 0
    from controller.executor.local.machine import look_around

    return bool(look_around().accelerators)


class _Screen:
    """Turns notices into rows, and the executor's progress into live lines."""

    def __init__(self, settings: Settings, *, out: Console, err: Console, executor: Executor) -> None:
        self._settings = settings
        self._out = out
        self._err = err
        self._executor = executor
        self._titled = False

    def before(self, campaign: Campaign) -> None:
        """Rows of what an earlier run already settled."""
        for experiment in campaign.memory.experiments.values():
            if experiment.judgement and campaign.memory.state:
                self.notice(Concluded(experiment, campaign.memory.state))

    def notice(self, notice: Notice) -> None:
        """Print what a person should read now."""
        match notice:
            case Concluded(experiment, state) if experiment.number == BASELINE:
                self._out.print(terminal.baseline_line(experiment, state, self._settings), markup=False)
            case Concluded(experiment, _):
                if not self._titled:
                    self._out.print(terminal.columns(self._settings), style="bold")
                    self._titled = True
                self._out.print(terminal.row(experiment))
            case TryLost(experiment, _, reason):
                self._err.print(f"     {experiment.number} runs again: {reason}", markup=False, style="bright_black")
            case Refused(reason, _):
                self._err.print(f"     sent back: {reason}", markup=False, style="bright_black")
            case AttemptEnded() | _:
                pass

    @contextmanager
    def live(self) -> Iterator[None]:
        """Live lines while the body runs, on a terminal only: a log file gets rows and nothing else."""
        if not self._err.is_terminal:
            yield
            return
        with Live(
            get_renderable=self._lines, console=self._err, refresh_per_second=REFRESHES_PER_SECOND, transient=True
        ):
            yield

    def _lines(self) -> Group:
        now = time.time()
        lines = [terminal.live(progress, now=now, settings=self._settings) for progress in self._executor.progress()]
        if trouble := self._executor.trouble():
            lines.append(f"paused: {trouble}")
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


@contextmanager
def _stopping_on_signals(campaign: Campaign) -> Iterator[None]:
    """SIGINT and SIGTERM end the loop cleanly; a second one is the system's own business."""

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        campaign.stop("interrupted" if number == signal.SIGINT else "terminated")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
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


def _close(
    folder: CampaignFolder,
    settings: Settings,
    lab: Lab,
    campaign: Campaign,
    ended: Stop,
    *,
    seconds: float,
    dollars: float,
    out: Console,
) -> None:
    experiments = list(campaign.memory.experiments.values())
    state, incumbent = campaign.memory.state, campaign.memory.incumbent
    out.print(
        terminal.closing(experiments, reason=ended.reason, seconds=seconds, settings=settings, dollars=dollars),
        markup=False,
    )
    if state is not None:
        out.print(terminal.best_line(incumbent, campaign.memory.experiments[BASELINE], state, settings), markup=False)
    written = write_reports(experiments, settings, diff=lab.diff, folder=folder.path, dollars=dollars)
    out.print(f"chart {written[0]} · lab {folder.lab} · go on with: autoresearch run {folder.path}", markup=False)
