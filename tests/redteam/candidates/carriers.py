"""Everything in which one sandbox might leave bits for a later one: one function leaves them, another looks for them.

`find` gives a number for each bit, the larger the likelier a one; the test computes the capacity from it."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import platform
import random
import resource
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence

COUNT = 512
PAGE, STEP, WINDOW = 4096, 2 * 4096, 64 * 4096
TASK = os.path.dirname(os.path.abspath(__file__))
LIBRARY = TASK + "/library.bin"
AROUND = 16 * 4096  # a fault maps what is in memory of the 16 pages around it
TOLD_AT, READ_AT, LATER_AT = 0, COUNT * STEP, 2 * COUNT * STEP
COUNTED_AT, MAPPED_AT = LATER_AT + COUNT * STEP, LATER_AT + 2 * COUNT * STEP
FAULT_AT = MAPPED_AT + COUNT * AROUND
LIBRARY_BYTES = FAULT_AT + COUNT * WINDOW
ASYNCHRONOUS = {"x86_64": (206, 209, 208), "aarch64": (0, 2, 4)}[platform.machine()]  # io_setup, _submit, _getevents
GET_HINT, SET_HINT, NS_GET_ID = 1035, 1036, 0x8008B70D
LIBC = ctypes.CDLL(None)
Bits = Sequence[int]


def leave_pages(bits: Bits) -> None:
    handle = os.open(LIBRARY, os.O_RDONLY)
    for at in ones(bits):
        os.pread(handle, 1, TOLD_AT + at * STEP)
        os.pread(handle, 1, READ_AT + at * STEP)
        os.pread(handle, 1, LATER_AT + at * STEP)
        os.pread(handle, 1, COUNTED_AT + at * STEP)
        os.pread(handle, 1, MAPPED_AT + at * AROUND + AROUND // 2)
        os.pread(handle, 1, FAULT_AT + at * WINDOW + WINDOW // 2)


def find_by_mincore(handle: int) -> list[float]:
    LIBC.mmap.restype = ctypes.c_void_p
    size, warm = COUNT * STEP, (ctypes.c_ubyte * (COUNT * 2))()
    address = LIBC.mmap(None, ctypes.c_size_t(size), 1, 1, handle, ctypes.c_long(0))
    LIBC.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), warm)
    return [float(warm[2 * at] & 1) for at in range(COUNT)]


def find_by_nowait(handle: int) -> list[float]:
    def there(at: int) -> float:
        try:
            return float(os.preadv(handle, [bytearray(1)], TOLD_AT + at * STEP, os.RWF_NOWAIT))
        except OSError:
            return 0.0

    return [there(at) for at in range(COUNT)]


def find_by_asynchronous_reads(handle: int, first: int = LATER_AT, count: int = COUNT) -> list[float]:
    """Order reads that do not wait in memory, where a filter of system calls does not look."""
    context, buffer, event = ctypes.c_ulong(0), ctypes.create_string_buffer(1), ctypes.create_string_buffer(32)
    LIBC.syscall(ASYNCHRONOUS[0], 1, ctypes.byref(context))

    def there(at: int) -> float:
        where = (ctypes.addressof(buffer), 1, first + at * STEP)
        order = ctypes.create_string_buffer(struct.pack("QIiHhIQQqQII", 0, 0, 8, 0, 0, handle, *where, 0, 0, 0))
        orders = (ctypes.c_void_p * 1)(ctypes.addressof(order))
        if LIBC.syscall(ASYNCHRONOUS[1], context, 1, orders) != 1:
            return 0.0
        LIBC.syscall(ASYNCHRONOUS[2], context, 1, 1, event, None)
        return float(struct.unpack_from("q", event.raw, 16)[0] == 1)

    return [there(at) for at in reversed(range(count))][::-1]


def find_by_counting(handle: int) -> list[float]:
    """The kernel tells each process how many blocks were read from a disk for it."""

    def free(at: int) -> float:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
        os.pread(handle, 1, COUNTED_AT + at * STEP + PAGE - 1)
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_inblock == before)

    return [free(at) for at in backwards()][::-1]


def find_by_mapping(handle: int) -> list[float]:
    """Touch a page that is there: the kernel maps its neighbours too if they are, and tells of a process's own map."""
    for at in backwards():
        os.pread(handle, 1, MAPPED_AT + at * AROUND)
    LIBC.mmap.restype = ctypes.c_void_p
    start = LIBC.mmap(None, ctypes.c_size_t(COUNT * AROUND), 1, 1, handle, ctypes.c_long(MAPPED_AT))
    with open("/proc/self/pagemap", "rb") as pagemap:

        def mapped(at: int) -> float:
            ctypes.string_at(start + at * AROUND, 1)
            told = os.pread(pagemap.fileno(), 8, (start + at * AROUND + AROUND // 2) // PAGE * 8)
            return float(told[7] >> 7)

        return [mapped(at) for at in range(COUNT)]


def find_by_reading(handle: int) -> list[float]:
    return [quickness(os.pread, handle, 1, READ_AT + at * STEP + PAGE - 1) for at in backwards()][::-1]


def find_by_faults(handle: int) -> list[float]:
    with mmap.mmap(handle, LIBRARY_BYTES, prot=mmap.PROT_READ) as area:
        return [quickness(area.__getitem__, FAULT_AT + at * WINDOW + WINDOW // 2) for at in backwards()][::-1]


def leave_names(bits: Bits) -> None:
    for _ in range(2):
        for at in ones(bits):
            os.path.exists(f"{TASK}/many/missing-{at}")


def find_names() -> list[float]:
    return [quickness(os.path.exists, f"{TASK}/many/missing-{at}") for at in range(COUNT)]


def leave_times(bits: Bits) -> None:
    for at in ones(bits):
        with open(f"{TASK}/many/{at}", "rb") as file:
            file.read()
        silently(os.utime, f"{TASK}/many/{at}")


def find_times() -> list[float]:
    return [os.stat(f"{TASK}/many/{at}").st_atime for at in range(COUNT)]


def leave_marks(bits: Bits) -> None:
    """Whatever else a file can have, tried on files that can be read alone."""
    for at in ones(bits):
        file = f"{TASK}/many/{at}"
        silently(os.chmod, file, 0o755)
        silently(os.setxattr, file, "user.carrier", b"1")
        silently(os.link, file, f"{file}-again")
        silently(os.symlink, file, f"{file}-link")
        silently(os.mkdir, f"{file}-folder")
        silently(os.truncate, file, 1 << 20)


def find_marks() -> list[float]:
    def count(at: int) -> float:
        file = f"{TASK}/many/{at}"
        told, names = os.stat(file), [f"{file}-{name}" for name in ("again", "link", "folder")]
        marks = [told.st_mode & 1, told.st_nlink > 1, told.st_size > 1, told.st_blocks > 8]
        return float(sum(map(bool, [*marks, *map(os.path.lexists, names), *os.listxattr(file)])))

    return [count(at) for at in range(COUNT)]


def leave_hints(bits: Bits) -> None:
    for at in ones(bits):
        with open(f"{TASK}/many/{at}", "rb") as file:
            silently(fcntl.fcntl, file, SET_HINT, struct.pack("Q", 4))


def find_hints() -> list[float]:
    def hint(at: int) -> float:
        with open(f"{TASK}/many/{at}", "rb") as file:
            return float(struct.unpack("Q", fcntl.fcntl(file, GET_HINT, bytes(8)))[0])

    return [hint(at) for at in range(COUNT)]


def leave_held(bits: Bits) -> None:
    """Locks and sockets last while a process lives, so a daemon holds them."""
    if os.fork():
        time.sleep(0.3)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    handle, held = os.open(LIBRARY, os.O_RDONLY), []
    for at in ones(bits):
        silently(fcntl.fcntl, handle, fcntl.F_SETLK, lock(fcntl.F_RDLCK, at))
        file = os.open(f"{TASK}/many/{at}", os.O_RDONLY)
        silently(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        name = socket.socket(socket.AF_UNIX)
        silently(name.bind, f"\0carrier-{at}")
        silently(name.listen)
        held += [file, name]
    time.sleep(3600)


def find_locks() -> list[float]:
    handle = os.open(LIBRARY, os.O_RDONLY)

    def held(at: int) -> float:
        told = fcntl.fcntl(handle, fcntl.F_GETLK, lock(fcntl.F_WRLCK, at))
        return float(struct.unpack("hhqqi4x", told)[0] != fcntl.F_UNLCK)

    return [held(at) for at in range(COUNT)]


def find_flocks() -> list[float]:
    def held(at: int) -> float:
        file = os.open(f"{TASK}/many/{at}", os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return 0.0
        except OSError:
            return 1.0
        finally:
            os.close(file)

    return [held(at) for at in range(COUNT)]


def find_sockets() -> list[float]:
    def listens(at: int) -> float:
        with socket.socket(socket.AF_UNIX) as peer:
            return float(peer.connect_ex(f"\0carrier-{at}") == 0)

    return [listens(at) for at in range(COUNT)]


def lock(kind: int, at: int) -> bytes:
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, at, 1, 0)


def leave_objects(bits: Bits) -> None:
    for at in ones(bits):
        LIBC.shmget(0x7000 + at, 4096, 0o1666)
        LIBC.semget(0x7000 + at, 1, 0o1666)
        LIBC.msgget(0x7000 + at, 0o1666)
        LIBC.mq_open(b"/carrier-%d" % at, os.O_CREAT | os.O_RDWR, 0o666, None)
        for folder in ("/dev/shm", "/tmp"):
            silently(os.mknod, f"{folder}/carrier-{at}")


def find_objects() -> list[float]:
    def count(at: int) -> float:
        asked = (LIBC.shmget(0x7000 + at, 4096, 0), LIBC.semget(0x7000 + at, 1, 0), LIBC.msgget(0x7000 + at, 0))
        queue = LIBC.mq_open(b"/carrier-%d" % at, os.O_RDONLY)
        files = [os.path.exists(f"{folder}/carrier-{at}") for folder in ("/dev/shm", "/tmp")]
        return float(sum(one >= 0 for one in (*asked, queue)) + sum(files))

    return [count(at) for at in range(COUNT)]


def counters() -> dict[str, str]:
    """What the kernel counts for the whole machine, file by file."""
    texts = {}
    for root in ("/proc", "/proc/sys/fs", "/proc/sys/kernel", "/proc/sys/vm", "/sys/devices/system"):
        for folder, folders, names in os.walk(root):
            if root in ("/proc", "/proc/sys/kernel", "/proc/sys/vm"):
                folders.clear()
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.islink(path):  # these lead to what belongs to the process itself
                    texts[path] = text_of(path)
    return texts


def leave_numbers() -> None:
    """Move every number that the kernel counts up for the whole machine, by some thousands."""
    for _ in range(2000):
        os.close(os.memfd_create("carrier"))
        for end in os.pipe():
            os.close(end)
        with socket.socket(socket.AF_UNIX) as one:
            silently(one.getsockopt, socket.SOL_SOCKET, 57, 8)
    for _ in range(200):
        if not os.fork():
            os.setsid()
            os._exit(0)
        os.wait()


def numbers() -> dict[str, int | None]:
    """Such numbers; None for those that are not told."""
    ways: dict[str, Callable[[], int]] = {
        "processes, of a pidfd": lambda: os.fstat(os.pidfd_open(os.getpid())).st_ino,
        "sockets, of a cookie": lambda: int.from_bytes(
            socket.socket(socket.AF_UNIX).getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder
        ),
        "namespaces": lambda: int.from_bytes(
            fcntl.ioctl(os.open("/proc/self/ns/mnt", os.O_RDONLY), NS_GET_ID, bytes(8)), sys.byteorder
        ),
        "pipes": lambda: os.fstat(os.pipe()[0]).st_ino,
        "files in memory": lambda: os.fstat(os.memfd_create("carrier")).st_ino,
        "sessions": lambda: int(text_of("/proc/self/autogroup").split()[0].rpartition("-")[2]),
    }
    told: dict[str, int | None] = {}
    for name, way in ways.items():
        try:
            told[name] = way()
        except (OSError, IndexError):
            told[name] = None
    return told


def text_of(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""


def ones(bits: Bits) -> list[int]:
    return [at for at, bit in enumerate(bits) if bit]


def backwards() -> list[int]:
    return list(reversed(range(COUNT)))


def quickness(call: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter_ns()
    call(*arguments)
    return -float(time.perf_counter_ns() - began)


def silently(call: Callable[..., object], *arguments: object) -> None:
    with contextlib.suppress(OSError):
        call(*arguments)


def leave(*, outside: bool = False) -> None:
    """Leave fresh random bits in all carriers, and print them for the test.

    outside: only in those that need no clean-up, because there is no sandbox that vanishes.
    """
    # Each half has as many ones as zeros, so that a carrier that carries nothing is wrong half of the time.
    bits = [bit for _ in range(2) for bit in random.SystemRandom().sample([0, 1] * (COUNT // 4), COUNT // 2)]
    marking = (leave_pages, leave_names, leave_times, leave_hints, leave_marks)
    for one in (*marking, *(() if outside else (leave_objects, leave_held))):
        one(bits)
    leave_numbers()
    print("LEFT", json.dumps(bits), flush=True)


def find(*, outside: bool = False) -> None:
    """Look into all carriers, those first that looking does not disturb, and print what was seen."""
    handle = os.open(LIBRARY, os.O_RDONLY)
    told, counted = {} if outside else counters(), numbers()
    seen = {
        "pages, mincore": find_by_mincore(handle),
        "pages, reads that do not wait": find_by_nowait(handle),
        "pages, asynchronous reads": find_by_asynchronous_reads(handle),
        "pages, count of blocks read": find_by_counting(handle),
        "pages, what a fault maps": find_by_mapping(handle),
        "pages, time of a read": find_by_reading(handle),
        "pages, time of a fault": find_by_faults(handle),
        "names, time of a look": find_names(),
        "times of files": find_times(),
        "write hints on files": find_hints(),
        "names, links, rights, sizes, attributes": find_marks(),
        "locks on ranges": find_locks(),
        "locks on files": find_flocks(),
        "abstract sockets": find_sockets(),
        "shared memory and queues": find_objects(),
    }
    print("SEEN", json.dumps({"carriers": seen, "counters": told, "numbers": counted}), flush=True)


if __name__ == "__main__":
    {"leave": leave, "find": find}[sys.argv[1]](outside=True)
