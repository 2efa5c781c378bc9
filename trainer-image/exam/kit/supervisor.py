"""Serve what was trained to the examiner, in a sandbox of its own: the phase `candidate` of every task.

There are two processes. The supervisor runs only our code: it connects to the examiner twice, keeps the first
connection (control) and hands the second (data) to a child. The child imports the agent's file and answers
questions. On `restart` or `finish` the supervisor kills everything below it, sends `dead`, and exits. The end of the
control connection after that word proves that no process of this candidate is left. The executor then starts the
supervisor again in a fresh sandbox.

Covered: children that ignore TERM, fork away or start sessions of their own; messages left in the places that the
containers of a pod share (isolation.py); a child that tries to read the supervisor's memory or to take its connection
(the supervisor is not dumpable); a child that tries to kill the supervisor where that is PID 1.
Not covered: outside a PID namespace a child of the same user can kill the supervisor. The control connection then
ends without `dead`, and the examiner rejects the candidate.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from exam.kit import artifact, isolation, page_cache, wire
from exam.kit.errors import EXIT_ARTIFACT, EXIT_DATA, DataError, setting
from exam.kit.processes import become_supervisor, kill_tree, measure_tree, reap

Serve = Callable[[socket.socket, str, Mapping[str, str]], int]
"""Answers questions: connection to the examiner, the agent's module, environment -> exit code."""

EXIT_ALONE = 4
"""Exit code when no examiner listened in time, or when it went away without an order."""

CONNECT_SECONDS = 600.0
"""Longest wait for the examiner, in seconds: it verifies its data first, and on a busy machine it may start late."""


class Orders:
    """Wait for the examiner's order, a signal from outside, and the end of the child at the same time."""

    def __init__(self) -> None:
        self.stopped = False
        """True after TERM or INT."""
        self._woken, waker = os.pipe()
        # On a full pipe a blocking write would never return from the handler.
        os.set_blocking(waker, False)
        # Python writes a byte to this pipe at every signal that has a handler: select() then returns.
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopped = True

    def wait(self, control: socket.socket, *, child: int | None) -> bytes:
        """Return the examiner's order; empty when it went away or a signal told us to stop.

        If the child ends first, report its exit code over control and go on waiting. Asked what the processes below us
        have used, answer and go on waiting.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self.stopped:
                ready = {key.fileobj for key, _ in selector.select()}
                if control in ready:
                    order = _read_order(control)
                    if order != wire.USAGE:
                        return order
                    cpu_seconds, peak_bytes = measure_tree()
                    tell(control, f"usage {cpu_seconds:.9f} {peak_bytes}")
                    continue
                # A byte came for each signal. Who has ended is asked of waitpid(2).
                os.read(self._woken, 4096)
                ended = reap()
                if child in ended:
                    tell(control, f"exited {ended[child]}")
        return b""


def _read_order(control: socket.socket) -> bytes:
    with contextlib.suppress(OSError):  # connection reset: it closed with our last line unread
        return control.recv(16)
    return b""


def tell(control: socket.socket, word: str) -> None:
    """Send one line to the examiner. A closed connection is noticed at the next read."""
    with contextlib.suppress(OSError):
        control.sendall(f"{word}\n".encode())


def connect(folder: Path, seconds: float, orders: Orders) -> socket.socket | None:
    """Connect to the examiner once it listens; None if it does not in time, or if a signal told us to stop."""
    until = time.monotonic() + seconds
    handle, path = wire.socket_address(folder)
    try:
        while time.monotonic() < until and not orders.stopped:
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with contextlib.suppress(OSError):
                # ENOENT before the examiner's bind(2), ECONNREFUSED before its listen(2).
                peer.connect(path)
                return peer
            peer.close()
            time.sleep(0.02)
    finally:
        os.close(handle)
    return None


def supervise(environment: Mapping[str, str], *, child: Sequence[str], passed_on: Sequence[str], seconds: float) -> int:
    """Serve one examiner from connection to `dead`; returns the exit code.

    child, passed_on: words of the command that answers; the descriptor of its connection is put between them.
    """
    trained = Path(setting(environment, "AUTORESEARCH_ARTIFACT"))
    folder = Path(setting(environment, "AUTORESEARCH_SOCKET"))
    orders = Orders()
    become_supervisor()
    isolation.empty_shared_places()
    page_cache.level_files(environment)
    fault = artifact.find_fault(trained, artifact.read_limits(environment))
    control = connect(folder, seconds, orders)
    data = connect(folder, seconds, orders) if control else None
    if control is None or data is None:
        print(f"candidate: no examiner listened on {folder / wire.SOCKET}", file=sys.stderr)
        return EXIT_ALONE
    # Our copy is closed after the child has its own: the examiner reads the end when the child ends.
    with data:
        if fault:
            tell(control, f"artifact {fault}")
        answering = None if fault else _start_child(data, child, passed_on, environment)
    code = _kill_all(control, orders.wait(control, child=answering))
    return EXIT_ARTIFACT if fault else code


def _kill_all(control: socket.socket, order: bytes) -> int:
    """Kill everything below the supervisor, confirm it if the examiner asked for it, and return the exit code."""
    ordered = order in (wire.RESTART, wire.FINISH)
    held = measure_tree()[1] if ordered else 0
    if kill_tree() and ordered:
        # Living processes were summed above; of those that had ended, and of the killed, the kernel kept the largest.
        largest = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        tell(control, f"peak {max(held, largest)}")
        tell(control, wire.DEAD.decode().strip())
    control.close()
    return 0 if ordered else EXIT_ALONE


def _start_child(
    data: socket.socket, child: Sequence[str], passed_on: Sequence[str], environment: Mapping[str, str]
) -> int:
    # exec and not only fork: a forked child inherits our memory and stays undumpable as we are.
    kept = {name: value for name, value in environment.items() if name != "AUTORESEARCH_SOCKET"}
    command = [*child, "--serve", str(data.fileno()), *passed_on]
    # Python's descriptors are closed by exec unless it is told otherwise.
    data.set_inheritable(True)
    nothing = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    # A group of its own: what the child sends to its group must not reach the supervisor. Sessions are none of an exam.
    return os.posix_spawn(command[0], command, kept, file_actions=[nothing], setpgroup=0)


def install_filter() -> None:
    """Put the process that answers under the filter of system calls, before it imports the agent's file."""
    if not isolation.install_filter():
        print("candidate: no system-call filter on this machine; only the sandbox separates phases", file=sys.stderr)


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    program: str,
    serve: Serve,
    passed_on: Sequence[str] = (),
) -> int:
    """Run the supervisor, or its child with --serve; returns the exit code.

    program: the module whose `python -m` this is. serve: answers the examiner's questions over a connection.
    passed_on: words for the child that stand at the end of its command.
    """
    options = argparse.ArgumentParser(prog=program)
    options.add_argument("--module", default="train", help="the agent's module that offers what answers")
    options.add_argument("--connect-seconds", type=float, default=CONNECT_SECONDS, metavar="SECONDS")
    options.add_argument("--serve", type=int, metavar="FD", help=argparse.SUPPRESS)
    chosen = options.parse_args(arguments)
    if chosen.serve is not None:
        install_filter()
        return serve(socket.socket(fileno=chosen.serve), chosen.module, environment)
    child = (sys.executable, "-m", program, "--module", chosen.module)
    try:
        return supervise(environment, child=child, passed_on=passed_on, seconds=chosen.connect_seconds)
    except DataError as error:
        print(f"candidate: {error}", file=sys.stderr)
        return EXIT_DATA
