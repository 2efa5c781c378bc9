"""Reads a score from a file that the training writes (`task.score_file: metrics.json:val.loss`). Pure.

The file lies in the attempt's copy of the task folder, which is gone when the attempt is judged, and in a cluster was
never on this machine. So a shell puts it behind the training's output, and both executors read it from the log.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.executor.printed_values import last_value, read_number
from controller.executor.score_forms import SHOWN, TABLES, Illegible, read_document, read_rows
from controller.text.safe_text import one_line

MARK = "@@SCORE_FILE"
LARGEST_BYTES = 32_768
"""Largest file that is read: it must fit into the end of a log that is kept, with room for what was printed last."""

# A file that lies in the task folder from an earlier run is no result of this one. `test -f` follows links, so a link
# is removed as well. The exit code of the training stays that of the shell.
_PRINT = f"""\
file=$1; shift
rm -rf -- "$file"
"$@"
code=$?
if test ! -f "$file"; then echo; echo "{MARK} missing"
elif test "$(wc -c < "$file")" -gt {LARGEST_BYTES}; then echo; echo "{MARK} large"
else echo; echo "{MARK} found"; cat -- "$file"; echo
fi
exit $code"""


@dataclass(frozen=True, slots=True)
class ScorePlace:
    """The place of a score: a file below the task folder, and the keys that lead to the number.

    keys: none where the file holds the number alone.
    """

    file: str
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}:{self.name}" if self.keys else self.file

    @property
    def name(self) -> str:
        """The keys as they stand in the settings."""
        return ".".join(self.keys)


@dataclass(frozen=True, slots=True)
class FileScore:
    """A number, or None and in `fault` what is wrong, to follow "train ". unit: the unit behind it (`units`)."""

    value: float | None
    fault: str = ""
    unit: str = ""


def place_of(text: str) -> ScorePlace | None:
    """`metrics.json:val.loss`, or `score.txt`, as a place; None for an empty text."""
    file, _, keys = text.partition(":")
    return ScorePlace(file, tuple(keys.split(".")) if keys else ()) if file else None


def with_file_printed(command: Sequence[str], place: ScorePlace) -> tuple[str, ...]:
    """The command, followed by the content of the file."""
    return ("sh", "-c", _PRINT, "sh", place.file, *command)


def without_file(text: str) -> str:
    """A log without the file behind it: what the training itself printed."""
    lines = text.split("\n")
    marks = [index for index, line in enumerate(lines) if line.startswith(f"{MARK} ")]
    return "\n".join(lines[: marks[-1]]) if marks else text


def split_off_file(log: bytes) -> tuple[bytes, bytes]:
    """A log in two parts: what the training itself printed, and the file behind it with the line that announces it."""
    place = log.rfind(f"\n{MARK} found\n".encode())
    return (log, b"") if place < 0 else (log[:place], re.sub(rb"\r\n?", b"\n", log[place:]))


def read_score_file(text: str, place: ScorePlace) -> FileScore:
    """The number from the file at the end of a log that is safe to read."""
    lines = text.split("\n")
    marks = [index for index, line in enumerate(lines) if line.startswith(f"{MARK} ")]
    if not marks or lines[marks[-1]].endswith(" missing"):
        return FileScore(None, f"left no file {place.file} in the task folder (task.score_file)")
    if lines[marks[-1]].endswith(" large"):
        return FileScore(None, f"left {place.file} with more than {LARGEST_BYTES:,} bytes: write the score to its own")
    content = "\n".join(lines[marks[-1] + 1 :]).strip()
    if not content:
        return FileScore(None, f"left {place.file} empty")
    try:
        if place.file.lower().endswith(TABLES):
            return _number_in_table(read_rows(content), place)
        document = read_document(place.file, content)
    except Illegible as error:
        return FileScore(None, f"left {place.file}, {error}")
    return _number_in_lines(content, place) if document is None else _number_at(document.content, place)


def _number_in_table(rows: Sequence[Mapping[str, object]], place: ScorePlace) -> FileScore:
    """The number in a column of a table: of its last row, or of the one that a number in front of the name picks."""
    chosen = re.fullmatch(r"-?[0-9]{1,9}", place.keys[0]) and len(place.keys) > 1
    if not chosen and rows[-1].get(unicodedata.normalize("NFC", place.name)) == "":
        # Written so for a step that measured nothing, and for NaN.
        above = f"{place.file}:-2.{place.name}"
        return FileScore(None, f"left {place} empty in the last row; {above} is the row above it (task.score_file)")
    return _number_at(list(rows) if chosen else rows[-1], place)


def _number_in_lines(content: str, place: ScorePlace) -> FileScore:
    """The number in a text without a form: all of it, or the last one behind the name, as in a log."""
    number = read_number(content)
    if not place.keys:
        return FileScore(number, "" if number is not None else f"left {place} as {_kind(content)}, which is no number")
    values = (last_value(line, place.name) for line in reversed(content.split("\n")))
    value = next(filter(None, values), None)
    if value is None:
        begins = f"it begins with '{one_line(content, SHOWN)}'"
        return FileScore(None, f"left {place.file} without a line such as '{place.name}: 0.5': {begins}")
    if value.number is None:
        what = f"that of {', '.join(value.labels)}" if value.labels else _kind(value.text)
        return FileScore(None, f"left {place} as {what}, which is no number")
    return FileScore(value.number, unit=value.unit)


_NOT_FINITE = re.compile(r"^([-+]?)\.(?=(?:nan|inf)$)", re.IGNORECASE)
"""The point in front of YAML's `.nan` and `.inf`."""


def _number_at(document: object, place: ScorePlace) -> FileScore:
    found, keys = document, tuple(unicodedata.normalize("NFC", key) for key in place.keys)
    while keys:
        step = _step(found, keys)
        if step is None:
            return FileScore(None, f"left {place.file} without {place.name}{_instead(found)} (task.score_file)")
        found, used = step
        keys = keys[used:]
    if isinstance(found, str) and (number := read_number(_NOT_FINITE.sub(r"\1", found))) is not None:
        return FileScore(number)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        advice = "" if place.keys else f": add a colon and the keys to it, as in {place.file}:val.loss"
        return FileScore(None, f"left {place} as {_kind(found)}, which is no number{advice}")
    return FileScore(float(found))


def _instead(found: object) -> str:
    """What is there where a key was looked for."""
    if isinstance(found, dict) and found:
        return f"; it has {one_line(', '.join(list(found)[:8]), 200)}"
    return f": there is {_kind(found)}"


def _kind(found: object) -> str:
    """The kind of a value, in words."""
    match found:
        case None:
            return "null"
        case bool():
            return str(found).lower()
        case "":
            return "an empty text"
        case str():
            return f"the text '{one_line(found, SHOWN)}'"
        case list():
            return f"a list of {len(found)}, of which a number picks one (-1 the last)"
        case dict():
            return f"a group with {one_line(', '.join(list(found)[:8]), 200)}" if found else "an empty group"
        case int() | float():
            return f"the number {found}"
        case _:
            return f"'{one_line(str(found), SHOWN)}'"


def _step(found: object, keys: Sequence[str]) -> tuple[object, int] | None:
    """The value one step down, and how many parts of the path its key has: a key may hold dots itself."""
    if isinstance(found, list) and re.fullmatch(r"-?[0-9]{1,9}", keys[0]):
        number = int(keys[0])
        return (found[number], 1) if -len(found) <= number < len(found) else None
    if isinstance(found, dict):
        for used in range(len(keys), 0, -1):
            if (key := ".".join(keys[:used])) in found:
                return found[key], used
    return None
