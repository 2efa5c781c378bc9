"""What train.py reads: endless batches of the training text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpus.arrays import token_type
from corpus.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch


def make_dataloader(
    data: str | Path, *, batch_size: int, sequence_length: int, seed: int, device: str = "cpu"
) -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
    """Endless training batches: inputs (B, T), targets (B, T), both int64 on device, and the epoch from 0.

    Rows look as the exam's sequences do: BOS, then a window of text. The stream is cut into windows at a
    phase drawn anew for every epoch and served in random order, so an epoch shows every token once.
    """
    import torch

    vocabulary_size = len(np.load(Path(data, "tokenizer", "token_bytes.npy")))
    bos = Tokenizer.load(data).bos
    stream = np.memmap(Path(data, "train", "tokens.bin"), dtype=token_type(vocabulary_size), mode="r")
    generator, epoch = np.random.default_rng(seed), 0
    while True:
        phase = generator.integers(sequence_length)
        starts = generator.permutation(np.arange(phase, len(stream) - sequence_length, sequence_length))
        for at in range(0, len(starts) - batch_size + 1, batch_size):
            windows = stream[starts[at : at + batch_size, None] + np.arange(sequence_length)]
            rows = np.pad(windows.astype(np.int64), ((0, 0), (1, 0)), constant_values=bos)
            batch = torch.from_numpy(rows)
            if device != "cpu":
                batch = batch.pin_memory().to(device, non_blocking=True)
            yield batch[:, :-1], batch[:, 1:], epoch
        epoch += 1
