"""Starts one phase, waits for it, and kills all its processes, also if the controller was killed.

It is a program of its own, `python -I -S reaper.py STATUS_FD LIMITS CGROUPS CORES COMMAND...`. Its input is a pipe
whose other end only the controller holds. The kernel closes that end when the controller ends for any reason, and the
reaper then kills the phase. It is a subreaper: the kernel makes it the parent of orphaned descendants, so it finds
daemons as well. It imports only the standard library, to start within about 15 ms, and exits with the command's code
(128 + n for signal n).

STATUS_FD: becomes descriptor 3 of the command, which writes a byte to it when the sandbox exists.
LIMITS:    `name=value` joined by commas; names of RLIMIT_* in lower case. `nice` lowers the priority by so much.
CGROUPS:   `cgroup.procs` files joined by colons. The command joins them and the reaper does not, so that the kernel's
           out-of-memory killer cannot choose the reaper.
CORES:     numbers of CPUs joined by commas, on which the command runs; empty for all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import sys
import time

STATUS = 3
"""Descriptor of the status pipe in the command."""

NOT_ENTERED = 125
"""Exit code if a limit could not be set."""

NOT_FOUND = 127
"""Exit code if there is no such program, as of a shell."""

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_SIGKILL, _SIGSTOP = 9, 19


def main(arguments: list[str]) -> int:
    """Run the command of `arguments`; returns the code to exit with."""
    status, limits, cgroups, cores, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Nobody of the same user may trace a process that is not dumpable, or open its memory and descriptors in /proc.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _exec_command(command, int(status), limits, cgroups, cores)
    _close_output(int(status))
    code = _wait(child)
    _kill_descendants(cgroups)
    if code is None:
        _remove(cgroups)
    return 128 + _SIGKILL if code is None else code


def _exec_command(command: list[str], status: int, limits: str, cgroups: str, cores: str) -> None:
    """In the child: join the cgroups, take the cores, set the limits, and run the command in place of this program."""
    try:
        for procs in filter(None, cgroups.split(":")):
            with open(procs, "w") as file:
                file.write(str(os.getpid()))
        if cores:
            os.sched_setaffinity(0, set(map(int, cores.split(","))))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(status, STATUS)
        # bubblewrap hands every open descriptor on to its command.
        os.closerange(STATUS + 1, 4096)
        for limit in filter(None, limits.split(",")):
            name, _, value = limit.partition("=")
            if name == "nice":
                os.nice(int(value))
                continue
            _set_limit(getattr(resource, f"RLIMIT_{name.upper()}"), int(value))
        os.execvp(command[0], command)
    except FileNotFoundError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(NOT_FOUND)
    except (OSError, ValueError) as error:
        os.write(2, f"the phase could not be confined: {error}\n".encode())
        os._exit(NOT_ENTERED)


def _set_limit(kind: int, value: int) -> None:
    # An unprivileged process may only lower a hard limit, so a lower one that exists already stays.
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _close_output(status: int) -> None:
    # A pipe ends when its last writer closes it: the reaper must not keep the phase's output open.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(status)


def _wait(child: int) -> int | None:
    """Wait for `child`; returns its exit code, or None if the controller closed the pipe first."""
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    poll.register(os.pidfd_open(child), select.POLLIN)
    while True:
        # Orphans that fell to the subreaper end without a pidfd of ours, so they are collected twice a second.
        ready = {descriptor for descriptor, _ in poll.poll(500)}
        code = _reap(child)
        if code is not None:
            return code
        if 0 in ready:
            return None


def _reap(child: int) -> int | None:
    """Collect every ended child; returns the exit code of `child` if it is among them, else None."""
    code = None
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return code
            if pid == child:
                ended = os.waitstatus_to_exitcode(status)
                code = ended if ended >= 0 else 128 - ended
    except ChildProcessError:
        return code


def _kill_descendants(cgroups: str) -> None:
    # All are stopped before any is killed: a stopped process cannot fork, so a fork bomb cannot outrun the signals.
    while True:
        seen: set[int] = set()
        while new := _find_descendants() - seen:
            for pid in new:
                _signal(pid, _SIGSTOP)
            seen |= new
        for pid in seen:
            _signal(pid, _SIGKILL)
        _thaw(cgroups)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
        _reap(0)


def _thaw(cgroups: str) -> None:
    # As Freezer.thaw does: in version 1 a frozen process does not die, and the controller may have died in an exam.
    for procs in filter(None, cgroups.split(":")):
        with contextlib.suppress(OSError), open(os.path.join(os.path.dirname(procs), "freezer.state"), "r+") as file:
            file.write("THAWED")


def _remove(cgroups: str) -> None:
    # Needed if the controller was killed. If it lives, it removes them as well and finds them gone.
    for procs in filter(None, cgroups.split(":")):
        folder = os.path.dirname(procs)
        _reclaim(folder)
        for _ in range(100):
            try:
                os.rmdir(folder)
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)  # EBUSY: the kernel empties a cgroup a moment after its last process ended.


def _reclaim(folder: str) -> None:
    # As Cgroup.reclaim does: what the phase read must not be found in memory by the next one.
    for name in ("memory.force_empty", "memory.high") * 3:
        with contextlib.suppress(OSError), open(os.path.join(folder, name), "w") as file:
            file.write("0")


def _find_descendants() -> set[int]:
    """PIDs of all processes below this one. In /proc/PID/stat the parent follows the name in parentheses."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(name))
    found: set[int] = set()
    open_ends = [os.getpid()]
    while open_ends:
        below = children.get(open_ends.pop(), [])
        found.update(below)
        open_ends.extend(below)
    return found


def _signal(pid: int, number: int) -> None:
    # It has ended already, or it is a set-uid program of another user, which only a cgroup can kill.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
