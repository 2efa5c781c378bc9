"""Train, validation, holdout and reserve: no document in two of them, and one exam sequence a document where possible.

Neighbours from one document would make learning during the exam pay. The reserve is cut more densely where text is
scarce, and its slices are drawn at random from all its sequences.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from corpus.arrays import Tokens, save, token_type
from corpus.errors import PrepareError
from corpus.recipe import Recipe
from corpus.tokenizer import Tokenizer

BATCH_DOCUMENTS = 1024  # tokenised at a time, on all cores


def share_windows(lengths: Sequence[int], *, window: int, count: int) -> list[int]:
    """How many windows to cut from each document so that neighbours lie as far apart as possible.

    One each; further ones go, one by one, to the document where the gap they leave is widest. lengths: tokens
    of each document, none shorter than window. Raises PrepareError when count windows would overlap.
    """
    shares = [1] * min(count, len(lengths))

    def gap(index: int) -> int:
        return (lengths[index] - window) // shares[index] - window  # if one more were cut here

    widest = [(-gap(index), index) for index in range(len(shares))]
    heapq.heapify(widest)
    for _ in range(count - len(shares)):
        if not widest or widest[0][0] > 0:
            raise PrepareError(
                f"the source is too small for {count} sequences of {window} tokens in each of validation and holdout: "
                "add text, or ask for fewer --sequences or a shorter --sequence-length"
            )
        _, index = heapq.heappop(widest)
        shares[index] += 1
        heapq.heappush(widest, (-gap(index), index))
    return shares


def cut_windows(documents: Sequence[Sequence[int]], *, window: int, count: int, seed: int) -> list[Sequence[int]]:
    """Cut count windows, in the documents' order.

    A single window lies anywhere in its document (seeded); several are spread from its start to its end.
    """
    generator = np.random.default_rng([seed, 1])
    shares = share_windows([len(document) for document in documents], window=window, count=count)
    windows: list[Sequence[int]] = []
    for document, share in zip(documents, shares, strict=False):
        room = len(document) - window
        starts = [int(generator.integers(room + 1))] if share == 1 else np.linspace(0, room, share).astype(int).tolist()
        windows += [document[start : start + window] for start in starts]
    return windows


def choose_documents(
    pool: Sequence[str], tokenizer: Tokenizer, *, window: int, count: int
) -> tuple[list[list[int]], list[str]]:
    """The first count documents of the pool that hold a whole window, as tokens; and the texts of all others."""
    chosen: list[list[int]] = []
    spare: list[str] = []
    for at in range(0, len(pool), BATCH_DOCUMENTS):
        texts = pool[at : at + BATCH_DOCUMENTS]
        if len(chosen) == count:
            spare += texts
            continue
        for text, tokens in zip(texts, tokenizer.encode_batch(texts), strict=True):
            if len(tokens) >= window and len(chosen) < count:
                chosen.append(tokens)
            else:
                spare.append(text)
    return chosen, spare


def write_exam_split(
    data: Path, name: str, pool: Sequence[str], tokenizer: Tokenizer, recipe: Recipe
) -> tuple[Tokens, dict[str, int], list[str]]:
    """Write validation or holdout, each sequence a BOS and one window. Returns it, its counts, and unused texts."""
    window, count = recipe.sequence_length, recipe.sequences
    documents, spare = choose_documents(pool, tokenizer, window=window, count=count)
    windows = np.array(cut_windows(documents, window=window, count=count, seed=recipe.seed))
    save(data / name / "sequences.npy", sequences := _sequences_of(windows, tokenizer))
    return sequences, _counts_of(documents, windows, tokenizer), spare


def write_reserve(
    data: Path, pool: Sequence[str], tokenizer: Tokenizer, recipe: Recipe
) -> tuple[list[Tokens], dict[str, int], list[str]]:
    """Write the slices of the reserve. Returns them, their counts, and the texts that were not needed.

    A slice holds as many sequences as the pool has room for, and at most as many as were asked for.
    """
    if not recipe.reserve_slices:
        return [], {}, list(pool)
    window, most = recipe.sequence_length, recipe.reserve_slices * recipe.reserve_sequences
    documents, spare = choose_documents(pool, tokenizer, window=window, count=most)
    room = sum(len(document) // window for document in documents)
    size = min(recipe.reserve_sequences, room // recipe.reserve_slices)
    if size < 1:
        raise PrepareError(
            f"the source is too small for a reserve of {recipe.reserve_slices} slices ({room} sequences): add text, "
            "or ask for fewer --reserve-slices and set task.reserve_slices to the same number"
        )
    count = recipe.reserve_slices * size
    windows = np.array(cut_windows(documents, window=window, count=count, seed=recipe.seed))
    windows = windows[np.random.default_rng([recipe.seed, 3]).permutation(count)]
    slices = np.split(_sequences_of(windows, tokenizer), recipe.reserve_slices)
    for number, part in enumerate(slices):
        save(data / "reserve" / f"{number:03}" / "sequences.npy", part)
    counts = {"slices": recipe.reserve_slices, **_counts_of(documents[:count], windows, tokenizer)}
    return slices, counts, spare


def _sequences_of(windows: Tokens, tokenizer: Tokenizer) -> Tokens:
    rows = np.pad(windows, ((0, 0), (1, 0)), constant_values=tokenizer.bos)
    sequences: Tokens = rows.astype(token_type(tokenizer.vocabulary_size))
    return sequences


def _counts_of(documents: Sequence[object], windows: Tokens, tokenizer: Tokenizer) -> dict[str, int]:
    scored_bytes = int(tokenizer.byte_lengths()[windows].sum(dtype=np.int64))
    return {"documents": len(documents), "sequences": len(windows), "tokens": windows.size, "bytes": scored_bytes}


def write_train_split(data: Path, texts: Sequence[str], tokenizer: Tokenizer) -> tuple[Tokens, dict[str, int]]:
    """Write the training stream, every document after a BOS, and where each starts. Returns it and its counts."""
    (data / "train").mkdir()
    kind, lengths = token_type(tokenizer.vocabulary_size), []
    with (data / "train" / "tokens.bin").open("wb") as file:
        for at in range(0, len(texts), BATCH_DOCUMENTS):
            for tokens in tokenizer.encode_batch(texts[at : at + BATCH_DOCUMENTS]):
                file.write(np.array([tokenizer.bos, *tokens], dtype=kind).tobytes())
                lengths.append(len(tokens) + 1)
    offsets = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
    save(data / "train" / "documents.npy", offsets)
    counts = {"documents": len(texts), "tokens": sum(lengths), "bytes": sum(len(text.encode()) for text in texts)}
    return np.memmap(data / "train" / "tokens.bin", dtype=kind, mode="r"), counts
