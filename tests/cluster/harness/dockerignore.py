"""Which files of a build's context can reach an image, so that changes of the others need no new build.

Pure but for the listing. Errs on the side of counting a file: a pattern it does not understand ignores nothing.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath


def context_files(context: Path) -> list[Path]:
    """The context's files, without those that git or .dockerignore ignores."""
    ignoring = context / ".dockerignore"
    patterns = ignoring.read_text().splitlines() if ignoring.exists() else []
    found = (path for path in _candidates(context) if path.is_file())
    return [path for path in found if not ignored(path.relative_to(context).as_posix(), patterns)]


def ignored(path: str, patterns: Sequence[str]) -> bool:
    """True if .dockerignore's lines leave a path out: the last pattern that matches it or a folder of it decides."""
    verdict = False
    for line in patterns:
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            negated = pattern.startswith("!")
            if _matches(path, pattern.lstrip("!").strip("/")):
                verdict = not negated
    return verdict


def _matches(path: str, pattern: str) -> bool:
    parts, wanted = PurePosixPath(path).parts, PurePosixPath(pattern).parts
    anywhere = wanted[:1] == ("**",)
    wanted = wanted[1:] if anywhere else wanted
    starts = range(len(parts)) if anywhere else range(1)
    return any(_begins(parts[start:], wanted) for start in starts)


def _begins(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not wanted or "**" in wanted or len(parts) < len(wanted):
        return False
    return all(fnmatchcase(part, pattern) for part, pattern in zip(parts, wanted, strict=False))


def _candidates(context: Path) -> list[Path]:
    listing = ["git", "-C", str(context), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return [context / name for name in done.stdout.split("\0") if name]
    return list(context.rglob("*"))
