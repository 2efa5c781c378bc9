"""End a whole tree of processes, including daemons that forked twice.

PID 1 of a PID namespace can signal every other process in it at once. Elsewhere the caller becomes a subreaper: the
kernel then gives orphaned descendants to it as children, and it finds the rest of the tree through /proc.

Covered: own sessions and process groups, double forks, ignored TERM, stopped processes.
Not covered: a fork bomb that outruns the walk when we are not PID 1 (the sandbox's process limit and its
PID namespace end it), processes of another user, a process stuck in the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import time

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    """Call prctl(2); raises OSError if the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    unused = ctypes.c_ulong(0)
    if libc.prctl(option, ctypes.c_ulong(value), unused, unused, unused) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def become_supervisor() -> None:
    """Become the parent of orphans, and close our memory and file descriptors to processes of the same user.

    The kernel allows ptrace and /proc/PID/mem of a process only while it is dumpable.
    """
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_DUMPABLE, 0)


def list_descendants(*, zombies: bool = False) -> list[int]:
    """PIDs of all running processes below this one; zombies: also of those that have ended and were not waited for."""
    children: dict[int, list[int]] = {}
    wanted = set()
    for name in os.listdir("/proc"):
        if name.isdigit() and (state := _state_and_parent(int(name))):
            children.setdefault(state[1], []).append(int(name))
            if state[0] not in ("X" if zombies else "ZX"):
                wanted.add(int(name))
    found, pending = [], [os.getpid()]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return [pid for pid in found if pid in wanted]


def measure_tree() -> tuple[float, int]:
    """CPU seconds of everything below this process, ended processes included, and the peak memory of what lives.

    The second sums in bytes what each process had at most, so that shared memory counts several times.
    Not covered: a process whose parent ignores SIGCHLD. The kernel forgets what it used when it ends.
    """
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, peak = ended.ru_utime + ended.ru_stime, 0
    # What a child used is added to its parent's time only when that waits for it, which it need not.
    for pid in list_descendants(zombies=True):
        with contextlib.suppress(OSError, ValueError, StopIteration):
            # The clock of another process's CPU time, as in clock_getcpuclockid(3): nanoseconds, all its threads.
            cpu += time.clock_gettime((~pid << 3) | 2)
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            cpu += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # its own ended children
            with open(f"/proc/{pid}/status") as file:
                peak += 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    return cpu, peak


def _state_and_parent(pid: int) -> tuple[str, int] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name in parentheses may hold any character
    except OSError:
        return None
    return fields[0].decode(), int(fields[1])


def signal_tree(number: int) -> None:
    """Send a signal to everything below this process."""
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, number)  # every process of the namespace but PID 1 itself
        return
    for pid in list_descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def reap() -> dict[int, int]:
    """Collect ended children: exit code by PID, negative for a signal.

    At most 1,000 in one call, so that a flood of orphans cannot keep the caller from looking at its clock.
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
    """Send KILL to everything below this process and reap it; False if something still lives after `seconds`."""
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
        # ECHILD is certain: a subreaper or PID 1 without children has no descendants either. WNOWAIT reaps none.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
