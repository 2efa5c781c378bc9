"""Keeps small files on a git ref, durably: each write is a commit that changes some paths of the ref's tree.

Records, attachments and model calls are kept this way, and `git log REF` shows their history. Two writers at once
could lose a write, so whoever calls `put_files` holds the lab's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import pygit2
from pygit2.enums import FileMode

AUTHOR = ("autoresearch", "autoresearch@localhost")
"""Name and address in every commit. Fixed, so that a commit does not depend on the user's git settings."""


def make_signature(at: float) -> pygit2.Signature:
    """Author and time of a commit, in UTC. The id of a commit covers both: same text, same second, same commit."""
    return pygit2.Signature(*AUTHOR, int(at), 0)


def tree_of_ref(repository: pygit2.Repository, ref: str) -> pygit2.Tree | None:
    """The files that are kept on `ref`; None if there is no such ref."""
    if ref not in repository.references:
        return None
    return repository.references[ref].peel(pygit2.Tree)


def put_files(repository: pygit2.Repository, *, ref: str, changes: Mapping[str, bytes | None], at: float) -> None:
    """Write (or with None remove) paths on `ref` in one commit. Nothing is written if nothing changes."""
    old = tree_of_ref(repository, ref)
    tree = change_tree(repository, old, changes)
    if tree is None or (old is not None and old.id == tree.id):
        return
    # libgit2 moves a ref only if the first parent is its tip: a write by someone else meanwhile fails and is not lost.
    parents = [repository.references[ref].target] if old is not None else []
    author = make_signature(at)
    # libgit2 writes the objects first and moves the ref last, so a reader sees all of the changes or none.
    repository.create_commit(ref, author, author, " ".join(changes) + "\n", tree.id, parents)


def get_file(repository: pygit2.Repository, *, ref: str, path: str) -> bytes | None:
    """Content of `path` on `ref`; None if there is no such file."""
    tree = tree_of_ref(repository, ref)
    if tree is None or path not in tree:
        return None
    return cast(pygit2.Blob, tree[path]).data


def walk_files(repository: pygit2.Repository, *, ref: str, below: str = "") -> Iterator[tuple[str, bytes]]:
    """Path and content of every file on `ref`, or below its folder `below`, sorted by name as git keeps a tree."""
    # Git keeps the entries of a tree sorted by name.
    tree = tree_of_ref(repository, ref)
    if tree is None or (below and below not in tree):
        return
    top = cast(pygit2.Tree, tree[below]) if below else tree
    yield from _walk_tree(top, f"{below}/" if below else "")


def _walk_tree(tree: pygit2.Tree, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in tree:
        if isinstance(entry, pygit2.Tree):
            yield from _walk_tree(entry, f"{prefix}{entry.name}/")
        elif isinstance(entry, pygit2.Blob):
            yield f"{prefix}{entry.name}", entry.data


def change_tree(
    repository: pygit2.Repository, tree: pygit2.Tree | None, changes: Mapping[str, bytes | None]
) -> pygit2.Tree | None:
    """`tree` with these paths written, or with None removed; None if there was no tree and nothing is written."""
    for path, data in changes.items():
        # Git stores a blob under the hash of its content: the same content twice takes no more room.
        blob = None if data is None else repository.create_blob(data)
        tree = cast(pygit2.Tree, repository[insert_blob(repository, tree, path.split("/"), blob)])
    return tree


def insert_blob(
    repository: pygit2.Repository, tree: pygit2.Tree | None, parts: list[str], blob: pygit2.Oid | None
) -> pygit2.Oid:
    """Write a copy of `tree` with `blob` at the path `parts`, or without that path if None; returns its id.

    A git tree holds one folder. Its id covers its content, so a change writes each folder on the path anew.
    """
    builder = repository.TreeBuilder(tree) if tree is not None else repository.TreeBuilder()
    name, *rest = parts
    if rest:
        child = tree[name] if tree is not None and name in tree else None
        subtree = insert_blob(repository, child if isinstance(child, pygit2.Tree) else None, rest, blob)
        builder.insert(name, subtree, FileMode.TREE)
    elif blob is not None:
        builder.insert(name, blob, FileMode.BLOB)
    elif builder.get(name) is not None:
        builder.remove(name)
    return builder.write()
