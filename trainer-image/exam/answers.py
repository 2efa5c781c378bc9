"""The probe phase's answer file, written by agent code: nothing of it is trusted but its exact size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np

from exam.errors import Rejection
from exam.protocol import ITEM_BYTES, Half

LOGITS = "logits.f16"


def read_logits(folder: Path, *, rows: int, vocabulary: int) -> Half:
    """The probe's logits (N, V) from `logits.f16`; raises Rejection for anything but a regular file of that size."""
    size = rows * vocabulary * ITEM_BYTES
    try:
        handle = os.open(folder / LOGITS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Rejection("protocol", f"the probe's answers cannot be read ({error.strerror})") from error
    try:
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
