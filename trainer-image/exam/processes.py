"""Ending a tree of processes for certain, daemons that forked twice included.

As PID 1 of a PID namespace every other process there is ours to signal. Elsewhere the caller becomes the
subreaper, so that orphans come back to it, and finds its descendants through /proc.

Covered: own sessions and process groups, double forks, ignored TERM, stopped processes.
Not covered: a fork bomb that outruns the walk when we are not PID 1 (the sandbox's process limit and its
PID namespace end it), processes of another user, a process stuck in the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    """Call prctl(2); raises OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    unused = ctypes.c_ulong(0)
    if libc.prctl(option, ctypes.c_ulong(value), unused, unused, unused) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def become_supervisor() -> None:
    """Adopt orphans, and let no process of the same user read our memory or take our file descriptors."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_DUMPABLE, 0)


def descendants() -> list[int]:
    """PIDs below this process that still run, zombies left out."""
    children: dict[int, list[int]] = {}
    alive = set()
    for name in os.listdir("/proc"):
        if name.isdigit() and (state := _state_and_parent(int(name))):
            children.setdefault(state[1], []).append(int(name))
            if state[0] not in "ZX":
                alive.add(int(name))
    found, pending = [], [os.getpid()]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return [pid for pid in found if pid in alive]


def _state_and_parent(pid: int) -> tuple[str, int] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before may hold anything
    except OSError:
        return None
    return fields[0].decode(), int(fields[1])


def signal_tree(number: int) -> None:
    """Send a signal to everything below this process."""
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, number)
        return
    for pid in descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def reap() -> dict[int, int]:
    """Collect children that have ended: PID to exit code (negative for a signal).

    A bounded number at a time, or a storm of orphans would keep the caller from its clock.
    """
    ended = {}
    with contextlib.suppress(ChildProcessError):
        for _ in range(1000):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def kill_tree(seconds: float = 10.0) -> bool:
    """KILL everything below this process and reap it; False when something still lives after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        signal_tree(signal.SIGKILL)
        reap()
        if not _has_children():
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.002)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
