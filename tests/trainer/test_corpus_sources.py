"""Sources of text: what is read, and one clear sentence for what cannot be."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainer.conftest import manifest_of, run_prepare


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
