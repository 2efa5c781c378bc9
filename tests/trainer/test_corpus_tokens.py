"""The tokenizer and the batches of the training text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from corpus.batches import make_dataloader
from corpus.tokenizer import Tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.small_task import NOT_ASCII


@settings(deadline=None)  # a busy machine is no failure
@given(st.text())
def test_any_text_survives_and_its_bytes_are_counted_exactly(data_folder: Path, text: str) -> None:
    tokenizer = Tokenizer.load(data_folder)

    tokens = tokenizer.encode(text)

    assert tokenizer.decode(tokens) == text
    assert tokenizer.byte_lengths()[tokens].sum(dtype=int) == len(text.encode())


def test_bytes_are_raw_where_tokens_are_parts_of_a_character(data_folder: Path) -> None:
    tokenizer = Tokenizer.load(data_folder)
    tokens = tokenizer.encode(NOT_ASCII)

    through_text = sum(len(tokenizer.decode([token]).encode()) for token in tokens)

    assert tokenizer.byte_lengths()[tokens].sum(dtype=int) == len(NOT_ASCII.encode()) < through_text


def test_text_that_looks_like_a_special_token_is_text(data_folder: Path) -> None:
    tokenizer = Tokenizer.load(data_folder)

    tokens = tokenizer.encode("<|bos|>")

    assert not set(tokens) & set(tokenizer.special_tokens.values())
    assert tokenizer.decode(tokens) == "<|bos|>"


def test_the_stored_byte_table_is_the_tokenizers_and_specials_are_zero(data_folder: Path) -> None:
    tokenizer = Tokenizer.load(data_folder)
    table = np.load(data_folder / "tokenizer" / "token_bytes.npy")

    assert table.dtype == np.uint16
    assert table.tolist() == tokenizer.byte_lengths().tolist()
    assert np.flatnonzero(table == 0).tolist() == sorted(tokenizer.special_tokens.values())


def test_batches_look_like_exam_sequences_and_targets_are_the_next_tokens(data_folder: Path) -> None:
    tokenizer = Tokenizer.load(data_folder)
    stream = (data_folder / "train" / "tokens.bin").read_bytes()

    inputs, targets, epoch = next(make_dataloader(data_folder, batch_size=8, sequence_length=16, seed=0))

    assert inputs.shape == targets.shape == (8, 16)
    assert epoch == 0
    assert (inputs[:, 0] == tokenizer.bos).all()
    assert (inputs[:, 1:] == targets[:, :-1]).all()
    assert all(row.numpy().astype("<u2").tobytes() in stream for row in targets)


def test_an_epoch_shows_no_token_twice(data_folder: Path) -> None:
    size = np.memmap(data_folder / "train" / "tokens.bin", dtype="<u2", mode="r").size
    rows = 0
    for _, targets, epoch in make_dataloader(data_folder, batch_size=16, sequence_length=64, seed=0):
        if epoch == 1:
            break
        rows += len(targets)

    assert size // 64 - 17 <= rows <= size // 64


def test_the_seed_decides_the_order_of_batches(data_folder: Path) -> None:
    def first(seed: int) -> list[list[int]]:
        batch = next(make_dataloader(data_folder, batch_size=4, sequence_length=16, seed=seed))[0]
        rows: list[list[int]] = batch.tolist()
        return rows

    assert first(1) == first(1) != first(2)
