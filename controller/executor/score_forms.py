"""Reads what a training wrote into a score file as plain values: JSON, YAML, TOML, a table, or a dictionary. Pure.

A number stays as it was written until somebody asks for it: YAML's own reader takes `12:30` for 750 and `010` for 8.
"""

from __future__ import annotations

import csv
import json
import tomllib
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any

from controller.executor.printed_values import unwrapped
from controller.settings.yaml_text import Unreadable, read_last_texts
from controller.text.safe_text import one_line

TABLES = (".csv", ".tsv")
_LINES = (".json", ".jsonl", ".ndjson")
SHOWN = 40
"""Characters of a text in the file that a sentence quotes."""

# float takes a whole number of any length, and int refuses one of 5,000 digits. Without `strict`, a line separator in
# a text, which becomes a line end in a log that is safe to read, breaks nothing.
_DECODER = json.JSONDecoder(parse_int=float, strict=False)

_BINARY = "\ufffd"
"""What stands for a byte that is no UTF-8 in a log that is safe to read."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds: groups, lists, texts and numbers."""

    content: object


class Illegible(Exception):
    """The file cannot be read as what its name says; the text says why, to follow its name."""


def read_document(file: str, content: str) -> Document | None:
    """What the file holds; None where it is text without a form, whose lines are to be read as those of a log.

    Raises Illegible.
    """
    # Letters with accents have two spellings, and the settings may have the other one.
    text, kind = unicodedata.normalize("NFC", content), PurePosixPath(file).suffix.lower()
    _require_text(text)
    if kind in (".yaml", ".yml"):
        return Document(_yaml(text))
    if kind == ".toml":
        return Document(_toml(text))
    try:
        return Document(_json(text))
    except (ValueError, RecursionError):
        if text[0] in "{[" and (found := _dictionary(text)) is not None:
            return Document(found)
    if kind in _LINES:
        begins = f"it begins with '{one_line(text, SHOWN)}'"
        raise Illegible(f"which is not JSON: {begins}; write JSON, YAML (.yaml), TOML (.toml) or a table (.csv, .tsv)")
    return None


def read_rows(content: str) -> list[dict[str, object]]:
    """The rows of a table by the names in its head. Raises Illegible."""
    _require_text(content)
    lines = unicodedata.normalize("NFC", content).split("\n")
    # The sign that stands most often in the head is the one between its names.
    sign = max("\t,;", key=lines[0].count)
    try:
        head, *rows = [row for row in csv.reader(lines, delimiter=sign, skipinitialspace=True) if any(row)]
    except csv.Error as error:
        raise Illegible(f"which is no table ({error})") from error
    names = [name.strip() for name in head]
    if not rows:
        raise Illegible("which has a head and no row")
    for row in rows:
        # With row names and no name for their column, or a comma within a number, every cell would have another's name.
        if any(cell.strip() for cell in row[len(names) :]):
            shown = one_line(sign.join(row), SHOWN)
            raise Illegible(f"which has a row of {len(row)} cells below {len(names)} names: '{shown}'")
    return [_by_name(names, row) for row in rows]


def _by_name(names: Sequence[str], row: Sequence[str]) -> dict[str, object]:
    """The cells by the names above them; those of columns with one name as a list, of which the keys pick one."""
    cells: dict[str, list[str]] = {}
    for name, cell in zip_longest(names, row[: len(names)], fillvalue=""):
        cells.setdefault(name, []).append(cell)
    return {name: found[0] if len(found) == 1 else found for name, found in cells.items()}


def _require_text(content: str) -> None:
    if _BINARY in content[:4]:
        raise Illegible("which is no plain text, but UTF-16 or packed: write plain text in UTF-8")


def _json(text: str) -> object:
    """The document; of a file with one document a line (`metrics.jsonl`) the last one."""
    try:
        return _DECODER.decode(text)
    except ValueError:
        return _DECODER.decode(text.rpartition("\n")[2])


def _yaml(text: str) -> Any:
    try:
        return read_last_texts(text)
    except Unreadable as error:
        where = f" in line {error.line}" if error.line else ""
        raise Illegible(f"which cannot be read{where}: {error}") from error


def _toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        told = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise Illegible(f"which cannot be read: not valid TOML: {one_line(told)}") from error


def _dictionary(text: str) -> Any:
    """A dictionary or list as Python prints it, which YAML reads as well; None where it is none."""
    with suppress(Unreadable):
        return read_last_texts(unwrapped(text))
    return None
