"""Small durable files on a git ref: every write is a commit that replaces one path of a tree.

Notes and attachments are both kept this way. It knows git's object model and nothing of experiments;
it is not safe for two writers, who must hold the lab's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import pygit2
from pygit2.enums import FileMode

AUTHOR = ("autoresearch", "autoresearch@localhost")


def signature(at: float) -> pygit2.Signature:
    """The project's own author at unix time `at`, UTC: the same text at the same second is the same commit."""
    return pygit2.Signature(*AUTHOR, int(at), 0)


def tree_of(repository: pygit2.Repository, ref: str) -> pygit2.Tree | None:
    """The tree that `ref` points to, or None."""
    if ref not in repository.references:
        return None
    return repository.references[ref].peel(pygit2.Tree)


def put(repository: pygit2.Repository, *, ref: str, changes: Mapping[str, bytes | None], at: float) -> None:
    """Write (or with None remove) paths on `ref` in one commit; the ref moves last, so a reader sees all or nothing."""
    old = tree_of(repository, ref)
    tree = changed(repository, old, changes)
    if tree is None or (old is not None and old.id == tree.id):
        return
    parents = [repository.references[ref].target] if old is not None else []
    who = signature(at)
    repository.create_commit(ref, who, who, " ".join(changes) + "\n", tree.id, parents)


def get(repository: pygit2.Repository, *, ref: str, path: str) -> bytes | None:
    """Content of `path` on `ref`, or None where there is none."""
    tree = tree_of(repository, ref)
    if tree is None or path not in tree:
        return None
    return cast(pygit2.Blob, tree[path]).data


def walk(repository: pygit2.Repository, *, ref: str, below: str = "") -> Iterator[tuple[str, bytes]]:
    """Every (path, content) on `ref`, or below the folder `below`, in the tree's order."""
    tree = tree_of(repository, ref)
    if tree is None or (below and below not in tree):
        return
    top = cast(pygit2.Tree, tree[below]) if below else tree
    yield from _walk(top, f"{below}/" if below else "")


def _walk(tree: pygit2.Tree, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in tree:
        if isinstance(entry, pygit2.Tree):
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif isinstance(entry, pygit2.Blob):
            yield f"{prefix}{entry.name}", entry.data


def changed(
    repository: pygit2.Repository, tree: pygit2.Tree | None, changes: Mapping[str, bytes | None]
) -> pygit2.Tree | None:
    """`tree` with these paths written, or with None removed; None where there is nothing before and after."""
    for path, data in changes.items():
        blob = None if data is None else repository.create_blob(data)
        tree = cast(pygit2.Tree, repository[insert(repository, tree, path.split("/"), blob)])
    return tree


def insert(
    repository: pygit2.Repository, tree: pygit2.Tree | None, parts: list[str], blob: pygit2.Oid | None
) -> pygit2.Oid:
    """Write a copy of `tree` with `blob` at the path `parts`, or without that path; returns the new tree's id."""
    builder = repository.TreeBuilder(tree) if tree is not None else repository.TreeBuilder()
    name, *rest = parts
    if rest:
        child = tree[name] if tree is not None and name in tree else None
        subtree = insert(repository, child if isinstance(child, pygit2.Tree) else None, rest, blob)
        builder.insert(name, subtree, FileMode.TREE)
    elif blob is not None:
        builder.insert(name, blob, FileMode.BLOB)
    elif builder.get(name) is not None:
        builder.remove(name)
    return builder.write()
