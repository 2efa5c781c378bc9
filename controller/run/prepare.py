"""Prepares a campaign's data by calling the task's own prepare.py, on this machine or as a Job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from controller.errors import DataError, TaskError
from controller.executor.phases import prepare_environment, trusted_files
from controller.folder import CampaignFolder, shipped_task, task_folder
from controller.settings import Settings, TaskSettings, own_environment
from controller.text.safe_text import safe_text


def prepare_data(
    folder: CampaignFolder, settings: Settings, *, say: Callable[[str], None], check: bool = False
) -> None:
    """Run the task's prepare.py; an intact data folder is kept. Raises DataError with its last line.

    check: on a cluster, look at the data even where the Job that made them is still there.
    """
    if settings.executor.kind == "kubernetes":
        from controller.executor.kubernetes.prepare import prepare_on_cluster

        prepare_on_cluster(settings, say=say, check=check)
        return
    script = task_folder(settings) / "prepare.py"
    if not script.is_file():
        raise TaskError(f"{script} does not exist: put the data into {folder.data} yourself, or give the task one")
    command = [
        _python_of(script.parent, settings.task),
        str(script),
        "--data",
        str(folder.data.resolve()),
        *settings.task.prepare,
    ]
    environment = own_environment(prepare_environment(settings.task) | _kit_for(settings.task))
    # Its output may quote names from a data set that somebody else has published, so it is made safe.
    done = subprocess.run(
        command, cwd=script.parent, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    for line in safe_text(done.stdout).splitlines():
        say(f"  {line}")
    if done.returncode < 0:
        ended_by = signal.Signals(-done.returncode).name
        raise DataError(
            f"prepare.py was ended by {ended_by}: run it again; if that was for lack of memory, on less text"
        )
    if done.returncode:
        last = (safe_text(done.stderr).strip().splitlines() or ["no message"])[-1]
        raise DataError(f"prepare.py failed: {last.removeprefix('prepare.py: ')}")


def _kit_for(settings: TaskSettings) -> dict[str, str]:
    """The package `exam`, for a task whose examiner is one file: its prepare.py seals the data with it."""
    return {"PYTHONPATH": str(shipped_task())} if trusted_files(settings) else {}


def _python_of(task: Path, settings: TaskSettings) -> str:
    """Python of the task's own environment, where it has one with a Python in it; else the controller's."""
    if settings.environment_folder is not None:
        python = task / settings.environment_folder.expanduser() / "bin" / "python"
        if os.access(python, os.X_OK):
            return str(python)
    return sys.executable
