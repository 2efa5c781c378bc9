"""Opens or makes the lab's git repository on disk, and refuses one that is no lab or is of a newer version.

This is the border to git: the process learns here which git settings count, and errors of git and of the disk become
LabError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pygit2
from pygit2.enums import ConfigLevel, Option

from controller.errors import LabError
from controller.folder import denied_access
from controller.lab.records import FORMAT

RECORDS = "refs/notes/autoresearch/"
"""Refs below this hold the records of campaigns; only a lab has them."""

DAMAGED = ("epository not found", "peeled", "corrupt", "failed to parse", "ailed to inflate", "not a valid")
"""Parts of libgit2's messages about a repository of which something is missing or overwritten."""

DENIED = ("not owned by", "ermission denied")
"""Parts of libgit2's messages where the kernel, or its own check of the owner, refuses."""


def open_repository(path: Path, *, create: bool) -> pygit2.Repository:
    """Open the lab's repository at `path`, or make it. Raises LabError if it is missing, another user's, or newer."""
    _trust_only_the_repository()
    with translate_errors(path):
        if create and not path.exists():
            _create_repository(path)
        if not path.exists():
            raise LabError(f"no lab at {path}: start one with `autoresearch run`")
        if not os.access(path, os.R_OK | os.X_OK):
            # libgit2 would say that there is no repository.
            raise PermissionError(f"{path} may not be read")
        # libgit2 refuses a repository that belongs to another user, as git does (safe.directory).
        repository = pygit2.Repository(str(path))
    _check_format(repository, path)
    return repository


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn errors of git and of the disk into LabError. pygit2 raises KeyError for a missing ref or object."""
    try:
        yield
    except (pygit2.GitError, OSError, KeyError) as error:
        # libgit2 reads no repository of another user's, whose settings could name programs to run (safe.directory).
        denied = isinstance(error, PermissionError) or any(sign in str(error) for sign in DENIED)
        if _is_damage(error) and not denied:
            raise LabError(
                f"the lab {path} is damaged ({_words(error)}): put its mirror (lab.remote) or a copy in its place"
            ) from error
        why = denied_access(path) if denied else _words(error)
        raise LabError(f"the lab {path} cannot be used: {why}; nothing recorded before is lost") from error


def _is_damage(error: Exception) -> bool:
    """True where parts of a repository are missing or unreadable. A full disk takes nothing away."""
    return isinstance(error, KeyError) or any(sign in str(error) for sign in DAMAGED)


def _words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}" if error.args else "something is missing"
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).rstrip(".")


@cache
def _trust_only_the_repository() -> None:
    """Ignore the git settings of user and system, because libgit2 raises an error where HOME cannot be read.

    Runs once, because these options belong to the whole process, and no thread may use git while they change.
    """
    for level in (ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.SYSTEM):
        pygit2.settings.search_path[level] = ""
    # By default libgit2 leaves objects and refs in the page cache, where a power failure loses them.
    pygit2.option(Option.ENABLE_FSYNC_GITDIR, True)


def _create_repository(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    repository = pygit2.init_repository(str(path), bare=True, initial_head="main")
    repository.config["autoresearch.format"] = FORMAT
    # Lets people fetch any experiment's commit by its id; by default git's older protocol serves only tips of refs.
    repository.config["uploadpack.allowAnySHA1InWant"] = True


def _check_format(repository: pygit2.Repository, path: Path) -> None:
    try:
        found = repository.config.get_int("autoresearch.format")
    except KeyError as error:
        # `git clone --mirror` copies every ref and no configuration: a copy of a lab is known by its records.
        if not any(name.startswith(RECORDS) for name in repository.references):
            raise LabError(f"{path} is a git repository but no lab: give the path of a new one") from error
        repository.config["autoresearch.format"] = found = FORMAT
    if found > FORMAT:
        raise LabError(f"the lab {path} has format {found}, this version reads {FORMAT}: upgrade the controller")
