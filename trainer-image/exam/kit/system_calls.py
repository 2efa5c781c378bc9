"""Build the system-call filter under which all code of the agent runs, as a program of the kernel (classic BPF).

There is one filter for every phase and both executors. In a container `exam.isolation` installs it; on one machine
`python system_calls.py FOLDER` writes it to files, which the executor hands to bubblewrap. Two things differ between
the two files: `training` may make sockets to its own network (PyTorch joins several processes over loopback), and
sessions; `exam` may make Unix sockets alone, and stays in the session that it was started in.

Refused is what tells or sets the state that processes share, what outlives a process, what looks into another
process, and what a container runtime refuses by default. Calls that are newer than NEWEST, and calls of foreign ABIs
(x32, 32 bit), do not exist. Advice about memory and files is taken and ignored, as the kernel may do with all advice.

Imports nothing of this package, so that the executor can run it by its path.
"""

from __future__ import annotations

import errno
import platform
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ALLOW = 0x7FFF0000
ERRNO = 0x00050000
"""SECCOMP_RET_ERRNO: the call is not made and fails with this error; with error 0 it returns 0."""

NEWEST = 462
"""Number of the newest call that was looked at, mseal: from 424 on numbers are the same on all architectures."""

IGNORED = 0
"""Error number of a call that is not made and returns 0."""

Pair = tuple[int | None, int | None]
"""Numbers of a call on x86_64 and on aarch64; None where it does not exist."""

SEES_THE_PAGE_CACHE: Mapping[str, Pair] = {
    "mincore": (27, 232),
    "cachestat": (451, 451),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "get_mempolicy": (239, 236),
    "set_mempolicy": (238, 237),
    "mbind": (237, 235),
    "set_mempolicy_home_node": (450, 450),
    "remap_file_pages": (216, 234),
}
"""They tell which pages of a file are in memory, or where, or move them."""

WATCHES_OTHERS: Mapping[str, Pair] = {
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "lookup_dcookie": (212, 18),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
}
"""They report what others do with files that both see, or reach files by another way than their names."""

OUTLIVES_A_PROCESS: Mapping[str, Pair] = {
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "memfd_secret": (447, 447),
}
"""They make objects that stay when their process has ended, or memory that nobody can look into."""

AVOIDS_THE_FILTER: Mapping[str, Pair] = {
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    "io_destroy": (207, 1),
    "io_getevents": (208, 4),
    "io_submit": (209, 2),
    "io_cancel": (210, 3),
    "io_pgetevents": (333, 292),
}
"""Their orders lie in memory, where no filter sees them: reads that do not wait among others, and with io_uring also
advice and sockets."""

COUNTED_FOR_ALL: Mapping[str, Pair] = {
    "pidfd_open": (434, 434),
}
"""A descriptor of a process has a number, which tells how many processes the whole machine has started so far."""

LOOKS_INTO_PROCESSES: Mapping[str, Pair] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
}
"""They read or change other processes, or measure the machine below the level of processes."""

BELONGS_TO_THE_MACHINE: Mapping[str, Pair] = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "nfsservctl": (180, 42),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
}
"""The default of container runtimes refuses these: they belong to whoever runs the machine, or are obsolete."""

REFUSED: Mapping[str, Pair] = {
    **SEES_THE_PAGE_CACHE,
    **WATCHES_OTHERS,
    **OUTLIVES_A_PROCESS,
    **AVOIDS_THE_FILTER,
    **COUNTED_FOR_ALL,
    **LOOKS_INTO_PROCESSES,
    **BELONGS_TO_THE_MACHINE,
}

ADVICE: Mapping[str, Pair] = {"fadvise64": (221, 223), "readahead": (187, 213)}
"""They put pages of a file into the page cache or take them out of it."""

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
HARMLESS_ADVICE = (0, 4, 8, 10, 11, 13, 14, 15, 16, 17, 18, 19, 102, 103)
"""Advice of madvise on a process's own memory: NORMAL DONTNEED FREE, *FORK, *HUGEPAGE, *DUMP, UNMERGEABLE, GUARD_*."""

IGNORED_ADVICE = (1, 2, 3, 20, 21, 22, 23)
"""Advice of madvise that moves pages of files: RANDOM SEQUENTIAL WILLNEED COLD PAGEOUT POPULATE_READ, _WRITE."""

NAMESPACES = 0x7E020000
"""The CLONE_NEW* flags."""

CLONE_PIDFD = 0x1000
"""Makes such a descriptor as pidfd_open does. No library needs it for a start of a program."""

SOL_SOCKET = 1
TELLS_COUNTS = (57, 71, 77)
"""SO_COOKIE and SO_NETNS_COOKIE number all sockets and networks of the machine; SO_PEERPIDFD is a way to a pidfd."""

SENDS_PROCESSES = (76,)
"""SO_PASSPIDFD has messages bring one."""

SHARES_MEMORY = (67,)
"""PR_SET_MEMORY_MERGE lets the kernel merge pages that are equal in several processes; a write to one then tells."""

TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX type into a terminal."""

ORDERS_TO_FILE_SYSTEMS = (0x15, 0x58, 0x66, 0x94, 0xB7)
"""Families of ioctl that file systems serve. Some note what outlives the process although all is mounted read-only, as
keys of fscrypt; some tell where on the disk a file lies, and those of namespaces (0xB7) how many the machine has made.
"""

TELLS_OF_OTHERS = (1024, 1026)
"""F_SETLEASE and F_NOTIFY report what others do with a file."""

STAYS_WITH_THE_FILE = (1036,)
"""F_SET_RW_HINT notes a number on a file that others can read, also on one that is mounted read-only."""

USUAL_PERSONALITIES = (0, 0xFFFFFFFF)
"""Linux, and the question for the present one. Others switch protections of memory off."""


@dataclass(frozen=True)
class Architecture:
    """One architecture, as the filter needs it."""

    audit: int
    """Its AUDIT_ARCH_*."""
    column: int
    """Place of its numbers in a Pair."""
    seccomp: int
    """Number of the call that installs a filter."""


ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": Architecture(0xC000003E, 0, 317),
    "aarch64": Architecture(0xC00000B7, 1, 277),
}

SETSID: Pair = (112, 157)
"""The kernel numbers the sessions of the whole machine, and tells each process the number of its own. So in an exam a
new one is taken and ignored, and no phase can count for a later one."""

FAMILIES = {"training": (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK), "exam": (AF_UNIX,)}
"""Which sockets can be made, by the name of the filter."""

# Opcodes of classic BPF, and offsets in struct seccomp_data.
LOAD, AND, EQUAL, ABOVE, HAS_BITS, RETURN = 0x20, 0x54, 0x15, 0x25, 0x45, 0x06
CALL_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16


def build(architecture: Architecture, families: Sequence[int]) -> bytes:
    """The filter for one architecture that allows sockets of these families; without the Internet's it is an exam's.

    Every comparison is followed by its own RETURN, so that no jump is longer than the block of one call.
    """
    no_such_call = ERRNO | errno.ENOSYS

    def call(numbers: Pair, block: list[bytes]) -> list[bytes]:
        number = numbers[architecture.column]
        return [] if number is None else [_step(EQUAL, number, 0, len(block)), *block]

    steps = [
        _step(LOAD, ARCHITECTURE_AT),
        _step(EQUAL, architecture.audit, 1, 0),
        _step(RETURN, no_such_call),
        _step(LOAD, CALL_AT),
        # Calls of the x32 ABI have bit 30 set, so this refuses them as well.
        _step(ABOVE, NEWEST, 0, 1),
        _step(RETURN, no_such_call),
        *call((16, 29), _ioctl()),
        *call((72, 25), _unless(1, (*TELLS_OF_OTHERS, *STAYS_WITH_THE_FILE), errno.EPERM)),  # fcntl
        *call((28, 233), _among(2, HARMLESS_ADVICE, errno.EINVAL, ignored=IGNORED_ADVICE)),  # madvise
        *call((41, 198), _among(0, families, errno.EPERM)),  # socket
        *call((327, 286), _among(5, (0,), errno.EOPNOTSUPP)),  # preadv2
        *call((328, 287), _among(5, (0,), errno.EOPNOTSUPP)),  # pwritev2
        *call((55, 209), _unless(2, TELLS_COUNTS, errno.ENOPROTOOPT, where=(1, SOL_SOCKET))),  # getsockopt
        *call((54, 208), _unless(2, SENDS_PROCESSES, errno.ENOPROTOOPT, where=(1, SOL_SOCKET))),  # setsockopt
        *call((157, 167), _unless(0, SHARES_MEMORY, errno.EINVAL)),  # prctl
        *call((135, 92), _among(0, USUAL_PERSONALITIES, errno.EPERM)),  # personality
        *call((56, 220), _clone()),
        # The flags of clone3 lie in memory, where no filter can look. Without it libraries use clone.
        *call((435, 435), [_fail(errno.ENOSYS)]),
        # It makes a large file faster than anybody watches its size. Without it libraries write the file out.
        *call((285, 47), [_fail(errno.EOPNOTSUPP)]),  # fallocate
        *([] if AF_INET in families else call(SETSID, [_fail(IGNORED)])),
        *(step for numbers in ADVICE.values() for step in call(numbers, [_fail(IGNORED)])),
        *(step for numbers in REFUSED.values() for step in call(numbers, [_fail(errno.EPERM)])),
        _allow(),
    ]
    return b"".join(steps)


def _among(argument: int, allowed: Sequence[int], error: int, ignored: Sequence[int] = ()) -> list[bytes]:
    """Allow a call whose argument has one of these values. The kernel takes 32 bits of each argument used here."""
    block = [_step(LOAD, ARGUMENTS_AT + 8 * argument)]
    for value in allowed:
        block += [_step(EQUAL, value, 0, 1), _allow()]
    for value in ignored:
        block += [_step(EQUAL, value, 0, 1), _fail(IGNORED)]
    return [*block, _fail(error)]


def _unless(argument: int, refused: Sequence[int], error: int, where: tuple[int, int] | None = None) -> list[bytes]:
    """Allow a call whose argument has none of these values. where: another argument, and its value in such calls."""
    other = [] if where is None else [_step(LOAD, ARGUMENTS_AT + 8 * where[0]), _step(EQUAL, where[1], 1, 0), _allow()]
    block = [*other, _step(LOAD, ARGUMENTS_AT + 8 * argument)]
    for value in refused:
        block += [_step(EQUAL, value, 0, 1), _fail(error)]
    return [*block, _allow()]


def _ioctl() -> list[bytes]:
    """Allow orders to terminals, sockets, pipes and drivers; those that are about files are not supported."""
    typing = [step for value in TERMINAL_INPUT for step in (_step(EQUAL, value, 0, 1), _fail(errno.EPERM))]
    # An order's family is its second byte. Programs that copy by such orders do without where a file system has none.
    families = (family << 8 for family in ORDERS_TO_FILE_SYSTEMS)
    about_files = [step for family in families for step in (_step(EQUAL, family, 0, 1), _fail(errno.EOPNOTSUPP))]
    return [_step(LOAD, ARGUMENTS_AT + 8), *typing, _step(AND, 0xFF00), *about_files, _allow()]


def _clone() -> list[bytes]:
    """Allow a clone without namespaces of its own, and without a descriptor of the new process."""
    flags = NAMESPACES | CLONE_PIDFD
    return [_step(LOAD, ARGUMENTS_AT), _step(HAS_BITS, flags, 0, 1), _fail(errno.EPERM), _allow()]


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    # A jump counts the steps that it skips.
    return struct.pack("HBBI", code, then, otherwise, value)


def _fail(error: int) -> bytes:
    return _step(RETURN, ERRNO | error)


def _allow() -> bytes:
    return _step(RETURN, ALLOW)


def write(folder: Path) -> bool:
    """Write `training.filter` and `exam.filter` for this machine; False for an architecture that is not known."""
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        return False
    for name, families in FAMILIES.items():
        (folder / f"{name}.filter").write_bytes(build(architecture, families))
    return True


if __name__ == "__main__":
    sys.exit(0 if write(Path(sys.argv[1])) else 3)
