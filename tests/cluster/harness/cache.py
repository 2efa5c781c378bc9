"""The per-user folder in which built programs and images outlive a run, and what makes building there safe.

Several processes may want the same thing at once, and each may be killed at any moment. So nothing is written under
the name by which others find it: it is made under a private name beside it, and renamed when it is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished"
"""How private names end. They begin with a dot, so that a pattern for finished things does not match them."""


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


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A private path, for a file or a folder, that is renamed to `target` once the block has ended well.

    Who looks at `target` sees all of it or nothing. The caller holds a lock that all who write this target take, so
    that whatever lies here under a private name was left by a killed process, and is removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{target.name}.*{UNFINISHED}"):
        remove(left)
    # A new name each time: what a killed process started may still be writing to the former one.
    private = target.with_name(f".{target.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        yield private
        private.replace(target)
    except BaseException:
        remove(private)
        raise


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """The file or folder `target`: where it is missing, `make` writes it to the path that it is given.

    One process makes it while others that want it wait for it.
    """
    if not target.exists():
        with locked(target.with_name(f"{target.name}.lock")):
            if not target.exists():
                with written_whole(target) as private:
                    make(private)
    return target


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; one that is not there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def unused(path: Path, *, hours: float = 7 * 24) -> bool:
    """True if nobody touched a file for a time, a week by default: the thing that it stands for may go."""
    return time.time() - path.stat().st_mtime > hours * 3600
