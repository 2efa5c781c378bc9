"""Writes programs as git commits, reads them back, measures and merges them.

No function here moves a ref. In git an object without a ref is invisible, so a commit counts only after the lab has
shown it, and a crash in between leaves an unused object that `git gc` removes. pygit2's own errors pass through; the
lab translates them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pygit2
from pygit2.enums import FileMode

from controller.errors import LabError
from controller.lab import merging, ref_files


def write_commit(
    repository: pygit2.Repository,
    files: Mapping[str, str],
    *,
    message: str,
    parent: str | None,
    over: str = "",
    at: float,
) -> str:
    """Commit `files` over those of `over` and return the commit's id; over those of `parent` by default.

    Raises LabError if there is no file at all.
    """
    under = over or parent
    tree = _change_files(repository, tree_of_commit(repository, under) if under else None, files)
    if tree is None:
        raise LabError("a commit needs at least one file")
    return _create_commit(repository, tree, message=message, parents=[parent] if parent else [], at=at)


def _change_files(
    repository: pygit2.Repository, tree: pygit2.Tree | None, files: Mapping[str, str]
) -> pygit2.Tree | None:
    return ref_files.change_tree(repository, tree, {path: text.encode() for path, text in files.items()})


def copy_commit(repository: pygit2.Repository, commit: str, *, message: str, parent: str, at: float) -> str:
    """Commit the files of `commit` once more, on `parent` and with another message."""
    return _create_commit(repository, tree_of_commit(repository, commit), message=message, parents=[parent], at=at)


def tree_of_commit(repository: pygit2.Repository, commit: str) -> pygit2.Tree:
    """All files of a commit. Raises KeyError if there is no such commit."""
    return cast(pygit2.Commit, repository[commit]).tree


def read_blob_text(repository: pygit2.Repository, commit: str, path: str) -> str | None:
    """Text of `path` at `commit`, with bytes that are no UTF-8 replaced; None if there is no such file."""
    tree = tree_of_commit(repository, commit)
    # pygit2 takes a path through folders for a name in a tree.
    if path not in tree:
        return None
    return cast(pygit2.Blob, tree[path]).data.decode("utf-8", errors="replace")


def count_line_change(repository: pygit2.Repository, base: str, commit: str) -> int:
    """Lines added minus lines removed between two commits."""
    # git has no changed lines: one counts as removed and as added, and so as nothing here.
    stats = repository.diff(base, commit).stats
    return stats.insertions - stats.deletions


def merge_commits(
    repository: pygit2.Repository,
    *,
    base: str,
    ours: str,
    theirs: str,
    paths: Sequence[str],
    ours_files: Mapping[str, str] | None = None,
    prefer_theirs: bool = False,
) -> dict[str, str] | None:
    """Text of `paths` after a three-way merge; None if both sides changed the same line of a file.

    ours_files: files that our side has in place of those of its commit. prefer_theirs: where both changed a line, take
    theirs.
    """
    our_tree = _change_files(repository, tree_of_commit(repository, ours), ours_files or {})
    index = repository.merge_trees(
        tree_of_commit(repository, base), cast(pygit2.Tree, our_tree), tree_of_commit(repository, theirs)
    )
    # Git calls edits of neighbouring lines a conflict. `merging` merges them, and so may settle a file after all.
    # The conflicts are read as a list first, because settling one removes it from the index.
    for sides in list(index.conflicts or ()):
        settled = _settle_conflict(repository, sides, prefer_theirs=prefer_theirs)
        if settled is None:
            return None
        path, text = settled
        del index.conflicts[path]
        index.add(pygit2.IndexEntry(path, repository.create_blob(text.encode()), FileMode.BLOB))
    # The index is in memory alone. libgit2 makes no tree of one that still has a conflict.
    merged = cast(pygit2.Tree, repository[index.write_tree(repository)])
    return {path: cast(pygit2.Blob, merged[path]).data.decode() for path in paths if path in merged}


def _settle_conflict(
    repository: pygit2.Repository, sides: Sequence[pygit2.IndexEntry | None], *, prefer_theirs: bool
) -> tuple[str, str] | None:
    """Path and merged text of a file that both sides changed; None if one side removed it or a line conflicts."""
    # git gives a conflict three entries (base, ours, theirs), and None for a side that lacks the file.
    base, ours, theirs = sides
    if base is None or ours is None or theirs is None:
        return None
    text = merging.merge_texts(
        _blob_text(repository, base),
        _blob_text(repository, ours),
        _blob_text(repository, theirs),
        prefer_theirs=prefer_theirs,
    )
    return None if text is None else (str(base.path), text)


def _blob_text(repository: pygit2.Repository, entry: pygit2.IndexEntry) -> str:
    return cast(pygit2.Blob, repository[entry.id]).data.decode()


def _create_commit(
    repository: pygit2.Repository, tree: pygit2.Tree, *, message: str, parents: list[pygit2.Oid | str], at: float
) -> str:
    """Create a commit object that no ref names; returns its id."""
    author = ref_files.make_signature(at)
    return str(repository.create_commit(None, author, author, message, tree.id, parents))
