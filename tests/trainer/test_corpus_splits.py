"""The splits: nothing of the exam is in the training text, and exam sequences lie far apart."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
from corpus.errors import PrepareError
from corpus.splits import cut_windows, share_windows
from corpus.tokenizer import Tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.small_task import documents_in, manifest_of, run_prepare


def split_documents(data: Path) -> dict[str, set[int]]:
    """The marked documents that each split holds text of."""
    tokenizer = Tokenizer.load(data)
    stream = np.fromfile(data / "train" / "tokens.bin", dtype="<u2")
    splits = {"train": documents_in(tokenizer.decode(stream.tolist()))}
    for name in ("validation", "holdout", "reserve"):
        rows = np.concatenate([np.load(path) for path in sorted((data / name).rglob("sequences.npy"))])
        splits[name] = set().union(*(documents_in(tokenizer.decode(row.tolist())) for row in rows))
    return splits


def test_splits_share_no_document_and_lose_none(marked: tuple[Path, Path]) -> None:
    splits = split_documents(marked[1])

    assert all(not first & second for first, second in combinations(splits.values(), 2))
    assert manifest_of(marked[1])["splits"]["train"]["documents"] == len(splits["train"])
    assert len(splits["validation"]) == len(splits["holdout"]) == 60 // 4


def test_every_sequence_is_a_bos_and_text_and_counts_are_true(data_folder: Path) -> None:
    tokenizer, splits = Tokenizer.load(data_folder), manifest_of(data_folder)["splits"]
    token_bytes = np.load(data_folder / "tokenizer" / "token_bytes.npy")

    for name in ("validation", "holdout"):
        rows = np.load(data_folder / name / "sequences.npy")
        assert rows.shape == (24, 32 + 1)
        assert rows.dtype == np.uint16
        assert (rows[:, 0] == tokenizer.bos).all()
        assert (token_bytes[rows[:, 1:]] > 0).all()
        assert splits[name]["tokens"] == rows[:, 1:].size
        assert splits[name]["bytes"] == token_bytes[rows[:, 1:]].sum(dtype=int)


def test_training_stream_is_documents_that_each_start_with_bos(text_folder: Path, data_folder: Path) -> None:
    tokenizer = Tokenizer.load(data_folder)
    stream = np.fromfile(data_folder / "train" / "tokens.bin", dtype="<u2")
    starts = np.load(data_folder / "train" / "documents.npy")
    originals = {path.read_text() for path in text_folder.iterdir()}

    documents = [tokenizer.decode(part[1:].tolist()) for part in np.split(stream, starts[1:])]

    assert starts.tolist() == np.flatnonzero(stream == tokenizer.bos).tolist()
    assert set(documents) < originals
    assert len(documents) == len(set(documents))


lengths_and_counts = st.tuples(st.lists(st.integers(5, 200), min_size=1, max_size=12), st.integers(1, 40))


@settings(deadline=None)  # a busy machine is no failure
@given(lengths_and_counts)
def test_windows_never_overlap_and_every_document_gives_one_first(case: tuple[list[int], int]) -> None:
    lengths, count = case
    documents = [list(range(1000 * number, 1000 * number + length)) for number, length in enumerate(lengths)]
    try:
        windows = cut_windows(documents, window=5, count=count, seed=0)
    except PrepareError:
        assert count > sum(length // 5 for length in lengths)
        return

    tokens = [token for window in windows for token in window]
    assert len(windows) == count
    assert len(tokens) == len(set(tokens)) == 5 * count
    assert len({window[0] // 1000 for window in windows}) == min(count, len(lengths))


@settings(deadline=None)  # a busy machine is no failure
@given(lengths_and_counts)
def test_windows_of_one_document_are_as_far_apart_as_any_sharing_allows(case: tuple[list[int], int]) -> None:
    lengths, count = case
    try:
        shares = share_windows(lengths, window=5, count=count)
    except PrepareError:
        return

    def gap(length: int, share: int) -> int:
        return (length - 5) // (share - 1) if share > 1 else 10_000

    narrowest = min(gap(length, share) for length, share in zip(lengths, shares, strict=False))
    # Whoever wants every gap wider than the narrowest gets fewer windows than asked.
    most = sum(1 + (length - 5) // (narrowest + 1) for length in lengths)
    assert narrowest == 10_000 or most < count


def test_windows_of_one_document_reach_from_its_start_to_its_end() -> None:
    windows = cut_windows([list(range(105))], window=5, count=5, seed=0)

    assert [window[0] for window in windows] == [0, 25, 50, 75, 100]


def test_windows_are_spread_only_when_documents_run_out(marked: tuple[Path, Path]) -> None:
    tokenizer = Tokenizer.load(marked[1])
    rows = np.load(marked[1] / "validation" / "sequences.npy")
    owners = [documents_in(tokenizer.decode(row.tolist())) for row in rows]

    assert max(sum(owner == other for other in owners) for owner in owners) > 1  # 24 sequences, 15 documents
    assert len({tuple(row) for row in rows.tolist()}) == len(rows)


def test_slices_of_the_reserve_share_no_sequence_with_anything(data_folder: Path) -> None:
    names = ["validation", "holdout", *(f"reserve/{number:03}" for number in range(4))]
    seen: set[tuple[int, ...]] = set()
    for name in names:
        rows = {tuple(row) for row in np.load(data_folder / name / "sequences.npy").tolist()}
        assert rows.isdisjoint(seen), name
        seen |= rows
    counts = manifest_of(data_folder)["splits"]["reserve"]
    assert (counts["slices"], counts["sequences"], counts["tokens"]) == (4, 24, 24 * 32)


def test_a_small_text_gets_a_smaller_reserve_and_a_tiny_one_is_told(marked: tuple[Path, Path], tmp_path: Path) -> None:
    text = marked[0]
    sizes = ("--vocabulary", "300", "--reserve-slices", "90")

    made = run_prepare(tmp_path / "less", *sizes, source=text)
    refused = run_prepare(tmp_path / "none", "--vocabulary", "300", "--reserve-slices", "9999", source=text)
    without = run_prepare(tmp_path / "without", "--vocabulary", "300", "--reserve-slices", "0", source=text)

    assert made.returncode == 0, made.stderr
    assert len(list((tmp_path / "less" / "reserve").iterdir())) == 90
    assert 1 <= len(np.load(tmp_path / "less" / "reserve" / "000" / "sequences.npy")) < 6
    assert refused.returncode == 2
    assert "too small for a reserve of 9999 slices" in refused.stderr
    assert without.returncode == 0, without.stderr
    assert not (tmp_path / "without" / "reserve").exists()
