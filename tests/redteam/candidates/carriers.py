"""Everything in which one sandbox might leave bits for a later one: one function leaves them, another looks for them.

`find` gives a number for each bit, the larger the likelier a one; the test computes the capacity from it."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence

COUNT = 512
PAGE, STEP, WINDOW = 4096, 2 * 4096, 64 * 4096
TASK = os.path.dirname(os.path.abspath(__file__))
LIBRARY = TASK + "/library.bin"
TOLD_AT, READ_AT, FAULT_AT = 0, COUNT * STEP, 2 * COUNT * STEP
LIBRARY_BYTES = FAULT_AT + COUNT * WINDOW
LIBC = ctypes.CDLL(None)
Bits = Sequence[int]


def leave_pages(bits: Bits) -> None:
    handle = os.open(LIBRARY, os.O_RDONLY)
    for at in ones(bits):
        os.pread(handle, 1, TOLD_AT + at * STEP)
        os.pread(handle, 1, READ_AT + at * STEP)
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
    for one in (leave_pages, leave_names, leave_times, *(() if outside else (leave_objects, leave_held))):
        one(bits)
    print("LEFT", json.dumps(bits), flush=True)


def find(*, outside: bool = False) -> None:
    """Look into all carriers, those first that looking does not disturb, and print what was seen."""
    handle = os.open(LIBRARY, os.O_RDONLY)
    told = {} if outside else counters()
    seen = {
        "pages, mincore": find_by_mincore(handle),
        "pages, reads that do not wait": find_by_nowait(handle),
        "pages, time of a read": find_by_reading(handle),
        "pages, time of a fault": find_by_faults(handle),
        "names, time of a look": find_names(),
        "times of files": find_times(),
        "locks on ranges": find_locks(),
        "locks on files": find_flocks(),
        "abstract sockets": find_sockets(),
        "shared memory and queues": find_objects(),
    }
    print("SEEN", json.dumps({"carriers": seen, "counters": told}), flush=True)


if __name__ == "__main__":
    {"leave": leave, "find": find}[sys.argv[1]](outside=True)
