"""The file of a phase's output: bounded, and harmless to whoever looks at it with `cat`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.local.capped_log import CappedLog
from tests.support.hostile_text import HOSTILE, find_hostile

CHUNKS = st.binary(max_size=60) | st.sampled_from([text.encode(errors="replace") for text in HOSTILE])


@given(st.lists(CHUNKS, max_size=20), st.integers(16, 300))
def test_file_is_bounded_and_holds_nothing_that_a_terminal_obeys(chunks: list[bytes], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with CappedLog(Path(folder) / "log", limit=limit) as log:
            for chunk in chunks:
                log.write(chunk)
        written = (Path(folder) / "log").read_bytes()

    assert find_hostile(written.decode()) is None
    assert len(written) <= limit + len("\n… 10000000 bytes left out …\n".encode())


@pytest.mark.parametrize("size", [1, 2, 7])
def test_text_of_any_language_arrives_whole_however_it_is_cut(tmp_path: Path, size: int) -> None:
    text = "Schritt 1: größer 学习率 \N{ROCKET}\n"
    with CappedLog(tmp_path / "log", limit=2**16) as log:
        for start in range(0, len(text.encode()), size):
            log.write(text.encode()[start : start + size])

    assert (tmp_path / "log").read_text(encoding="utf-8") == text
