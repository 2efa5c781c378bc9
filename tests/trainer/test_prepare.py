"""The data folder: the same text and seed make the same folder, and nothing of the exam is in the training text."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import prepare
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.conftest import NOT_ASCII, SIZES, TASK, run_prepare

NAME = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def manifest_of(data: Path) -> dict[str, Any]:
    """The manifest of a finished folder."""
    fields: dict[str, Any] = json.loads((data / "manifest.json").read_text())
    return fields


def documents_in(text: str) -> set[int]:
    """Which of the marked documents a piece of text comes from."""
    return {int(number) for number in re.findall(r"doc(\d{4})", text)}


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sixty documents that sign every line with their number, so any piece of text tells where it is from."""
    root = tmp_path_factory.mktemp("marked")
    (root / "text").mkdir()
    for number in range(60):
        words = (f"doc{number:04d} {NAME[line % 10]} {NAME[line * number % 10]}\n" for line in range(20 + 5 * number))
        (root / "text" / f"{number}.txt").write_text("".join(words))
    result = run_prepare(root / "data", "--vocabulary", "300", source=root / "text")
    assert result.returncode == 0, result.stderr
    return root / "text", root / "data"


# Determinism ------------------------------------------------------------------------------------


def test_same_text_and_seed_make_the_same_folder_whatever_the_paths(marked: tuple[Path, Path], tmp_path: Path) -> None:
    text, data = marked
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    for number, path in enumerate(sorted(text.iterdir(), reverse=True)):
        target = tmp_path / "elsewhere" / ("deep" if number % 2 else "") / f"renamed{number}"
        target.write_bytes(path.read_bytes())
        os.utime(target, (number, number))

    run_prepare(tmp_path / "again", "--vocabulary", "300", source=tmp_path / "elsewhere")

    assert manifest_of(data)["identity"] == manifest_of(tmp_path / "again")["identity"]


def test_another_seed_draws_other_splits(marked: tuple[Path, Path], tmp_path: Path) -> None:
    text, data = marked

    run_prepare(tmp_path / "other", "--vocabulary", "300", "--seed", "1", source=text)

    assert manifest_of(data)["identity"] != manifest_of(tmp_path / "other")["identity"]


def test_exact_duplicates_change_nothing(marked: tuple[Path, Path], tmp_path: Path) -> None:
    text, data = marked
    shutil.copytree(text, tmp_path / "doubled")
    for number, path in enumerate(sorted(text.iterdir())):
        shutil.copy(path, tmp_path / "doubled" / f"copy{number}.txt")

    run_prepare(tmp_path / "data", "--vocabulary", "300", source=tmp_path / "doubled")

    assert manifest_of(data)["identity"] == manifest_of(tmp_path / "data")["identity"]


# Splits -----------------------------------------------------------------------------------------


def split_documents(data: Path) -> dict[str, set[int]]:
    """The marked documents that each split holds text of."""
    tokenizer = prepare.Tokenizer.load(data)
    stream = np.fromfile(data / "train" / "tokens.bin", dtype="<u2")
    splits = {"train": documents_in(tokenizer.decode(stream.tolist()))}
    for name in ("validation", "holdout"):
        rows = np.load(data / name / "sequences.npy")
        splits[name] = set().union(*(documents_in(tokenizer.decode(row.tolist())) for row in rows))
    return splits


def test_splits_share_no_document_and_lose_none(marked: tuple[Path, Path]) -> None:
    splits = split_documents(marked[1])

    assert all(not first & second for first, second in combinations(splits.values(), 2))
    assert manifest_of(marked[1])["splits"]["train"]["documents"] == len(splits["train"])
    assert len(splits["validation"]) == len(splits["holdout"]) == 60 // 4


def test_every_sequence_is_a_bos_and_text_and_counts_are_true(data_folder: Path) -> None:
    tokenizer, splits = prepare.Tokenizer.load(data_folder), manifest_of(data_folder)["splits"]
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
    tokenizer = prepare.Tokenizer.load(data_folder)
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
        windows = prepare.cut_windows(documents, window=5, count=count, seed=0)
    except prepare.PrepareError:
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
        shares = prepare.share_windows(lengths, window=5, count=count)
    except prepare.PrepareError:
        return

    def gap(length: int, share: int) -> int:
        return (length - 5) // (share - 1) if share > 1 else 10_000

    narrowest = min(gap(length, share) for length, share in zip(lengths, shares, strict=False))
    # Whoever wants every gap wider than the narrowest gets fewer windows than asked.
    most = sum(1 + (length - 5) // (narrowest + 1) for length in lengths)
    assert narrowest == 10_000 or most < count


def test_windows_of_one_document_reach_from_its_start_to_its_end() -> None:
    windows = prepare.cut_windows([list(range(105))], window=5, count=5, seed=0)

    assert [window[0] for window in windows] == [0, 25, 50, 75, 100]


def test_windows_are_spread_only_when_documents_run_out(marked: tuple[Path, Path]) -> None:
    tokenizer = prepare.Tokenizer.load(marked[1])
    rows = np.load(marked[1] / "validation" / "sequences.npy")
    owners = [documents_in(tokenizer.decode(row.tolist())) for row in rows]

    assert max(sum(owner == other for other in owners) for owner in owners) > 1  # 24 sequences, 15 documents
    assert len({tuple(row) for row in rows.tolist()}) == len(rows)


# Probes -----------------------------------------------------------------------------------------


def probe_sets(data: Path) -> Iterable[tuple[npt.NDArray[np.uint16], npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
    """Questions (N, T), sequence ids (N,) and cuts (N,) of every set."""
    for folder in sorted((data / "probes").iterdir()):
        cuts = np.load(folder / "answers" / "cuts.npy")
        assert np.array_equal(cuts, np.load(folder / "questions" / "cuts.npy"))
        yield np.load(folder / "questions" / "tokens.npy"), np.load(folder / "answers" / "sequences.npy"), cuts


def test_a_question_is_a_real_prefix_without_its_label(data_folder: Path) -> None:
    rows = np.load(data_folder / "validation" / "sequences.npy")

    for questions, chosen, cuts in probe_sets(data_folder):
        assert questions.shape == (16, 32)
        assert len(set(chosen.tolist())) == 16
        for question, row, cut in zip(questions, rows[chosen], cuts, strict=True):
            assert question[: cut + 1].tolist() == row[: cut + 1].tolist()
            assert cut == 31 or question[cut + 1] != row[cut + 1]


def test_tails_come_from_the_training_text_alone(data_folder: Path) -> None:
    stream = (data_folder / "train" / "tokens.bin").read_bytes()

    for questions, _, cuts in probe_sets(data_folder):
        for question, cut in zip(questions, cuts, strict=True):
            assert question[cut + 1 :].tobytes() in stream


@pytest.fixture
def few_tokens() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Sequences (400, 9), a training stream and byte lengths over ten tokens, so that chance hits are common."""
    generator = np.random.default_rng(0)
    sequences = generator.integers(0, 10, size=(400, 9)).astype(np.uint16)
    sequences[:, 3] = 9  # a special token is never scored
    return sequences, generator.integers(0, 9, size=500).astype(np.uint16), np.array([1] * 9 + [0], dtype=np.uint16)


def test_cuts_fall_on_every_scored_position_and_no_other(few_tokens: Any) -> None:
    sequences, train, token_bytes = few_tokens
    generator = np.random.default_rng(1)

    probes = prepare.draw_probe_set(sequences, train, token_bytes=token_bytes, count=400, generator=generator)

    labels = sequences[probes["answers/sequences"], probes["answers/cuts"] + 1]
    assert (labels != 9).all()
    assert set(probes["answers/cuts"].tolist()) == {0, 1, 3, 4, 5, 6, 7}


def test_a_tail_never_begins_with_the_label_even_by_chance(few_tokens: Any) -> None:
    sequences, train, token_bytes = few_tokens
    generator = np.random.default_rng(1)

    probes = prepare.draw_probe_set(sequences, train, token_bytes=token_bytes, count=400, generator=generator)

    asked = [
        (question[cut + 1], row[cut + 1])
        for question, row, cut in zip(
            probes["questions/tokens"], sequences[probes["answers/sequences"]], probes["answers/cuts"], strict=True
        )
        if cut < 7
    ]
    assert len(asked) > 300
    assert all(shown != label for shown, label in asked)


def test_probe_sets_differ_and_do_not_follow_the_order_of_the_sequences(data_folder: Path) -> None:
    orders = [(chosen.tolist(), cuts.tolist()) for _, chosen, cuts in probe_sets(data_folder)]

    assert len(orders) == 3
    assert all(first != second for first, second in combinations(orders, 2))
    assert all(any(a > b for a, b in pairwise(chosen)) for chosen, _ in orders)


# Tokenizer --------------------------------------------------------------------------------------


@settings(deadline=None)  # a busy machine is no failure
@given(st.text())
def test_any_text_survives_and_its_bytes_are_counted_exactly(data_folder: Path, text: str) -> None:
    tokenizer = prepare.Tokenizer.load(data_folder)

    tokens = tokenizer.encode(text)

    assert tokenizer.decode(tokens) == text
    assert tokenizer.byte_lengths()[tokens].sum(dtype=int) == len(text.encode())


def test_bytes_are_raw_where_tokens_are_parts_of_a_character(data_folder: Path) -> None:
    tokenizer = prepare.Tokenizer.load(data_folder)
    tokens = tokenizer.encode(NOT_ASCII)

    through_text = sum(len(tokenizer.decode([token]).encode()) for token in tokens)

    assert tokenizer.byte_lengths()[tokens].sum(dtype=int) == len(NOT_ASCII.encode()) < through_text


def test_text_that_looks_like_a_special_token_is_text(data_folder: Path) -> None:
    tokenizer = prepare.Tokenizer.load(data_folder)

    tokens = tokenizer.encode("<|bos|>")

    assert not set(tokens) & set(tokenizer.special_tokens.values())
    assert tokenizer.decode(tokens) == "<|bos|>"


def test_the_stored_byte_table_is_the_tokenizers_and_specials_are_zero(data_folder: Path) -> None:
    tokenizer = prepare.Tokenizer.load(data_folder)
    table = np.load(data_folder / "tokenizer" / "token_bytes.npy")

    assert table.dtype == np.uint16
    assert table.tolist() == tokenizer.byte_lengths().tolist()
    assert np.flatnonzero(table == 0).tolist() == sorted(tokenizer.special_tokens.values())


# Sources ----------------------------------------------------------------------------------------


def write_parquet(path: Path, texts: list[str], column: str = "text") -> Path:
    """A parquet file with one column of documents."""
    pq.write_table(pa.table({column: texts}), path)
    return path


def test_parquet_files_and_text_files_of_one_text_make_one_folder(marked: tuple[Path, Path], tmp_path: Path) -> None:
    text, data = marked
    texts = [path.read_text() for path in sorted(text.iterdir())]
    files = [write_parquet(tmp_path / "a.parquet", texts[:20]), write_parquet(tmp_path / "b.parquet", texts[20:])]

    run_prepare(tmp_path / "by name", "--vocabulary", "300", "--source", *map(str, files))
    run_prepare(tmp_path / "by folder", "--vocabulary", "300", source=tmp_path)

    assert manifest_of(data)["identity"] == manifest_of(tmp_path / "by name")["identity"]
    assert manifest_of(data)["identity"] == manifest_of(tmp_path / "by folder")["identity"]


def test_the_default_source_is_this_interpreters_library(tmp_path: Path) -> None:
    result = run_prepare(tmp_path / "data")

    assert result.returncode == 0, result.stderr
    assert manifest_of(tmp_path / "data")["source"].startswith("stdlib (")
    assert manifest_of(tmp_path / "data")["splits"]["validation"]["documents"] == 24  # one sequence per document


def test_a_dataset_in_the_hub_cache_needs_no_network(
    marked: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, data = marked
    snapshot = tmp_path / "datasets--someone--words" / "snapshots" / "0123" / "data"
    snapshot.mkdir(parents=True)
    write_parquet(snapshot / "train-00000.parquet", [path.read_text() for path in text.iterdir()])
    write_parquet(snapshot / "test-00000.parquet", ["left out by the pattern"])
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    run_prepare(tmp_path / "data", "--vocabulary", "300", source="hf:someone/words/data/train-*.parquet")

    assert manifest_of(data)["identity"] == manifest_of(tmp_path / "data")["identity"]


def test_a_dataset_that_cannot_be_had_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    result = run_prepare(tmp_path / "data", source="hf:someone/missing")

    assert result.returncode == 2
    assert re.fullmatch(
        r"prepare\.py: hf:someone/missing (is not in the cache|could not be fetched).*\n", result.stderr
    )


def test_binary_files_are_left_out(marked: tuple[Path, Path], tmp_path: Path) -> None:
    text, data = marked
    shutil.copytree(text, tmp_path / "mixed")
    (tmp_path / "mixed" / "picture.png").write_bytes(bytes(range(256)) * 40)

    run_prepare(tmp_path / "data", "--vocabulary", "300", source=tmp_path / "mixed")

    assert manifest_of(data)["identity"] == manifest_of(tmp_path / "data")["identity"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(["--source", "nowhere"], "source nowhere is no folder", id="missing source"),
        pytest.param(["--probes", "25"], "--probes 25 exceeds --sequences 24", id="more probes than sequences"),
        pytest.param(["--vocabulary", "100"], "--vocabulary must be at least 260", id="vocabulary below all bytes"),
        pytest.param(["--sequences", "0"], "sizes must be at least 1", id="no sequences"),
        pytest.param(["--sequences", "100000"], "the source is too small for 100000", id="too many sequences"),
        pytest.param(["--vocabulary", "60000"], "add text or lower --vocabulary", id="vocabulary beyond the text"),
    ],
)
def test_bad_requests_are_one_clear_sentence(
    text_folder: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    result = run_prepare(tmp_path / "data", *options, source=None if "--source" in options else text_folder)

    assert result.returncode == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_a_column_that_is_not_text_is_named(tmp_path: Path) -> None:
    result = run_prepare(tmp_path / "data", source=write_parquet(tmp_path / "a.parquet", ["x"], column="content"))

    assert result.returncode == 2
    assert "has no column 'text', only ['content']" in result.stderr


# The manifest -----------------------------------------------------------------------------------


def test_check_accepts_what_was_made(data_folder: Path) -> None:
    result = run_prepare(data_folder, "--check")

    assert result.returncode == 0
    assert manifest_of(data_folder)["identity"] in result.stdout


def damage_by_one_byte(data: Path) -> str:
    path = data / "holdout" / "sequences.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    return "sequences.npy does not match the manifest"


def damage_by_removal(data: Path) -> str:
    (data / "probes" / "01" / "answers" / "cuts.npy").unlink()
    return "cuts.npy is missing"


def damage_by_addition(data: Path) -> str:
    (data / "train" / "answers.txt").write_text("42")
    return "answers.txt is not in the manifest"


def damage_to_the_table(data: Path) -> str:
    manifest = manifest_of(data)
    manifest["identity"] = "0" * 64
    (data / "manifest.json").write_text(json.dumps(manifest))
    return "manifest.json does not match its own identity"


def damage_to_the_manifest(data: Path) -> str:
    (data / "manifest.json").write_text("{")
    return "manifest.json is no JSON"


def damage_by_interruption(data: Path) -> str:
    (data / "manifest.json").unlink()
    return "has no manifest.json"


damages = pytest.mark.parametrize(
    "damage",
    [
        damage_by_one_byte,
        damage_by_removal,
        damage_by_addition,
        damage_to_the_table,
        damage_to_the_manifest,
        damage_by_interruption,
    ],
)


@damages
def test_damage_is_named_and_repaired(data_folder: Path, text_folder: Path, tmp_path: Path, damage: Any) -> None:
    shutil.copytree(data_folder, tmp_path / "data")
    sentence = damage(tmp_path / "data")

    checked = run_prepare(tmp_path / "data", "--check")
    repaired = run_prepare(tmp_path / "data", source=text_folder)

    assert checked.returncode == 2
    assert sentence in checked.stderr
    assert "delete the folder and run prepare.py" in checked.stderr
    assert repaired.returncode == 0, repaired.stderr
    assert sentence in repaired.stderr
    assert manifest_of(tmp_path / "data") == manifest_of(data_folder)


def test_an_intact_folder_is_kept_and_says_so(data_folder: Path, text_folder: Path) -> None:
    before = (data_folder / "manifest.json").stat()

    result = run_prepare(data_folder, source=text_folder)

    assert result.returncode == 0
    assert result.stdout.startswith(f"kept {data_folder}")
    assert (data_folder / "manifest.json").stat().st_ino == before.st_ino


def test_other_parameters_never_replace_a_folder(data_folder: Path, text_folder: Path) -> None:
    result = run_prepare(data_folder, "--seed", "9", source=text_folder)

    assert result.returncode == 2
    assert "was made with seed 0, not 9" in result.stderr
    assert run_prepare(data_folder, "--check").returncode == 0


def test_a_folder_of_something_else_is_never_replaced(text_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.tex").write_text("years of work")

    result = run_prepare(tmp_path / "data", source=text_folder)

    assert result.returncode == 2
    assert "holds something else (thesis.tex)" in result.stderr
    assert (tmp_path / "data" / "thesis.tex").read_text() == "years of work"


def test_a_killed_prepare_leaves_nothing_that_looks_finished(text_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(TASK / "prepare.py"), "--data", str(tmp_path / "data"), "--source", str(text_folder)]
    process = subprocess.Popen([*command, *SIZES])
    deadline = time.monotonic() + 60
    while not (tmp_path / ".data.building" / "tokenizer").exists() and time.monotonic() < deadline:
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert not (tmp_path / "data").exists()
    assert run_prepare(tmp_path / "data", source=text_folder).returncode == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data"]


def test_two_at_once_do_not_build_into_each_other(text_folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".data.building").mkdir()
    lock = os.open(tmp_path / ".data.building", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)

    result = run_prepare(tmp_path / "data", source=text_folder)
    os.close(lock)

    assert result.returncode == 2
    assert "another prepare.py is building" in result.stderr


# The loader -------------------------------------------------------------------------------------


def test_batches_look_like_exam_sequences_and_targets_are_the_next_tokens(data_folder: Path) -> None:
    tokenizer = prepare.Tokenizer.load(data_folder)
    stream = (data_folder / "train" / "tokens.bin").read_bytes()

    inputs, targets, epoch = next(prepare.make_dataloader(data_folder, batch_size=8, sequence_length=16, seed=0))

    assert inputs.shape == targets.shape == (8, 16)
    assert epoch == 0
    assert (inputs[:, 0] == tokenizer.bos).all()
    assert (inputs[:, 1:] == targets[:, :-1]).all()
    assert all(row.numpy().astype("<u2").tobytes() in stream for row in targets)


def test_an_epoch_shows_no_token_twice(data_folder: Path) -> None:
    size = np.memmap(data_folder / "train" / "tokens.bin", dtype="<u2", mode="r").size
    rows = 0
    for _, targets, epoch in prepare.make_dataloader(data_folder, batch_size=16, sequence_length=64, seed=0):
        if epoch == 1:
            break
        rows += len(targets)

    assert size // 64 - 17 <= rows <= size // 64


def test_the_seed_decides_the_order_of_batches(data_folder: Path) -> None:
    def first(seed: int) -> list[list[int]]:
        batch = next(prepare.make_dataloader(data_folder, batch_size=4, sequence_length=16, seed=seed))[0]
        rows: list[list[int]] = batch.tolist()
        return rows

    assert first(1) == first(1) != first(2)
