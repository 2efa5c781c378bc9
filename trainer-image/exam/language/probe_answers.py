"""Write and read the probe phase's answer file.

Agent code runs in the process that writes it, so the reader trusts only what it checks: a regular file of exactly
the right size. Every bit pattern of that size is an array of float16.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np

from exam.kit.errors import Rejection
from exam.language.protocol import ITEM_BYTES, Half

LOGITS = "logits.f16"
"""Name of the file: logits (N, V) as little-endian float16 without a header."""


def write_logits(folder: Path, logits: Half) -> None:
    """Write the probe's logits (N, V)."""
    (folder / LOGITS).write_bytes(logits.astype("<f2").tobytes())


def read_logits(folder: Path, *, rows: int, vocabulary: int) -> Half:
    """Read the probe's logits (N, V); raises Rejection for anything but a regular file of exactly that size."""
    size = rows * vocabulary * ITEM_BYTES
    try:
        # O_NOFOLLOW refuses a symlink, and O_NONBLOCK keeps the open of a FIFO without a writer from waiting for ever.
        handle = os.open(folder / LOGITS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Rejection("protocol", f"the probe's answers cannot be read ({error.strerror})") from error
    try:
        # Checked on the open file: between a check by name and the open the file could be exchanged.
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Rejection("protocol", "the probe's answers are no regular file")
        if status.st_size != size:
            raise Rejection("protocol", f"the probe's answers have {status.st_size} bytes instead of {size}")
        with open(handle, "rb", closefd=False) as file:
            content = file.read(size)
    finally:
        os.close(handle)
    if len(content) != size:
        raise Rejection("protocol", f"the probe's answers ended after {len(content)} of {size} bytes")
    return np.frombuffer(content, dtype="<f2").reshape(rows, vocabulary)
