"""Reads the unit behind a printed number, and turns numbers of one unit into those of another. Pure.

Benchmarks print `1.2 s` for one program and `980 ms` for the next, as criterion, hyperfine and Go do. A campaign
compares numbers, so that all of its scores have to be in the unit of the first one.
"""

from __future__ import annotations

import re

_TIMES = {
    "ns": (1e-9, "ns nsec nanosecond nanoseconds"),
    "us": (1e-6, "us µs μs usec microsecond microseconds"),
    "ms": (1e-3, "ms msec msecs millis millisecond milliseconds"),
    "s": (1.0, "s sec secs second seconds"),
    "min": (60.0, "min mins minute minutes"),
    "h": (3600.0, "h hr hrs hour hours"),
}
_NAME_OF_TIME = {word: name for name, (_, words) in _TIMES.items() for word in words.split()}
_PREFIXES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}

_WORD = r"[^\W\d_]{1,16}"
_UNIT = re.compile(rf"[ \t\u00a0\u202f]?({_WORD}(?:/{_WORD})?)(?![\w/])")
_BYTES = re.compile(r"[kKMGT]?i?B|(?:[kKMGT]i?)?[bB]ytes")
_RATE = re.compile(r"([kKMGT]?)([A-Za-z]{2,15}/(?:s|sec|second|h|op|iter|step|elem))")


def unit_of(text: str) -> str:
    """The unit at the start of the text behind a number, by one name for all spellings; empty where none is known.

    Known are times, bytes, and rates such as `tok/s`: those that programs scale to the size of the number.
    """
    match = _UNIT.match(text)
    word = match[1] if match else ""
    if name := _NAME_OF_TIME.get(word, ""):
        return name
    return word if _BYTES.fullmatch(word) or _RATE.fullmatch(word) else ""


def factor_between(unit: str, wanted: str) -> float | None:
    """What a number of one unit is multiplied with to be one of the other; None where that is not certain.

    A kilobyte has 1,000 bytes for one program and 1,024 for another, so that bytes are not turned into each other.
    """
    if not unit or not wanted or unit == wanted:
        return 1.0
    if unit in _TIMES and wanted in _TIMES:
        return _TIMES[unit][0] / _TIMES[wanted][0]
    one, other = _RATE.fullmatch(unit), _RATE.fullmatch(wanted)
    if one and other and one[2] == other[2]:
        return _PREFIXES[one[1]] / _PREFIXES[other[1]]
    return None
