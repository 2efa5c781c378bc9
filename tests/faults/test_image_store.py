"""The image store that all test clusters share: made by many processes at once, killed at any moment, never broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).parent / "image_store_starts.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_cold_starts_by_eight_processes_at_once_and_killed_ones_leave_nothing_broken(tmp_path: Path) -> None:
    command = [sys.executable, str(CHILD), str(tmp_path), "200", "1"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr[-4000:]
