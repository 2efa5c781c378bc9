"""Writes a path as a word of a command that people copy into a shell. Pure."""

from __future__ import annotations

import shlex
from pathlib import Path


def shell_word(path: Path) -> str:
    """The path as one word for sh, quoted where it must be; never an option, and never a line end or an escape."""
    text = str(path)
    text = f"./{text}" if text.startswith("-") else text
    if text.isprintable():
        return shlex.quote(text)
    # bash and zsh read these escapes; a plain quotation would hold the character itself.
    return f"$'{''.join(_escaped(character) for character in text)}'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
