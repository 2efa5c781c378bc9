"""Reads a score from a JSON or CSV file that the training writes (`task.score_file: metrics.json:val.loss`). Pure.

The file lies in the attempt's copy of the task folder, which is gone when the attempt is judged, and in a cluster was
never on this machine. So a shell puts it behind the training's output, and both executors read it from the log.
"""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from controller.executor.printed_values import read_number
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


_TABLES = (".csv", ".tsv")
_SHOWN = 40
"""Characters of a text in the file that a sentence quotes."""

# float takes a whole number of any length, and int refuses one of 5,000 digits. Without `strict`, a line separator in
# a text, which becomes a line end in a log that is safe to read, breaks nothing.
_DECODER = json.JSONDecoder(parse_int=float, strict=False)


@dataclass(frozen=True, slots=True)
class ScorePlace:
    """The place of a score: a file below the task folder, and the keys that lead to the number."""

    file: str
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}:{'.'.join(self.keys)}"


@dataclass(frozen=True, slots=True)
class FileScore:
    """A number, or None and in `fault` what is wrong, to follow "train "."""

    value: float | None
    fault: str = ""


def place_of(text: str) -> ScorePlace | None:
    """`metrics.json:val.loss` as a place; None for an empty text."""
    file, _, keys = text.partition(":")
    return ScorePlace(file, tuple(keys.split("."))) if file and keys else None


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
    if place.file.lower().endswith(_TABLES):
        return _number_in_table(content, place)
    try:
        document = _decode(content)
    except (ValueError, RecursionError):
        begins = f"it begins with '{one_line(content, _SHOWN)}'"
        return FileScore(
            None, f"left {place.file}, which is not JSON: {begins}; write JSON, or a table as .csv or .tsv"
        )
    return _number_at(document, place)


def _number_in_table(content: str, place: ScorePlace) -> FileScore:
    """The number in a column of a table: of its last row, or of the one that a number in front of the name picks."""
    lines = unicodedata.normalize("NFC", content).split("\n")
    # The sign that stands most often in the head is the one between its names.
    sign = max("\t,;", key=lines[0].count)
    try:
        rows = [row for row in csv.DictReader(lines, delimiter=sign, skipinitialspace=True) if any(row.values())]
    except csv.Error as error:
        return FileScore(None, f"left {place.file}, which is no table ({error})")
    if not rows:
        return FileScore(None, f"left {place.file} with a head and no row")
    # Cells without a name in the head stand under None.
    named = [{key.strip(): value for key, value in row.items() if key is not None} for row in rows]
    chosen = re.fullmatch(r"-?[0-9]{1,9}", place.keys[0]) and len(place.keys) > 1
    return _number_at(named if chosen else named[-1], place)


def _decode(content: str) -> object:
    """The document; of a file with one document a line (`metrics.jsonl`) the last one."""
    # Letters with accents have two spellings, and the settings may have the other one.
    text = unicodedata.normalize("NFC", content)
    try:
        return _DECODER.decode(text)
    except ValueError:
        return _DECODER.decode(text.rpartition("\n")[2])


def _number_at(document: object, place: ScorePlace) -> FileScore:
    found, keys = document, tuple(unicodedata.normalize("NFC", key) for key in place.keys)
    while keys:
        step = _step(found, keys)
        if step is None:
            return FileScore(
                None, f"left {place.file} without {'.'.join(place.keys)}{_instead(found)} (task.score_file)"
            )
        found, used = step
        keys = keys[used:]
    if isinstance(found, str) and (number := read_number(found)) is not None:
        return FileScore(number)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return FileScore(None, f"left {place} as {_kind(found)}, which is no number")
    return FileScore(float(found))


def _instead(found: object) -> str:
    """What is there where a key was looked for."""
    if isinstance(found, dict) and found:
        return f"; it has {one_line(', '.join(list(found)[:8]), 200)}"
    return f": there is {_kind(found)}"


def _kind(found: object) -> str:
    """The kind of a value of JSON, in words."""
    match found:
        case None:
            return "null"
        case bool():
            return str(found).lower()
        case str():
            return f"the text '{one_line(found, _SHOWN)}'"
        case list():
            return f"a list of {len(found)}, of which a number picks one (-1 the last)"
        case dict():
            return f"a group with {one_line(', '.join(list(found)[:8]), 200)}" if found else "an empty group"
        case _:
            return f"the number {found}"


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
