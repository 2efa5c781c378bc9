"""Making the folder: built beside its place, sealed, then moved there whole, so that nobody sees half of one."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from corpus.digestible import MOST_BLANKS, Indigestible, cut_blanks
from corpus.documents import Document, gather
from corpus.errors import Damaged, OlderLayout, PrepareError
from corpus.hub import other_revision
from corpus.manifest import read_manifest, write_manifest
from corpus.pools import HIDEABLE, Pools, draw_pools
from corpus.probes import write_probes
from corpus.recipe import Recipe
from corpus.reference import write_reference
from corpus.sources import open_source
from corpus.splits import write_exam_split, write_reserve, write_train_split
from corpus.tokenizer import Tokenizer

OTHERWISE = "choose another --data folder (on a cluster executor.kubernetes.data_folder) or delete this one"
ENTRIES = {"manifest.json", "tokenizer", "train", "validation", "holdout", "reserve", "probes"}


def build(data: Path, documents: Sequence[Document], pools: Pools, recipe: Recipe) -> dict[str, dict[str, int]]:
    """Fill an empty folder but for its manifest; returns the counts of each split.

    Raises PrepareError, with the name of the file that is to blame where one is.
    """
    try:
        return _build(data, pools, recipe)
    except Indigestible as error:
        origins = [document.origin for document in documents if document.text is error.text]
        if not origins:
            raise
        raise PrepareError(f"{origins[0]}: {error}") from error


def _build(data: Path, pools: Pools, recipe: Recipe) -> dict[str, dict[str, int]]:
    """The tokenizer learns from documents that no split of the exam can draw on."""
    tokenizer = Tokenizer.train(pools.training, recipe.vocabulary_size)
    if tokenizer.vocabulary_size != recipe.vocabulary_size:
        raise PrepareError(
            f"the source has text for {tokenizer.vocabulary_size} tokens only: add text or lower --vocabulary"
        )
    tokenizer.save(data)
    validation, validation_counts, spare = write_exam_split(data, "validation", pools.validation, tokenizer, recipe)
    holdout, holdout_counts, more = write_exam_split(data, "holdout", pools.holdout, tokenizer, recipe)
    slices, reserve_counts, unused = write_reserve(data, pools.reserve, tokenizer, recipe)
    train, train_counts = write_train_split(data, [*pools.training, *spare, *more, *unused], tokenizer)
    if len(train) < 2 * recipe.sequence_length:
        raise PrepareError(f"the source leaves {len(train)} tokens to train on: add text or shorten --sequence-length")
    parts = {"validation": validation, "holdout": holdout}
    parts |= {f"reserve/{number:03}": part for number, part in enumerate(slices)}
    nll = write_reference(data, parts, train, recipe.vocabulary_size)
    write_probes(data, validation, nll[: len(validation)].mean(axis=2), train, tokenizer, recipe)
    counts = {"train": train_counts, "validation": validation_counts, "holdout": holdout_counts}
    return counts | ({"reserve": reserve_counts} if reserve_counts else {})


def find_intact(data: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The manifest of a folder that is there, intact and of this recipe, else None.

    Raises PrepareError rather than give up one that is somebody else's.
    """
    if not data.exists():
        return None
    foreign = sorted({entry.name for entry in data.iterdir()} - ENTRIES) if data.is_dir() else [data.name]
    if foreign:
        raise PrepareError(f"{data} holds something else ({foreign[0]}): choose another --data folder")
    try:
        manifest = read_manifest(data)
    except OlderLayout as error:
        raise PrepareError(f"{error}: {OTHERWISE}; scores of the two cannot be compared") from error
    except Damaged as error:
        print(f"rebuilding: {error}", file=sys.stderr)
        return None
    for name, value in asdict(recipe).items():
        if name != "preset" and manifest.get(name) != value:
            raise PrepareError(f"{data} was made with {_difference(manifest, recipe, name)}: {OTHERWISE}")
    return manifest


def _difference(manifest: dict[str, Any], recipe: Recipe, name: str) -> str:
    """Tell the folder and the recipe apart, by the names of their presets if those differ."""
    size = f"{name} {manifest.get(name)}, not {getattr(recipe, name)}"
    made, asked = manifest.get("preset"), recipe.preset
    return f"preset {made}, not {asked} ({size})" if made and asked and made != asked else size


def prepare(data: Path, sources: Sequence[str], recipe: Recipe) -> list[str]:
    """Make the folder, or keep an intact one of the same recipe. Returns sentences for the user, first which of both.

    Built in a sibling folder and renamed when complete, so nobody ever sees half of it.
    """
    intact = find_intact(data, recipe)
    if intact:
        kept = f"kept {data}: intact and made with these parameters (delete it to rebuild)"
        return [kept, *other_revision(sources[0], intact.get("revision"))]
    data.parent.mkdir(parents=True, exist_ok=True)
    building = data.parent / f".{data.name}.building"
    building.mkdir(exist_ok=True)
    lock = os.open(building, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for leftover in building.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        notes = _make(building, sources, recipe)
        if data.exists():
            shutil.rmtree(data)
        building.rename(data)
    except BlockingIOError as error:
        raise PrepareError(f"another prepare.py is building {data}: wait for it to end") from error
    except PrepareError:
        shutil.rmtree(building)
        raise
    finally:
        os.close(lock)
    return [f"made {data}", *notes]


def _make(data: Path, sources: Sequence[str], recipe: Recipe) -> list[str]:
    """Read, build and seal. Returns what the user should know of the source."""
    source = open_source(sources)
    gathered = gather(source.found, recipe.seed)
    if not gathered.documents:
        raise PrepareError(
            f"{recipe.source} holds no text" + "".join(f"; left out: {part}" for part in gathered.told())
        )
    pools = draw_pools(gathered.documents, recipe)
    splits = build(data, gathered.documents, pools, recipe)
    cuts = sum(len(cut_blanks(document.text)) - 1 for document in gathered.documents)
    write_manifest(data, recipe, splits, revision=source.revision, hidden=pools.hidden)
    notes = [f"left out: {part}" for part in gathered.told()]
    if pools.hidden:
        notes.append(f"hidden: the exam's text is from {', '.join(pools.hidden)}, which sandboxes do not show")
    elif source.hideable:
        notes.append(
            f"not hidden: {', '.join(HIDEABLE)} of this Python hold too little text for these sizes, so that a "
            "training can read the text of its exam"
        )
    if cuts:
        notes.append(
            f"cut: {cuts:,} times in runs of more than {MOST_BLANKS:,} blanks, for the tokenizer; no byte is lost"
        )
    return [*notes, f"not known: {source.doubt}"] if source.doubt else notes
