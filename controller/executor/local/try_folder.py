"""The folder of one try: the places of its logs, volumes and result.

What an attempt wrote is read here without following links; `disk_watch` measures it and `deletion` deletes it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from controller.domain import Result
from controller.executor.local.deletion import Trash, delete

_RESULT = TypeAdapter(Result)
_VANISHES = ("task", "copy", "artifact", "answers", "socket", "message", "views")
_COMPILED = "__pycache__"
_SHORT = "autoresearch-"
"""Start of the names of short folders for sockets, below the system's temporary folder."""


@dataclass(frozen=True, slots=True)
class TryFolder:
    """The places of one try below the work folder."""

    root: Path
    """The try's own folder."""

    @property
    def logs(self) -> Path:
        """Logs of its phases, `<phase>.log`; kept when the rest is deleted."""
        return self.root / "logs"

    @property
    def task(self) -> Path:
        """The edited files of this try."""
        return self.root / "task"

    @property
    def copy(self) -> Path:
        """The attempt's copy of the task folder, where it may write to one."""
        return self.root / "copy"

    @property
    def artifact(self) -> Path:
        """The artifact, which training writes."""
        return self.root / "artifact"

    @property
    def socket(self) -> Path:
        """Folder of the socket between examiner and candidate."""
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
        """An empty file whose modification time is the try's start."""
        return self.root / "started"

    @property
    def result(self) -> Path:
        """File of the result; missing until there is one."""
        return self.root / "result.json"

    def create(self, files: Iterable[tuple[str, str]], *, short_socket: bool) -> None:
        """Create the folders and write the edited files.

        short_socket: make the socket's folder a link to a short path. The address of a Unix socket holds at most 107
        bytes, and without a sandbox the processes connect to the path itself.
        """
        self.root.mkdir()
        self.started.touch()
        for folder in (self.logs, self.task, self.artifact, self.message):
            folder.mkdir()
        if short_socket:
            # mkdtemp makes a folder that this user alone may enter.
            self.socket.symlink_to(tempfile.mkdtemp(prefix=_SHORT))
        else:
            self.socket.mkdir()
        for name, text in files:
            path = self.task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)  # task.command may name it as a program

    def store(self, result: Result) -> None:
        """Write the result durably: after a crash the file is either whole or missing, because rename is atomic."""
        draft = self.result.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(_RESULT.dump_json(result))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.result)
        _sync_folder(self.root)

    def stored(self) -> Result | None:
        """Read the result; None if there is none, or none that can be read."""
        try:
            return _RESULT.validate_json(self.result.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def ran_for(self) -> float:
        """Seconds from the try's start to the last output of any phase; 0 if none began."""
        try:
            start = self.started.stat().st_mtime
            return max((path.stat().st_mtime - start for path in self.logs.iterdir()), default=0.0)
        except FileNotFoundError:
            return 0.0

    def message_text(self) -> str | None:
        """Read the examiner's termination message, at most 64 KiB; None if there is no such regular file."""
        try:
            # O_NONBLOCK: opening a FIFO to read would wait for a writer.
            descriptor = os.open(self.message / "message", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return file.read(65536).decode("utf-8", errors="replace")

    def forget(self, trash: Trash) -> list[str]:
        """Move everything except logs and result into the trash; returns a sentence for each part that stays."""
        left = []
        if self.socket.is_symlink() and (place := self.socket.readlink()).name.startswith(_SHORT):
            left += delete(place)  # below the system's temporary folder, so perhaps on another file system
        for name in _VANISHES:
            try:
                trash.take(self.root / name)
            except OSError as error:
                left.append(f"{self.root / name} cannot be moved aside: {error.strerror}")
        return left


def _sync_folder(folder: Path) -> None:
    # fsync(2) of a file does not write the folder's entry for it.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def task_entries(
    folder: Path, *, hidden: Sequence[Path], edited: Path | None, names: Iterable[str], kit: Path | None = None
) -> Iterator[tuple[Path, str]]:
    """Yield the entries of a task folder that a phase sees: real path, and path below the task folder.

    Left out are `hidden`, names that start with a dot (secrets, environments, history), bare repositories (the lab),
    and what Python has compiled, as the examiner may be among it. edited: folder with this try's versions of the files
    in `names`; None if the phase has none. kit: the package `exam` that ships with us, for a task whose examiner is one
    file; it stands in place of any of the task's own.
    """
    yield from _shown(folder, "", hidden if kit is None else (*hidden, (folder / kit.name).resolve()))
    if kit is not None:
        yield kit, kit.name
    if edited is not None:
        yield from ((edited / name, name) for name in names)


def _shown(folder: Path, below: str, hidden: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix == ".git" or path.name == _COMPILED or not path.exists():
            continue
        real = path.resolve()  # a link in the task folder may lead to the campaign
        if real in hidden:
            continue
        if any(other.is_relative_to(real) for other in hidden):
            yield from _shown(path, f"{below}{path.name}/", hidden)
        else:
            yield path, f"{below}{path.name}"
