"""A copy of the lab at a git remote, as fresh as the network allows. The loop never waits for it.

Best effort: a push that fails is said once and tried again with the next verdict. Credentials are git's own
business (a helper, an SSH key, a netrc file). It pushes and never fetches.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from controller.notices import Concluded, Notice

REFS = tuple(f"+refs/{kind}/*:refs/{kind}/*" for kind in ("heads", "experiments", "notes"))
PUSH_SECONDS = 120.0


class Mirror:
    """Pushes after each verdict, one push at a time; verdicts that fall into a push share the next one."""

    def __init__(self, lab: Path, remote: str, *, say: Callable[[str], None]) -> None:
        self._command = ["git", "-C", str(lab), "push", "--quiet", remote, *REFS]
        self._remote, self._say = remote, say
        self._wanted, self._ending = threading.Event(), threading.Event()
        self._failing = ""
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def notice(self, notice: Notice) -> None:
        """Push soon where there is a new verdict."""
        if isinstance(notice, Concluded):
            self._wanted.set()

    def close(self) -> None:
        """Push what is left, waiting for it no longer than one push may take."""
        self._ending.set()
        self._wanted.set()
        self._thread.join(PUSH_SECONDS)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._wanted.wait()
            self._wanted.clear()
            self._push()

    def _push(self) -> None:
        try:
            done = subprocess.run(
                self._command,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=PUSH_SECONDS,
                check=False,
            )
            problem = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        if problem and problem != self._failing:
            self._say(
                f"the lab could not be pushed to its remote ({problem[:200]}); it is tried again with the next verdict"
            )
        self._failing = problem
