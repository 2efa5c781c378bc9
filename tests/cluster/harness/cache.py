"""The per-user folder in which built programs and images outlive a run, and the locks that make building safe."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/autoresearch-tests, by default below ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "autoresearch-tests"


def digest_of(paths: Iterable[Path], *, root: Path, extra: str = "") -> str:
    """16 hexadecimal digits over the files' paths below root, their contents, and `extra`."""
    hasher = hashlib.sha256(extra.encode())
    for path in sorted(paths):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        # Whether it is executable gets into images, and into git.
        hasher.update(f"\0{path.relative_to(root)}\0{path.stat().st_mode & 0o111:o}\0{content}".encode())
    return hasher.hexdigest()[:16]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel releases it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def unused(path: Path, *, hours: float = 7 * 24) -> bool:
    """Whether nobody touched a file for so long, a week by default: what it stands for may go."""
    return time.time() - path.stat().st_mtime > hours * 3600


def announce(message: str) -> None:
    """Tell a waiting human, past pytest's capturing, what takes so long."""
    print(f"[test cluster] {message}", file=sys.__stderr__, flush=True)
