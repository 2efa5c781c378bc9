"""Prints the closing words of a run, and writes the report that they point to."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Remark
from controller.folder import CampaignFolder
from controller.lab import Lab
from controller.notices import Activity
from controller.planning.actions import Stop
from controller.planning.campaign_state import CampaignState
from controller.reports import text
from controller.reports.report import write_closing_report
from controller.settings import Settings
from controller.studies.study import StudyRecord
from controller.text.shell_words import shell_word


def print_results(
    campaign_state: CampaignState, settings: Settings, ended: Stop, *, seconds: float, dollars: float, out: Console
) -> None:
    """Print why the run ended, its cost, and the best program. seconds: of this run. dollars: of all model calls."""
    experiments = list(campaign_state.experiments.values())
    line = text.closing(
        experiments,
        reason=ended.reason,
        seconds=seconds,
        dollars=dollars,
        prices=SlotPrices.of(settings),
        local=settings.executor.kind == "local",
    )
    out.print(line, markup=False)
    state = campaign_state.state
    if state is not None:
        baseline = campaign_state.experiments[BASELINE]
        out.print(text.best_line(campaign_state.incumbent, baseline, state, settings.task.metric), markup=False)


def write_and_name_report(
    campaign_state: CampaignState,
    settings: Settings,
    *,
    lab: Lab,
    folder: CampaignFolder,
    activity: Activity,
    remarks: Sequence[Remark],
    studies: Sequence[StudyRecord],
    dollars: float,
    stays: bool,
    out: Console,
    err: Console,
) -> None:
    """Write the report, and print where it and the lab are and how to go on. stays: true if the process serves on."""
    page = write_closing_report(
        list(campaign_state.experiments.values()),
        settings,
        diff=lab.diff,
        folder=folder.path,
        dollars=dollars,
        activity=activity,
        remarks=remarks,
        studies=studies,
        say=lambda line: err.print(line, markup=False),
    )
    chart = f"chart {shell_word(page)} · " if page else ""
    further = "a larger budget goes on from here" if stays else f"go on with: {folder.run_command}"
    out.print(f"{chart}lab {shell_word(folder.lab)} · {further}", markup=False)
