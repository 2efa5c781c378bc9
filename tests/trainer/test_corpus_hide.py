"""The folders of an image that hold the exam's text can be read by one group alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest
from corpus.documents import Document
from corpus.errors import PrepareError
from corpus.hide import hide
from corpus.sources import open_source

NOBODY = 65532


@pytest.fixture
def library() -> Iterator[Path]:
    """A library that other users can reach, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for name in ("idlelib", "email"):
            (Path(folder) / name).mkdir()
            (Path(folder) / name / "text.py").write_text(f"# {name}\n" * 9)
        yield Path(folder)


def read_as_nobody(library: Path, groups: list[int]) -> str:
    """The folders that are read as such a user, or the sentence that refuses it."""
    with get_context("fork").Pool(1, _become, (library, groups)) as one:
        return one.apply(_read)


def _become(library: Path, groups: list[int]) -> None:
    os.setgroups(groups)
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    pytest.MonkeyPatch().setattr("sysconfig.get_path", lambda _: str(library))


def _read() -> str:
    try:
        found = open_source(["stdlib"]).found
    except PrepareError as error:
        return str(error)
    return " ".join(sorted(f"{item.text.split()[1]}:{item.folder}" for item in found if isinstance(item, Document)))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_only_the_group_reads_them(library: Path) -> None:
    assert hide(library, 65533) == [library / "idlelib"]

    assert read_as_nobody(library, [65533]) == "email: idlelib:idlelib"
    refusal = read_as_nobody(library, [])
    assert "only group 65533 may read it: run prepare.py in that group (docker run --group-add 65533)" in refusal
