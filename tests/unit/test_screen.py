"""The live lines of a terminal: what runs, what the agent waits for, what pauses the campaign."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence

from rich.console import Console

from controller.domain import Progress, TryId
from controller.notices import Troubled
from controller.ports import Waiting, WaitReason
from controller.screen import Screen
from tests.local_task import wait_until
from tests.scripted import InstantExecutor, scored, settings


class Training(InstantExecutor):
    """Experiment 7 is training."""

    def progress(self) -> Sequence[Progress]:
        """Three seconds into it."""
        return [
            Progress(id=TryId("t", 7, 1, 1), phase="train", started_at=time.time() - 3, phase_seconds=20, line="step 9")
        ]


def seen(*waiting: Waiting, trouble: str = "", until: str) -> str:
    """What a terminal has shown when it first shows `until`."""
    err = io.StringIO()
    console = Console(file=err, force_terminal=True, width=100, color_system=None)
    executor = Training(lambda _: scored(2.0))
    screen = Screen(
        settings(), out=Console(file=io.StringIO()), err=console, executor=executor, waiting=lambda: waiting
    )
    screen.notice(Troubled(trouble))
    with screen.live():
        wait_until(lambda: until in err.getvalue(), what=f"{until!r} in the terminal")
    return err.getvalue()


def test_what_the_agent_waits_for_stands_below_what_runs() -> None:
    text = "rate_limit_error: [bold]slow down[/bold]; asking again in 12 s"

    shown = seen(Waiting(reason=WaitReason.RATE_LIMIT, text=text), until="agent waits")

    assert f"agent waits  {text}" in shown
    assert shown.index("train") < shown.index("agent waits")


def test_what_an_operator_must_mend_is_said_once() -> None:
    refused = "the API refused the key; perturb stands in for claude"

    shown = seen(Waiting(reason=WaitReason.OPERATOR, text=refused), trouble=refused, until="step 9")

    assert f"paused: {refused}" in shown
    assert "agent waits" not in shown
