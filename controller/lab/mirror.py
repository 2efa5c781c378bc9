"""Pushes the lab to a git remote in the background; the loop never waits for the network.

A push that fails is reported once and repeated after the next verdict. Git finds the credentials itself (a credential
helper, an SSH key, a netrc file). The mirror never fetches: the lab on this machine is the truth.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from controller.text.safe_text import one_line

# The plus sign forces: a rebased experiment is no descendant of the commit that was pushed before.
REFS = tuple(f"+refs/{kind}/*:refs/{kind}/*" for kind in ("heads", "experiments", "notes", "calls", "studies"))
"""Refs that are pushed: branches, records, what model calls cost, studies. Logs and transcripts stay here."""

PUSH_SECONDS = 120.0
"""Seconds after which a push is ended: a connection that hangs must not hold up the next push, or the end."""


class Mirror:
    """Pushes after each verdict, one push at a time; verdicts that come during a push share the next one."""

    def __init__(self, lab: Path, remote: str, *, say: Callable[[str], None]) -> None:
        self._command = ["git", "-C", str(lab), "push", "--quiet", remote, *REFS]
        self._say = say
        self._wanted, self._ending = threading.Event(), threading.Event()
        self._failing = ""
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def push_soon(self) -> None:
        """Push in the background; called after each verdict."""
        self._wanted.set()

    def close(self) -> None:
        """Push the rest and wait for it, but no longer than one push may take."""
        self._ending.set()
        self._wanted.set()
        self._thread.join(PUSH_SECONDS)

    def _run(self) -> None:
        ending = False
        while not ending:
            self._wanted.wait()
            self._wanted.clear()
            # Read before the push and not after it, so that what came during an earlier push is pushed before the end.
            ending = self._ending.is_set()
            self._push()

    def _push(self) -> None:
        problem = self._run_push()
        if problem and problem != self._failing:
            self._say(f"the lab could not be pushed to its remote ({problem}); it is tried again with the next verdict")
        self._failing = problem

    def _run_push(self) -> str:
        """Push once; returns why it failed, or an empty text."""
        # Without --atomic a push that is cut off has moved some of the refs. The next push moves the others.
        try:
            done = subprocess.run(
                self._command,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,  # git asks for a password on a terminal, and would wait for ever
                timeout=PUSH_SECONDS,
                check=False,
                start_new_session=True,  # Ctrl-C at the terminal asks the controller alone: the last push is finished
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return one_line(str(error), 200)
        if done.returncode == 0:
            return ""
        return one_line((done.stderr.strip().splitlines() or ["no message"])[-1], 200)
