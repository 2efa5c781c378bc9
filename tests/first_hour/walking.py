"""A person at a terminal, for the walk of the first hour: the installed command, Ctrl-C, and an open page.

A terminal's Ctrl-C goes to the whole process group, so each command gets a group of its own.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.waiting import PATIENCE_S, wait_until

COMMAND = Path(sys.executable).with_name("autoresearch")
BETWEEN_LOOKS_S = 1.0
UGLY = ("Traceback", "Exception in thread", "Exception ignored", "Fatal Python error", "[Errno")


@dataclass(frozen=True)
class Said:
    """A command that ended: what it was, its exit code, and what it wrote."""

    line: str
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"$ {self.line}\n(exit {self.code})\n{self.out}\n{self.err}"

    @property
    def is_ugly(self) -> bool:
        """True if it showed the user something that was meant for a programmer."""
        return any(word in self.out + self.err for word in UGLY)


@dataclass
class Person:
    """Types commands in one folder and remembers all that was said."""

    folder: Path
    heard: list[Said] = field(default_factory=list)
    _running: list[subprocess.Popen[str]] = field(default_factory=list)

    @contextmanager
    def at_the_terminal(self) -> Iterator[Person]:
        """Whatever still runs when the block ends, as it does where a test failed, is killed."""
        # A shell that runs the tests in its background has them ignore Ctrl-C, and so would every command below.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)
            for process in self._running:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                with process:  # which closes its pipes; an open one fails whatever test comes next
                    pass

    def start(self, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        """Begin a command and leave it running."""
        process = subprocess.Popen(
            [COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=_environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._running.append(process)
        return process

    def wait_for(self, process: subprocess.Popen[str]) -> Said:
        """Read a command to its end; one that takes too long is killed and failed."""
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            # Python's fault handler prints where each thread is.
            ended = process.poll()
            process.send_signal(signal.SIGABRT)
            others = subprocess.run(
                ["ps", "-o", "pid,stat,args", "-g", str(process.pid)], capture_output=True, text=True
            )
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(
                f"still running after {PATIENCE_S:g} s (exit code {ended}, then killed): {process.communicate()}\n"
                f"{others.stdout}"
            ) from None
        assert isinstance(process.args, list)
        said = Said(" ".join(map(str, process.args[1:])), process.returncode, out, err)
        self.heard.append(said)
        return said

    def say(self, *arguments: str | Path, **environment: str) -> Said:
        """Type a command and wait for its end."""
        return self.wait_for(self.start(*arguments, **environment))

    def wait_for_its_own_code(self, process: subprocess.Popen[str]) -> None:
        """Until Python's own start is over, some 50 ms in which nobody presses Ctrl-C: it would answer for itself."""

        def answers_for_itself() -> bool:
            try:
                loaded = Path(f"/proc/{process.pid}/maps").read_text()
            except OSError:
                loaded = ""
            return process.poll() is not None or "pydantic_core" in loaded

        wait_until(answers_for_itself, what="the command's own code", interval=0.01)

    def wait_for_lines(self, process: subprocess.Popen[str], words: str) -> None:
        """Read what a command writes until a line has these words."""
        assert process.stdout is not None
        for line in process.stdout:
            if words in line:
                return
        raise AssertionError(f"the command ended without {words!r}: {self.wait_for(process)}")

    def press_ctrl_c(self, process: subprocess.Popen[str]) -> None:
        """To the whole group, as a terminal does."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)


def _environment() -> dict[str, str]:
    """A new user's: nothing of the campaign or the keys of whoever runs the tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AUTORESEARCH_", "ANTHROPIC_"))}
    return kept | {"COLUMNS": "80", "CUDA_VISIBLE_DEVICES": "", "PYTHONFAULTHANDLER": "1"}


@dataclass
class Visitor:
    """Somebody who keeps the page open: asks for it every second, and for whatever else the page links to.

    A question that began before Ctrl-C was pressed must be answered in full; later ones may find nobody there.
    """

    port: int
    answered: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    _promised: bool = True
    _asked: int = 0

    def expect_nobody(self) -> None:
        """From now on the server may be gone."""
        self._promised = False

    def expect_answers(self) -> None:
        """From now on a connection that is taken is a promise."""
        self._promised = True

    def look(self, path: str) -> str:
        """Ask once; what is wrong with the answer is a complaint. Empty where there is none."""
        # At what time a connection was there decides: on a busy machine this thread may stand still before and after.
        promised = self._promised
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            with closing(connection):
                connection.connect()
                promised = self._promised
                connection.request("GET", path)
                reply = connection.getresponse()
                body = reply.read().decode(errors="replace")
        except ConnectionRefusedError:
            return ""
        except (OSError, http.client.HTTPException) as error:
            if promised:
                self.complaints.append(f"{path}: {error!r}")
            return ""
        if reply.status >= 400:
            if reply.status >= 500:
                self.complaints.append(f"{path}: {reply.status} {body[:200]}")
            return ""
        self.answered[path] = self.answered.get(path, 0) + 1
        return body

    def _keep_looking(self, told: threading.Event) -> None:
        while not told.wait(BETWEEN_LOOKS_S):
            for path in ("/", "/status.json", "/metrics", f"/experiments/{self._asked % 6}"):
                self.look(path)
            self._asked += 1

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Look every second until the block ends."""
        told = threading.Event()
        thread = threading.Thread(target=self._keep_looking, args=(told,))
        thread.start()
        try:
            yield
        finally:
            told.set()
            thread.join()


def wait_until_served(
    visitor: Visitor,
    process: subprocess.Popen[str],
    *,
    path: str = "/",
    pattern: str = "",
    seconds: float = PATIENCE_S,
) -> str:
    """The page that the process serves there, once it matches."""

    def look() -> str | None:
        found = visitor.look(path)
        if found and re.search(pattern, found):
            return found
        assert process.poll() is None, f"the command ended early: {process.communicate()}"
        return None

    return wait_until(look, what=lambda: f"something like {pattern!r} at {path}: {visitor.look(path)}", seconds=seconds)


def complain_of(said: Sequence[Said]) -> str:
    """Everything ugly that was said, for a failed assertion."""
    return "\n\n".join(str(one) for one in said if one.is_ugly)


def assert_is_told(said: Said, *words: str) -> None:
    """A mistake is one line that has these words, and exit code 2. A warning beside it is about something else."""
    lines = [line for line in said.err.splitlines() if not line.startswith("  warning  ")]
    assert said.code == 2, said
    assert len(lines) == 1, said
    assert lines[0].startswith("autoresearch: "), said
    assert all(word in lines[0] for word in words), said
    assert not said.is_ugly, said
