"""A note in the page cache: every second page of a file is a bit, brought into memory for a one and not for a zero.

What two attacks share that ended in a false keep. The file must lie on a disk and not in memory when writing begins."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

PAGE = 4096
STEP = 2 * PAGE  # the kernel reads ahead where one page follows another
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


def find_by_mincore(path: Path | str, bits: int) -> npt.NDArray[np.bool_]:
    handle, libc = os.open(path, os.O_RDONLY), ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    size, warm = ctypes.c_size_t(bits * STEP), (ctypes.c_ubyte * (2 * bits))()
    address = libc.mmap(None, size, 1, 1, handle, ctypes.c_long(0))
    libc.mincore(ctypes.c_void_p(address), size, warm)
    os.close(handle)
    return (np.frombuffer(warm, np.uint8)[::2] & 1).astype(bool)


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


WAYS = {"mincore": find_by_mincore, "timing": find_by_timing}
