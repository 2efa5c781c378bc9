"""The live lines of a terminal: what runs, what the agent waits for, what pauses the campaign."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from rich.console import Console

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Progress, TryId, Verdict
from controller.notices import Activity, RunningTry
from controller.ports import Waiting, WaitReason
from controller.reports import text
from controller.reports.terminal import Screen
from controller.text.figures import clock_text
from tests.support.histories import experiment, result
from tests.support.scripted import InstantExecutor, campaign, scored, settings
from tests.support.waiting import wait_until

PRICES = SlotPrices.of(settings())


class Training(InstantExecutor):
    """Experiment 7 is training."""

    def progress(self) -> Sequence[Progress]:
        """Three seconds into it."""
        return [
            Progress(id=TryId("t", 7, 1, 1), phase="train", started_at=time.time() - 3, phase_seconds=20, line="step 9")
        ]


def seen(*waiting: Waiting, trouble: str = "", until: str) -> str:
    """The text that a terminal has shown when it first shows `until`."""
    err = io.StringIO()
    console = Console(file=err, force_terminal=True, width=100, color_system=None)
    executor = Training(lambda _: scored(2.0))
    tries = (RunningTry(7, 1, "train"),)
    activity = Activity(tag="t", turned=True, tries=tries, proposing=1, waiting=waiting, trouble=trouble)
    screen = Screen(
        metric="val_bpb",
        train_seconds=settings().budget.train_seconds,
        out=Console(file=io.StringIO()),
        err=console,
        executor=executor,
        activity=lambda: activity,
    )
    with screen.live():
        wait_until(lambda: until in err.getvalue(), what=f"{until!r} in the terminal")
    return err.getvalue()


def test_what_the_agent_waits_for_stands_below_what_runs() -> None:
    text, until = "rate_limit_error: [bold]slow down[/bold]", 1_900_000_000.0

    shown = seen(Waiting(reason=WaitReason.RATE_LIMIT, text=text, until=until), until="agent waits")

    assert f"the agent waits for the API until {clock_text(until)}: {text}" in shown
    assert shown.index("train") < shown.index("agent waits")


def test_what_an_operator_must_mend_is_said_once() -> None:
    refused = "the API refused the key; perturb stands in for claude"

    shown = seen(Waiting(reason=WaitReason.OPERATOR, text=refused), trouble=refused, until="step 9")

    assert f"waits for you because {refused}" in shown
    assert "paused" not in shown, "an experiment is training"
    assert "agent waits" not in shown


def test_the_line_about_the_data_names_the_commit_of_a_data_set() -> None:
    manifest = {"source": "hf:someone/words", "vocabulary_size": 512, "splits": {}, "identity": "ed8b" + "0" * 60}

    assert text.data_line(manifest | {"revision": "0123abcdef"}).startswith("hf:someone/words revision 0123abc · ")
    assert text.data_line(manifest).startswith("hf:someone/words · ")


def test_the_baseline_s_line_shows_its_own_score_after_a_keep(tmp_path: Path) -> None:
    ran = campaign(tmp_path, InstantExecutor(lambda r: scored(3.0 - r.id.experiment / 2 + r.seed % 100 / 1e4)))
    ran.run()
    baseline, state = ran.campaign_state.experiments[BASELINE], ran.campaign_state.state
    assert state is not None
    assert state.level < fmean(baseline.scores) - 0.3, "an edit was kept"

    line = text.baseline_line(baseline, state, metric="val_bpb", train_seconds=20.0)

    assert f"val_bpb {fmean(baseline.scores):.4f}" in line


@pytest.mark.parametrize(("accelerator", "unit"), [("cpu", "CPU-h"), ("NVIDIA H100", "GPU-h")])
def test_closing_words_count_hours_of_what_trained(accelerator: str, unit: str) -> None:
    ran = experiment(BASELINE, [replace(result(1.9), accelerator=accelerator)], Verdict.KEEP, None)

    line = text.closing([ran], reason="interrupted", seconds=20, dollars=0.0, prices=PRICES, local=True)

    assert line.endswith(unit)
