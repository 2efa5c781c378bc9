"""Tells in one sentence whose a file is that this process may not read or write, and what to do."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def denied_access(path: Path) -> str:
    """One sentence for a path that this process may not read or write: whose it is, who this is, what to do."""
    foreign = _first_foreign(path, user=os.geteuid())
    if foreign is None:
        return f"there is no permission for {path}: give its owner the right to read and write it (`chmod -R u+rwX`)"
    campaigns = (folder for folder in (path, *path.parents) if os.access(folder / "campaign.yaml", os.F_OK))
    owner, user = _name_of(foreign.lstat().st_uid), _name_of(os.geteuid())
    return refused_to(foreign, owner=owner, user=user, all_of=next(campaigns, path))


def refused_to(foreign: Path, *, owner: str, user: str, all_of: Path) -> str:
    """The sentence for a file or folder of another user, which is `all_of` or lies in it."""
    return (
        f"{foreign} belongs to {owner}, and this runs as {user}: run it as {owner}, or hand everything over with "
        f"`sudo chown -R {user} {all_of}`"
    )


def _first_foreign(path: Path, *, user: int) -> Path | None:
    """The first of `path` and what lies below it that is another user's; of a path that is not there, its parent."""
    try:
        while not path.exists() and path != path.parent:
            path = path.parent
        if path.stat().st_uid != user:
            return path
        return next((found for found in path.rglob("*") if found.lstat().st_uid != user), None)
    except PermissionError:
        # The folder above may not be entered, so that it is the one to look at.
        return _first_foreign(path.parent, user=user) if path != path.parent else None


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
