"""The disk of the work folder: what tries left is deleted, and a result is stored although the disk is full.

What cannot be deleted is told and left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from controller.domain import Result
from controller.executor.local.deletion import Trash
from controller.executor.local.disk_watch import FREE_BYTES
from controller.executor.local.try_folder import TryFolder
from controller.folder.ballast import Ballast, room_on

LEAST_BYTES = 2 * FREE_BYTES
"""Least room with which a try may begin (128 MiB). A running try is ended when half of that is left."""


class WorkDisk:
    """The disk of one work folder; every method but `open` may be called from several threads.

    artifact_gb: what one try may write. warn: takes a sentence for the operator, from any thread.
    """

    def __init__(self, folder: Path, *, artifact_gb: float, warn: Callable[[str], None]) -> None:
        self._folder, self._warn = folder, warn
        self._wanted = artifact_gb * 2**30 + LEAST_BYTES
        self._ballast = Ballast(folder / "ballast")
        self._trash: Trash | None = None

    def open(self) -> None:
        """Make what is needed in the folder, which must exist."""
        self._ballast.keep()
        self._trash = Trash(self._folder / "trash")

    def delete_leftovers(self, in_background: Callable[[Callable[[], None]], None]) -> None:
        """Delete what earlier controllers left: in the background, however much it is, unless the disk is full."""
        left = [TryFolder(started.parent) for started in self._folder.glob("*/started")]
        if room_on(self._folder) >= LEAST_BYTES:
            in_background(lambda: self.forget(left))
            return
        self._ballast.give_up()
        self.forget(left)
        self._ballast.restore()

    def forget(self, folders: Sequence[TryFolder]) -> None:
        """Delete what tries wrote; what stays is told, and harms nobody."""
        assert self._trash is not None
        left = [sentence for folder in folders for sentence in folder.forget(self._trash)]
        for sentence in [*left, *self._trash.empty()]:
            self._warn(f"{sentence}; the campaign goes on")

    def await_deletions(self) -> None:
        """Wait for deletions under way if there is no room for what a try may write."""
        assert self._trash is not None
        self._trash.wait(lambda: room_on(self._folder) >= self._wanted)

    def store(self, folder: TryFolder, result: Result) -> None:
        """Store a result. On a full disk what the try wrote is deleted first, because nobody needs it any more.

        The lab comes next and needs room too. A result that cannot be stored is reported all the same: its file serves
        a controller that starts before the lab has it.
        """
        if room_on(self._folder) < LEAST_BYTES:
            self._ballast.give_up()
            self.forget([folder])
        try:
            folder.store(result)
        except OSError as error:
            self._warn(f"the result of {folder.root.name} cannot be stored: {error}")
        self._ballast.restore()

    def trouble(self) -> str:
        """A full disk, on which every try would be lost, as a sentence; empty if there is room."""
        room = room_on(self._folder)
        if room >= LEAST_BYTES:
            return ""
        return (
            f"the disk of {self._folder} has room for {room / 2**20:.0f} MB, and a try needs {LEAST_BYTES >> 20}: "
            "make room (`df`, `df --inodes`)"
        )
