"""Finds the values that a log prints behind a name, such as `ndcg@10: 0.41`, `METRIC loss=0.5` or `score 2340`. Pure.

A name is text, not a pattern. Every search takes time in proportion to the text, whatever a program prints.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from controller.executor.units import unit_of

# Possessive (`++`): a number is taken whole or not at all, or a line of digits would be tried at each of its places.
_NUMBER = r"[-+]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+"
_BEFORE = r"(?<![\w./@])(?<!\w-)(?<![ \t]--)(?<!^--)"
"""No part of a longer name (`val_loss`, `train/loss`, `top-loss`), and no option (`--loss=mse`), is the name."""

_MARKUP = r"[\"'`*]{0,3}"
"""Quotes of JSON and marks of Markdown that stand between a name, its separator and its value."""

_BLANK = "[ \\t\u00a0\u2007\u202f\u3000]"
"""Blanks look alike on a terminal, also those at which no line is broken and the wide one."""

_EDGE = "[|\u2506\u2502\u2503\u2551]"
"""What stands between the cells of a table."""

_SEPARATOR = (
    rf"(?:{_BLANK}*+(?:(?P<sign>[:=\uff1a\uff1d]{{1,2}})(?:\*\*(?={_BLANK}))?|(?P<edge>{_EDGE})){_BLANK}*+|{_BLANK}++)"
)
_TYPE = r"(?:(?:np|numpy|torch|jnp|mx|jax|tf)\.)?(?:[tT]ensor|[aA]rray|float[0-9_]*|Decimal)"
_WRAPPED = rf"(?:{_TYPE}\(['\"]?|[\[(]){{0,3}}"
"""Numbers of array libraries print their type in front of them."""

_WRAPPED_NUMBER = re.compile(rf"\b{_TYPE}\(['\"]?({_NUMBER}|[-+]?(?:nan|inf))['\"]?(?:,[^()\[\]]{{0,80}})?\)")
_PLAIN = re.compile(_NUMBER)
_VALUE = re.compile(rf"{_MARKUP}{_WRAPPED}(?:(?P<number>{_NUMBER})|(?P<endless>[-+]?(?:nan|inf|infinity))\b)", re.I)
_NONE = re.compile(
    rf"{_MARKUP}(?:(?:#?n/?a|none|null|nil|undefined|infinite)\b|(?:true|false)(?![ \t]*\w))|"
    rf"{_MARKUP}(?:n\.a\.|err(?:or)?|fail(?:ed|ure)?|overflow|diverged|timeout|missing|unknown|invalid)\W*$"
    r"|(?:[?!\u221e]{1,3}|\[\]|\{\}|\(\)|''|\"\")[ \t]*$",
    re.I,
)
_DASH = re.compile(r"[-\u2010-\u2015\u2212]{1,3}[ \t]*$")
"""What tables show in place of a number that is missing."""

_UNREADABLE = re.compile(
    r"[^\w\s]{1,3}[ \t]{0,2}[-+]?[0-9.]"  # signs that no number begins with: ~0.5, $ 3, -> 0.5
    r"|[(\[][^()\[\]]{0,30}[)\]][ \t]*:?[ \t]*[-+]?[0-9.]"  # (best) 0.5
    r"|(?:[A-Za-z_][\w.]{0,40})?(?:\([^)]{0,80}?[0-9]|<[^>]{0,80}?[0-9])"  # an object: Fraction(1, 2)
    r"|\{[^}]{0,80}?[0-9]"  # a group: {'a': 0.5}
    r"|[-+]?(?![0-9])[\d\u00bc-\u00be\u2150-\u215f]"  # a digit of another script, a fraction
)
_ARROW = "[\u2190-\u21ff\u2794-\u27be\u27f0-\u27ff\u2900-\u297f]"
_ANOTHER_NUMBER = re.compile(
    rf"""{_BLANK}*+(?:[*\u00d7\u00b7^]{{1,2}}|[xX](?=[ \t]*10))[ \t]*[0-9]  # 10^3, 2**3, 5 x 10^-3
    |[eE](?![A-Za-z])|{_BLANK}[eE][-+]?[0-9]  # 1e, 5 e-3, 5e and a minus sign of typographers
    |[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209f\u2150-\u215f]  # powers and fractions
    |\.?\#|\.\.+[0-9]  # 1.#INF, 0..1
    |{_BLANK}*+(?:[-=]{{1,2}}>|{_ARROW}|\bto\b|\b(?:out[ ])?of\b)[ \t]*+[-+]?\.?[0-9]  # 6 -> 5, 9 of 10
    |[ \t]*+/[ \t]*+[0-9]  # 9 / 10
    |[\u2010-\u2015;]\.?[0-9]  # 0.5-0.6 with a dash of typographers
    |(?:{_BLANK}?[^\W\d_]{{1,12}})?{_BLANK}?[~\u2026]{_BLANK}?[-+]?\.?[0-9]  # 0.5~0.6
    |{_BLANK}[kKMGTB](?=[ \t]*+$|{_BLANK}[A-Za-z])|j\b  # 5 k; a complex number
    |{_BLANK}days?,?{_BLANK}++[0-9]++:  # 1 day, 0:00:03
    |[ \t]*+,[ \t]*+[-+]?\.?[0-9][^()\[\]]{{0,200}}[)\]]  # a list, of whose numbers nobody said which one counts
    |{_BLANK}?(?:h|hrs?|hours?|m|mins?|minutes?|d|days?)(?:,|{_BLANK}and)?{_BLANK}+  # 1 m 23 s
        [0-9]++(?:\.[0-9]++)?{_BLANK}?[hms]
    |{_BLANK}++(?:thousand|million|billion|trillion)\b
    """,
    re.VERBOSE,
)
"""What makes another number of the one before it, or leaves open which number is meant."""

_IN_BRACKETS = re.compile(
    rf"(?:{_BLANK}?(?:%|[^\W\d_]{{1,12}}(?:/[^\W\d_]{{1,12}})?))?(?:{_BLANK}++|{_BLANK}*+[;|/]{_BLANK}*+)[-+]?\.?[0-9][^()\[\]]{{0,200}}[)\]]"
)
"""The rest of a list without commas, as numpy and criterion print it: [0.5 0.6], [2.7 ms 2.8 ms 2.9 ms]."""

_INDEX = re.compile(rf"\]{_BLANK}++[-+]?\.?[0-9]")
"""What follows the number of an element that R prints in front of its value: [1] 0.5."""

_GO = re.compile(r"Benchmark\S*[ \t]++[0-9]++(?P<pairs>(?:[ \t]++[-+0-9.eE]++[ \t]++[^\s0-9]\S*+)++)[ \t]*+")
"""A line of `go test -bench`, where each name stands behind its number."""

_PAIR = re.compile(r"([-+0-9.eE]++)[ \t]++(\S++)")
_NAMES_BEHIND = re.compile(rf"[ \t]*+(?:{_NUMBER}[ \t]++[^\W\d]\S*+(?:[ \t]++|$)){{2,}}")
"""A line of numbers with a word behind each: nobody knows whether a name belongs to the number before or behind it."""

_GROUPS = re.compile(rf"(?:{_BLANK}[0-9]{{3}})+(?![\w.])")
"""Blanks between thousands, as half of the world writes them."""

_GOES_ON = re.compile(
    r"(?![kKMGTB](?!\w)|[ \t][kKMGTB][ \t]*+$|'[0-9])"  # 950k and 1.2M have another scale each, and 1'234 is one number
    r"(?:%|[^\W\d_]{1,12}(?:/[^\W\d_]{1,12})?)?"  # a unit: 12ms, 91%, 30tok/s
    r"(?:$|[^\w\s.,:;/%+-]|\.(?!\w)|[,:;](?![0-9])|\+/?-|[ \t]++)"
)
"""What may follow a number without making it another one: 147,734 and 1_000 and 9/10 and 1.2.3 and 5k are not plain."""

_FILE = re.compile(
    r"[\w.=-]{0,80}\.(?:ckpt|pth?|bin|h5|hdf5|keras|pkl|pickle|joblib|safetensors|onnx|np[yz]|json|ya?ml|csv|txt|zip|tar|gz)\b"
)
"""The rest of a file's name that holds a rounded score, such as `val_loss=0.51-epoch=3.ckpt`."""

_LABELS = (
    re.compile(r"([^\W\d][\w']{0,40})[ \t]++$"),  # train loss: 0.5
    re.compile(  # [train] loss: 0.5, train: loss=0.5, {'train': {'loss': 0.5
        r"[\[<][ \t]*([^\W\d]\w{0,40})[ \t]*[\]>]"
        r"|([^\W\d]\w{0,40})[\"']?[ \t]*[:=][ \t]*(?=[\"'({\[]*(?:[^\W\d]|$))"
    ),
)
_LABEL_BEHIND = re.compile(r"[^\s,;|()]{1,40}[ \t]*\(([^\W\d]\w{0,40})\)")  # loss: 0.5 (train)
_NO_LABELS = frozenset(("and", "then", "to", "now", "new", "current", "final", "last", "at", "is", "METRIC"))

_KEY = re.compile(
    rf"(?:METRIC[ \t]+)?[\"'`*]{{0,3}}([^\W\d][\w@/.+ -]{{0,60}}?){_MARKUP}[ \t]{{0,40}}+[:=][ \t]*+{_NUMBER}(?!\w)"
)
_NEXT_CELL = re.compile(rf"{_EDGE}[ \t]*+[-+]?\.?[0-9]")
_QUOTED_VALUE = 40
_NEAR = 200
"""Characters on either side of a name in which its label and the other cells of its row are looked for."""


@dataclass(frozen=True, slots=True)
class Value:
    """Something that stands for a value behind a name.

    number: what it says, not finite where it says so; None where it is not one plain number. text: as it was printed.
    unit: the unit behind it, where it is one that programs scale (`units`). label: the word that tells, on the same
    line, of which of several it is: `train` in `train loss: 0.5`. labels: where nobody can say which one is meant.
    """

    number: float | None
    text: str
    unit: str = ""
    label: str = ""
    labels: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """True if it is a number that one can calculate with."""
        return self.number is not None and math.isfinite(self.number)


def find_values(line: str, name: str) -> Iterator[Value]:
    """Every value that this line prints behind the name. Words behind it are news and no value."""
    line = line if line.isascii() else unicodedata.normalize("NFC", line)
    if go := _GO.fullmatch(line):
        yield from (_plain(number) for number, unit in _PAIR.findall(go["pairs"]) if unit == name.strip())
        return
    unclear, behind = _NAMES_BEHIND.fullmatch(line) is not None, 0
    for match in _pattern(name).finditer(line):
        if match["edge"]:
            value = _value_of_row(line, match)
        elif match[0].endswith("=") and (number := _PLAIN.match(line, match.end())) and _FILE.match(line, number.end()):
            value = None
        else:
            value = _value_at(line, match.end(), signed=match["sign"] is not None)
        if value and unclear and match["sign"] is None and match["edge"] is None:
            yield Value(None, " ".join(line.split())[:_QUOTED_VALUE])
        elif value:
            label = _label(line[max(behind, match.start() - _NEAR) : match.start()])
            after = _LABEL_BEHIND.match(line, match.end())
            yield replace(value, label=label or (after[1] if after else ""))
            behind = match.end()


def last_value(line: str, name: str) -> Value | None:
    """The value of this name on a line: the last one that stands behind the name alone, else the last one.

    A `best val_loss` is another number than the `val_loss` in front of it. Where each one has another label, as in
    `train loss 0.5, val loss 0.6`, nobody said which one is `loss`.
    """
    values = tuple(find_values(line, name))
    labels = tuple(dict.fromkeys(value.label for value in values))
    if len(labels) > 1 and "" not in labels:
        return Value(None, values[-1].text, labels=labels)
    return next((value for value in reversed(values) if not value.label or len(labels) == 1), None)


def names_of_numbers(lines: Sequence[str]) -> tuple[str, ...]:
    """The names in front of numbers, as in `NAME: 0.5` at the start of a line, each once, in their order."""
    found: dict[str, None] = {}
    for line in lines:
        if match := _KEY.match(line.strip()):
            found[" ".join(match[1].split())] = None
    return tuple(found)


def read_number(text: str) -> float | None:
    """The number that the whole text is, perhaps with commas between thousands, or with the type of an array library
    around it; None if it is none.
    """
    plain = unwrapped(text.strip())
    # Half of the world writes 0,512 for 0.512: no number with thousands begins with a 0.
    if re.fullmatch(r"[-+]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]*)?", plain):
        plain = plain.replace(",", "")
    if re.fullmatch(_NUMBER, plain) or re.fullmatch(r"[-+]?(?:nan|inf|infinity)", plain, re.I):
        return float(plain)
    return None


def unwrapped(text: str) -> str:
    """The text with numbers in place of what array libraries print for one: `np.float64(0.5)`, `tensor(1., ...)`."""
    return _WRAPPED_NUMBER.sub(r"\1", text)


@lru_cache(maxsize=8)
def _pattern(name: str) -> re.Pattern[str]:
    words = (re.escape(word) for word in unicodedata.normalize("NFC", name).split(" ") if word)
    return re.compile(f"{_BEFORE}{f'{_BLANK}++'.join(words)}{_MARKUP}{_SEPARATOR}")


def _value_at(line: str, place: int, *, signed: bool) -> Value | None:
    match = _VALUE.match(line, place)
    if match and match["endless"]:
        return Value(float(match["endless"]), match["endless"])
    if match:
        number, end = match["number"], match.end()
        grouped = len(number.lstrip("+-")) <= 3 and number[-1].isdigit() and "." not in number
        other = _ANOTHER_NUMBER.match(line, end) or (_GROUPS.match(line, end) if grouped else None)
        if other is None and set(line[place : match.start("number")]) & set("[("):
            other = _IN_BRACKETS.match(line, end) or (_INDEX.match(line, end) if line[place] == "[" else None)
        if other is None and _GOES_ON.match(line, end):
            return Value(float(number), number, unit_of(line[end : end + _QUOTED_VALUE]))
        return Value(None, _shown(line, match.start("number"), other.end() if other else end))
    if signed and (missing := _NONE.match(line, place) or _DASH.match(line, place) or _UNREADABLE.match(line, place)):
        return Value(None, _shown(line, place, missing.end()))
    return None


def _value_of_row(line: str, match: re.Match[str]) -> Value | None:
    """The value of a row of a table, `| name | 0.5 |`; None where the row holds more numbers, or is no row."""
    before = line[max(0, match.start() - _NEAR) : match.start()].rstrip(" \t\"'`*")
    row = line[match.end() : match.end() + _NEAR]
    if (before and not re.fullmatch(_EDGE, before[-1])) or _NEXT_CELL.search(row):
        return None
    cell, *others = re.split(_EDGE, row, maxsplit=1)
    value = _value_at(cell.strip(), 0, signed=True)
    # In the head of a table a column may be called Error.
    return None if value and value.number is None and re.search(r"\w", before + "".join(others)) else value


def _label(before: str) -> str:
    """The word that tells of what the next value is, in the text since the value before it; else empty."""
    for pattern in _LABELS:
        if found := [word for groups in pattern.finditer(before) for word in groups.groups() if word]:
            return "" if found[-1] in _NO_LABELS else found[-1]
    return ""


def _plain(text: str) -> Value:
    return Value(float(text) if re.fullmatch(_NUMBER, text) else None, text)


def _shown(line: str, start: int, end: int) -> str:
    """What is printed there, to the end of its last word."""
    return (line[start:end].rstrip() + line[end : end + _QUOTED_VALUE].partition(" ")[0])[:_QUOTED_VALUE].strip()
