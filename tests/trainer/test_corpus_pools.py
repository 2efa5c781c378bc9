"""The exam's text is taken from folders that can be hidden, where these hold enough of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from corpus.documents import Document, gather
from corpus.pools import BYTES_PER_TOKEN, Pools, draw_pools
from corpus.recipe import Recipe
from hypothesis import given
from hypothesis import strategies as st

RECIPE = Recipe(
    source="s",
    vocabulary_size=512,
    sequence_length=10,
    sequences=10,
    probe_count=1,
    probe_sets=1,
    reserve_slices=4,
    reserve_sequences=6,
    seed=0,
)
NEEDED = BYTES_PER_TOKEN * 100
"""Bytes of a pool for 10 sequences of 10 tokens."""


def documents(count: int, *, bytes_: int, folder: str = "") -> list[Document]:
    """So many texts of so many bytes each."""
    return [Document(f"{folder}{number:05}".ljust(bytes_, "x"), f"{number}", folder=folder) for number in range(count)]


def texts_of(found: Iterable[Document]) -> set[str]:
    return {document.text for document in found}


def all_texts(pools: Pools) -> list[str]:
    return [*pools.validation, *pools.holdout, *pools.reserve, *pools.training]


def test_the_exam_draws_on_hidden_folders_alone_where_they_suffice() -> None:
    shown, hidden = documents(50, bytes_=400), documents(64, bytes_=NEEDED // 8, folder="test")

    pools = draw_pools([*shown, *hidden], RECIPE)

    assert pools.hidden == ("test",)
    assert {*pools.validation, *pools.holdout, *pools.reserve} < texts_of(hidden)
    assert (len(pools.validation), len(pools.holdout), len(pools.reserve)) == (8, 8, 16)
    assert texts_of(shown) < set(pools.training)


def test_a_small_hidden_part_gives_larger_shares_to_the_exam() -> None:
    pools = draw_pools(documents(64, bytes_=NEEDED // 16, folder="idlelib"), RECIPE)

    assert pools.hidden == ("idlelib",)
    assert (len(pools.validation), len(pools.reserve)) == (16, 21)


def test_too_little_to_hide_is_used_as_any_other_text() -> None:
    shown, hidden = documents(300, bytes_=400), documents(64, bytes_=NEEDED // 17, folder="idlelib")

    pools = draw_pools([*hidden, *shown], RECIPE)

    assert pools.hidden == ()
    assert len(pools.validation) == len(pools.holdout) == 364 // 4


@given(st.integers(0, 80), st.integers(0, 80), st.booleans())
def test_every_text_is_in_one_pool(shown: int, hidden: int, reserve: bool) -> None:
    found = [*documents(shown, bytes_=90), *documents(hidden, bytes_=90, folder="test")]
    pools = draw_pools(found, RECIPE if reserve else replace(RECIPE, reserve_slices=0))
    assert sorted(all_texts(pools)) == sorted(texts_of(found))
    assert reserve or not pools.reserve


@given(st.permutations([Document("same", "a", folder="test"), Document("same", "b"), Document("other", "c")]))
def test_a_text_that_can_also_be_read_elsewhere_is_not_hidden(found: list[Document]) -> None:
    kept = {document.text: document for document in gather(found, seed=0).documents}

    assert kept["same"] == Document("same", "b")
    assert len(kept) == 2
