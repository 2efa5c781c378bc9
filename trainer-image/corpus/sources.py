"""Where text comes from: the interpreter's own sources, folders, parquet files, Hugging Face data sets.

Gives distinct documents in an order that depends on nothing but their content and the seed. Nothing but an
`hf:` source that is not in the local cache ever touches the network.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import platform
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from corpus.errors import PrepareError


def _files_below(folder: Path, *, suffix: str = "", skip: Sequence[str] = ()) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in skip and not name.startswith(".")]
        yield from (Path(root, name) for name in names if name.endswith(suffix) and not name.startswith("."))


def _text_of(path: Path) -> str | None:
    """A file's text, or None for what is binary: text that does not round-trip has no byte length to score by."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None


def _parquet_documents(files: Sequence[Path]) -> Iterator[str]:
    from pyarrow import ArrowInvalid, parquet

    for path in files:
        try:
            table = parquet.ParquetFile(path)
        except (OSError, ArrowInvalid) as error:
            raise PrepareError(f"{path} is not a readable parquet file ({error}): give other files") from error
        if "text" not in table.schema_arrow.names:
            raise PrepareError(f"{path} has no column 'text', only {table.schema_arrow.names}: rename one of them")
        for batch in table.iter_batches(columns=["text"]):
            yield from (text for text in batch.column(0).to_pylist() if text)


def _hub_files(name: str) -> list[Path]:
    """Parquet files of a dataset: from the local Hugging Face cache, else fetched by huggingface_hub."""
    owner, _, rest = name.partition("/")
    repository, _, pattern = rest.partition("/")
    pattern = pattern or "*.parquet"
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    snapshots = sorted((cache / f"datasets--{owner}--{repository}" / "snapshots").glob("*"))
    for snapshot in snapshots:
        files = sorted(
            path for path in snapshot.rglob("*.parquet") if fnmatch.fnmatch(str(path.relative_to(snapshot)), pattern)
        )
        if files:
            return files
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise PrepareError(
            f"hf:{name} is not in the cache {cache} and huggingface_hub is not installed: "
            "install it, set HF_HUB_CACHE, or give parquet files by path"
        ) from error
    try:
        snapshot = Path(snapshot_download(f"{owner}/{repository}", repo_type="dataset", allow_patterns=[pattern]))
    except (OSError, ValueError) as error:
        raise PrepareError(f"hf:{name} could not be fetched ({error}): check the name and the network") from error
    files = sorted(snapshot.rglob("*.parquet"))
    if not files:
        raise PrepareError(f"hf:{name} holds no parquet files: try a pattern, as in hf:ORG/NAME/data/*.parquet")
    return files


def _folder_documents(folder: Path) -> Iterable[str]:
    """A folder of parquet files is read as such, any other as one document per text file."""
    parquet_files = sorted(_files_below(folder, suffix=".parquet"))
    return _parquet_documents(parquet_files) if parquet_files else filter(None, map(_text_of, _files_below(folder)))


def read_documents(sources: Sequence[str]) -> Iterable[str]:
    """Every document of the sources, in no particular order. Raises PrepareError for what is no source."""
    first = sources[0]
    if first == "stdlib":
        library = Path(sysconfig.get_path("stdlib"))
        files = _files_below(library, suffix=".py", skip=("site-packages", "dist-packages", "__pycache__"))
        return filter(None, map(_text_of, files))
    if first.startswith("hf:"):
        return _parquet_documents(_hub_files(first.removeprefix("hf:")))
    if len(sources) == 1 and Path(first).is_dir():
        return _folder_documents(Path(first))
    for name in sources:
        if not (name.endswith(".parquet") and Path(name).is_file()):
            raise PrepareError(
                f"source {name} is no folder and no .parquet file: give stdlib, a folder, hf:ORG/NAME or parquet files"
            )
    return _parquet_documents([Path(name) for name in sources])


def describe_source(sources: Sequence[str]) -> str:
    """How the manifest names a source; the interpreter's version is part of what `stdlib` means."""
    if sources == ["stdlib"]:
        return f"stdlib ({platform.python_implementation()} {platform.python_version()})"
    return " ".join(sources)


def distinct_documents(documents: Iterable[str], seed: int) -> list[str]:
    """Exact duplicates dropped, then ordered by a hash of seed and content: never by path, time or arrival."""
    salt = seed.to_bytes(8, "little")
    by_digest = {hashlib.sha256(salt + text.encode()).digest(): text for text in documents}
    return [by_digest[digest] for digest in sorted(by_digest)]
