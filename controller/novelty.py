"""Whether a proposal deserves a training: pure checks of the edited program before a second is spent.

Compares programs by what runs, so that comments, formatting and docstrings never count, and refuses with one
sentence that an agent can act on. Judges neither the idea nor its honesty: that is for the exam.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from controller import seeding, syntax

MAX_BYTES = 900 * 1024
"""Most that the editable files hold together: they travel in one ConfigMap, whose 1 MiB includes keys and names."""


def fingerprint(files: Mapping[str, str]) -> str:
    """Hash of a program (path -> text), equal for programs that differ in comments, formatting and docstrings only.

    Files that are not Python, or do not parse, count as text without trailing white space.
    """
    digest = hashlib.sha256()
    for path, text in sorted(files.items()):
        content = _content(path, text)
        digest.update(f"{path}\n{len(content)}\n{content}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def refusal(
    *, base: Mapping[str, str], proposed: Mapping[str, str], tried: frozenset[str], needs_load_model: bool
) -> str | None:
    """Why `proposed` (whole new texts of the changed files) is not worth a training, or None when it is.

    base: every editable file of the incumbent, which is also what may be edited; tried: fingerprints of all
    programs that had their turn; needs_load_model: true for tasks that the exam scores.
    """
    changed = {path: text for path, text in proposed.items() if base.get(path) != text}
    merged = {**base, **proposed}
    return (
        _misplaced(base, proposed)
        or _unfit(merged)
        or next((problem for path, text in changed.items() if (problem := _syntax_problem(path, text))), None)
        or (_without_load_model(merged) if needs_load_model else None)
        or _idle(base, merged, tried)
        or _seeding(base, changed)
    )


def _misplaced(base: Mapping[str, str], proposed: Mapping[str, str]) -> str | None:
    strange = sorted(set(proposed) - set(base))
    return f"{strange[0]!r} is not an editable file: change only {', '.join(sorted(base))}" if strange else None


def _unfit(files: Mapping[str, str]) -> str | None:
    size = 0
    for path, text in files.items():
        try:
            size += len(text.encode())
        except UnicodeEncodeError as error:
            return f"{path} holds a character that UTF-8 cannot write (position {error.start}): remove it"
    if size > MAX_BYTES:
        return f"the edited files hold {size:,} bytes, more than the {MAX_BYTES:,} that can be sent: shorten them"
    return None


def _syntax_problem(path: str, text: str) -> str | None:
    return syntax.problem(path, text) if _is_python(path) else None


def _without_load_model(files: Mapping[str, str]) -> str | None:
    trees = (syntax.parse(text) for path, text in files.items() if _is_python(path))
    if any("load_model" in syntax.top_level_names(tree.body) for tree in trees if tree):
        return None
    return "there is no top-level load_model(artifact_dir): the exam needs it to ask the trained model"


def _idle(base: Mapping[str, str], merged: Mapping[str, str], tried: frozenset[str]) -> str | None:
    program = fingerprint(merged)
    if program == fingerprint(base):
        return "nothing changes but comments, formatting or docstrings: change what the program does"
    return "this program was already tried: propose another change" if program in tried else None


def _seeding(base: Mapping[str, str], changed: Mapping[str, str]) -> str | None:
    python = [path for path in changed if _is_python(path)]
    before = [tree for path in python if (tree := syntax.parse(base[path]))]
    after = [tree for path in python if (tree := syntax.parse(changed[path]))]
    if len(python) == len(changed) and [*map(seeding.unseeded, before)] == [*map(seeding.unseeded, after)]:
        return "only a seed changes: seeds are drawn by the controller, change something else"
    return seeding.altered(before, after)


def _content(path: str, text: str) -> str:
    tree = syntax.parse(text) if _is_python(path) else None
    return "\n".join(syntax.tokens(tree) if tree else (line.rstrip() for line in text.rstrip().split("\n")))


def _is_python(path: str) -> bool:
    return path.endswith(".py")
