"""Takes the comments out of programs in other languages than Python, so far as lines tell them. Pure.

Only what is certain is taken out: a comment on a line of its own, and one behind code without a quotation mark. A file
that can hold text over several lines (a template, a heredoc, a block of YAML) is left as it is, since a line of such a
text may look like a comment and be what the program says.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_MARKS = {
    "#": "toml yaml yml sh bash zsh rb r jl pl nim mk cmake ex exs cfg ini conf properties",
    "//": "js mjs cjs ts jsx tsx c h cc cpp cxx hpp hh cu cuh rs go java kt swift scala zig dart cs v sv",
    "--": "lua sql hs elm",
    ";": "lisp clj scm el asm s",
    "%": "m erl tex",
    "!": "f90 f95 f03 f08",
}
_BY_NAME = {"Makefile": "#", "makefile": "#", "GNUmakefile": "#", "CMakeLists.txt": "#", "justfile": "#"}
"""Files whose language their whole name tells."""

_MARK_OF = {f".{suffix}": mark for mark, suffixes in _MARKS.items() for suffix in suffixes.split()}
_WITH_BLOCKS = frozenset(f".{suffix}" for suffix in _MARKS["//"].split())
"""Languages whose comments may also stand between /* and */."""

_TEXT_OVER_LINES = re.compile(
    r"`|\"\"\"|'''|<<-?~?['\"]?\w|[|>][-+0-9]*[ \t]*$|\bR\"|\br#*\"|\\$|\[=*\[|=begin|\{-|%\{|\\begin", re.MULTILINE
)
_C_IN_GO = re.compile(r"^\s*(?:import\s+)?\"C\"\s*$", re.MULTILINE)
"""The import below a comment of Go that holds C code."""

_ORDERS = re.compile(r"#!|//go:|//export |!\$|![a-zA-Z]{3}\$")
"""Comments that a system, a compiler or a linker obeys."""

_QUOTES = re.compile(r"[\"'`]")


def without_comments(path: str, text: str) -> str:
    """The file without its comments, empty lines and trailing blanks; as it is where its language is not known."""
    suffix = PurePosixPath(path).suffix.lower()
    mark = _MARK_OF.get(suffix) or _BY_NAME.get(PurePosixPath(path).name, "")
    lines = [line.rstrip() for line in text.rstrip().split("\n")]
    if not mark or _TEXT_OVER_LINES.search("\n".join(lines)) or (suffix == ".go" and _C_IN_GO.search(text)):
        return "\n".join(lines)
    kept, in_block = [], False
    for line in lines:
        code = line.lstrip()
        if in_block or (suffix in _WITH_BLOCKS and code.startswith("/*")):
            in_block = "*/" not in code
            line = "" if in_block else code.partition("*/")[2].strip()
        elif code.startswith(mark) and not _ORDERS.match(code):
            line = ""
        else:
            line = _without_trailing(line, mark)
        if line:
            kept.append(line)
    return "\n".join(kept)


def _without_trailing(line: str, mark: str) -> str:
    """The line without the comment behind its code; whole where a quotation mark could make it part of a text."""
    match = re.search(rf"[ \t]{re.escape(mark)}", line)
    if match is None or _QUOTES.search(line[: match.start()]):
        return line
    return line[: match.start()].rstrip()
