"""Leaving nothing behind: what separates one process that runs agent code from the next.

The probe phase knows which sequences are probed, and a candidate's first incarnation has read the exam;
either could hand that on through what containers of one pod share. Two lines against it: a seccomp filter
takes away the system calls that make lasting objects, and the next supervisor scrubs before it starts
anything.

Covered: System V shared memory, semaphores and queues, POSIX queues, /dev/shm, /tmp, kernel keyrings, and
the network namespace with its counters and sockets in TIME_WAIT (no socket but Unix ones can be made).
Not covered: which pages of the image's files lie in the page cache, timing, GPU state, a compromised kernel.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping
from pathlib import Path

from exam.errors import DataError
from exam.processes import prctl

SHARED_FOLDERS = ("/tmp", "/dev/shm", "/dev/mqueue")
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
ALL_THREADS = 1  # a filter on one thread would leave numpy's worker threads free
ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | errno.EPERM
AF_UNIX = 1

# Audit architecture, number of seccomp, of socket (refused unless it asks for AF_UNIX), and of what is refused:
# shmget semget msgget mq_open add_key request_key keyctl io_uring_setup
ARCHITECTURES: Mapping[str, tuple[int, int, int, tuple[int, ...]]] = {
    "x86_64": (0xC000003E, 317, 41, (29, 64, 68, 240, 248, 249, 250, 425)),
    "aarch64": (0xC00000B7, 277, 198, (194, 190, 186, 180, 217, 218, 219, 425)),
}
X32_CALLS = 0x40000000

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
CALL_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16


def confine() -> bool:
    """Refuse this process and all it starts the calls that leave lasting objects; False where that is impossible."""
    if platform.machine() not in ARCHITECTURES:
        return False
    architecture, seccomp_call, socket_call, refused = ARCHITECTURES[platform.machine()]
    program = ctypes.create_string_buffer(_program(architecture, socket_call, refused))
    count = (len(program) - 1) // 8  # the buffer ends in a NUL of its own
    header = ctypes.create_string_buffer(struct.pack("@HP", count, ctypes.addressof(program)))
    try:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    except OSError:
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.syscall(seccomp_call, SECCOMP_SET_MODE_FILTER, ALL_THREADS, header) == 0)


def _program(architecture: int, socket_call: int, refused: tuple[int, ...]) -> bytes:
    """The filter as classic BPF: foreign architectures and the refused calls fail with EPERM."""
    refuse_at = 4 + len(refused) + 4  # index of the final REFUSE

    def step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
        return struct.pack("HBBI", code, then, otherwise, value)

    steps = [
        step(LOAD, ARCHITECTURE_AT),
        step(EQUAL, architecture, 0, refuse_at - 2),
        step(LOAD, CALL_AT),
        step(AT_LEAST, X32_CALLS, refuse_at - 4, 0),
        *(step(EQUAL, number, refuse_at - 5 - at) for at, number in enumerate(refused)),
        step(EQUAL, socket_call, 0, 2),
        step(LOAD, FIRST_ARGUMENT_AT),
        step(EQUAL, AF_UNIX, 0, 1),
        step(RETURN, ALLOW),
        step(RETURN, REFUSE),
    ]
    return b"".join(steps)


def scrub() -> None:
    """Empty what a pod's containers share. Only as PID 1, for elsewhere these places are other people's.

    Raises DataError when something cannot be removed: a candidate must not start beside it.
    """
    if os.getpid() != 1:
        return
    try:
        for folder in map(Path, SHARED_FOLDERS):
            if folder.is_dir():
                _empty(folder)
    except (OSError, RecursionError) as error:
        raise DataError(f"a folder that must be empty cannot be emptied ({error!r})") from error
    _remove_ipc()


def _empty(folder: Path) -> bool:
    """Delete what it holds; True when nothing is left.

    A read-only mount stays, with the folders on the way to it: nobody here can have written to it. A sandbox
    has one below /tmp where the interpreter or the checkout lies there.
    """
    kept = [not _removed(entry) for entry in list(os.scandir(folder))]
    return not any(kept)


def _removed(entry: os.DirEntry[str]) -> bool:
    if _is_read_only_mount(entry.path):
        return False
    if not entry.is_dir(follow_symlinks=False):
        os.unlink(entry.path)
        return True
    os.chmod(entry.path, 0o700)
    if _empty(Path(entry.path)):
        os.rmdir(entry.path)
        return True
    os.utime(entry.path, (0, 0))  # times could carry a message too
    return False


def _is_read_only_mount(path: str) -> bool:
    """Whether something is mounted here that nobody can write to; a link is what it is, not what it leads to."""
    on_another = os.lstat(path).st_dev != os.lstat(os.path.dirname(path)).st_dev
    return on_another and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _remove_ipc() -> None:
    libc = ctypes.CDLL(None)
    for id_ in _ipc_ids("shm"):
        libc.shmctl(id_, 0, None)
    for id_ in _ipc_ids("sem"):
        libc.semctl(id_, 0, 0)
    for id_ in _ipc_ids("msg"):
        libc.msgctl(id_, 0, None)
    left = [id_ for table in ("shm", "sem", "msg") for id_ in _ipc_ids(table)]
    if left:
        raise DataError(f"{len(left)} System V objects of another user cannot be removed")


def _ipc_ids(table: str) -> list[int]:
    try:
        lines = Path("/proc/sysvipc", table).read_text().splitlines()[1:]
    except OSError:  # a kernel without System V IPC has nothing to scrub
        return []
    return [int(line.split()[1]) for line in lines]
