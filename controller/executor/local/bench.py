"""The folder of one session of an agent's program: laid out before it, read back after it.

The program owns the folder and may leave anything in it: links out of it, pipes that never end, names in place of
folders. So files are opened one component at a time, no link is followed, and only what is a regular file is read.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from controller.executor.local import forwarder

SOCKET = "gateway"
FORWARDER = "forwarder.py"


class Unfit(Exception):
    """A file that cannot be read back; the text is the rest of a sentence that begins with its path."""


class Bench:
    """Paths of one session; `root` must not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "folder"
        """The program's working folder, which it may write."""
        self.gateway = root / "gateway"
        """A folder that it only reads: the gateway's socket, and the program that leads to it."""
        self.log = root / "output.log"

    def lay_out(self, files: Mapping[str, str]) -> None:
        """Make the folders and write the files. Raises OSError."""
        self.folder.mkdir(parents=True)
        self.gateway.mkdir()
        shutil.copy(forwarder.__file__, self.gateway / FORWARDER)
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())

    @contextmanager
    def listen(self) -> Iterator[socket.socket]:
        """A listening socket at the gateway's place."""
        with socket.socket(socket.AF_UNIX) as listener:
            with _opened(os.fspath(self.gateway)) as folder:
                # The address of a Unix socket holds 107 bytes, and a campaign's path may be longer.
                listener.bind(f"/proc/self/fd/{folder}/{SOCKET}")
            # From here on the kernel takes connections and keeps them waiting until somebody accepts.
            listener.listen()
            yield listener

    def read_back(self, wanted: Mapping[str, int]) -> tuple[dict[str, bytes], dict[str, str]]:
        """The wanted files that are there, and what is wrong with the others; wanted: most bytes by path."""
        files: dict[str, bytes] = {}
        faults: dict[str, str] = {}
        for path, most in wanted.items():
            try:
                files[path] = self._read(path, most)
            except Unfit as unfit:
                faults[path] = str(unfit)
        return files, faults

    def _read(self, path: str, most: int) -> bytes:
        *folders, name = path.split("/")
        held: list[int] = []
        try:
            held.append(os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
            # O_NOFOLLOW refuses a link in the last component of a path alone, so each component is opened by itself.
            for part in folders:
                held.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=held[-1]))
            # Opening a pipe would wait for its other end; looking first would leave a moment for an exchange.
            held.append(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=held[-1]))
            # Of what was opened: by now its name may lead to something else.
            found = os.fstat(held[-1])
            if not stat.S_ISREG(found.st_mode):
                raise Unfit("is no regular file")
            if found.st_size > most:
                raise Unfit(f"has {found.st_size} bytes, and {most} are allowed")
            with os.fdopen(held.pop(), "rb") as file:
                return file.read(most)
        except FileNotFoundError as error:
            raise Unfit("is not there") from error
        except OSError as error:
            raise Unfit(f"cannot be read as a file ({error.strerror})") from error
        finally:
            for descriptor in held:
                os.close(descriptor)


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
