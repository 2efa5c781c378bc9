"""Make and seal the data of the search task, offline: documents, and queries by somebody who remembers one of them.

Documents are the docstrings of Python's standard library. A query is drawn from a passage of one document, as studies
of known-item search draw them (Azzopardi, de Rijke and Balog, 2007): a few of its rarer words, mistyped, in another
form, or remembered wrongly. The documents are public. Which of them are asked for, and in which words, is drawn from
the system's own randomness, so that nothing but the sealed folders knows it.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from exam.sealing import is_sealed, seal

SIZES = {"train": 3000, "validation": 500, "holdout": 1000, "reserve": 60}
"""Queries of each part; of the reserve, of each slice."""

SHORTEST = 25
"""Words of the shortest document: a shorter one has nothing to remember."""

WORDS = (3, 6)
"""Fewest and most words of a query."""

PASSAGE = 40
"""Words of a document within which a query stays."""

MISTYPED, OTHER_FORM, WRONG = 0.2, 0.25, 0.1
"""Shares of a query's words that are mistyped, in another form, and of another document."""

ENDINGS = ("", "s", "ed", "ing", "er", "ly", "ion", "able")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def read_library() -> Iterator[tuple[str, str]]:
    """Name and text of every docstring of the standard library, but for its tests."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).with_suffix("")
        if not {"test", "tests", "site-packages", "idlelib", "lib2to3"} & set(place.parts):
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, UnicodeDecodeError):
                continue
            yield from _docstrings(tree, ".".join(place.parts))


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if text := ast.get_docstring(node):
            yield name, text
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _docstrings(child, f"{name}.{child.name}")


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return re.findall(r"[a-z]{3,}", text.lower())


class Memory:
    """Somebody who remembers documents, and types."""

    def __init__(self, documents: list[dict[str, str]], chance: random.Random) -> None:
        self._documents, self._chance = documents, chance
        self._count = Counter(word for each in documents for word in set(words_of(each["text"])))
        self._all = sorted(self._count)

    def ask(self, number: int) -> dict[str, object]:
        """A query for a document."""
        words = words_of(self._documents[number]["text"])
        start = self._chance.randrange(max(1, len(words) - PASSAGE))
        passage = sorted(set(words[start : start + PASSAGE]), key=lambda word: (self._count[word], word))
        rarer = passage[: max(WORDS[1], len(passage) // 2)]
        chosen = self._chance.sample(rarer, min(len(rarer), self._chance.randint(*WORDS)))
        return {"query": " ".join(map(self._remember, chosen)), "document": number}

    def _remember(self, word: str) -> str:
        fate = self._chance.random()
        if fate < MISTYPED:
            at, kind = self._chance.randrange(len(word) - 1), self._chance.randrange(3)
            letter = self._chance.choice(LETTERS)
            return word[:at] + (word[at + 1] + word[at], letter + word[at], "")[kind] + word[at + (2, 1, 1)[kind] :]
        if fate < MISTYPED + OTHER_FORM:
            return re.sub(r"(s|ed|ing|er|ly|ion|able)$", "", word) + self._chance.choice(ENDINGS)
        return self._chance.choice(self._all) if fate < MISTYPED + OTHER_FORM + WRONG else word


def main() -> int:
    """Write the folder, unless it is there already."""
    options = argparse.ArgumentParser()
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--slices", type=int, default=64, help="slices of the reserve")
    options.add_argument("--most", type=int, default=0, help="documents at most, for a quick test")
    chosen = options.parse_args()
    if is_sealed(chosen.data):
        return 0
    found = [{"name": name, "text": text} for name, text in read_library() if len(words_of(text)) >= SHORTEST]
    documents = found[: chosen.most or len(found)]
    chance = random.SystemRandom()
    memory = Memory(documents, chance)
    names = ["train", "validation", "holdout", *(f"reserve/{number:03d}" for number in range(chosen.slices))]
    for name in names:
        part = chosen.data / name
        part.mkdir(parents=True, exist_ok=True)
        size = min(SIZES[name.partition("/")[0]], len(documents))
        queries = [memory.ask(number) for number in chance.sample(range(len(documents)), size)]
        (part / "queries.json").write_text(json.dumps(queries, indent=0))
    (chosen.data / "train" / "documents.json").write_text(json.dumps(documents, indent=0))
    seal(chosen.data, source=f"docstrings of the standard library of Python {sysconfig.get_python_version()}")
    print(f"{len(documents)} documents, {SIZES['validation']} queries an exam and {SIZES['reserve']} fresh ones")
    return 0


if __name__ == "__main__":
    sys.exit(main())
