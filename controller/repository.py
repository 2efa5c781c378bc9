"""A lab's git repository on disk: made, opened, and refused where it is no lab or a newer version's.

The border to git: here the process is told which of git's settings count, and git's and the disk's errors become
LabError. What is in the repository is the lab's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pygit2
from pygit2.enums import ConfigLevel, Option

from controller.errors import LabError
from controller.records import FORMAT


def open_repository(path: Path, *, create: bool) -> pygit2.Repository:
    """Open the lab's repository at `path`, or make it. Raises LabError: missing, foreign-owned, of a newer format."""
    _trust_only_the_repository()
    with translated(path):
        if create and not path.exists():
            _initialise(path)
        if not path.exists():
            raise LabError(f"no lab at {path}: start one with `autoresearch run`")
        repository = pygit2.Repository(str(path))
    _check_format(repository, path)
    return repository


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Git's and the disk's errors as LabError, once for this border."""
    try:
        yield
    except (pygit2.GitError, OSError, KeyError) as error:
        raise LabError(f"the lab {path} cannot be used: {error}; nothing recorded before is lost") from error


@cache
def _trust_only_the_repository() -> None:
    """Ignore the user's git settings, which a HOME that cannot be read would turn into errors.

    Once: these options belong to the whole process, and no other thread may use git while they change.
    """
    for level in (ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.SYSTEM):
        pygit2.settings.search_path[level] = ""
    pygit2.option(Option.ENABLE_FSYNC_GITDIR, True)


def _initialise(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    repository = pygit2.init_repository(str(path), bare=True, initial_head="main")
    repository.config["autoresearch.format"] = FORMAT
    repository.config["uploadpack.allowAnySHA1InWant"] = True


def _check_format(repository: pygit2.Repository, path: Path) -> None:
    try:
        found = repository.config.get_int("autoresearch.format")
    except KeyError as error:
        raise LabError(f"{path} is a git repository but no lab: give the path of a new one") from error
    if found > FORMAT:
        raise LabError(f"the lab {path} has format {found}, this version reads {FORMAT}: upgrade the controller")
