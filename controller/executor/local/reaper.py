"""Start one phase, wait for it, and leave no process of it behind, whatever becomes of the controller.

Run as a program of its own: `python -I -S reaper.py STATUS_FD LIMITS CGROUPS COMMAND...`. Standard input is a pipe
that only the controller holds: when it closes, by intent or because the controller was killed, the phase's whole
tree dies. It is the parent of everything the phase starts: daemonised children come back to it. It imports
nothing of ours, so that it starts in some 15 ms, and it exits as the command did (128 + n for signal n).

LIMITS:   `name=value` joined by commas, names of RLIMIT_* in lower case.
CGROUPS:  `cgroup.procs` files joined by colons, which the command joins and the reaper does not: the kernel's
          out-of-memory killer then never picks the reaper.
STATUS_FD: handed to the command as descriptor 3; a byte there says that the sandbox was made.
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
NOT_ENTERED = 125
NOT_FOUND = 127
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_SIGKILL, _SIGSTOP = 9, 19


def main(arguments: list[str]) -> int:
    """Run the command of `arguments`; returns the code to exit with."""
    status, limits, cgroups, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _become(command, int(status), limits, cgroups)
    _let_go_of_output(int(status))
    code = _wait(child)
    _kill_descendants()
    if code is None:
        _remove(cgroups)
    return 128 + _SIGKILL if code is None else code


def _become(command: list[str], status: int, limits: str, cgroups: str) -> None:
    try:
        for procs in filter(None, cgroups.split(":")):
            with open(procs, "w") as file:
                file.write(str(os.getpid()))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(status, STATUS)
        os.closerange(STATUS + 1, 4096)
        for limit in filter(None, limits.split(",")):
            name, _, value = limit.partition("=")
            _limit(getattr(resource, f"RLIMIT_{name.upper()}"), int(value))
        os.execvp(command[0], command)
    except FileNotFoundError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(NOT_FOUND)
    except (OSError, ValueError) as error:
        os.write(2, f"the phase could not be confined: {error}\n".encode())
        os._exit(NOT_ENTERED)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _let_go_of_output(status: int) -> None:
    # The log ends when the phase does, so its reader must not find this process at the other end.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(status)


def _wait(child: int) -> int | None:
    """The exit code of `child`, or None where the controller let go first."""
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    poll.register(os.pidfd_open(child), select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(500)}
        code = _reap(child)
        if code is not None:
            return code
        if 0 in ready:
            return None


def _reap(child: int) -> int | None:
    """Collect every child that ended; the exit code of `child` when it is among them."""
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


def _kill_descendants() -> None:
    # Stopped first and killed after: a tree that forks faster than it is killed cannot fork while it is stopped.
    while True:
        seen: set[int] = set()
        while new := _descendants() - seen:
            for pid in new:
                _signal(pid, _SIGSTOP)
            seen |= new
        for pid in seen:
            _signal(pid, _SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
        _reap(0)


def _remove(cgroups: str) -> None:
    # A controller that was killed cannot do it. One that lives does it again, which does no harm.
    for procs in filter(None, cgroups.split(":")):
        for _ in range(100):
            try:
                os.rmdir(os.path.dirname(procs))
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)  # The kernel empties a cgroup a moment after its last process ended.


def _descendants() -> set[int]:
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
    # Already gone, or a set-uid program that only a cgroup can end.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
