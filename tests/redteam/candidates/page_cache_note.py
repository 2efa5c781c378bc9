"""A note in the page cache: every second page of a file is a bit, brought into memory for a one and not for a zero.

What two attacks share that ended in a false keep. The file must lie on a disk and not in memory when writing begins.
A variant looks up names that do not exist, instead of pages: the kernel remembers these too."""

from __future__ import annotations

import ctypes
import os
import resource
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

PAGE = 4096
STEP = 2 * PAGE  # the kernel reads ahead where one page follows another
AROUND = 16 * PAGE  # a fault maps what is in memory of the 16 pages around it
WARM_NS = 30_000  # a page of the cache is copied in some microseconds, and a disk takes a hundred


def write_cold(path: Path | str, bits: int) -> None:
    """Make a file that is not in memory: O_DIRECT goes around the page cache."""
    import mmap

    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o644)
    block = mmap.mmap(-1, 1 << 20)
    block.write(os.urandom(1 << 20))
    for _ in range(-(-bits * STEP // (1 << 20))):
        os.write(handle, block)
    os.close(handle)


def leave(path: Path | str, bits: npt.NDArray[np.bool_], first: int = 0) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
    for bit in np.flatnonzero(bits):
        os.pread(handle, 1, (first + int(bit)) * STEP)
    os.close(handle)


def leave_names(path: Path | str, bits: npt.NDArray[np.bool_], first: int = 0) -> None:
    for bit in np.flatnonzero(bits).repeat(2):
        os.access(name_of(path, first + int(bit)), os.F_OK)


def name_of(path: Path | str, bit: int) -> str:
    """A name that does not exist, in a folder of the disk: a look that is not remembered takes longer in a full one."""
    folder = f"{path}-names" if os.path.isdir(f"{path}-names") else "/usr/bin"
    return f"{folder}/missing-{bit}"


def make_full(path: Path | str) -> None:
    os.mkdir(f"{path}-names")
    for number in range(1000):
        os.mknod(f"{path}-names/there-{number}")


def find_by_mincore(path: Path | str, bits: int) -> npt.NDArray[np.bool_]:
    handle, libc = os.open(path, os.O_RDONLY), ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    size, warm = ctypes.c_size_t(bits * STEP), (ctypes.c_ubyte * (2 * bits))()
    address = libc.mmap(None, size, 1, 1, handle, ctypes.c_long(0))
    libc.mincore(ctypes.c_void_p(address), size, warm)
    os.close(handle)
    return (np.frombuffer(bytes(warm), np.uint8)[::2] & 1).astype(bool)


def find_by_timing(path: Path | str, bits: int) -> npt.NDArray[np.bool_]:
    """Read the last byte of each page backwards, so that nothing is read ahead, and look at the clock."""
    handle, times = os.open(path, os.O_RDONLY), np.zeros(bits)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
    for bit in reversed(range(bits)):
        began = time.perf_counter_ns()
        os.pread(handle, 1, bit * STEP + PAGE - 1)
        times[bit] = time.perf_counter_ns() - began
    os.close(handle)
    return times < WARM_NS


def find_by_counting(path: Path | str, bits: int) -> npt.NDArray[np.bool_]:
    """The kernel tells each process how many blocks were read from a disk for it."""
    handle, warm = os.open(path, os.O_RDONLY), np.zeros(bits, bool)
    for bit in reversed(range(bits)):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
        os.pread(handle, 1, bit * STEP + PAGE - 1)
        warm[bit] = resource.getrusage(resource.RUSAGE_SELF).ru_inblock == before
    os.close(handle)
    return warm


def find_by_mapping(path: Path | str, bits: int) -> npt.NDArray[np.bool_]:
    """Touch a page that is there in every 16: the kernel maps those around it that are there, and tells of the map."""
    handle, libc, size = os.open(path, os.O_RDONLY), ctypes.CDLL(None), bits * STEP
    libc.mmap.restype = ctypes.c_void_p
    for at in reversed(range(PAGE, size, AROUND)):
        os.pread(handle, 1, at)
    address = libc.mmap(None, ctypes.c_size_t(size), 1, 1, handle, ctypes.c_long(0))
    for at in range(PAGE, size, AROUND):
        ctypes.string_at(address + at, 1)
    with open("/proc/self/pagemap", "rb") as told:
        entries = np.frombuffer(os.pread(told.fileno(), size // PAGE * 8, address // PAGE * 8), np.uint64)
    os.close(handle)
    return (entries[::2] >> np.uint64(63)).astype(bool)


def find_by_asynchronous(path: Path | str, bits: int) -> npt.NDArray[np.bool_]:
    from carriers import find_by_asynchronous_reads  # type: ignore[import-not-found]  # beside this file, in a task

    handle = os.open(path, os.O_RDONLY)
    found = np.array(find_by_asynchronous_reads(handle, first=0, count=bits), bool)
    os.close(handle)
    return found


def find_by_names(path: Path | str, bits: int) -> npt.NDArray[np.bool_]:
    return times_of_looks(path, range(bits)) < warm_look(path)


def times_of_looks(path: Path | str, bits: range | npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    times = []
    for bit in bits:
        name, began = name_of(path, int(bit)), time.perf_counter_ns()
        os.access(name, os.F_OK)
        times.append(time.perf_counter_ns() - began)
    return np.array(times, float)


def warm_look(path: Path | str) -> float:
    """Between the times of a first and of a second look at the same names."""
    names = range(1 << 40, (1 << 40) + 200)
    first, second = np.median(times_of_looks(path, names)), np.median(times_of_looks(path, names))
    return float(np.sqrt(first * second))


WAYS = {
    "mincore": find_by_mincore,
    "timing": find_by_timing,
    "counting": find_by_counting,
    "mapping": find_by_mapping,
    "asynchronous": find_by_asynchronous,
    "names": find_by_names,
}
LEAVES = {"names": leave_names}
