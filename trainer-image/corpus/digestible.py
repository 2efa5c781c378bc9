"""Text as the tokenizer's libraries can take it, and one sentence for what they cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from corpus.errors import PrepareError

BLANKS = re.compile(r"[\t\x0b\x0c \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
"""What `\\s` of the tokenizer's pattern stands for, line ends aside."""

MOST_BLANKS = 500_000
"""The regex engine below both libraries keeps an entry for each blank of `\\s+(?!\\S)` on a stack for one million."""


class Indigestible(PrepareError):
    """A text that the tokenizer's libraries cannot take; None where they took many at once."""

    def __init__(self, text: str | None, words: str) -> None:
        super().__init__(f"the tokenizer's library cannot take this text ({words}): leave it out")
        self.text, self.words = text, words


def cut_blanks(text: str) -> list[str]:
    """The text in parts, nearly always one, of which none has more than MOST_BLANKS blanks in a row."""
    if len(text) <= MOST_BLANKS:
        return [text]
    cuts = [0]
    for match in BLANKS.finditer(text):
        cuts += range(match.start() + MOST_BLANKS, match.end(), MOST_BLANKS)
    return [text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]


@contextmanager
def name_panics(text: str | None) -> Iterator[None]:
    """A Rust panic arrives as a PanicException, which is a BaseException and which no module exports."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise Indigestible(text, " ".join(str(error).split())) from error
