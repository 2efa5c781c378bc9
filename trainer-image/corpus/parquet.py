"""Documents from parquet files: one a row, from the column `text`; whatever is wrong names file and column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.documents import Document, LeftOut
from corpus.errors import PrepareError

if TYPE_CHECKING:
    from pyarrow import DataType
    from pyarrow.parquet import ParquetFile

COLUMN = "text"
LFS_POINTER = b"version https://git-lfs"


def _is_text(kind: DataType) -> bool:
    from pyarrow import types

    stored = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(stored) or types.is_large_string(stored) or types.is_string_view(stored))


def open_parquet(path: Path) -> ParquetFile:
    """Read the footer. Raises PrepareError for what is no whole parquet file with a column of text."""
    from pyarrow import ArrowException, parquet

    try:
        with path.open("rb") as file:
            is_pointer = file.read(len(LFS_POINTER)) == LFS_POINTER
        if is_pointer:
            raise PrepareError(f"{path} is a Git LFS pointer and not the file itself: run git lfs pull")
        # Writers may store a checksum with every page; without this it is not compared.
        table = parquet.ParquetFile(path, page_checksum_verification=True)
        columns = {column.name: column.type for column in table.schema_arrow}
    except (OSError, ArrowException, UnicodeDecodeError) as error:
        raise PrepareError(f"{path} is not a readable parquet file ({_one_line(error)}): give other files") from error
    if COLUMN not in columns:
        raise PrepareError(f"{path} has no column '{COLUMN}', only {list(columns)}: rename one of them")
    if not _is_text(columns[COLUMN]):
        raise PrepareError(f"column '{COLUMN}' of {path} holds {columns[COLUMN]} and not text: convert it to strings")
    return table


def parquet_documents(files: Sequence[Path]) -> Iterator[Document | LeftOut]:
    """Every row that has text. Raises PrepareError for files that open_parquet refuses, and for damage on the way."""
    from pyarrow import ArrowException

    for path in files:
        table = open_parquet(path)
        try:
            yield from _rows(table, path)
        except (OSError, ArrowException, UnicodeDecodeError) as error:
            raise PrepareError(
                f"column '{COLUMN}' of {path} is damaged ({_one_line(error)}): get the file again"
            ) from error


def _rows(table: ParquetFile, path: Path) -> Iterator[Document | LeftOut]:
    name, row = str(path), 0
    for batch in table.iter_batches(columns=[COLUMN]):
        for text in batch.column(0).to_pylist():
            row += 1
            yield Document(text, name, row) if text else LeftOut(name, "rows without text")
    if row != table.metadata.num_rows:  # a damaged footer can hide a row group or the end of one
        raise OSError(f"{row:,} of its {table.metadata.num_rows:,} rows can be read")


def _one_line(error: Exception) -> str:
    """The library's own words; some of its messages go over several lines and end in a full stop."""
    return " ".join(str(error).split()).rstrip(".")
