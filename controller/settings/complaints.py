"""Says in plain words why a setting cannot be used, and which setting was probably meant. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from controller.settings.schema import Settings
from controller.settings.section import section_of

LONGEST_SHOWN = 80
"""Characters of a wrong value that are repeated."""


def in_plain_words(complaint: str) -> str:
    """What pydantic says of a wrong value, without its own vocabulary: `must be at least 5`."""
    for technical, plain in _PLAIN_WORDS:
        complaint = complaint.replace(technical, plain)
    return complaint


_PLAIN_WORDS = (
    ("Value error, ", ""),
    ("Input should be greater than or equal to", "must be at least"),
    ("Input should be less than or equal to", "must be at most"),
    ("Input should be", "must be"),
    ("a valid tuple", "a list, or a text in quotation marks"),
    (", unable to parse string as a number", ""),
    (", unable to parse string as an integer", ""),
)
"""Technical words and plain ones in their place, in the order in which they are replaced."""

_BY_TYPE = {
    "string_type": "must be a text: put it into quotation marks",
    "path_type": "must be a path: a text in quotation marks",
    "model_type": "must be a group of settings, with each of them on a line of its own below it",
    "dict_type": "must be a group of names and values",
    "mapping_type": "must be a group of names and values",
    "invalid_key": "is no name: put it into quotation marks",
    "too_short": "must not be empty",
}
"""Complaints whose technical words help nobody, by pydantic's name for their kind."""


def explain(problem: Any, location: Sequence[str]) -> str:
    """One sentence about the problem that pydantic found at `location`, with the field and what was given."""
    field = ".".join(location) or "settings"
    if problem["type"] == "extra_forbidden":
        meant = _meant(location)
        advice = f"did you mean {meant}? docs/settings.md lists all" if meant else "docs/settings.md lists them"
        return f"{field} is not a setting ({advice})"
    given = problem.get("input")
    message = _BY_TYPE.get(problem["type"]) or in_plain_words(problem["msg"])
    if problem["type"] in ("string_type", "path_type") and isinstance(given, list | dict):
        message = f"must be one text, and here is a {'list' if isinstance(given, list) else 'group'}"
    shown = _as_written(given)
    told = f" (got {shown if len(shown) <= LONGEST_SHOWN else shown[:LONGEST_SHOWN] + '…'})" if shown else ""
    return f"{message}{told}" if problem["type"] == "value_error" else f"{field} {message}{told}"


def _as_written(value: Any) -> str:
    """A wrong value as YAML writes it; empty for a group or a list, which would be long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (str, int, float)) else ""


def _meant(location: Sequence[str]) -> str:
    """The setting whose name is nearly the last one of `location`, in the same group or in another; empty if none."""
    *parents, name = location
    group: Any = Settings
    for parent in parents:
        fields = group.model_fields if group else {}
        group = section_of(fields[parent].annotation) if parent in fields else None
    if group:
        close = get_close_matches(name, group.model_fields, n=1, cutoff=0.75)
        if close:
            return ".".join([*parents, close[0]])
    # A key that stands in the wrong group, as `train_seconds` at the top does.
    elsewhere = [
        f"{key}.{name}"
        for key, field in Settings.model_fields.items()
        if (inner := section_of(field.annotation)) and name in inner.model_fields
    ]
    return elsewhere[0] if len(elsewhere) == 1 else ""
