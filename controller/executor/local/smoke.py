"""Runs a smoke test on this machine: the phases of `executor.smoke` in the sandboxes of an attempt, at low priority.

It has a folder of its own, which is deleted at its end, and takes no slot: trainings go before it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from secrets import token_hex

from controller.domain import TryId, TryRequest
from controller.executor.local import outcome
from controller.executor.local.deletion import delete
from controller.executor.local.exam_hours import ExamHours
from controller.executor.local.host import Host
from controller.executor.local.process import Cause, Stop
from controller.executor.local.runner import TryRunner
from controller.executor.local.try_folder import TryFolder
from controller.executor.local.witness import OwnUse
from controller.executor.smoke import SMOKE_SECONDS, find_smoke_crash, smoke_phases
from controller.ports import SmokeCrash

_PREFIX = "smoke-"
_numbers = count(1)


def run_smoke_test(
    files: Mapping[str, str],
    *,
    host: Host,
    work: Path,
    own: OwnUse,
    exam_hours: ExamHours,
    stops: tuple[Stop, ...],
) -> SmokeCrash | None:
    """Try one step of a program; returns how it crashed, None if it did not. Raises OSError where this machine fails.

    work: folder in which the test makes its own. own: adds up what this campaign uses of the machine. stops: each ends
    the test early, which is no crash.
    """
    # No attempt has the number 0, so that no try has this name.
    request = TryRequest(
        id=TryId(host.settings.tag, 0, 0, next(_numbers)), commit="", files=files, seed=0, probe_set=0, reserve=None
    )
    folder = TryFolder(work / f"{_PREFIX}{token_hex(4)}")
    runner = TryRunner(
        request,
        host=host,
        folder=folder,
        accelerators=(),
        cores=(),
        own=own,
        exam_hours=exam_hours,
        stop=stops[0],
        clock=time.time,
        idle=True,
    )
    try:
        folder.create(files.items(), short_socket=host.bubblewrap is None)
        return _run_phases(runner, request, host=host, stops=stops)
    finally:
        delete(folder.root)


def delete_leftovers(work: Path) -> None:
    """Delete the folders of smoke tests that a dead controller left."""
    for left in work.glob(f"{_PREFIX}*"):
        delete(left)


def _run_phases(runner: TryRunner, request: TryRequest, *, host: Host, stops: tuple[Stop, ...]) -> SmokeCrash | None:
    settings, until = host.settings, time.monotonic() + SMOKE_SECONDS
    for phase in smoke_phases(settings, request):
        left = until - time.monotonic()
        if left <= 0:
            return None
        end = runner.run_phase(replace(phase, seconds=left), stops=stops)
        if end.cause is not Cause.EXITED:
            return None
        text = runner.text
        result = outcome.failed(
            end,
            text=text,
            task=settings.task,
            train_seconds=settings.budget.train_seconds,
            walls=host.walls,
        )
        if result is not None:
            return find_smoke_crash(result, code=end.code, text=text, metric=settings.task.metric)
    return None
