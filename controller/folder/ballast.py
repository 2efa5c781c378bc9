"""The room on a disk, and a file that only takes some of it up.

The file, a ballast, is given up when the disk is full, so that what matters can be written.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

SIZE = 32 * 2**20
"""Bytes of a ballast (32 MiB): the records, results and log ends of a few hundred tries."""

_SHARE = 8
"""A ballast takes no more than one eighth of what is free: on a small disk there is none."""

_FEWEST_FILES = 500
"""Files that can still be made below which a disk counts as full: a record takes some ten objects of git."""

_NO_PROMISE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""Errors of a file system that cannot promise room: there is no ballast on it."""


def room_on(folder: Path) -> int:
    """Bytes that can be written on the disk of a folder; 0 if hardly any further file can be made there."""
    disk = os.statvfs(folder)
    # Some file systems create inodes as needed and report none (f_files is 0).
    if disk.f_files and disk.f_favail < _FEWEST_FILES:
        return 0
    return disk.f_bavail * disk.f_frsize


class Ballast:
    """The ballast at `path`. Any thread may give it up; the room then goes to whoever writes first."""

    def __init__(self, path: Path, size: int = SIZE) -> None:
        self._path, self._size = path, size
        self._given_up = False

    def keep(self) -> None:
        """Make the file where it is missing or incomplete; give it up where the disk is full, as after a crash."""
        free = room_on(self._path.parent)
        if free < self._size:
            self.give_up()
        elif not self._is_whole() and free >= _SHARE * self._size:
            self._make()

    def give_up(self) -> None:
        """Delete it. Deleting a file needs no room."""
        self._given_up = True
        self._path.unlink(missing_ok=True)

    def restore(self) -> None:
        """Make it again if it was given up and there is room once more."""
        if self._given_up:
            self._given_up = False
            self.keep()

    def _is_whole(self) -> bool:
        return self._path.exists() and self._path.stat().st_size == self._size

    def _make(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Takes the blocks for good. Bytes that are only written may be compressed away, or not be on disk yet.
            os.posix_fallocate(descriptor, 0, self._size)
        except OSError as error:
            if not is_full(error) and error.errno not in _NO_PROMISE:
                raise
            self.give_up()
        finally:
            os.close(descriptor)


def is_full(error: BaseException) -> bool:
    """True for an error that says that a disk, or this user's part of it, is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # libgit2 keeps the words of the error and loses its number.
    return any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT))
