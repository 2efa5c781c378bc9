"""Keep agent code from leaving a message for a later process that runs agent code.

A candidate's first process has read the exam, and could pass that on to the later ones, or to the next training,
through what the containers of one pod share. Two measures prevent it: a seccomp filter, which `system_calls` builds,
forbids the system calls that create objects which outlive a process or that tell what lies in the page cache, and the
next supervisor empties the shared places before it starts anything.

Covered: System V shared memory, semaphores and queues, POSIX queues, /dev/shm, /tmp, kernel keyrings, and
the network namespace with its counters and sockets in TIME_WAIT (only Unix sockets can be made).
Not covered: which pages of files lie in the page cache (page_cache.py), timing, GPU state, a compromised kernel.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from pathlib import Path

from exam.kit import system_calls
from exam.kit.errors import DataError
from exam.kit.processes import prctl

SHARED_FOLDERS = ("/tmp", "/dev/shm", "/dev/mqueue")
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
ALL_THREADS = 1
"""SECCOMP_FILTER_FLAG_TSYNC: the filter holds for every thread; numpy has started worker threads by now."""


def install_filter(name: str = "exam") -> bool:
    """Put this process and all it starts under the filter of this name; False where that is impossible.

    The kernel passes the filter on to children and lets no process remove it.
    """
    architecture = system_calls.ARCHITECTURES.get(platform.machine())
    if architecture is None:
        return False
    steps = system_calls.build(architecture, system_calls.FAMILIES[name])
    program = ctypes.create_string_buffer(steps, len(steps))
    # struct sock_fprog: the number of steps and a pointer to them, padded as C does. A step has eight bytes.
    header = ctypes.create_string_buffer(struct.pack("@HP", len(steps) // 8, ctypes.addressof(program)))
    try:
        # An unprivileged process may install a filter only if it can no longer gain privileges through exec.
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    except OSError:
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.syscall(architecture.seccomp, SECCOMP_SET_MODE_FILTER, ALL_THREADS, header) == 0)


def empty_shared_places() -> None:
    """Empty what the containers of a pod share. Does nothing unless this is PID 1: elsewhere others use these places.

    Raises DataError if something cannot be removed, because a candidate must not start beside it.
    """
    if os.getpid() != 1:
        return
    try:
        for folder in map(Path, SHARED_FOLDERS):
            if folder.is_dir():
                _empty_folder(folder)
    except (OSError, RecursionError) as error:
        raise DataError(f"a folder that must be empty cannot be emptied ({error!r})") from error
    _remove_ipc()


def _empty_folder(folder: Path) -> bool:
    """Delete everything in a folder; True if it is empty afterwards.

    A read-only mount stays, with the folders on the way to it, because agent code cannot have written to it. A
    sandbox has such a mount below /tmp where the interpreter or the checkout lies there.
    """
    is_empty = True
    for entry in list(os.scandir(folder)):
        if not _remove(entry):
            is_empty = False
    return is_empty


def _remove(entry: os.DirEntry[str]) -> bool:
    """Delete one entry; False if it has to stay."""
    if _is_read_only_mount(entry.path):
        return False
    if not entry.is_dir(follow_symlinks=False):
        os.unlink(entry.path)
        return True
    os.chmod(entry.path, 0o700)  # its owner may have taken away the right to list or to write it
    if _empty_folder(Path(entry.path)):
        os.rmdir(entry.path)
        return True
    os.utime(entry.path, (0, 0))  # times could carry a message too
    return False


def _is_read_only_mount(path: str) -> bool:
    """True if a read-only file system is mounted here. A mount point has another device number than its parent.

    lstat looks at a symlink itself and not at its target.
    """
    on_another = os.lstat(path).st_dev != os.lstat(os.path.dirname(path)).st_dev
    return on_another and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _remove_ipc() -> None:
    # Command 0 is IPC_RMID.
    libc = ctypes.CDLL(None)
    for id_ in _list_ipc("shm"):
        # A segment goes when nobody is attached to it any more; here nobody is left.
        libc.shmctl(id_, 0, None)
    for id_ in _list_ipc("sem"):
        libc.semctl(id_, 0, 0)
    for id_ in _list_ipc("msg"):
        libc.msgctl(id_, 0, None)
    left = [id_ for table in ("shm", "sem", "msg") for id_ in _list_ipc(table)]
    if left:
        raise DataError(f"{len(left)} System V objects of another user cannot be removed")


def _list_ipc(table: str) -> list[int]:
    """Ids of the System V objects of one kind in this IPC namespace; the first line of the table is its header."""
    try:
        lines = Path("/proc/sysvipc", table).read_text().splitlines()[1:]
    except OSError:  # a kernel without System V IPC has nothing to scrub
        return []
    return [int(line.split()[1]) for line in lines]
