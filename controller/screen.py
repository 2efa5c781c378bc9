"""The terminal while a campaign runs: a row for each verdict, a live line for each running phase."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from controller import terminal
from controller.domain import BASELINE
from controller.memory import Memory
from controller.notices import AttemptEnded, Concluded, Notice, Refused, Troubled, TryLost
from controller.ports import Executor, Waiting, WaitReason
from controller.settings import Settings

REFRESHES_PER_SECOND = 4
ROWS_BEFORE = 10


class Screen:
    """Turns notices into rows, and the executor's progress into live lines."""

    def __init__(
        self,
        settings: Settings,
        *,
        out: Console,
        err: Console,
        executor: Executor,
        waiting: Callable[[], Sequence[Waiting]],
    ) -> None:
        self._settings = settings
        self._out = out
        self._err = err
        self._executor = executor
        self._waiting = waiting
        self._titled = False
        self._trouble = ""

    def before(self, memory: Memory) -> None:
        """Rows of what an earlier run already settled: the baseline and the newest few."""
        known = list(memory.experiments.values())
        for experiment in [known[0], *known[1:][-ROWS_BEFORE:]]:
            if experiment.judgement and memory.state:
                self.notice(Concluded(experiment, memory.state))

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
            case Troubled(reason):
                self._trouble = reason
                said = f"paused: {reason}" if reason else "not paused any more"
                self._err.print(f"     {said}", markup=False, style="yellow")
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
        lines += [f"agent waits  {w.text}" for w in self._waiting() if w.reason is not WaitReason.OPERATOR]
        if self._trouble:
            lines.append(f"paused: {self._trouble}")
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))
