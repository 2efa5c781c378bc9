"""Makes text safe that an agent, a training or another program wrote. Pure, and used wherever such text comes in.

Unsafe are escape sequences, control characters, characters that nobody sees (zero width, bidirectional marks and
isolates, variation selectors, tags), lone surrogates, which have no UTF-8, and line ends other than `\\n`. Safe text
never changes when it is made safe again. Escaping for a syntax (Markdown, HTML, JSON) is left to whoever writes it.
"""

from __future__ import annotations

import re
import unicodedata

LINE = 300
"""Most characters of a title, of a name, and of a line that quotes a program."""

SENTENCE = 1_000
"""Most characters of a reason or an expected effect, which are one sentence each."""

PARAGRAPHS = 8_000
"""Most characters of a hypothesis: about 1,200 words, five times what the longest one of a model has had."""

_CUT = "…"

_READ_AHEAD = 16
"""Times the limit that are read of a text that is too long, so that cleaning 10 MB takes no longer than 20 kB. What is
left out counts, so a title may begin behind some colour codes."""

_ESCAPES = re.compile(
    # ECMA-48: the character after ESC names the kind of sequence; U+0080 to U+009F are such pairs in one character.
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC and other strings: titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]",  # two-byte escapes
    re.MULTILINE,
)

_LINE_ENDS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Where `str.splitlines` ends a line beside `\\n`; terminals, editors and browsers differ on each of them."""

_UNSEEN = frozenset(
    # Unicode's Default_Ignorable_Code_Point, as far as the category of such a character is not "other", and the blank
    # pattern of Braille: fonts draw nothing for them.
    (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0000, 0xE1000),
    )
)

_MEANT_IN_CODE = "\f\u200d\ufe0f"
"""Old Python code has form feeds between its parts; the other two join and colour emoji."""

_MOST_MARKS = 4
"""Most combining marks on one character. Languages use up to four; a hundred cover the lines above and below."""


def _is_unsafe(code: int) -> bool:
    """True for a character that safe text may not hold. A tab and a line feed are safe."""
    if code in (0x09, 0x0A):
        return False
    # Categories: Cc control, Cf format, Cs surrogate, Co private, Cn unassigned, Zl and Zp line and paragraph ends.
    category = unicodedata.category(chr(code))
    return category[0] == "C" or category in ("Zl", "Zp") or code in _UNSEEN


class _Table(dict[int, str]):
    """A table for `str.translate` that is filled as characters come up: there are 1.1 million of them."""

    def __missing__(self, code: int) -> str:
        replacement = self.replace(code) if _is_unsafe(code) else chr(code)
        self[code] = replacement
        return replacement

    def replace(self, code: int) -> str:
        """Stands in for an unsafe character."""
        return "\n" if chr(code) in _LINE_ENDS else ""


class _VisibleTable(_Table):
    def replace(self, code: int) -> str:
        """The character's escape as Python writes it: `\\x1b`, `\\u202e`, `\\U000e0001`."""
        if code <= 0xFF:
            return f"\\x{code:02x}"
        return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


class _JsonTable(_Table):
    def replace(self, code: int) -> str:
        """The character's escape as JSON writes it, in two halves beyond U+FFFF."""
        if code <= 0xFFFF:
            return f"\\u{code:04x}"
        halves = chr(code).encode("utf-16-be")
        return f"\\u{halves[:2].hex()}\\u{halves[2:].hex()}"


_CLEAN, _VISIBLE, _JSON = _Table(), _VisibleTable(), _JsonTable()


def safe_text(text: str, *, limit: int | None = None) -> str:
    """The text without anything unsafe, in lines, cut to `limit` characters."""
    if limit is not None:
        text = text[: _READ_AHEAD * limit]
    plain = _limit_marks(_ESCAPES.sub("", text).replace("\r\n", "\n").translate(_CLEAN))
    return plain if limit is None or len(plain) <= limit else plain[: limit - 1] + _CUT


def one_line(text: str, limit: int = LINE) -> str:
    """The text without anything unsafe, its lines joined by blanks, cut to `limit` characters."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return " ".join(text.split())  # records have thousands of these
    flat = " ".join(safe_text(text[: _READ_AHEAD * limit]).split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + _CUT


def safe_tail(data: bytes, limit: int) -> str:
    """The end of a log without anything unsafe, at most `limit` bytes of UTF-8, from a line's start if it can.

    Of a line that a program rewrote by carriage returns, such as a progress bar, only its last state is left.
    """
    text = _ESCAPES.sub("", data[-4 * limit :].decode("utf-8", errors="replace")).replace("\r\n", "\n")
    lines = (_last_rewrite(line) for line in text.split("\n"))
    safe = safe_text("\n".join(lines))
    cut = safe.encode()[-limit:].decode("utf-8", errors="ignore")
    if len(cut) == len(safe):
        return cut
    _, newline, rest = cut.partition("\n")
    return rest if newline and rest else cut


def visible_code(text: str) -> str:
    """A program or a patch to look at: each unsafe character is shown as its escape, for it may be what matters.

    A carriage return before a line feed is left out: it is the line end of Windows.
    """
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def visible_json(text: str) -> str:
    """JSON text with unsafe characters written as JSON's own escapes, so that it means the same to a parser."""
    return text.translate(_JSON)


def find_unsafe(program: str, *, known: str = "") -> int | None:
    """Index of the first character that may hide in a program what it does; None if there is none.

    known: the text before an edit, whose characters are accepted.
    """
    for found in re.finditer(r"[^\x20-\x7e\t\n]", program):
        character = found[0]
        windows = character == "\r" and program.startswith("\n", found.end())
        if windows or character in _MEANT_IN_CODE or unicodedata.category(character) == "Cn":
            continue
        if _is_unsafe(ord(character)) and character not in known:
            return found.start()
    return None


def _last_rewrite(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part.strip()), "")


def _limit_marks(text: str) -> str:
    """The text with at most four combining marks on a character."""
    if text.isascii():
        return text
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)
