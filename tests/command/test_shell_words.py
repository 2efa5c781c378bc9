"""bash reads a path that we print inside a command as the one that was meant."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from controller.text.shell_words import shell_word


@pytest.mark.parametrize(
    "name", ["a b'\"$x", "-rf", "--", "a\nb", "a\x1b[31mb", "tab\there", "back\\slash\x07'", "\u202egnp", b"\xff\n"]
)
def test_bash_reads_it_back_as_the_same_path(name: str | bytes) -> None:
    path = Path(os.fsdecode(name))
    word = shell_word(path)

    read = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout

    assert read.removeprefix(b"./") == os.fsencode(path)
    assert word.isprintable()
    assert not word.startswith("-")
