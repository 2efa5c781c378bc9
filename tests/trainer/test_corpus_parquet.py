"""Parquet files that are damaged or hold no text: one sentence with file and column, whatever the damage."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus.documents import Document, LeftOut
from corpus.errors import PrepareError
from corpus.parquet import parquet_documents
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.small_task import run_prepare

CODECS = ["snappy", "zstd", "gzip", "brotli", "lz4", "none"]


def write_parquet(path: Path, column: Any, *, codec: str = "snappy", name: str = "text") -> Path:
    """A parquet file with one column, its pages with checksums."""
    pq.write_table(
        pa.table({name: column}),
        path,
        compression=codec,
        row_group_size=200,
        write_page_checksum=True,
        use_dictionary=False,
    )
    return path


def some_texts(count: int = 1000) -> list[str]:
    """Texts that no codec makes much smaller, so that a byte in the middle of the file is one of theirs."""
    draw = random.Random(1)
    return ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz ", k=80)) for _ in range(count)]


def damage(path: Path, at: int, byte: int) -> None:
    """Another byte at one place."""
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= byte
    path.write_bytes(content)


@pytest.mark.parametrize("codec", CODECS)
def test_damage_inside_a_page_names_file_and_column(tmp_path: Path, codec: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", some_texts(), codec=codec)
    damage(path, path.stat().st_size // 2, 0x55)

    with pytest.raises(
        PrepareError, match=r"column 'text' of .*a\.parquet is damaged \(.+\): get the file again"
    ) as told:
        list(parquet_documents([path]))

    assert "\n" not in str(told.value)


@pytest.mark.parametrize("codec", ["snappy", "zstd"])
def test_the_command_ends_with_one_line_for_a_damaged_page(tmp_path: Path, codec: str) -> None:
    whole = write_parquet(tmp_path / "whole.parquet", some_texts(), codec=codec)
    path = write_parquet(tmp_path / "a.parquet", some_texts(), codec=codec)
    damage(path, path.stat().st_size // 2, 0x55)

    result = run_prepare(tmp_path / "data", "--source", str(whole), str(path))

    assert result.returncode == 2
    assert result.stderr.startswith(f"prepare.py: column 'text' of {path} is damaged (")
    assert result.stderr.count("\n") == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.parquet", "whole.parquet"]


@settings(deadline=None, max_examples=200)  # a busy machine is no failure
@given(codec=st.sampled_from(CODECS), at=st.integers(0, 1 << 30), byte=st.integers(1, 255))
def test_any_other_byte_anywhere_gives_documents_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, codec: str, at: int, byte: int
) -> None:
    path = write_parquet(tmp_path_factory.mktemp("damaged") / "a.parquet", some_texts(400), codec=codec)
    damage(path, at, byte)

    try:
        said = "".join(item.text for item in parquet_documents([path]) if isinstance(item, Document))
    except PrepareError as error:
        said = str(error).replace(str(path), "named")

    assert "named" in said or len(said) == 400 * 80  # where the byte is of no page, nothing is lost


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        pytest.param(pa.array([["a", "b"]]), "list<element: string>", id="list"),
        pytest.param(pa.array([b"a"]), "binary", id="bytes"),
        pytest.param(pa.array([7]), "int64", id="int"),
        pytest.param(pa.array([True]), "bool", id="bool"),
        pytest.param(pa.array([{"content": "a"}]), "struct<content: string>", id="struct"),
        pytest.param(pa.array([None]), "null", id="nothing but null"),
    ],
)
def test_a_column_of_anything_but_text_is_named_with_what_it_holds(tmp_path: Path, column: Any, kind: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", column)

    with pytest.raises(PrepareError) as told:
        list(parquet_documents([path]))

    assert str(told.value) == f"column 'text' of {path} holds {kind} and not text: convert it to strings"


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    result = run_prepare(tmp_path / "data", source=write_parquet(tmp_path / "a.parquet", ["x"], name="content"))

    assert result.returncode == 2
    assert "has no column 'text', only ['content']" in result.stderr


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_every_kind_of_text_is_read_and_rows_without_are_counted(tmp_path: Path, kind: pa.DataType) -> None:
    path = write_parquet(tmp_path / "a.parquet", pa.array(["one", None, "", "two"]).cast(kind))

    assert list(parquet_documents([path])) == [
        Document("one", str(path), 1),
        LeftOut(str(path), "rows without text"),
        LeftOut(str(path), "rows without text"),
        Document("two", str(path), 4),
    ]


def test_text_that_is_no_unicode_names_its_file(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", pa.array([b"fine", b"\xff\xfe"]).view(pa.string()))

    with pytest.raises(PrepareError, match=r"column 'text' of .*a\.parquet is damaged \('utf-8' codec can't decode"):
        list(parquet_documents([path]))


def test_a_pointer_of_git_lfs_is_told_apart_from_damage(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")

    with pytest.raises(PrepareError, match=r"a\.parquet is a Git LFS pointer .*: run git lfs pull"):
        list(parquet_documents([tmp_path / "a.parquet"]))
