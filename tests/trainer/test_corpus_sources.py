"""Sources of text: what is read, and one clear sentence for what cannot be."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus.documents import Document
from corpus.sources import open_source

from tests.trainer.small_task import manifest_of, run_prepare


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


def test_what_is_no_text_is_left_out_and_told(marked: tuple[Path, Path], tmp_path: Path) -> None:
    text, data = marked
    shutil.copytree(text, tmp_path / "mixed")
    (tmp_path / "mixed" / "picture.png").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "mixed" / "more.txt.gz").write_bytes(gzip.compress(b"packed\n" * 400)[:-9])
    (tmp_path / "mixed" / "umlauts.txt").write_text("Gr\u00fc\u00dfe\n" * 40, encoding="latin-1")
    (tmp_path / "mixed" / "wide.txt").write_text("wide\n" * 40, encoding="utf-16")
    os.mkfifo(tmp_path / "mixed" / "waits-for-ever")
    (tmp_path / "mixed" / "elsewhere").symlink_to(text)

    result = run_prepare(tmp_path / "data", "--vocabulary", "300", source=tmp_path / "mixed")

    assert manifest_of(data)["identity"] == manifest_of(tmp_path / "data")["identity"]
    assert f"left out: 4 files that are no UTF-8 text, such as {tmp_path / 'mixed' / 'more.txt.gz'}\n" in result.stdout
    assert f"left out: 2 entries that are no files, such as {tmp_path / 'mixed' / 'elsewhere'}\n" in result.stdout


def test_byte_order_marks_line_ends_and_json_lines_stay_as_they_are(text_folder: Path, tmp_path: Path) -> None:
    texts = {"bom.txt": "\ufeffmarked\n" * 30, "crlf.txt": "both\r\nends\r" * 30, "lines.jsonl": '{"text": "a"}\n' * 30}
    shutil.copytree(text_folder, tmp_path / "text")
    for name, text in texts.items():
        (tmp_path / "text" / name).write_bytes(text.encode())

    found = {item.text for item in open_source([str(tmp_path / "text")]).found if isinstance(item, Document)}

    assert set(texts.values()) <= found


def test_a_source_without_any_text_says_what_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "a.zst").write_bytes(b"\x28\xb5\x2f\xfd\xff")

    result = run_prepare(tmp_path / "data", source=tmp_path / "packed")

    assert result.returncode == 2
    assert result.stderr == (
        f"prepare.py: {tmp_path / 'packed'} holds no text; left out: "
        f"1 files that are no UTF-8 text, such as {tmp_path / 'packed' / 'a.zst'}\n"
    )


def test_a_link_that_leads_nowhere_is_named(text_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(text_folder, tmp_path / "text")
    (tmp_path / "text" / "gone.txt").symlink_to("nowhere")

    result = run_prepare(tmp_path / "data", source=tmp_path / "text")

    assert result.returncode == 2
    assert re.fullmatch(r"prepare\.py: .*gone\.txt cannot be read \(No such file.*\n", result.stderr)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(["--source", "nowhere"], "source nowhere is no folder", id="missing source"),
        pytest.param(["--source", "stdlib", "more"], "source stdlib is no .parquet file, and only", id="two sources"),
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
