"""Draws for a terminal: rows and live lines while a campaign runs, tables, and all parts of one experiment."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from controller.costs.answers import answer_text
from controller.costs.slots import SlotPrices, dollars_of
from controller.domain import BASELINE, Experiment, Judgement, Progress, Remark, Verdict, find_undone
from controller.notices import (
    Activity,
    AttemptEnded,
    Concluded,
    Doing,
    Inseparable,
    Notice,
    Refused,
    Told,
    Troubled,
    TryLost,
)
from controller.planning.campaign_state import CampaignState
from controller.ports import Executor, WaitReason
from controller.reports.activity import activity_details, activity_sentence, waiting_text
from controller.reports.text import (
    attempt_line,
    baseline_line,
    cost_line,
    exam_line,
    gain,
    origin_line,
    shown_score,
    verdict_sentence,
    verdict_words,
    warning_of,
    what,
)
from controller.reports.yields import YieldsTable
from controller.text.figures import moment_text, sigmas_text
from controller.text.safe_text import one_line

COLOURS = {Verdict.KEEP: "green", Verdict.DISCARD: "bright_black", Verdict.CRASH: "yellow", Verdict.REJECT: "red"}

REFRESHES_PER_SECOND = 4
ROWS_BEFORE = 10

RETOLD_SECONDS = 300.0
"""A reason to wait comes back with every retry; a log file tells of it so rarely."""

BAR = 24
"""Cells of the bar of a training."""

LEAST_TITLE = 12
"""Cells that a title keeps on the narrowest terminal; then the row is longer than the screen."""

LONGEST_NAME = 12
"""Cells of a metric's name above its column, where no score is longer."""

GAP = "  "
"""Blanks between two columns."""

LEFT_ALIGNED = frozenset({"verdict", "gain", "by"})


class Screen:
    """Turns notices into rows, and the executor's progress into live lines."""

    def __init__(
        self,
        *,
        metric: str,
        train_seconds: float,
        out: Console,
        err: Console,
        executor: Executor,
        activity: Callable[[], Activity],
    ) -> None:
        self._metric, self._train_seconds = metric, train_seconds
        self._out = out
        self._err = err
        self._executor = executor
        self._activity = activity
        self._titled = False
        self._undone: Mapping[int, int] = {}
        self._waits_told: dict[WaitReason, float] = {}

    def before(self, campaign_state: CampaignState) -> None:
        """Rows of what an earlier run already settled: the baseline and the newest few."""
        known = list(campaign_state.experiments.values())
        self._undone = find_undone(known)
        for experiment in [known[0], *known[1:][-ROWS_BEFORE:]]:
            if experiment.judgement and campaign_state.state:
                self.notice(Concluded(experiment, campaign_state.state))

    def notice(self, notice: Notice) -> None:
        """Print what a person should read now."""
        match notice:
            case Concluded(experiment, state) if experiment.number == BASELINE:
                line = baseline_line(experiment, state, metric=self._metric, train_seconds=self._train_seconds)
                self._out.print(line, markup=False)
            case Concluded(experiment, state):
                if not self._titled:
                    self._out.print(columns(self._metric), markup=False, style="bold")
                    self._titled = True
                self._out.print(row(experiment, state.noise, self._undone))
            case TryLost(experiment, _, reason):
                self._err.print(f"     {experiment.number} runs again: {reason}", markup=False, style="bright_black")
            case Refused(reason, _):
                self._err.print(f"     sent back: {reason}", markup=False, style="bright_black")
            case Inseparable(number, title):
                self._err.print(
                    f"     {number} is in doubt and cannot be left out, as later keeps change its lines: {title}",
                    markup=False,
                    style="bright_black",
                )
            case Told(remark):
                self._err.print(f"     you said: {one_line(remark.text)}", markup=False, style="bright_black")
            case Troubled(reason):
                said = f"waits for you because {reason}" if reason else "waits for you no more"
                self._err.print(f"     {said}", markup=False, style="yellow")
            case AttemptEnded() | _:
                pass

    def tell(self, activity: Activity) -> None:
        """Say in a log file what the agent waits for, which a terminal shows as a live line; a reason now and then."""
        if self._err.is_terminal:
            return
        for each in activity.waits:
            if activity.heard_at >= self._waits_told.get(each.reason, 0.0) + RETOLD_SECONDS:
                self._waits_told[each.reason] = activity.heard_at
                self._err.print(f"     {waiting_text(each)}", markup=False, style="bright_black")

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
        lines = [live_line(progress, now=now, granted=self._train_seconds) for progress in self._executor.progress()]
        activity = self._activity()
        if activity.doing is Doing.THINKS:
            lines.append(activity_sentence(activity, now=now))
        lines += activity_details(activity, now=now)
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


def columns(metric: str) -> str:
    """Header of the rows."""
    return f"{'#':>3}  {'verdict':<8}  {metric:<9} {'expected gain':<15}  what"


def row(experiment: Experiment, noise: float | None, undone: Mapping[int, int]) -> Text:
    """One judged experiment. noise: sigma of one run, None where it is not known; so everywhere below."""
    text = Text(f"{experiment.number:>3}  ")
    text.append(f"{verdict_words(experiment, undone) or 'open':<8}", style=_colour(experiment, undone))
    text.append(
        f"  {shown_score(experiment, noise):<9} {gain(experiment):<15}  {what(experiment)}{warning_of(experiment)}"
    )
    return text


def live_line(progress: Progress, *, now: float, granted: float) -> str:
    """One line for a running phase: time gone of time granted, and the training's own last line."""
    seconds = max(0.0, now - progress.started_at)
    bar = ""
    if progress.phase == "train":
        share = min(1.0, seconds / granted)
        filled = round(share * BAR)
        bar = f"{'━' * filled}{'─' * (BAR - filled)}  {seconds:3.0f}/{granted:g} s"
    label = "baseline" if progress.id.experiment == BASELINE else f"{progress.id.experiment:>3}"
    again = f" run {progress.id.attempt}" if progress.id.attempt > 1 or progress.id.experiment == BASELINE else ""
    return f"{label}{again}  {progress.phase:<8} {bar or f'{seconds:.0f} s'}   {progress.line[:60]}".rstrip()


def _colour(experiment: Experiment, undone: Mapping[int, int]) -> str:
    """The verdict's; that of a discard for what is in the branch no more."""
    if experiment.judgement is None:
        return "cyan"
    return COLOURS[Verdict.DISCARD if experiment.number in undone else experiment.judgement.verdict]


def experiment_blocks(
    experiment: Experiment, undone: Mapping[int, int], *, metric: str, prices: SlotPrices
) -> list[Text]:
    """The parts of `show N` above the diff: title, hypothesis, runs, exam, verdict."""
    blocks = [Text(f"{experiment.number}  {experiment.title}", style="bold")]
    if experiment.hypothesis:
        blocks.append(Text(experiment.hypothesis))
    origin = origin_line(experiment)
    blocks += [Text(origin, style="bright_black")] if origin else []
    blocks.append(Text(f"commit {experiment.commit[:12]}  base {experiment.base[:12]}", style="bright_black"))
    blocks += [Text(attempt_line(attempt, metric)) for attempt in experiment.attempts]
    if experiment.exams:
        blocks.append(Text(exam_line(experiment.exams[-1])))
    blocks.append(Text(cost_line(experiment, prices)))
    if experiment.judgement:
        blocks.append(verdict_text(experiment, experiment.judgement, undone))
    return blocks


def verdict_text(experiment: Experiment, judgement: Judgement, undone: Mapping[int, int]) -> Text:
    """The verdict and the numbers behind it."""
    text = Text(verdict_sentence(experiment, undone))
    text.stylize(f"bold {_colour(experiment, undone)}", 0, len(text) - len(f": {judgement.reason}"))
    numbers = [("expected gain", judgement.expected_gain), ("spread", judgement.spread), ("price", judgement.price)]
    shown = "  ".join(f"{name} {sigmas_text(value, decimals=3)}" for name, value in numbers if value is not None)
    if shown:
        text.append(f"\n      {shown}", style="bright_black")
    return text


def experiments_table(
    experiments: Sequence[Experiment],
    *,
    metric: str,
    prices: SlotPrices,
    noise: float | None,
    width: int | None,
    remarks: Sequence[Remark] = (),
    wide: bool = False,
) -> list[Text]:
    """All experiments, oldest first, one line each; what each cost, where anything did; by whom, where they differ.

    wide: with what an answer of each costs.

    noise: sigma of one run, None where it is not known. width: cells of the terminal, at which titles are cut with an
    ellipsis; None cuts nothing. remarks: what the operator told, oldest first, each before the experiments that were
    proposed after it.
    """
    dollars = [dollars_of(experiment, prices) for experiment in experiments]
    undone = find_undone(experiments)
    several = len({experiment.agent for experiment in experiments if experiment.number != BASELINE}) > 1
    columns = ["#", "verdict", metric, "gain", "lines", *(["cost"] if any(dollars) else [])]
    columns += ["by"] if several else []
    columns += ["an answer"] if wide else []
    rows = []
    for experiment, cost in zip(experiments, dollars, strict=True):
        change = f"{experiment.line_change:+d}" if experiment.line_change else ""
        cells = [
            Text(str(experiment.number)),
            Text(verdict_words(experiment, undone) or "open", style=_colour(experiment, undone)),
            Text(shown_score(experiment, noise)),
            Text(gain(experiment)),
            Text(change),
        ]
        cells += [Text(f"${cost:.2f}")] if any(dollars) else []
        cells += [Text(shown_proposer(experiment))] if several else []
        rows.append(cells + ([Text(answer_text(experiment))] if wide else []))
    widths = []
    for name, column in zip(columns, zip(*rows, strict=True), strict=True):
        title_cells = min(Text(name).cell_len, LONGEST_NAME)
        widths.append(max([title_cells, *(cell.cell_len for cell in column)]))
    room = None if width is None else max(LEAST_TITLE, width - sum(widths) - len(GAP) * len(widths))
    lines = [_line(list(map(Text, columns)), Text("what"), columns, widths, room)]
    lines[0].stylize("bold")
    told = deque(remarks)
    for experiment, cells in zip(experiments, rows, strict=True):
        while told and told[0].at < experiment.proposed_at:
            lines.append(_remark_line(told.popleft(), columns, widths, room))
        title = Text(" ".join(f"{what(experiment)}{warning_of(experiment)}".split()))
        lines.append(_line(cells, title, columns, widths, room))
    return lines + [_remark_line(remark, columns, widths, room) for remark in told]


def _remark_line(remark: Remark, columns: Sequence[str], widths: Sequence[int], room: int | None) -> Text:
    """A row of the table for what the operator told."""
    cells = [Text("told", style="cyan") if name == "verdict" else Text() for name in columns]
    title = Text(f"{moment_text(remark.at)}: {' '.join(remark.text.split())}")
    return _line(cells, title, columns, widths, room)


def shown_proposer(experiment: Experiment) -> str:
    """Whoever proposed it; nothing for the baseline, which nobody did."""
    return "" if experiment.number == BASELINE else experiment.agent


def _line(cells: Sequence[Text], title: Text, columns: Sequence[str], widths: Sequence[int], room: int | None) -> Text:
    """One row, its cells padded to their columns and its title cut to the room that is left."""
    line = Text()
    for cell, name, width in zip(cells, columns, widths, strict=True):
        cell.truncate(width, overflow="ellipsis")
        cell.align("left" if name in LEFT_ALIGNED else "right", width)
        line.append_text(cell).append(GAP)
    if room is not None:
        title.truncate(room, overflow="ellipsis")
    return line.append_text(title)


def draw_yields(table: YieldsTable) -> Table:
    """What each strategy, or each proposer, has brought: names on the left, numbers on the right."""
    result = Table(box=None, pad_edge=False, header_style="bold")
    for title in table.titles:
        result.add_column(title, justify="right" if result.columns else "left", no_wrap=True)
    for row in table.rows:
        result.add_row(*map(Text, row))
    return result
