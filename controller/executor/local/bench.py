"""The folder of one session of an agent's program: laid out before it, read back after it.

The program owns the folder and may leave anything in it; `porter` reads it back.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from controller.executor import forwarder, porter

SOCKET = "gateway"
FORWARDER = "forwarder.py"


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
        porter.lay_out(os.fspath(self.folder), files)

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
        return porter.read_back(os.fspath(self.folder), wanted)


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
