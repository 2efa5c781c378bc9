"""Checks that an edited program deserves a training, before a second is spent on it. Pure.

Programs are compared by what runs: comments, formatting and docstrings do not count. A refusal is one sentence that
tells the agent what to do. The checks judge neither the idea nor its honesty; that is the exam's task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from controller.edits import seeding, syntax
from controller.edits.comments import without_comments
from controller.text.safe_text import find_unsafe

MAX_BYTES = 900 * 1024
"""Most bytes of all editable files together. They travel in one ConfigMap.

Kubernetes limits a ConfigMap to 1 MiB of data; the rest is room for keys, names and metadata.
"""


FOREIGN_CHARACTERS = 80
"""Most characters of the name of a file that may not be edited, in the sentence that says so."""


def fingerprint(files: Mapping[str, str]) -> str:
    """Hash of a program (path -> text), equal for programs that differ in comments, formatting and docstrings only.

    Other files, and Python that does not parse, count as text without trailing white space, and without comments where
    their language is known.
    """
    digest = hashlib.sha256()
    for path, text in sorted(files.items()):
        content = _normalise(path, text)
        # The length keeps the text of one file apart from the path of the next.
        digest.update(f"{path}\n{len(content)}\n{content}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def find_refusal(
    *,
    base: Mapping[str, str],
    proposed: Mapping[str, str],
    tried: frozenset[str],
    needs_load_model: bool,
    max_lines: int | None = None,
) -> str | None:
    """One sentence that says why `proposed` is not worth a training; None if it is.

    base: every editable file of the incumbent; no other file may be edited. proposed: whole new texts of the changed
    files. tried: fingerprints of all programs that had their turn. needs_load_model: true for tasks that the exam
    scores. max_lines: most lines of one file; None for no limit.
    """
    changed = {path: text for path, text in proposed.items() if base.get(path) != text}
    merged = {**base, **proposed}
    problem = _find_foreign_file(base, proposed) or _find_unsendable_text(merged) or _find_syntax_error(changed)
    problem = problem or _find_hidden_text(base, changed) or _find_length(base, changed, max_lines)
    if problem is None and needs_load_model:
        problem = _find_missing_load_model(merged)
    return problem or _find_repetition(base, merged, tried) or _find_seed_change(base, changed)


def find_baseline_fault(files: Mapping[str, str], *, needs_load_model: bool) -> str | None:
    """The reason why no campaign can begin with these editable files, or None. No edit of them would be admitted."""
    problem = _find_unsendable_text(files) or _find_syntax_error(files)
    if problem is None and needs_load_model:
        problem = _find_missing_load_model(files)
    return problem


def _find_foreign_file(base: Mapping[str, str], proposed: Mapping[str, str]) -> str | None:
    foreign = sorted(set(proposed) - set(base))
    if foreign:
        name = ascii(foreign[0])[:FOREIGN_CHARACTERS]
        return f"{name} is not an editable file: change only {', '.join(sorted(base))}"
    return None


def _find_unsendable_text(files: Mapping[str, str]) -> str | None:
    size = 0
    for path, text in files.items():
        try:
            size += len(text.encode())
        except UnicodeEncodeError as error:
            # Half of a surrogate pair is a character in Python and has no UTF-8 form.
            return f"{path} holds a character that UTF-8 cannot write (position {error.start}): remove it"
    if size > MAX_BYTES:
        return f"the edited files hold {size:,} bytes, more than the {MAX_BYTES:,} that can be sent: shorten them"
    return None


def _find_hidden_text(base: Mapping[str, str], changed: Mapping[str, str]) -> str | None:
    """Refuse characters that make a program look different from what it does, unless the file has them already.

    A carriage return, an escape sequence or a bidirectional mark lets a diff on a screen hide a line ("Trojan Source",
    CVE-2021-42574), and a file with a NUL is binary to git, which shows no diff of it at all.
    """
    for path, text in changed.items():
        place = find_unsafe(text, known=base.get(path, ""))
        if place is not None:
            line, code = text.count("\n", 0, place) + 1, ord(text[place])
            escape = f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
            return f"{path} line {line} holds U+{code:04X}, which cannot be seen: write it as the escape {escape}"
    return None


def _find_length(base: Mapping[str, str], changed: Mapping[str, str], most: int | None) -> str | None:
    """Refuse a file that is too long and has grown. One that was too long before may still be edited and shortened."""
    for path, text in changed.items() if most is not None else ():
        lines, before = _count_lines(text), _count_lines(base.get(path, ""))
        if most is not None and lines > most and lines > before:
            return (
                f"{path} would have {lines} lines, {most} at most (task.max_lines): "
                "say it in fewer, or take out what has earned nothing"
            )
    return None


def _count_lines(text: str) -> int:
    return len(text.splitlines())


def _find_syntax_error(changed: Mapping[str, str]) -> str | None:
    for path, text in changed.items():
        if _is_python(path) and (problem := syntax.find_problem(path, text)):
            return problem
    return None


def _find_missing_load_model(files: Mapping[str, str]) -> str | None:
    for path, text in files.items():
        tree = syntax.parse(text) if _is_python(path) else None
        if tree and "load_model" in syntax.top_level_names(tree.body):
            return None
    return "there is no top-level load_model(artifact_dir): the exam needs it to ask the trained model"


def _find_repetition(base: Mapping[str, str], merged: Mapping[str, str], tried: frozenset[str]) -> str | None:
    program = fingerprint(merged)
    if program == fingerprint(base):
        return "nothing changes but comments, formatting or docstrings: change what the program does"
    if program in tried:
        return "this program was already tried: propose another change"
    return None


def _find_seed_change(base: Mapping[str, str], changed: Mapping[str, str]) -> str | None:
    """Refuse an edit that changes only seeds, and one that changes seeding beside something else."""
    before, after = [], []
    only_seeds = True
    for path, text in changed.items():
        old, new = (syntax.parse(base[path]), syntax.parse(text)) if _is_python(path) else (None, None)
        if new is None:
            only_seeds = only_seeds and seeding.changes_only_text_seeds(base[path], text)
            continue
        before += [old] if old else []
        after.append(new)
        same = old is not None and seeding.tokens_without_seeds(old) == seeding.tokens_without_seeds(new)
        only_seeds = only_seeds and same
    if only_seeds and not seeding.begins_to_read_seed(before, after):
        return "only a seed changes: seeds are drawn by the controller, change something else"
    problem = seeding.find_altered_seeding(before, after)
    for path, text in changed.items():
        if problem is None and not _is_python(path):
            problem = seeding.find_pinned_in_text(base[path], text)
    return problem


def _normalise(path: str, text: str) -> str:
    """The part of a file that counts: a Python program's tokens, another file's lines without comments."""
    tree = syntax.parse(text) if _is_python(path) else None
    if tree:
        return "\n".join(syntax.tokens(tree))
    return without_comments(path, text)


def _is_python(path: str) -> bool:
    return path.endswith(".py")
