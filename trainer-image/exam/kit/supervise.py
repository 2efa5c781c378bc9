"""Run a training under a hard budget: `python -m exam.supervise -- python train.py`.

The budget, AUTORESEARCH_TRAIN_SECONDS, is wall-clock time from the supervisor's start; in a pod, from the moment when
the network policy is in force and all files were read (page_cache.py). At its end all processes of the training get
TERM, and five seconds later KILL. Exit codes:

- 0: a usable artifact exists, and the training exited with 0 or was stopped at its budget.
- 124: the training was stopped at its budget and left no usable artifact.
- 3: the training exited with 0 but left no usable artifact.
- 79: other programs disturbed the training, and the executor wants it run again (witness.py). The
  line that says so tells it from a training that exits with 79 itself.
- otherwise the training's own code, 128 + n for signal n.

The first half of up to 5 MiB of output is passed on as it comes, and the last half at the end.

Covered: ignored TERM, double forks and sessions of their own, endless output, an artifact that is a link or a FIFO,
TERM from outside (passed on to the training, then the same five seconds).
Not covered: a training of the same user that kills its supervisor where that is not PID 1 of its namespace (the
executor then sees a supervisor that a signal ended: a crash); limits of memory, disk and processes (the sandbox sets
them); the truth of anything that the training prints.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from exam.kit import artifact, isolation, witness
from exam.kit.errors import EXIT_ARTIFACT, EXIT_DATA, DataError, number, setting
from exam.kit.network_policy import await_network_policy
from exam.kit.page_cache import level_files
from exam.kit.processes import become_supervisor, kill_tree, reap, signal_tree

GRACE_SECONDS = 5.0
"""Time between TERM and KILL, in seconds: enough to save a small model, and small beside the budget."""

OUTPUT_BYTES = 5 << 20
"""Output that is passed on, in bytes (5 MiB): endless output must not fill the disk of the node."""

EXIT_OVERRAN = 124
"""Exit code of a training that overran its budget, as of timeout(1)."""

EXIT_DISTURBED = 79
"""Exit code of a disturbed training: no program or shell that we know of gives it a meaning."""

SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


@dataclass(slots=True)
class OutputCap:
    """Passes on the first `head` bytes of a stream at once, and its last `tail` bytes at the end."""

    head: int = OUTPUT_BYTES // 2
    """Bytes that may still be passed on at once."""
    tail: int = OUTPUT_BYTES // 2
    """Bytes that are kept for the end."""
    _kept: deque[bytes] = field(default_factory=deque)
    """The latest chunks after the head, at least `tail` bytes where so much came."""
    _kept_bytes: int = 0
    """Their bytes."""
    _dropped: int = 0
    """Bytes that were left out."""

    def feed(self, chunk: bytes) -> bytes:
        """Take in a chunk; returns the part of it to pass on now."""
        now, later = chunk[: self.head], chunk[self.head :]
        self.head -= len(now)
        if later:
            self._kept.append(later)
            self._kept_bytes += len(later)
        while self._kept and self._kept_bytes - len(self._kept[0]) >= self.tail:
            self._drop(self._kept.popleft())
        return now

    def _drop(self, chunk: bytes) -> None:
        self._kept_bytes -= len(chunk)
        self._dropped += len(chunk)

    def finish(self) -> bytes:
        """Return the rest: a note on the number of bytes left out, and the last bytes."""
        rest = b"".join(self._kept)
        cut = max(0, len(rest) - self.tail)
        dropped = self._dropped + cut
        note = f"\n... {dropped} bytes of output left out ...\n".encode() if dropped else b""
        return note + rest[cut:]


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a training."""

    code: int
    """Its own exit code; negative for a signal."""
    overran: bool = False
    """True if it was stopped at its budget."""
    stopped_by: int | None = None
    """Signal from outside that stopped it; None without one."""
    alone: bool = True
    """True if nothing of it is left: all processes are dead, and all that they printed was passed on."""


def exit_code(ending: Ending, fault: str | None) -> int:
    """Compute the supervisor's exit code. fault: one sentence on an unusable artifact, or None."""
    if ending.stopped_by is not None:
        return 128 + ending.stopped_by
    if ending.overran:
        return EXIT_OVERRAN if fault else 0
    if ending.code == 0:
        return EXIT_ARTIFACT if fault else 0
    return ending.code if ending.code > 0 else 128 - ending.code


def run(command: Sequence[str], environment: Mapping[str, str], *, until: float, note: Callable[[int], None]) -> Ending:
    """Run a command until it ends or the monotonic clock passes `until`; leaves no process behind.

    SIGNALS must be blocked in every thread. note: called with the command's process before that may be gone.
    """
    read_end, write_end = os.pipe()
    pid = _spawn(command, environment, write_end)
    # A pipe ends when its last writer closes it, and this is one.
    os.close(write_end)
    pump = threading.Thread(target=_pump, args=(read_end, sys.stdout.fileno()), daemon=True)
    pump.start()
    try:
        ending = _wait(pid, until, note)
    finally:
        dead = kill_tree()
        pump.join(timeout=GRACE_SECONDS)
    return replace(ending, alone=dead and not pump.is_alive())


def _spawn(command: Sequence[str], environment: Mapping[str, str], output: int) -> int:
    # A new session has no terminal, so Ctrl-C reaches the supervisor alone.
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    # A child inherits which signals are blocked, and which are ignored even across exec: both are undone.
    return os.posix_spawnp(
        command[0], list(command), environment, file_actions=actions, setsid=True, setsigmask=[], setsigdef=SIGNALS
    )


def _wait(pid: int, until: float, note: Callable[[int], None]) -> Ending:
    """Wait for the training to end. At the budget or on a signal from outside, send TERM and wait GRACE_SECONDS."""
    overran, stopped_by = False, None
    while True:
        note(pid)
        # Signals of one kind that are pending are one signal: a SIGCHLD may stand for many children.
        ended = reap()
        if pid in ended:
            return Ending(ended[pid], overran, stopped_by)
        # The clock is read before the signals, so that a flood of ending children cannot hide it.
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
    """Copy the output until the pipe has no writer; go on when the sink fails, as a full pipe blocks the training."""
    cap = OutputCap()
    # A pipe holds 64 KiB, and then its writers wait.
    while chunk := os.read(source, 1 << 16):
        sink = _write(sink, cap.feed(chunk))
    _write(sink, cap.finish())


def _write(sink: int, data: bytes) -> int:
    """Write all of data; returns the sink, or -1 after a failed write, when its reader has gone."""
    while data and sink >= 0:
        try:
            data = data[os.write(sink, data) :]
        except OSError:
            return -1
    return sink


def main(arguments: Sequence[str], environment: Mapping[str, str], started: float) -> int:
    """Run the command after `--`; returns the exit code that the module describes."""
    if arguments[:1] != ["--"] or len(arguments) < 2:
        print("usage: python -m exam.supervise -- COMMAND ...", file=sys.stderr)
        return EXIT_DATA
    try:
        seconds = number(environment, "AUTORESEARCH_TRAIN_SECONDS")
        folder = Path(setting(environment, "AUTORESEARCH_ARTIFACT"))
        limits = artifact.read_limits(environment)
        order = witness.Order.read(environment)
        become_supervisor()
        waited = await_network_policy(environment) + level_files(environment)
        if not isolation.install_filter("training"):
            print(
                "supervise: this machine has no system-call filter; only the sandbox confines training", file=sys.stderr
            )
        # Blocked signals stay pending until sigtimedwait takes them: none is lost between two waits.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        observer = witness.Observer(order) if order else None
        ending = run(
            arguments[1:],
            witness.without_order(environment),
            until=started + waited + seconds,
            note=observer.note if observer else lambda _: None,
        )
    except (DataError, FileNotFoundError) as error:
        print(f"supervise: {error}", file=sys.stderr)
        return EXIT_DATA
    seen = observer.end() if observer else None
    fault = artifact.find_fault(folder, limits)
    _report(ending, fault, seconds)
    code = exit_code(ending, fault)
    if order is None or seen is None or not ending.alone:
        return code
    # The executor names no code of a crash, which is the program's own doing on any machine.
    again = str(code) in order.run_again and ending.stopped_by is None and seen.is_beyond(order)
    _write(sys.stdout.fileno(), witness.line_of(seen, order, again=again))
    return EXIT_DISTURBED if again else code


def _report(ending: Ending, fault: str | None, seconds: float) -> None:
    with contextlib.suppress(OSError):
        if ending.overran:
            print(f"supervise: training was stopped at its budget of {seconds:g} s", file=sys.stderr)
        if fault and (ending.overran or ending.code == 0):
            print(f"supervise: {fault}", file=sys.stderr)
