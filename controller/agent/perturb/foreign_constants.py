"""Finds the named numbers of programs and settings files that are no Python, line by line.

Without a parser only what is certain is taken: a number alone behind a name, in a form that the language has for
constants. A step of it changes one line and nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from controller.agent.perturb.constants import LARGEST, Constant

_NUMBER = r"(?P<number>-?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"
_CAPITALS = r"(?P<name>[A-Z][A-Z0-9_]*)"

# `const int DEPTH = 4;  // 2 to 8`, `pub const LR: f64 = 0.1;`, `export const WIDTH = 64`, `#define TAPS 32`
_DECLARED = re.compile(
    rf"[ \t]*(?:[A-Za-z_][\w<>:*]*[ \t]+)+{_CAPITALS}[ \t]*(?::[ \t]*[\w<>]+[ \t]*)?=[ \t]*{_NUMBER}"
    r"(?:[fFuUlL]{1,3}|_[fiu](?:8|16|32|64|size))?[ \t]*[;,]?[ \t]*(?:/[/*](?P<comment>.*))?"
)
_DEFINED = re.compile(
    rf"[ \t]*#[ \t]*define[ \t]+{_CAPITALS}[ \t]+{_NUMBER}[fFuUlL]{{0,3}}[ \t]*(?:/[/*](?P<comment>.*))?"
)
# In Go a constant begins with a capital, and a group of them has one `const`.
_OF_GO = re.compile(
    rf"[ \t]*(?:const[ \t]+|var[ \t]+)?(?P<name>[A-Z]\w*)[ \t]*(?:[a-z]\w*[ \t]*)?=[ \t]*{_NUMBER}[ \t]*(?://(?P<comment>.*))?"
)
_SET = re.compile(
    rf"[ \t]*(?:- +)?[\"']?(?P<name>[A-Za-z_][\w.-]*)[\"']?[ \t]*[:=][ \t]*{_NUMBER}[ \t]*,?[ \t]*"
    r"(?:[#;](?P<comment>.*))?"
)
_OF_SHELL = re.compile(
    rf"(?:export[ \t]+|local[ \t]+)?{_CAPITALS}[ \t]*:?\??=[ \t]*{_NUMBER}[ \t]*(?:(?:#|--)(?P<comment>.*))?"
)

_FORMS = {
    "js mjs cjs ts jsx tsx java kt swift zig cs rs dart scala": (_DECLARED,),
    "c h cc cpp cxx hpp hh cu cuh": (_DECLARED, _DEFINED),
    "go": (_OF_GO,),
    "toml yaml yml ini cfg conf json": (_SET,),
    "sh bash zsh mk jl r lua env": (_OF_SHELL,),
}
_FORMS_OF = {f".{suffix}": forms for suffixes, forms in _FORMS.items() for suffix in suffixes.split()}


def find_foreign_constants(path: str, source: str) -> tuple[Constant, ...]:
    """The named numbers of a file in another language than Python; none of one whose language is not known."""
    name = PurePosixPath(path).name
    suffix = ".mk" if name in ("Makefile", "makefile", "GNUmakefile") else PurePosixPath(path).suffix.lower()
    return tuple(_find(path, source, _FORMS_OF.get(suffix, ())))


def _find(path: str, source: str, forms: tuple[re.Pattern[str], ...]) -> Iterator[Constant]:
    seen: Counter[str] = Counter()
    # The lines as `replace_literals` counts them.
    for line, data in enumerate(source.encode().splitlines(), start=1):
        text = data.decode()
        match = next(filter(None, (form.fullmatch(text) for form in forms)), None)
        if match is None:
            continue
        literal = match["number"]
        value = float(literal) if re.search(r"[.eE]", literal) else int(literal)
        if abs(value) >= LARGEST:
            continue
        seen[match["name"]] += 1
        # The same key may stand in several sections.
        label = match["name"] if seen[match["name"]] == 1 else f"{match['name']}[{seen[match['name']]}]"
        yield Constant(
            path=path,
            label=label,
            value=value,
            text=literal,
            comment=(match["comment"] or "").strip(" */"),
            line=line,
            start=len(text[: match.start("number")].encode()),
            end=len(text[: match.end("number")].encode()),
        )
