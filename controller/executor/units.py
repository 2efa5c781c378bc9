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
    "d": (86_400.0, "day days"),
}
_NAME_OF_TIME = {word: name for name, (_, words) in _TIMES.items() for word in words.split()}
_PREFIXES = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}

_WORD = r"[^\W\d_]{1,16}"
_UNIT = re.compile(rf"[ \t\u00a0\u202f]?({_WORD}(?:/{_WORD})?)(?![\w/])")
_BYTES = re.compile(r"(?:[kKMGT]i?B|B(?=/)|(?:[kKMGT]i?)?[bB]ytes)(?:/(?:s|sec|second))?")
_SCALED = re.compile(
    r"([kKMGT]?)([A-Za-z]{2,15}/(?:s|sec|second|h|op|iter|step|elem))|([numkKMGTP]?)(Hz|FLOPS|FLOPs|flops|bps|W|J)"
)


def unit_of(text: str) -> str:
    """The unit at the start of the text behind a number, by one name for all spellings; empty where none is known.

    Known are those that programs scale to the size of the number: times, times for each thing (`ms/step`), bytes, rates
    such as `tok/s`, and a few that have prefixes (`GHz`).
    """
    match = _UNIT.match(text)
    word, slash, each = (match[1] if match else "").partition("/")
    if name := _NAME_OF_TIME.get(word, ""):
        return name + slash + each
    word += slash + each
    return word if _BYTES.fullmatch(word) or _SCALED.fullmatch(word) else ""


def factor_between(unit: str, wanted: str) -> float | None:
    """What a number of one unit is multiplied with to be one of the other; None where that is not certain.

    A kilobyte has 1,000 bytes for one program and 1,024 for another, so that bytes are not turned into each other.
    """
    if not unit or not wanted or unit == wanted:
        return 1.0
    one, other = _parts(unit), _parts(wanted)
    return one[0] / other[0] if one and other and one[1] == other[1] else None


def _parts(unit: str) -> tuple[float, str] | None:
    """What one of this unit is, as a number of its base; None for bytes, and for what is not known."""
    word, slash, each = unit.partition("/")
    if word in _TIMES:
        return _TIMES[word][0], f"s{slash}{each}"
    match = None if _BYTES.fullmatch(unit) else _SCALED.fullmatch(unit)
    return (_PREFIXES[match[1] or match[3] or ""], match[2] or match[4]) if match else None
