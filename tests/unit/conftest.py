"""Unit tests are quick: they start no process but `git`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system")
"""Python's own audit events for the ways to start a process."""

started: list[str] = []
"""Programs, git excepted, that were started since the running test began."""


def note_start(event: str, arguments: tuple[object, ...]) -> None:
    """Note the start of any program but git."""
    if event in STARTS:
        program = os.path.basename(str(arguments[0])) if arguments else event
        if program != "git":
            started.append(program)


sys.addaudithook(note_start)


@pytest.fixture(autouse=True)
def no_process_but_git() -> Iterator[None]:
    """Fail a test that starts another program: its place is a folder of tests/README.md that says so."""
    started.clear()
    yield
    assert not started, f"a unit test started {', '.join(started)}: see tests/README.md for where it belongs"
