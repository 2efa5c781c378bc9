"""A try's own folder: where its logs, its volumes and its result lie, and how they are cleaned up.

What an attempt writes is hostile until proven otherwise: symbolic links are never followed, and folders nested
too deep or without permissions are measured and deleted all the same.
"""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from controller.domain import Result

_RESULT = TypeAdapter(Result)
_VANISHES = ("task", "artifact", "answers", "socket", "message", "views")
_ENTRY_BYTES = 4096
"""What one file costs at least, so that a million empty ones count too."""

_DEEPEST = 64
_SHORT = "autoresearch-"


@dataclass(frozen=True, slots=True)
class TryFolder:
    """The places of one try below the work folder."""

    root: Path

    @property
    def logs(self) -> Path:
        """Logs of its phases, `<phase>.log`; kept when the rest is deleted."""
        return self.root / "logs"

    @property
    def task(self) -> Path:
        """The edited files of this try."""
        return self.root / "task"

    @property
    def artifact(self) -> Path:
        """What training leaves."""
        return self.root / "artifact"

    @property
    def answers(self) -> Path:
        """What the probe answers."""
        return self.root / "answers"

    @property
    def socket(self) -> Path:
        """Where examiner and candidate meet."""
        return self.root / "socket"

    @property
    def message(self) -> Path:
        """The folder of the examiner's termination message."""
        return self.root / "message"

    @property
    def views(self) -> Path:
        """Per-phase folders of links, where there is no sandbox to mount into."""
        return self.root / "views"

    @property
    def started(self) -> Path:
        """An empty file whose time is the try's start."""
        return self.root / "started"

    @property
    def result(self) -> Path:
        """The result, once there is one."""
        return self.root / "result.json"

    def create(self, files: Iterable[tuple[str, str]], *, short_socket: bool) -> None:
        """Make the folders and write the edited files.

        short_socket: the path itself is what processes connect to, and Unix allows 107 bytes: a link then leads
        to a short folder.
        """
        self.root.mkdir()
        self.started.touch()
        for folder in (self.logs, self.task, self.artifact, self.answers, self.message):
            folder.mkdir()
        if short_socket:
            self.socket.symlink_to(tempfile.mkdtemp(prefix=_SHORT))
        else:
            self.socket.mkdir()
        for name, text in files:
            path = self.task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def store(self, result: Result) -> None:
        """Write the result such that a crash leaves either all of it or none."""
        draft = self.result.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(_RESULT.dump_json(result))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.result)
        _sync_folder(self.root)

    def stored(self) -> Result | None:
        """The finished result, or None while there is none."""
        try:
            return _RESULT.validate_json(self.result.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def ran_for(self) -> float:
        """Seconds from the try's first log to the last sign of life of any; 0 when it never began."""
        try:
            start = self.started.stat().st_mtime
            return max((path.stat().st_mtime - start for path in self.logs.iterdir()), default=0.0)
        except FileNotFoundError:
            return 0.0

    def message_text(self) -> str | None:
        """The examiner's termination message, or None where it left none that is a small regular file."""
        try:
            descriptor = os.open(self.message / "message", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return file.read(65536).decode("utf-8", errors="replace")

    def forget(self) -> None:
        """Delete all but logs and result."""
        if self.socket.is_symlink() and (place := self.socket.readlink()).name.startswith(_SHORT):
            delete(place)
        for name in _VANISHES:
            delete(self.root / name)


def delete(path: Path) -> None:
    """Delete a folder that hostile code may have made: nested without end, or closed to its owner.

    Folders below are moved up before they are emptied, so that no path grows long and nothing recurses.
    """
    if path.is_symlink():
        path.unlink()
    if not path.is_dir():
        return
    numbers = itertools.count()
    while folders := _empty(path):
        for folder in folders:
            for inner in _empty(folder):
                inner.rename(path / f"{folder.name[:64]}.{next(numbers)}")
            folder.rmdir()
    path.rmdir()


def _empty(folder: Path) -> list[Path]:
    """Delete all but the folders in a folder; returns those, opened to their owner."""
    folder.chmod(0o700)
    inner = []
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            path.chmod(0o700)
            inner.append(path)
    return inner


def disk_use(folder: Path, *, enough: int) -> int:
    """Bytes on disk below a folder, links not followed; stops counting beyond `enough`."""
    total = 0
    open_folders: list[tuple[str, int]] = [(str(folder), 0)]
    while open_folders and total <= enough:
        path, depth = open_folders.pop()
        # A folder that nests on and on, or that nobody may enter, could hide anything: it counts as too much.
        if depth > _DEEPEST:
            return enough + 1
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    total += _bytes(entry)
                    if total > enough:
                        break
                    if entry.is_dir(follow_symlinks=False):
                        open_folders.append((entry.path, depth + 1))
        except FileNotFoundError:
            continue
        except OSError:
            return enough + 1
    return total


def _bytes(entry: os.DirEntry[str]) -> int:
    try:
        return max(_ENTRY_BYTES, entry.stat(follow_symlinks=False).st_blocks * 512)
    except FileNotFoundError:
        return 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def task_entries(
    folder: Path, *, hidden: Sequence[Path], edited: Path | None, names: Iterable[str]
) -> Iterator[tuple[Path, str]]:
    """What a phase sees of a task folder, as (real path, path below it).

    Not `hidden`, nor what begins with a dot (secrets, environments, history), nor a bare repository (the lab).
    edited: the folder that holds this try's versions of the files in `names`, None where the phase has none.
    """
    yield from _shown(folder, "", hidden)
    if edited is not None:
        yield from ((edited / name, name) for name in names)


def _shown(folder: Path, below: str, hidden: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix == ".git" or not path.exists():
            continue
        real = path.resolve()  # A link in the task folder may lead to the campaign just as well.
        if real in hidden:
            continue
        if any(other.is_relative_to(real) for other in hidden):
            yield from _shown(path, f"{below}{path.name}/", hidden)
        else:
            yield path, f"{below}{path.name}"
