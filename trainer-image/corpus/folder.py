"""Making the folder: built beside its place, sealed, then moved there whole, so that nobody sees half of one."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from corpus.errors import Damaged, PrepareError
from corpus.manifest import read_manifest, write_manifest
from corpus.probes import write_probes
from corpus.recipe import Recipe
from corpus.sources import distinct_documents, read_documents
from corpus.splits import write_exam_split, write_train_split
from corpus.tokenizer import Tokenizer

EXAM_SHARE = 4  # validation and holdout may each draw on at most one document in four
ENTRIES = {"manifest.json", "tokenizer", "train", "validation", "holdout", "probes"}


def build(data: Path, documents: Sequence[str], recipe: Recipe) -> None:
    """Fill an empty folder. The tokenizer learns from documents that neither exam split can draw on."""
    pool = len(documents) // EXAM_SHARE
    tokenizer = Tokenizer.train(documents[2 * pool :], recipe.vocabulary_size)
    if tokenizer.vocabulary_size != recipe.vocabulary_size:
        raise PrepareError(
            f"the source has text for {tokenizer.vocabulary_size} tokens only: add text or lower --vocabulary"
        )
    tokenizer.save(data)
    validation, validation_counts, spare = write_exam_split(data, "validation", documents[:pool], tokenizer, recipe)
    _, holdout_counts, more = write_exam_split(data, "holdout", documents[pool : 2 * pool], tokenizer, recipe)
    train, train_counts = write_train_split(data, [*documents[2 * pool :], *spare, *more], tokenizer)
    if len(train) < 2 * recipe.sequence_length:
        raise PrepareError(f"the source leaves {len(train)} tokens to train on: add text or shorten --sequence-length")
    write_probes(data, validation, train, tokenizer, recipe)
    write_manifest(data, recipe, {"train": train_counts, "validation": validation_counts, "holdout": holdout_counts})


def keeps(data: Path, recipe: Recipe) -> bool:
    """Whether a folder is there, intact and of this recipe; raises PrepareError rather than give up another's."""
    if not data.exists():
        return False
    foreign = sorted({entry.name for entry in data.iterdir()} - ENTRIES) if data.is_dir() else [data.name]
    if foreign:
        raise PrepareError(f"{data} holds something else ({foreign[0]}): choose another --data folder")
    try:
        manifest = read_manifest(data)
    except Damaged as error:
        print(f"rebuilding: {error}", file=sys.stderr)
        return False
    for name, value in asdict(recipe).items():
        if manifest.get(name) != value:
            raise PrepareError(
                f"{data} was made with {name} {manifest.get(name)}, not {value}: "
                "choose another --data folder or delete this one"
            )
    return True


def prepare(data: Path, sources: Sequence[str], recipe: Recipe) -> str:
    """Make the folder, or keep an intact one of the same recipe. Returns one sentence that says which.

    Built in a sibling folder and renamed when complete, so nobody ever sees half of it.
    """
    if keeps(data, recipe):
        return f"kept {data}: intact and made with these parameters (delete it to rebuild)"
    data.parent.mkdir(parents=True, exist_ok=True)
    building = data.parent / f".{data.name}.building"
    building.mkdir(exist_ok=True)
    lock = os.open(building, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for leftover in building.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        build(building, distinct_documents(read_documents(sources), recipe.seed), recipe)
        if data.exists():
            shutil.rmtree(data)
        building.rename(data)
    except BlockingIOError as error:
        raise PrepareError(f"another prepare.py is building {data}: wait for it to end") from error
    finally:
        os.close(lock)
    return f"made {data}"
