"""Writes an unexpected exception as one line, where a traceback would frighten an operator. Pure."""

from __future__ import annotations

from pathlib import Path
from traceback import extract_tb

from controller.text.safe_text import one_line


def fault_line(error: BaseException) -> str:
    """A fault of ours in one line: its kind, its text, and the file and line that raised it."""
    where = extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in where)
    text = one_line(str(error))
    return f"{type(error).__name__}{f': {text}' if text else ''}{place}"
