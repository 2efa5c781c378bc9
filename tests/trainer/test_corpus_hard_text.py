"""Text that the tokenizer's libraries cannot take as it is: prepared without losing a byte, or its file is named."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from corpus import digestible
from corpus.digestible import BLANKS, MOST_BLANKS, Indigestible, cut_blanks
from corpus.documents import Document
from corpus.errors import PrepareError
from corpus.folder import build
from corpus.pools import draw_pools
from corpus.recipe import Recipe
from corpus.tokenizer import Tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.small_task import manifest_of, run_prepare

MANY = 1_200_000
RECIPE = Recipe(
    "",
    vocabulary_size=270,
    sequence_length=8,
    sequences=2,
    probe_count=2,
    probe_sets=1,
    reserve_slices=0,
    reserve_sequences=1,
    seed=0,
)

hard_texts = pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" + " " * MANY + "x", id="blanks"),
        pytest.param("\t" * MANY, id="tabs"),
        pytest.param("\N{NO-BREAK SPACE}" * MANY + "x", id="no-break spaces"),
        pytest.param("\t \N{IDEOGRAPHIC SPACE}\f" * (MANY // 4) + "x", id="mixed"),
        pytest.param("\n" + " " * MANY + "x", id="blanks after a line end"),
        pytest.param("\n" * MANY + "x", id="line ends"),
        pytest.param("x \r\n" * (MANY // 4), id="blanks before line ends"),
        pytest.param("\0" * MANY, id="NULs"),
        pytest.param("7" * MANY, id="digits"),
        pytest.param("^" * MANY, id="signs"),
        pytest.param("a\N{COMBINING ACUTE ACCENT}" * MANY, id="combining"),
    ],
)


@hard_texts
def test_any_text_is_learnt_from_and_survives_with_its_bytes_counted(text: str) -> None:
    tokenizer = Tokenizer.train([text, "and some words"], 270)

    tokens, again = tokenizer.encode_batch([text, "words"])

    assert tokenizer.decode(tokens) == text
    assert tokenizer.byte_lengths()[tokens].sum(dtype=int) == len(text.encode())
    assert tokenizer.encode("words") == again


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(st.sampled_from(" \t\N{NO-BREAK SPACE}\n\rx")), st.integers(1, 5))
def test_cutting_loses_nothing_and_leaves_what_is_short_alone(text: str, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digestible, "MOST_BLANKS", most)
        parts = cut_blanks(text)

    assert "".join(parts) == text
    assert all(len(run) <= most for part in parts for run in BLANKS.findall(part))
    assert all(BLANKS.fullmatch(left[-1] + right[0]) for left, right in pairwise(parts))
    assert len(parts) == 1 or max(map(len, BLANKS.findall(text))) > most


def test_blanks_are_what_the_regex_engine_takes_for_them() -> None:
    engine = tiktoken.Encoding(
        "blank", pat_str=r"\s", mergeable_ranks={bytes([byte]): byte for byte in range(256)}, special_tokens={}
    )
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]

    blank = {character for character in characters if engine.encode_ordinary(character)}  # what matches nothing is lost

    assert {character for character in characters if BLANKS.fullmatch(character)} == blank - {"\r", "\n"}


def test_the_command_tells_how_often_it_cut(text_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(text_folder, tmp_path / "text")
    (tmp_path / "text" / "blank.txt").write_text("wide" + " " * 1_000_000 + "open")
    (tmp_path / "text" / "tabs.txt").write_text("\t" * (2 * MOST_BLANKS + 1))

    result = run_prepare(tmp_path / "data", source=tmp_path / "text")

    assert result.returncode == 0, result.stderr
    assert "cut: 3 times in runs of more than 500,000 blanks, for the tokenizer; no byte is lost\n" in result.stdout
    splits = manifest_of(tmp_path / "data")["splits"]
    stored = np.load(tmp_path / "data" / "tokenizer" / "token_bytes.npy")
    stream = np.fromfile(tmp_path / "data" / "train" / "tokens.bin", dtype="<u2")
    assert splits["train"]["bytes"] == stored[stream].sum(dtype=int)


def test_tokens_of_half_a_million_bytes_are_counted_exactly() -> None:
    text = "a" * 3_000_000
    tokenizer = Tokenizer.train([text], 280)

    lengths = tokenizer.byte_lengths()

    assert lengths.max() > np.iinfo(np.uint16).max
    assert lengths[tokenizer.encode(text)].sum(dtype=int) == len(text)


@pytest.mark.parametrize("place", [0, 19], ids=["among the exam's", "where the tokenizer learns"])
def test_what_the_library_refuses_all_the_same_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    documents = [Document(f"{number} words and words {number * 7}\n" * 40, f"{number}.txt") for number in range(20)]
    documents[place] = replace(documents[place], text="x" + " " * MANY + "x")
    monkeypatch.setattr(digestible, "MOST_BLANKS", 2 * MANY)

    with pytest.raises(PrepareError) as told:
        build(tmp_path, documents, draw_pools(documents, RECIPE), RECIPE)

    pattern = rf"{place}\.txt: the tokenizer's library cannot take this text \(.*StackOverflow.*\): leave it out"
    assert re.fullmatch(pattern, str(told.value))


def test_other_interruptions_pass_the_guard() -> None:
    def interrupt() -> None:
        with digestible.name_panics("text"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_a_panic_of_the_library_is_the_one_that_the_guard_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer.train(["some words"], 260)
    monkeypatch.setattr(digestible, "MOST_BLANKS", 2 * MANY)

    with pytest.raises(Indigestible):
        tokenizer.encode(" " * MANY)
