"""Puts small files beside the repository, whole and durably, for what comes from processes and threads that may not
write to the lab."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(folder: Path, name: str, data: bytes) -> None:
    """Write a file of a folder, which is made where there is none. It is on disk, whole, when this returns.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Under a name that begins with a dot, which no reader takes, so that none sees half of a file.
    fresh = folder / f".{name}"
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(folder / name)
    # The new name is in the folder's own data, which have to reach the disk as well.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
