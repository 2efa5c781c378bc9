"""Deletes folders that hostile code has filled: nested without end, closed to their owner, with any names.

Everything is done by descriptors and by names of one component, so no path is ever too long, and no link is followed.
Each inner folder is moved to a private place under a number before it is emptied: names cannot collide there, depth
needs no recursion, and a deletion that was cut off leaves nothing but numbers that the next one finds.
"""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE_S = 60.0
"""Longest wait for a deletion under way to make room, in seconds: ext4 removes some 100,000 files in a second."""

_TOLD_MOST = 3
"""Faults that one leftover tells of: a folder can hold millions, all for one cause."""


class Trash:
    """A private folder whose numbered entries are to be deleted. One thread empties it at a time.

    place: made where it is missing; it must lie on the file system of what is put into it, because it is moved there.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._stuck: set[str] = set()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._numbers = itertools.count(max((int(name) for name in os.listdir(place) if name.isdigit()), default=0) + 1)

    def take(self, path: Path) -> None:
        """Move a file or folder here: one step, however much lies below it. Does nothing where there is none."""
        with _open_folder(os.fspath(path.parent)) as parent, self._open() as place:
            self._take(path.name, parent, place)

    def empty(self) -> list[str]:
        """Delete everything here; returns a sentence for each entry that stays, once in the life of this object."""
        with self._lock, self._open() as place:
            return self._empty(place)

    def wait(self, enough: Callable[[], bool]) -> None:
        """Wait until nobody empties this place any more, if `enough` does not hold; a minute at most."""
        if not enough() and self._lock.acquire(timeout=_PATIENCE_S):
            self._lock.release()

    def _empty(self, place: int) -> list[str]:
        told = []
        while names := [name for name in os.listdir(place) if name not in self._stuck]:
            for name in names:
                faults = self._delete(name, place)
                if faults:
                    self._stuck.add(name)
                    told.append(f"{self._place / name} cannot be deleted: {'; '.join(faults[:_TOLD_MOST])}")
        return told

    def _delete(self, name: str, place: int) -> list[str]:
        """Delete an entry, but move its inner folders up; returns why it stays, nothing if it is gone."""
        try:
            if not _is_folder(name, place):
                os.unlink(name, dir_fd=place)
                return []
            with _open_folder(name, within=place) as folder:
                faults = self._clear(folder, place)
            if not faults:
                os.rmdir(name, dir_fd=place)
        except FileNotFoundError:
            return []
        except OSError as error:
            return [_words(error)]
        return faults

    def _clear(self, folder: int, place: int) -> list[str]:
        """Unlink the files of a folder and move its folders to the private place; returns the faults."""
        faults: dict[str, None] = {}
        # Entries may be removed while a folder is read: readdir(3) still gives each of the others.
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        self._take(entry.name, folder, place)
                    else:
                        os.unlink(entry.name, dir_fd=folder)
                except OSError as error:
                    faults[_words(error)] = None
        return list(faults)

    def _take(self, name: str, parent: int, place: int) -> None:
        try:
            if _is_folder(name, parent):
                # The kernel lets nobody move a folder to another one without the right to write into it: its ".."
                # changes. Root needs no right.
                _open_to_owner(name, parent)
            os.rename(name, str(next(self._numbers)), src_dir_fd=parent, dst_dir_fd=place)
        except FileNotFoundError:
            return

    @contextmanager
    def _open(self) -> Iterator[int]:
        with _open_folder(os.fspath(self._place)) as place:
            yield place


def delete(path: Path) -> list[str]:
    """Delete a file or folder at once; returns a sentence for each part that stays, in a numbered place beside it."""
    if not os.path.lexists(path):
        return []
    place = Path(tempfile.mkdtemp(prefix=".deleting-", dir=path.parent))
    trash = Trash(place)
    try:
        trash.take(path)
    except OSError as error:
        place.rmdir()
        return [f"{path} cannot be deleted: {_words(error)}"]
    left = trash.empty()
    if not left:
        place.rmdir()
    return left


def _is_folder(name: str, within: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode)


@contextmanager
def _open_folder(name: str, *, within: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_to_owner(name: str, within: int) -> None:
    """Let the owner of a folder read, write and enter it."""
    # A descriptor for the place alone needs no right on the folder, and /proc leads from it to the folder itself: no
    # link that takes its name meanwhile is followed, as fchmodat(2) would.
    place = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        if stat.S_IMODE(os.fstat(place).st_mode) & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{place}", stat.S_IRWXU)
    finally:
        os.close(place)


def _words(error: OSError) -> str:
    return error.strerror or str(error)
