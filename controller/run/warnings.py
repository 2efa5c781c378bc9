"""Prints a warning for the operator: one line on the terminal, whatever the text is from."""

from __future__ import annotations

from rich.console import Console

from controller.text.safe_text import PARAGRAPHS, one_line


def print_warning(err: Console, text: str) -> None:
    """Print it on one line, without what a terminal would obey."""
    err.print(f"  warning  {one_line(text, PARAGRAPHS)}", markup=False)
