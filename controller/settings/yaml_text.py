"""Reads YAML as an operator meant it: a key that stands twice is a mistake, and every fault is one sentence. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"


class Unreadable(Exception):
    """The text is no YAML, or says two things about one key. line: where, from 1; None if nobody knows."""

    def __init__(self, told: str, line: int | None = None) -> None:
        super().__init__(" ".join(told.split())[:300])
        self.line = line


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which does not let the last of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of this node. Raises Unreadable where a key stands twice."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise Unreadable(f"{key.value} stands in line {lines[key.value]} already: keep one of the two", line)
            lines[key.value] = line
        return super().construct_mapping(node, deep=deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """The value of this node. Raises Unreadable for a character that no name, path or program can hold."""
        told = super().construct_scalar(node)
        wrong = next((sign for sign in str(told) if sign == "\0" or "\ud800" <= sign <= "\udfff"), None)
        if wrong is not None:
            raise Unreadable(_unusable(wrong), node.start_mark.line + 1)
        return told


class _TextLoader(_Loader):
    """The same, for which each scalar is the text that stands there: `12:30` is no 750, and `010` no 8."""


_TextLoader.yaml_implicit_resolvers = {}


def read_yaml(text: str) -> Any:
    """What the text says, as plain values; None for an empty text. Raises Unreadable."""
    return _read(text, lambda: yaml.load(text, Loader=_Loader))


def read_last_texts(text: str) -> Any:
    """The last document in the text that is not empty, with every scalar as text. Raises Unreadable.

    An alias stands for the same object as its anchor, so that no text grows by being read.
    """
    return _read(text, lambda: _last(yaml.load_all(text, Loader=_TextLoader)))


def _last(documents: Iterable[Any]) -> Any:
    return next(reversed([found for found in documents if found]), "")


def _read(text: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = ", ".join(part for part in (error.context, error.problem) if part)
        raise Unreadable(f"not valid YAML: {told}{_remedy(told)}", mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        raise Unreadable(_unusable(chr(error.character)), text.count("\n", 0, error.position) + 1) from error
    # Of a date such as 2026-02-31, or of a list as a key, PyYAML lets Python's own error pass.
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise Unreadable(f"not valid YAML: {error}") from error
    except RecursionError as error:
        raise Unreadable("not valid YAML: it is nested too deeply") from error


_REMEDIES = (
    ("found character '\\t'", "indent with blanks, not with tabs"),
    ("unknown escape character", "put a text with backslashes into single quotation marks"),
    ("that cannot start any token", "put the text into quotation marks"),
    ("found unexpected end of stream", "close the quotation mark"),
    ("found unexpected ':'", "put a text with a colon into quotation marks"),
    ("expected ',' or '}', but got ':'", "put a text with a colon into quotation marks"),
    ("mapping values are not allowed here", "put a text with a colon into quotation marks, and check the indentation"),
)
"""What to do about a mistake that YAML's own words do not explain, by a part of those."""


def _remedy(told: str) -> str:
    advice = next((advice for sign, advice in _REMEDIES if sign in told), "")
    return f"; {advice}" if advice else ""


def _unusable(sign: str) -> str:
    return f"the character U+{ord(sign):04X} cannot be used: take it out"


def line_of(text: str, location: Sequence[str]) -> int | None:
    """Line (from 1) of the deepest key of `location` that the YAML text holds."""
    node = yaml.compose(text) if text else None
    line = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line
