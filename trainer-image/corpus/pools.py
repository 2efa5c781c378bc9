"""Choose the documents that validation, holdout and reserve may draw on, and whether training is kept from them. Pure.

The text of the default source is Python's own library, which every Python program can read. So the exam's text comes
from folders of it that no training needs, and sandboxes do not show these folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corpus.documents import Document
from corpus.recipe import Recipe

HIDEABLE = ("idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo")
"""Folders of Python's library that neither PyTorch nor what it imports needs, and of which packages hold no copies."""

EXAM_SHARE = 4
"""Validation and holdout may each draw on at most one document in four."""
RESERVE_SHARE = 6
"""The reserve may draw on at most one document in six."""

HIDDEN_SHARES = ((8, 4), (4, 3))
"""Shares of hidden documents, tried in this order: one in so many for validation and for holdout each, and one in so
many for the reserve. The rest is training text, so that the more there is, the more alike both are."""

BYTES_PER_TOKEN = 8
"""Bytes that a pool must have for each token of its sequences. Tokens of 8,192 words have 4 to 5, and windows that must
not overlap need room between them."""


@dataclass(frozen=True, slots=True)
class Pools:
    """Texts of the exam's splits, and of training."""

    validation: Sequence[str]
    holdout: Sequence[str]
    reserve: Sequence[str]
    training: Sequence[str]
    hidden: tuple[str, ...] = ()
    """Folders that hold all text of the exam; empty where it may lie anywhere."""


def draw_pools(documents: Sequence[Document], recipe: Recipe) -> Pools:
    """Divide the documents, which stand in an order of chance. If hidden ones do not suffice, all are used alike."""
    hideable = [document for document in documents if document.folder]
    others = [document.text for document in documents if not document.folder]
    texts = [document.text for document in hideable]
    for share, reserve_share in HIDDEN_SHARES:
        pools = _divide(texts, recipe, share=share, reserve_share=reserve_share)
        if all(_has_room(pool, recipe) for pool in (pools.validation, pools.holdout)):
            hidden = tuple(sorted({document.folder for document in hideable}))
            return Pools(pools.validation, pools.holdout, pools.reserve, [*others, *pools.training], hidden)
    every = [document.text for document in documents]
    return _divide(every, recipe, share=EXAM_SHARE, reserve_share=RESERVE_SHARE)


def _divide(texts: Sequence[str], recipe: Recipe, *, share: int, reserve_share: int) -> Pools:
    pool = len(texts) // share
    rest = 2 * pool + (len(texts) // reserve_share if recipe.reserve_slices else 0)
    return Pools(texts[:pool], texts[pool : 2 * pool], texts[2 * pool : rest], texts[rest:])


def _has_room(pool: Sequence[str], recipe: Recipe) -> bool:
    needed = recipe.sequences * recipe.sequence_length * BYTES_PER_TOKEN
    return sum(len(text.encode()) for text in pool) >= needed
