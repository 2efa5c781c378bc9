"""Making a campaign's data: calls the task's own prepare.py, here or as a Job; it prepares nothing itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from controller.errors import DataError, TaskError
from controller.folder import CampaignFolder, task_folder
from controller.settings import Settings


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
    command = [sys.executable, str(script), "--data", str(folder.data.resolve()), *settings.task.prepare]
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        say(f"  {line}")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"prepare.py failed: {last}")
