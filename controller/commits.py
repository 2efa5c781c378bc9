"""Programs as git commits: written on a parent, read back, measured and merged.

It knows no refs, so nothing that it writes is seen before the lab shows it, and a crash leaves only objects that nobody
looks at. Errors are git's own, for the lab to translate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pygit2
from pygit2.enums import FileMode

from controller import gitstore, merging
from controller.errors import LabError


def write(
    repository: pygit2.Repository, files: Mapping[str, str], *, message: str, parent: str | None, at: float
) -> str:
    """Commit `files` over those of `parent`. Raises LabError where there is no file at all."""
    old = tree_of(repository, parent) if parent else None
    tree = gitstore.changed(repository, old, {path: text.encode() for path, text in files.items()})
    if tree is None:
        raise LabError("a commit needs at least one file")
    return _commit(repository, tree, message=message, parents=[parent] if parent else [], at=at)


def restate(repository: pygit2.Repository, commit: str, *, message: str, parent: str, at: float) -> str:
    """Commit the files of `commit` once more, on `parent` and with another message."""
    return _commit(repository, tree_of(repository, commit), message=message, parents=[parent], at=at)


def tree_of(repository: pygit2.Repository, commit: str) -> pygit2.Tree:
    """All files of a commit. Raises KeyError when there is none."""
    return cast(pygit2.Commit, repository[commit]).tree


def read(repository: pygit2.Repository, commit: str, path: str) -> str | None:
    """Text of `path` at `commit`, None where there is no such file; bytes that are no text are replaced."""
    tree = tree_of(repository, commit)
    return cast(pygit2.Blob, tree[path]).data.decode("utf-8", errors="replace") if path in tree else None


def line_change(repository: pygit2.Repository, base: str, commit: str) -> int:
    """Lines added minus lines removed."""
    stats = repository.diff(base, commit).stats
    return stats.insertions - stats.deletions


def merge(
    repository: pygit2.Repository, *, base: str, ours: str, theirs: str, paths: Sequence[str]
) -> dict[str, str] | None:
    """Text of `paths` after a three-way merge; None where both sides changed the same line of any file."""
    ancestor, our, their = (tree_of(repository, commit) for commit in (base, ours, theirs))
    index = repository.merge_trees(ancestor, our, their)
    settled = [_settled(repository, sides) for sides in index.conflicts or ()]
    for path, text in filter(None, settled):
        del index.conflicts[path]
        index.add(pygit2.IndexEntry(path, repository.create_blob(text.encode()), FileMode.BLOB))
    if not all(settled):
        return None
    merged = cast(pygit2.Tree, repository[index.write_tree(repository)])
    return {path: cast(pygit2.Blob, merged[path]).data.decode() for path in paths if path in merged}


def _settled(repository: pygit2.Repository, sides: Sequence[pygit2.IndexEntry | None]) -> tuple[str, str] | None:
    """Path and text of a file that both sides changed; None where one removed it, or a line conflicts."""
    entries = [side for side in sides if side]
    if len(entries) < 3:
        return None
    base, ours, theirs = (cast(pygit2.Blob, repository[side.id]).data.decode() for side in entries)
    text = merging.merged(base, ours, theirs)
    return None if text is None else (str(entries[0].path), text)


def _commit(
    repository: pygit2.Repository, tree: pygit2.Tree, *, message: str, parents: list[pygit2.Oid | str], at: float
) -> str:
    who = gitstore.signature(at)
    return str(repository.create_commit(None, who, who, message, tree.id, parents))
