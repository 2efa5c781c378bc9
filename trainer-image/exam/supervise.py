"""Run a training under a hard budget: `python -m exam.supervise -- python train.py`.

Wall clock from its own start, in a pod from when its network is shut. At AUTORESEARCH_TRAIN_SECONDS the
whole tree gets TERM, five seconds later KILL. Exit 0 when a usable artifact is there and training ended
well or was stopped by the clock; 124 when the clock stopped it and nothing usable is left; 3 when it ended
well without a usable artifact; otherwise training's own code, 128 + n for signal n. Output is passed
through as it comes up to 5 MiB: the first half, then at the end the last half.

Covered: ignored TERM, double forks and own sessions, endless output, an artifact that is a link or a FIFO,
TERM from outside (passed on, then the same five seconds).
Not covered: a training of the same user that kills its supervisor when that is not PID 1 of its namespace
(the executor then sees a supervisor ended by a signal: a crash); memory, disk and process limits (the
sandbox's); anything that the training prints being true.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exam import artifact
from exam.errors import EXIT_ARTIFACT, EXIT_DATA, DataError, number, setting
from exam.processes import become_supervisor, kill_tree, reap, signal_tree
from exam.walls import await_walls

GRACE_SECONDS = 5.0
OUTPUT_BYTES = 5 << 20
EXIT_OVERRAN = 124
SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


@dataclass(slots=True)
class OutputCap:
    """The first `head` bytes of a stream at once, and its last `tail` bytes at the end."""

    head: int = OUTPUT_BYTES // 2
    tail: int = OUTPUT_BYTES // 2
    _kept: deque[bytes] = field(default_factory=deque)
    _kept_bytes: int = 0
    _dropped: int = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take in what came; returns the part to pass on now."""
        now, later = chunk[: self.head], chunk[self.head :]
        self.head -= len(now)
        if later:
            self._kept.append(later)
            self._kept_bytes += len(later)
        while self._kept_bytes - len(self._kept[0] if self._kept else b"") >= self.tail and self._kept:
            self._drop(self._kept.popleft())
        return now

    def _drop(self, chunk: bytes) -> None:
        self._kept_bytes -= len(chunk)
        self._dropped += len(chunk)

    def finish(self) -> bytes:
        """The rest: a note on what was left out, and the last bytes."""
        rest = b"".join(self._kept)
        cut = max(0, len(rest) - self.tail)
        dropped = self._dropped + cut
        note = f"\n... {dropped} bytes of output left out ...\n".encode() if dropped else b""
        return note + rest[cut:]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a training ended: its own exit code, whether the clock stopped it, what was asked from outside."""

    code: int
    overran: bool = False
    stopped_by: int | None = None


def exit_code(ending: Ending, fault: str | None) -> int:
    """The supervisor's exit code; fault: what is wrong with the artifact, or None."""
    if ending.stopped_by is not None:
        return 128 + ending.stopped_by
    if ending.overran:
        return EXIT_OVERRAN if fault else 0
    if ending.code == 0:
        return EXIT_ARTIFACT if fault else 0
    return ending.code if ending.code > 0 else 128 - ending.code


def run(command: Sequence[str], *, until: float) -> Ending:
    """Run a command until it ends or the monotonic clock passes `until`; leaves no process behind."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    read_end, write_end = os.pipe()
    pid = _spawn(command, write_end)
    os.close(write_end)
    pump = threading.Thread(target=_pump, args=(read_end, sys.stdout.fileno()), daemon=True)
    pump.start()
    try:
        return _wait(pid, until)
    finally:
        kill_tree()
        pump.join(timeout=GRACE_SECONDS)


def _spawn(command: Sequence[str], output: int) -> int:
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    return os.posix_spawnp(
        command[0], list(command), os.environ, file_actions=actions, setsid=True, setsigmask=[], setsigdef=SIGNALS
    )


def _wait(pid: int, until: float) -> Ending:
    """Wait for the training itself; at the budget or on a signal from outside, TERM it and wait a little more."""
    overran, stopped_by = False, None
    while True:
        ended = reap()
        if pid in ended:
            return Ending(ended[pid], overran, stopped_by)
        # The clock before the signals: a storm of dying children must not hide it.
        late, stopping = time.monotonic() >= until, overran or stopped_by is not None
        if late and stopping:
            return Ending(-signal.SIGKILL, overran, stopped_by)
        got = None if late else signal.sigtimedwait(SIGNALS, max(0.0, until - time.monotonic()))
        asked = got is not None and got.si_signo != signal.SIGCHLD
        if late or (asked and not stopping):
            overran, stopped_by = late, got.si_signo if got else None
            until = time.monotonic() + GRACE_SECONDS
            signal_tree(signal.SIGTERM)


def _pump(source: int, sink: int) -> None:
    """Copy output until its last writer is gone; a reader that went away must not block training."""
    cap = OutputCap()
    while chunk := os.read(source, 1 << 16):
        sink = _write(sink, cap.feed(chunk))
    _write(sink, cap.finish())


def _write(sink: int, data: bytes) -> int:
    """Write all of data; returns the sink, or -1 once nobody reads it any more."""
    while data and sink >= 0:
        try:
            data = data[os.write(sink, data) :]
        except OSError:
            return -1
    return sink


def main(arguments: Sequence[str], environment: Mapping[str, str], started: float) -> int:
    """Run the command after `--`; returns the exit code described above."""
    if arguments[:1] != ["--"] or len(arguments) < 2:
        print("usage: python -m exam.supervise -- COMMAND ...", file=sys.stderr)
        return EXIT_DATA
    try:
        seconds = number(environment, "AUTORESEARCH_TRAIN_SECONDS")
        folder = Path(setting(environment, "AUTORESEARCH_ARTIFACT"))
        limit = artifact.limit_bytes(environment)
        become_supervisor()
        waited = await_walls(environment)
        ending = run(arguments[1:], until=started + waited + seconds)
    except (DataError, FileNotFoundError) as error:
        print(f"supervise: {error}", file=sys.stderr)
        return EXIT_DATA
    fault = artifact.find_fault(folder, limit)
    _report(ending, fault, seconds)
    return exit_code(ending, fault)


def _report(ending: Ending, fault: str | None, seconds: float) -> None:
    with contextlib.suppress(OSError):
        if ending.overran:
            print(f"supervise: training was stopped at its budget of {seconds:g} s", file=sys.stderr)
        if fault and (ending.overran or ending.code == 0):
            print(f"supervise: {fault}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, time.monotonic()))
