"""Reads what the porter of a session handed in. Pure.

The porter is ours, and yet nothing is taken on its word: only wanted files, none longer than it may be, and one fault
of one line for each that is missing.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from controller.text.safe_text import LINE, one_line

UNREADABLE = "did not arrive whole"
"""The fault of a file that the porter delivered in no form that it has."""


def most_bytes(wanted: Mapping[str, int]) -> int:
    """Most bytes of a delivery of these files; wanted: most bytes of each by path."""
    # Four letters of base64 hold three bytes; names and faults are short.
    return sum(4 * (most // 3 + 1) + 6 * len(path) + 4096 for path, most in wanted.items()) + 4096


def read_delivery(delivered: bytes, wanted: Mapping[str, int]) -> tuple[dict[str, bytes], dict[str, str]]:
    """The wanted files that arrived, and what is wrong with the others; wanted: most bytes by path."""
    told = _parse(delivered)
    coded, said = _mapping(told.get("files")), _mapping(told.get("faults"))
    files: dict[str, bytes] = {}
    faults: dict[str, str] = {}
    for path, most in wanted.items():
        content = _decode(coded.get(path), most)
        if content is not None:
            files[path] = content
        else:
            fault = said.get(path)
            faults[path] = one_line(fault, LINE) if isinstance(fault, str) and fault.strip() else UNREADABLE
    return files, faults


def _parse(delivered: bytes) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(delivered))
    # Of deeply nested brackets the parser gives up by RecursionError, and numbers of many digits are a ValueError.
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _decode(coded: object, most: int) -> bytes | None:
    if not isinstance(coded, str):
        return None
    try:
        content = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if len(content) <= most else None
