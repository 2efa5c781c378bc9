"""Check the artifact: the folder that a training leaves must hold only regular files, bounded in size and number.

Links are fine if they lead to a place inside the artifact by a relative path, as those of model hubs do: others could
lead a later phase to a file outside. Opening a FIFO or a device can wait for ever. The contents of the files are not
looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from exam.kit.errors import number

DEFAULT_LIMIT_BYTES = 2 << 30
"""Size cap where the executor sets none, in bytes (2 GiB): many times the weights of a small model."""

DEFAULT_LIMIT_FILES = 10_000
"""Most entries where the executor sets no number: three phases look at each, which takes .1 s for so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactLimits:
    """The largest artifact that can be used."""

    bytes: int = DEFAULT_LIMIT_BYTES
    files: int = DEFAULT_LIMIT_FILES
    """Files, links and folders together."""


def read_limits(environment: Mapping[str, str]) -> ArtifactLimits:
    """Read the limits from AUTORESEARCH_ARTIFACT_BYTES and _FILES; raises DataError when one is not a number."""
    return ArtifactLimits(
        bytes=int(number(environment, "AUTORESEARCH_ARTIFACT_BYTES", default=DEFAULT_LIMIT_BYTES)),
        files=int(number(environment, "AUTORESEARCH_ARTIFACT_FILES", default=DEFAULT_LIMIT_FILES)),
    )


def find_fault(folder: Path, limits: ArtifactLimits) -> str | None:
    """One sentence on why an artifact cannot be used, or None. Call it only after every writer has ended."""
    try:
        return _first_fault(folder, limits)
    except OSError as error:
        return f"the artifact cannot be read ({error.strerror})"


def _first_fault(folder: Path, limits: ArtifactLimits) -> str | None:
    # lstat looks at a link itself, and the training owns the place of the folder.
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        return "the artifact folder was replaced by something that is no folder"
    size = 0
    for files, entry in enumerate(_list_entries(folder), start=1):
        if files > limits.files:
            return f"the artifact holds more than {limits.files} files (executor.limits.artifact_files)"
        if entry.is_dir(follow_symlinks=False):
            continue
        if entry.is_symlink():
            if fault := _link_fault(entry, folder):
                return fault
            continue
        mode = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(mode.st_mode):
            return (
                f"the artifact holds {_name_kind(mode.st_mode)} ({entry.name[:80]!r}); only regular files are allowed"
            )
        # st_size counts the holes of a sparse file too: whoever reads it gets as many bytes.
        size += mode.st_size
        if size > limits.bytes:
            return f"the artifact is larger than {limits.bytes} bytes"
    return None if size else "the artifact is empty: train.py saved nothing to AUTORESEARCH_ARTIFACT"


def _link_fault(entry: os.DirEntry[str], folder: Path) -> str | None:
    # Resolved as the kernel does: by its text alone, a link through other links can seem to stay inside.
    inside = Path(os.path.realpath(entry.path)).is_relative_to(os.path.realpath(folder))
    if inside and not os.path.isabs(os.readlink(entry.path)):
        return None
    return (
        f"the artifact holds a symlink ({entry.name[:80]!r}) that is absolute or leads outside; "
        "links must be relative and stay inside"
    )


def _list_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield everything below a folder. Does not follow links."""
    pending = [os.fspath(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                # The listing tells what an entry is (d_type), which saves a call for each.
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                yield entry


def _name_kind(mode: int) -> str:
    names = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")
