"""Where text comes from: the interpreter's own sources, folders, parquet files, Hugging Face data sets.

Nothing but an `hf:` source that is not whole in the local cache ever touches the network.
"""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from corpus.documents import Document, LeftOut
from corpus.errors import PrepareError
from corpus.hub import PREFIX, find_dataset
from corpus.parquet import parquet_documents
from corpus.pools import HIDEABLE

NOT_TEXT = "files that are no UTF-8 text"
NOT_PARQUET = "entries beside the parquet files"
UNKNOWN = "folder and no .parquet file: give stdlib, a folder, hf:ORG/NAME or parquet files"
ALONE = ".parquet file, and only these can be given together: give it alone"
NO_FILE = "entries that are no files"


@dataclass(frozen=True, slots=True)
class Source:
    """What can be read, in no particular order. revision: the data set's commit, where there is one.

    doubt: one sentence for the user about what cannot be known of it. hideable: it is Python's library, of which parts
    can be hidden from trainings.
    """

    found: Iterable[Document | LeftOut]
    revision: str | None = None
    doubt: str | None = None
    hideable: bool = False


def _refuse(error: OSError) -> NoReturn:
    """Also for os.walk, which passes over a folder that it cannot read unless it is told otherwise."""
    raise PrepareError(f"{error.filename} cannot be read ({error.strerror}): mend that, or move it away") from error


def _entries_below(folder: Path, *, suffix: str = "", skip: Sequence[str] = ()) -> Iterator[Path]:
    """Everything that a person would see, except folders. A link to a folder is not followed: it could lead back."""
    for root, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if name not in skip and not name.startswith(".")]
        links = [name for name in folders if Path(root, name).is_symlink()]
        for name in (*names, *links):
            if name.endswith(suffix) and not name.startswith("."):
                yield Path(root, name)


def _text_documents(entries: Iterable[Path]) -> Iterator[Document | LeftOut]:
    """One document a file. Text that does not round-trip has no byte length to score by, so it is left out."""
    for path in entries:
        try:
            if path.exists() and not path.is_file():  # opening a FIFO would wait for its other end
                yield LeftOut(str(path), NO_FILE)
                continue
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            yield LeftOut(str(path), NOT_TEXT)
        except OSError as error:
            _refuse(error)
        else:
            if text:
                yield Document(text, str(path))


def _folder_documents(folder: Path) -> Iterator[Document | LeftOut]:
    """A folder of parquet files is read as such, any other as one document per text file."""
    entries = sorted(_entries_below(folder))
    parquet_files = [path for path in entries if path.suffix == ".parquet"]
    if not parquet_files:
        yield from _text_documents(entries)
        return
    yield from (LeftOut(str(path), NOT_PARQUET) for path in entries if path.suffix != ".parquet")
    yield from parquet_documents(parquet_files)


def _check_group(library: Path) -> None:
    """Raise PrepareError where the exam's text may be read by a group that we are not in, as in the trainer image."""
    for path in (library / name for name in HIDEABLE):
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            group = path.stat().st_gid
            raise PrepareError(
                f"{path} holds text for exams, and only group {group} may read it: run prepare.py in that group "
                f"(docker run --group-add {group})"
            )


def _mark_hideable(found: Iterable[Document | LeftOut], library: Path) -> Iterator[Document | LeftOut]:
    for item in found:
        folder = Path(item.path).relative_to(library).parts[0]
        if isinstance(item, Document) and folder in HIDEABLE:
            yield replace(item, folder=folder)
        else:
            yield item


def open_source(sources: Sequence[str]) -> Source:
    """Find what `--source` names. Raises PrepareError for what is no source, and while it is read for damage."""
    first = sources[0]
    if len(sources) > 1:
        return Source(parquet_documents([_parquet_file(name, ALONE) for name in sources]))
    if first == "stdlib":
        library = Path(sysconfig.get_path("stdlib"))
        _check_group(library)
        entries = _entries_below(library, suffix=".py", skip=("site-packages", "dist-packages", "__pycache__"))
        return Source(_mark_hideable(_text_documents(entries), library), hideable=True)
    if first.startswith(PREFIX):
        dataset = find_dataset(first)
        return Source(parquet_documents(dataset.files), dataset.revision, dataset.doubt)
    if Path(first).is_dir():
        return Source(_folder_documents(Path(first)))
    return Source(parquet_documents([_parquet_file(first, UNKNOWN)]))


def _parquet_file(name: str, kind: str) -> Path:
    path = Path(name)
    if path.suffix != ".parquet" or not path.is_file():
        raise PrepareError(f"source {name} is no {kind}")
    return path


def describe_source(sources: Sequence[str]) -> str:
    """How the manifest names a source; the interpreter's version is part of what `stdlib` means."""
    if sources == ["stdlib"]:
        return f"stdlib ({platform.python_implementation()} {platform.python_version()})"
    return " ".join(sources)
