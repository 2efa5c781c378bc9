"""Serve the trained model to the examiner: `python -m exam.candidate`, in a sandbox of its own.

Two processes. The supervisor is ours alone: it connects to the examiner twice, control first, keeps the
control connection to itself and hands the data connection to a child. The child imports the agent's file
and answers. On `restart` or `finish` the supervisor kills everything below it, says so, and exits: the
end of the control connection proves that nothing of this incarnation lives, and the executor starts the
next one in a fresh sandbox.

Covered: children that ignore TERM, fork away or start sessions; memory left in what a pod shares
(isolation.py); a child that reads its supervisor's memory or takes its connection (not dumpable); as
PID 1, a child that tries to kill it.
Not covered: outside a PID namespace a child of the same user can kill its supervisor. The control
connection then ends without the word that all are dead, and the examiner rejects.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from exam import artifact, isolation, model, protocol
from exam.errors import EXIT_ARTIFACT, EXIT_DATA, DataError, setting
from exam.processes import become_supervisor, kill_tree, reap

EXIT_ALONE = 4  # the examiner never came, or went away
CONNECT_SECONDS = 600.0


class Orders:
    """Waits for the examiner's word, a signal from outside, or the end of the child, all at once."""

    def __init__(self) -> None:
        self.stopped = False
        self._woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopped = True

    def wait(self, control: socket.socket, *, child: int | None) -> bytes:
        """The examiner's order, or nothing when it went away or we were told to stop.

        The end of the child is reported over control, with its exit code, and waiting goes on.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self.stopped:
                ready = {key.fileobj for key, _ in selector.select()}
                if control in ready:
                    with contextlib.suppress(OSError):  # it left our last word unread
                        return control.recv(16)
                    return b""
                os.read(self._woken, 4096)
                ended = reap()
                if child in ended:
                    tell(control, f"exited {ended[child]}")
        return b""


def tell(control: socket.socket, word: str) -> None:
    """One line to the examiner; whether it is still there shows when we listen."""
    with contextlib.suppress(OSError):
        control.sendall(f"{word}\n".encode())


def connect(folder: Path, seconds: float, orders: Orders) -> socket.socket | None:
    """A connection to the examiner once it listens; None when it does not in time, or when we are told to stop."""
    until = time.monotonic() + seconds
    handle, path = protocol.socket_address(folder)
    try:
        while time.monotonic() < until and not orders.stopped:
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with contextlib.suppress(OSError):
                peer.connect(path)
                return peer
            peer.close()
            time.sleep(0.02)
    finally:
        os.close(handle)
    return None


def supervise(environment: Mapping[str, str], *, module: str, seconds: float) -> int:
    """Run one incarnation; returns the exit code."""
    trained = Path(setting(environment, "AUTORESEARCH_ARTIFACT"))
    folder = Path(setting(environment, "AUTORESEARCH_SOCKET"))
    orders = Orders()
    become_supervisor()
    isolation.scrub()
    fault = artifact.find_fault(trained, artifact.limit_bytes(environment))
    control = connect(folder, seconds, orders)
    data = connect(folder, seconds, orders) if control else None
    if control is None or data is None:
        print(f"candidate: no examiner listened on {folder / protocol.SOCKET}", file=sys.stderr)
        return EXIT_ALONE
    with data:
        if fault:
            tell(control, f"artifact {fault}")
        child = None if fault else _start_child(data, module, environment)
    code = _end(control, orders.wait(control, child=child))
    return EXIT_ARTIFACT if fault else code


def _end(control: socket.socket, order: bytes) -> int:
    told = order in (protocol.RESTART, protocol.FINISH)
    if kill_tree() and told:
        tell(control, protocol.DEAD.decode().strip())
    control.close()
    return 0 if told else EXIT_ALONE


def _start_child(data: socket.socket, module: str, environment: Mapping[str, str]) -> int:
    # Executed, not only forked: a fork would inherit our memory and stay as undumpable as we are.
    kept = {name: value for name, value in environment.items() if name != "AUTORESEARCH_SOCKET"}
    command = [sys.executable, "-m", "exam.candidate", "--serve", str(data.fileno()), "--module", module]
    data.set_inheritable(True)
    nothing = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    return os.posix_spawn(sys.executable, command, kept, file_actions=[nothing], setsid=True)


def serve(data: socket.socket, *, module: str, environment: Mapping[str, str]) -> int:
    """The child: load the model, greet, then answer until the examiner closes."""
    if not isolation.confine():
        print("candidate: no system-call filter on this machine; only the sandbox separates phases", file=sys.stderr)
    ask = model.load(module, Path(environment["AUTORESEARCH_ARTIFACT"]))
    data.sendall(protocol.READY.pack(protocol.READY_MAGIC, protocol.VERSION))
    while request := protocol.read_request(data):
        id_, tokens = request
        protocol.write_reply(data, id_, ask(tokens))
    return 0


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Be the supervisor, or with --serve its child; returns the exit code."""
    options = argparse.ArgumentParser(prog="exam.candidate")
    options.add_argument("--module", default="train", help="the agent's module that offers load_model")
    options.add_argument("--connect-seconds", type=float, default=CONNECT_SECONDS, metavar="SECONDS")
    options.add_argument("--serve", type=int, metavar="FD", help=argparse.SUPPRESS)
    chosen = options.parse_args(arguments)
    if chosen.serve is not None:
        return serve(socket.socket(fileno=chosen.serve), module=chosen.module, environment=environment)
    try:
        return supervise(environment, module=chosen.module, seconds=chosen.connect_seconds)
    except DataError as error:
        print(f"candidate: {error}", file=sys.stderr)
        return EXIT_DATA


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
