"""Tables for the terminal: all experiments, and what each strategy brought. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from controller.domain import Experiment
from controller.prices import dollars_of
from controller.settings import Settings
from controller.terminal import COLOURS, gain, shown_score, warning_of, what
from controller.yields import Yield


def experiments_table(experiments: Sequence[Experiment], settings: Settings) -> Table:
    """All experiments, oldest first; what each cost, where anything did."""
    dollars = [dollars_of(experiment, settings) for experiment in experiments]
    result = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("#", "right"), ("verdict", "left"), (settings.task.metric, "right"), ("gain", "left")):
        result.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    result.add_column("lines", justify="right")
    if any(dollars):
        result.add_column("cost", justify="right", no_wrap=True)
    result.add_column("what", overflow="fold")
    for experiment, cost in zip(experiments, dollars, strict=True):
        verdict = experiment.judgement.verdict if experiment.judgement else None
        colour = COLOURS.get(verdict, "") if verdict else "cyan"
        result.add_row(
            str(experiment.number),
            Text(verdict.value if verdict else "open", style=colour),
            shown_score(experiment),
            gain(experiment),
            f"{experiment.line_change:+d}" if experiment.line_change else "",
            *([f"${cost:.2f}"] if any(dollars) else []),
            Text(what(experiment) + warning_of(experiment)),
        )
    return result


def yields_table(strategies: Sequence[Yield]) -> Table:
    """What each strategy proposed, what was kept of it, and what its experiments cost."""
    result = Table(box=None, pad_edge=False, header_style="bold")
    result.add_column("strategy", no_wrap=True)
    for name in ("proposed", "kept", "gain kept", "cost"):
        result.add_column(name, justify="right", no_wrap=True)
    for each in strategies:
        gained = f"{each.gain:+.1f} σ" if each.kept else ""
        result.add_row(each.strategy, str(each.proposed), str(each.kept), gained, f"${each.dollars:.2f}")
    return result
